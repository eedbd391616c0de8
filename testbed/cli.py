"""The entry point of the command `testbed`: what ends a command before its time is said in one line.

All else is imported when the command runs, so that Ctrl-C is caught from its first moment on.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)  # by a scheduler, by `kill`, by a terminal that closes


class Ended(KeyboardInterrupt):
    """A signal that ends the process; what cleans up after Ctrl-C does so after it."""

    last = signal.SIGINT  # that was raised: a library may have taken it, and a KeyboardInterrupt followed

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(arguments: list[str] | None = None) -> None:
    """The console entry point. Exit code 2 and a sentence on stderr for each thing that the user can put right.

    Ctrl-C, SIGTERM and SIGHUP end it with one line that says how to go on, and with the exit code that shells expect.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of torch that spin take the cores from all else
    _take_every_character()
    Ended.last = signal.SIGINT
    try:
        with _signals_raised():
            code = _run(arguments)
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Ended) else Ended.last
        print(f"testbed: stopped by {signal.Signals(number).name}; the same command continues.", file=sys.stderr)
        code = 128 + number
    if code:
        sys.exit(code)


def _take_every_character() -> None:
    """An α where the terminal's encoding has none becomes a question mark; what a scheduler closed goes nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _run(arguments: list[str] | None) -> int:
    """Run the command; the exit code."""
    if (sys.argv[1:] if arguments is None else arguments) == ["--version"]:
        print(f"lmc-testbed {version('lmc-testbed')}")
        return 0
    from testbed.errors import StudyError

    try:
        from testbed import commands

        commands.parse(arguments)()
    except StudyError as error:
        return _refuse(*error.args)
    except OSError as error:
        full = "the disk is full; free some space and run the same command again, it continues."
        return _refuse(full if error.errno == errno.ENOSPC else str(error))
    except MemoryError as error:
        said = str(error).rstrip(".") or "the system gave none"
        return _refuse(f"memory ran out: {said}. With more of it the same command continues.")
    return 0


@contextmanager
def _signals_raised() -> Iterator[None]:
    """While this lasts, signals that end a process raise Ended; those that it was told to ignore (nohup) stay so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, _raise_ended)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_ended(number: int, frame: FrameType | None) -> None:
    Ended.last = signal.Signals(number)
    raise Ended(number)


def _refuse(*sentences: str) -> int:
    """Print one sentence, or a list of them."""
    lines = sentences if len(sentences) == 1 else (f"{len(sentences)} things to put right:", *sentences)
    print("testbed: " + "\n  - ".join(lines), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
