"""What tells a run folder from any other; without anything that takes long to import."""

from __future__ import annotations

from pathlib import Path

from testbed.errors import StudyError

BEGUN = ("study.toml", "manifest.json")  # files of which a run has one, or both


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
