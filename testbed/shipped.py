"""The studies that come with the testbed, read without checking them."""

from __future__ import annotations

from pathlib import Path

from testbed.errors import StudyError, suggestion
from testbed.toml import tomllib

SHIPPED = Path(__file__).resolve().parent / "studies"


def questions() -> dict[str, str]:
    """The question of each shipped study, by its name.

    >>> "teacher_student" in questions()
    True
    """
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SHIPPED.glob("*.toml"))}
    return {name: str(tomllib.loads(text)["question"]) for name, text in texts.items()}


def find(source: str | Path) -> Path:
    """The file of a study: a path, or the name of a shipped one; StudyError with the nearest name if there is none.

    >>> find("teacher_student").name
    'teacher_student.toml'
    """
    path = Path(source)
    if path.is_file():
        return path
    if path.suffix != ".toml" and (shipped := SHIPPED / f"{source}.toml").is_file():
        return shipped
    names = [p.stem for p in sorted(SHIPPED.glob("*.toml"))]
    raise StudyError(
        f"There is no study {str(source)!r}: give the path of a TOML file or one of {', '.join(names)}."
        f"{suggestion(str(source), names)}"
    )
