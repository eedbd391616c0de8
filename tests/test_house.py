"""The house stands as designed: arrows of import, and the two commands."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ARROWS = {
    "kernels": set(),
    "theory": set(),
    "testbed": {"kernels", "theory"},
    "benchmarks": {"kernels", "theory", "testbed"},
}


def imported(path: Path) -> set[str]:
    """Top-level names that a module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ARROWS)
def test_rooms_import_only_along_the_arrows(room):
    modules = list((ROOT / room).rglob("*.py"))
    assert modules
    for module in modules:
        others = imported(module) & (set(ARROWS) - {room} - ARROWS[room])
        assert not others, f"{module.relative_to(ROOT)} imports {others}"
        if room == "theory":
            assert "torch" not in imported(module)


def test_benchmarks_are_scripts_that_import_none_of_their_own():
    """`python benchmarks/x.py` has its folder on the path, not the folder above: what two share is in a room below."""
    for script in (ROOT / "benchmarks").glob("*.py"):
        assert not imported(script) & {"benchmarks", *(other.stem for other in (ROOT / "benchmarks").glob("*.py"))}


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda script: script.stem)
def test_every_benchmark_starts_as_its_docstring_says(script, tmp_path):
    """From any folder, by its path; the usage comes after all imports."""
    said = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-2000:]
    assert said.stdout.startswith("usage: ")


def drawn_arrows() -> dict[str, set[str]]:
    """What each wing and module of the testbed may import, by the table of docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("| wing or module | what it holds | imports |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", table, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", imports)) for name, imports in rows}


def wings_imported(path: Path) -> set[str]:
    """Wings and modules of the testbed that one of its modules imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "testbed":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("testbed."):
            names.add(node.module.split(".")[1])
    return names


def test_wings_import_only_along_the_arrows():
    """Every wing and module of the testbed has a row of docs/architecture.md, and no arrow points back."""
    arrows = drawn_arrows()
    found: dict[str, set[str]] = {}
    for path in (ROOT / "testbed").rglob("*.py"):
        wing = path.relative_to(ROOT / "testbed").parts[0].removesuffix(".py")
        if not wing.startswith("__"):
            found.setdefault(wing, set()).update(wings_imported(path) - {wing})
    assert found == arrows
    below: set[str] = set()
    for wing, imports in arrows.items():  # rows stand above those that import them
        assert imports <= below, wing
        below.add(wing)


def test_the_tests_that_the_architecture_names_exist():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", page)
    assert len(named) > 10
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


def test_measuring_needs_neither_matplotlib_nor_sympy():
    program = (
        "import sys, testbed; from testbed.ensemble import measuring, plan, planes;"
        "launch = plan.plan(testbed.Study.load('teacher_student', quick=True)).launches[0];"
        "from testbed.ensemble.training import train;"
        "train(launch, launch.networks_at(slice(0, 16)), 'auto');"
        "assert not {'matplotlib', 'sympy'} & set(sys.modules);"
        "from testbed.report import write_page; assert 'matplotlib' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed on this machine")
@pytest.mark.parametrize(
    ("target", "last"), [("demo", "testbed run benchmarks/studies/teacher_student.toml"), ("test", "-m pytest")]
)
def test_the_two_commands_are_there(target, last):
    # this may run under make
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    plan = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, env=outside, capture_output=True, text=True, check=True
    ).stdout
    assert last in plan.strip().splitlines()[-1]


def test_the_demo_in_small(tmp_path):
    """What `make demo` runs, shrunk by --quick: trains, measures, compares, and says where the report is."""
    study = "benchmarks/studies/teacher_student.toml"
    command = [sys.executable, "-m", "testbed", "run", study, "--quick", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = tmp_path / "run" / "report.html"
    assert str(report) in done.stdout and report.stat().st_size > 100_000
    assert {path.suffix for path in (tmp_path / "run" / "figures").iterdir()} == {".png", ".pdf"}


def test_a_wrong_command_says_what_is_wrong(tmp_path):
    wrong = ["--set", "training.stepps=10", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "testbed", "run", "teacher_student", *wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert "training.stepps" in done.stderr and "training.steps" in done.stderr and "Traceback" not in done.stderr
