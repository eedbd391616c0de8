"""Studies of bytes that a fuzzer makes, led by which lines they reach: each is a study, or a sentence.

    pip install atheris
    python -m tests.faults.fuzz -runs=100000 -max_len=4000

The shipped studies are what it begins with; a file `crash-…` holds what was neither. (tests/faults/test_study_parser.py
makes studies of the right shape with wrong values; this one cares for no shape.)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["testbed.study", "testbed.errors", "testbed.sections", "testbed.data", "tomllib"]
):
    from testbed import Study, StudyError
    from testbed.shipped import SHIPPED
    from tests.faults.test_study_parser import check_sentences

FOLDER = Path(tempfile.mkdtemp())


def load(content: bytes) -> None:
    """Read a study of these bytes, every other one shrunk."""
    path = FOLDER / "study.toml"
    path.write_bytes(content)
    try:
        Study.load(path, quick=len(content) % 2 == 0)
    except StudyError as error:
        check_sentences(error.args)


def main() -> None:
    """Fuzz, with the arguments of libFuzzer."""
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for path in SHIPPED.glob("*.toml"):
        shutil.copy(path, corpus)
    atheris.Setup([*sys.argv, str(corpus)], load)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
