"""The native kernel takes as many instructions for fixed small problems as it did: timings are noisy, counts are not.

tests/kernels/instructions.json holds the counts and says which compiler they are of; AVX2, which valgrind runs. After a
change that is meant, `python -m tests.kernels.test_instructions` writes them anew.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.instructions import CASES, SWITCH_SOURCE
from tests.kernels.narrow import MARCH, build

COUNTS = Path(__file__).with_name("instructions.json")
ALLOWED = 0.05


def compiler() -> str:
    """The C++ compiler that builds the kernel, with its version."""
    said = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


def counted(tree: Path, folder: Path) -> dict[str, int]:
    """Instructions of each case, by the kernel of a tree (`narrow_tree`); folder: for what is written meanwhile."""
    source = folder / "switch.c"
    source.write_text(SWITCH_SOURCE)
    switch = folder / "switch.so"
    subprocess.run(["g++", "-x", "c", "-O1", "-shared", "-fPIC", str(source), "-o", str(switch)], check=True)
    out = folder / "callgrind"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    program = [sys.executable, "-m", "tests.kernels.instructions", str(switch)]
    environment = os.environ | {"PYTHONPATH": str(tree), "LMC_NATIVE": MARCH, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*valgrind, *program], cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {}
    for part in sorted(folder.glob("callgrind.*")):
        text = part.read_text()
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
        if name is not None:
            found[name[1]] = int(re.findall(r"^totals: (\d+)", text, re.MULTILINE)[-1])
    return found


@pytest.mark.slow
def test_counts_are_what_they_were(request, tmp_path):
    if platform.machine() != "x86_64" or shutil.which("valgrind") is None or shutil.which("g++") is None:
        pytest.skip("needs valgrind and g++ on an x86-64")
    if not Path("/usr/include/valgrind/callgrind.h").exists():
        pytest.skip("needs valgrind's headers")
    known = json.loads(COUNTS.read_text())
    if known["compiler"] != compiler():
        pytest.skip(f"the counts are of {known['compiler']}, this is {compiler()}")
    found = counted(request.getfixturevalue("narrow_tree"), tmp_path)
    assert found.keys() == known["instructions"].keys() == CASES.keys()
    changed = {name: found[name] / count - 1 for name, count in known["instructions"].items()}
    wrong = {name: f"{change:+.1%}" for name, change in changed.items() if abs(change) > ALLOWED}
    assert not wrong, "instructions of the native kernel have changed; if that is meant, write them anew (see above)"


def write(folder: Path) -> None:
    """Compile, count, and write instructions.json."""
    build(folder / "tree")
    found = {"compiler": compiler(), "march": MARCH, "instructions": counted(folder / "tree", folder)}
    COUNTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
