"""The list of docs/extending.md for an activation is complete.

An activation that is added in the places that it names, and in no other, runs on every backend.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kernels

ROOT = Path(kernels.__file__).resolve().parent.parent
PROGRAM = """
import torch
from kernels import SGD, Architecture, Training, train
architecture = Architecture((2, 5, 3, 1), "softsign")
params = architecture.initial(3, dtype=torch.float64)
x = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
y = torch.sin(x.sum(1, keepdim=True))
model = architecture.to_torch(params[0])
(0.5 * (model(x) - y).square().mean()).backward()
step = torch.cat([p.grad.flatten() for p in model.parameters()])
for backend in {backends}:
    run = train(architecture, params, (x, y), Training(1, SGD(lr=1.0)), backend=backend)
    assert torch.allclose(params[0] - step, run.params[0], rtol=1e-12, atol=1e-14), backend
"""


@pytest.fixture
def home(tmp_path):
    """A folder with a copy of the kernels, to which the activation of docs/extending.md was added as it says."""
    shutil.copytree(ROOT / "kernels", tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    section = text.split("## An activation")[1].split("\n## ")[0]
    blocks = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    function, row, unit, branch = (block.split("\n", 1)[1] for block in blocks)  # without the line that says where
    insert(tmp_path / "kernels/activations.py", "TABLE: dict", function + "\n\n")
    insert(tmp_path / "kernels/activations.py", "}\nACTIVATIONS", row)
    insert(tmp_path / "kernels/native/activations.h", "\n\n#define LMC_ENUMERATOR", " X(softsign, kSoftsign)")
    insert(tmp_path / "kernels/native/activations.h", "// The code of an activation's name", unit)
    insert(tmp_path / "kernels/gpu/common/functions.py", "    else:\n        tl.static_assert", branch)
    return tmp_path


def test_an_activation_added_in_these_places_runs_on_the_reference(home):
    run(home, ["reference"])


@pytest.mark.slow
def test_an_activation_added_in_these_places_runs_on_every_backend(home):
    run(home, ["reference", "gpu"])
    if compiler := shutil.which("g++"):
        compile_native(home / "kernels" / "native", compiler)
        run(home, ["native"])


def insert(path: Path, before: str, text: str) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count(before) == 1, (path, before)
    path.write_text(source.replace(before, text + before), encoding="utf-8")


def compile_native(folder: Path, compiler: str) -> None:
    """As setup.py does, without optimisation."""
    for library in folder.glob("_native*.so"):
        library.unlink()
    sources = sorted(map(str, folder.glob("*.cpp")))
    flags = ["-O0", "-std=c++17", "-march=native", "-w", "-pthread", "-fPIC", "-shared"]
    subprocess.run([compiler, *flags, *sources, "-o", str(folder / "_native.so")], check=True)


def run(home: Path, backends: list[str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(home), "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", PROGRAM.format(backends=backends)]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
