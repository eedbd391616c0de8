"""What a process does before its first launch where all kernels are compiled: counted, not timed
(`benchmarks/gpu_start.py` has the times).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

digest = pytest.importorskip("kernels.gpu.digest", reason="Triton is not installed")

ROOT = Path(__file__).parents[3]
WARM = """
import json, sys
seen = {"compiled": 0, "found": 0, "libraries": 0, "processes": [], "asked": 0}

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("libtriton.so"):
        seen["libraries"] += 1
    if event == "subprocess.Popen":
        seen["processes"].append(list(map(str, arguments[1])))

import triton
from kernels.gpu import compile
from tests.kernels.gpu.test_start import problems
sys.addaudithook(hook)

def listener(cache_hit, **rest):
    seen["found" if cache_hit else "compiled"] += 1

triton.knobs.compilation.listener = listener
compile.compile_ahead(problems(), "sm_90", lambda *done: seen.update(asked=seen["asked"] + 1))
for problem in problems():
    compile.compile_kernel(problem, "sm_90")
print(json.dumps(seen))
"""


def problems():
    """Three kernels, of the three layouts."""
    from tests.kernels.gpu.cases import make

    return [make(case) for case in ("lanes, full", "tiles, one turn", "memory, without eps")]


def started(cache: Path) -> dict:
    """What the program above saw in a process of its own."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", WARM], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_warm_start_compiles_nothing_and_does_not_read_tritons_library(tmp_path):
    """The first start does both; Triton asks ptxas for its version in every process, and nothing else is started."""
    cold, warm = started(tmp_path), started(tmp_path)
    assert cold["asked"] == 3 and cold["libraries"] == 1
    assert warm["asked"] == warm["compiled"] == warm["libraries"] == 0 and warm["found"] == 3
    for program, *told in warm["processes"]:
        assert Path(program).name.startswith("ptxas") and told == ["--version"]


def test_what_is_remembered_is_tritons_own_digest(monkeypatch, tmp_path):
    """Read from the file, it is what Triton computes: kernels that others compiled are found, and they find ours."""
    import triton

    own = digest.keys.triton_key()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for computed in (lambda: own, None):  # written, then read
        monkeypatch.setattr(digest.keys, "triton_key", computed)
        digest.remember.__wrapped__()
        assert digest.keys.triton_key() == own
    (written,) = tmp_path.iterdir()
    assert written.name == f"lmc-triton-{digest.state(Path(triton.__file__).parent)}"


def test_another_triton_is_not_taken_for_the_one_before(tmp_path):
    """A file with other bytes, of the same size and the same time, is another state."""
    library = tmp_path / "_C" / "libtriton.so"
    library.parent.mkdir()
    library.write_bytes(b"one")
    before, times = digest.state(tmp_path), library.stat()
    assert digest.state(tmp_path) == before
    library.write_bytes(b"two")
    os.utime(library, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest.state(tmp_path) != before
