"""What is handed out has everything that is needed: a wheel studies, style and template, an sdist the C++ too."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import testbed

ROOT = Path(testbed.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for package in ("kernels", "theory", "testbed"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return source


@pytest.fixture(scope="module")
def installed(source):
    """A folder that holds the installed wheel, built without a C++ compiler."""
    wheels = source / "dist"
    site = source / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    no_compiler = os.environ | {"CC": "false", "CXX": "false"}  # the kernel is optional, and takes two minutes
    subprocess.run(build, env=no_compiler, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    assert "-py3-none-" in wheel.name  # the compiled library knows of no Python
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    return site


@pytest.fixture(scope="module")
def required(installed, tmp_path_factory):
    """A folder with links to the distributions that the wheel requires, to what they require, and to nothing else."""
    links = tmp_path_factory.mktemp("required")
    (wheel,) = importlib.metadata.distributions(path=[str(installed)])
    waiting, linked = [wheel], set()
    while waiting:
        for name in _required(waiting.pop()) - linked:
            distribution = importlib.metadata.distribution(name)
            for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                if not (links / top).exists():  # a namespace of several distributions
                    (links / top).symlink_to(distribution.locate_file(top))
            linked.add(name)
            waiting.append(distribution)
    return links


def _required(distribution: importlib.metadata.Distribution) -> set[str]:
    """The names of what a distribution requires here, without an extra."""
    wanted = [Requirement(line) for line in distribution.requires or ()]
    return {one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}


@pytest.mark.slow
def test_the_command_runs_from_a_wheel_in_an_empty_folder(installed, required, tmp_path):
    """`testbed studies` lists them all; a shipped study runs by its name, and its report has figures.

    As in a container that has Python, what setup.py requires, and no command besides: neither g++ nor ps.
    """
    environment = os.environ | {"PYTHONPATH": f"{installed}:{required}", "PATH": "/nowhere", "COLUMNS": "200"}
    command = [sys.executable, "-S", "-m", "testbed"]  # -S: without what else is installed here

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = run("studies")
    for study in (ROOT / "testbed" / "studies").glob("*.toml"):
        assert study.stem in listed
    small = ["--set", "training.steps=800", "--set", 'vary."architecture.hidden"=[[2],[3]]', "--backend", "reference"]
    run("run", "teacher_student", "--quick", *small)
    report = tmp_path / "runs" / "teacher_student-quick" / "report.html"
    assert report.stat().st_size > 100_000
    assert (report.parent / "figures" / "curves.png").is_file()


def test_the_studies_of_the_benchmarks_are_those_of_the_package():
    """`testbed run benchmarks/studies/x.toml`, as the README has it, reads the file that the wheel carries."""
    linked = {path.resolve() for path in (ROOT / "benchmarks" / "studies").glob("*.toml")}
    assert linked == set((ROOT / "testbed" / "studies").glob("*.toml"))


def test_an_sdist_has_every_file_of_the_packages(source, tmp_path):
    """Headers, studies, style and templates are no Python modules, and are named one by one in setup.py."""
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    here = {
        str(path.relative_to(ROOT))
        for package in ("kernels", "theory", "testbed")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }
    assert here | {"setup.py", "pyproject.toml", "README.md"} <= names
