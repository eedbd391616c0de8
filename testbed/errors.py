"""What a user did wrong, each thing in a sentence that names the field. Imports nothing that takes time."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class StudyError(ValueError):
    """A study, a data file or a run folder that cannot be used: its `args` are sentences, written for the user."""

    def __str__(self) -> str:
        return " ".join(self.args)


def refuse(found: Iterable[str]) -> None:
    """StudyError with these sentences, if there are any.

    >>> refuse([])
    """
    args = tuple(found)
    if args:
        raise StudyError(*args)


@contextmanager
def together() -> Iterator[Callable[..., None]]:
    """Checks that are all made before one StudyError says all that is wrong.

    >>> with together() as check:
    ...     check(refuse, ["steps must be at least 0."])
    ...     check(refuse, ["seed must be at least 0."])
    Traceback (most recent call last):
    testbed.errors.StudyError: steps must be at least 0. seed must be at least 0.
    """
    from kernels import checks

    try:
        with checks.together() as check:
            yield check
    except ValueError as error:
        raise StudyError(*checks.sentences_of(error)) from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name nearest to `name`, as a whole or by its last part; else nothing.

    >>> suggestion("training.momentum", ["training.steps", "training.optimizer.momentum"])
    " Did you mean 'training.optimizer.momentum'?"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, 1, cutoff=0.6)
    if not close:
        by_last_part = {key.rpartition(".")[2]: key for key in reversed(known)}
        parts = difflib.get_close_matches(name.rpartition(".")[2], list(by_last_part), 1, cutoff=0.6)
        close = [by_last_part[part] for part in parts]
    return f" Did you mean {close[0]!r}?" if close else ""
