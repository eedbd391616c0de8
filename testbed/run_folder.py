"""What a run folder is called, and what tells it from any other; without anything that takes long to import."""

from __future__ import annotations

from pathlib import Path

from testbed.errors import StudyError

BEGUN = ("study.toml", "manifest.json")  # files of which a run has one, or both


def folder_name(study: str, quick: bool = False, scale: float = 1.0) -> str:
    """The run folder of a study of this name, below runs/, where no other is asked for.

    >>> folder_name("width", quick=True), folder_name("width", scale=100)
    ('width-quick', 'width-times-100')
    """
    return study + ("-quick" if quick else "") + (f"-times-{scale:g}" if scale != 1 else "")


def is_begun(folder: str | Path) -> bool:
    """Whether a run was begun in this folder."""
    return any(Path(folder, name).is_file() for name in BEGUN)


def check(folder: str | Path) -> None:
    """StudyError unless a run was begun in this folder.

    >>> check("nowhere")
    Traceback (most recent call last):
    testbed.errors.StudyError: nowhere is not a run folder: it has no study.toml and no manifest.json.
    """
    if not is_begun(folder):
        raise StudyError(f"{folder} is not a run folder: it has no {' and no '.join(BEGUN)}.")
