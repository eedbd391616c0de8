"""The lists of docs/extending.md are complete: what it adds, in the places that it names, reaches everything."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import tomli_w

import testbed

ROOT = Path(testbed.__file__).resolve().parent.parent
REGISTRY_LINES = {  # file: (a line of it, what is put before that line)
    "testbed/measures/registry.py": [
        ("    features,\n", "    distance_ratio,\n"),
        ("        features.MEASURE,\n", "        distance_ratio.MEASURE,\n"),
    ],
    "testbed/alignment/registry.py": [
        ("from testbed.alignment.symmetries", "from testbed.alignment.sorting import SORTING\n"),
        ('        Alignment(\n            name="weights"', "        SORTING,\n"),
    ],
    "testbed/data/families.py": [
        ("from testbed.data.teacher_student", "from testbed.data.stripes import StripesData\n"),
        ("    DigitsData,\n", "    StripesData,\n"),
    ],
}
STUDY = {
    "question": "Do additions reach everything?",
    "data": {"kind": "stripes", "n_train": 30},
    "architecture": {"hidden": [4]},
    "training": {"steps": 40, "batch_size": 10, "loss": "cross_entropy", "optimizer": {"kind": "adam", "lr": 0.01}},
    "ensemble": {"families": 4, "siblings": 1, "pairs": ["independent"]},
    "vary": {"architecture.hidden": [[3], [4]]},
    "measure": {"alphas": 5, "test_samples": 60, "also": ["distance_ratio"], "alignment": ["sorting"]},
    "claims": [
        {
            "claim": "A ratio is at most 1.",
            "source": "the triangle inequality",
            "expects": "at most",
            "value": 1.0,
            "column": "distance_ratio",
        }
    ],
}


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the code with the code blocks of docs/extending.md in place, and their registry lines."""
    home = tmp_path_factory.mktemp("extended")
    for package in ("kernels", "theory", "testbed"):
        shutil.copytree(ROOT / package, home / package, ignore=shutil.ignore_patterns("__pycache__"))
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == len(REGISTRY_LINES)
    for path, code in blocks:
        assert not (home / path).exists()
        (home / path).write_text(code, encoding="utf-8")
    for path, additions in REGISTRY_LINES.items():
        text = (home / path).read_text(encoding="utf-8")
        for before, line in additions:
            assert text.count(before) == 1
            text = text.replace(before, line + before)
        (home / path).write_text(text, encoding="utf-8")
    return home


@pytest.mark.slow
def test_additions_reach_fields_columns_and_report(extended, tmp_path):
    (tmp_path / "study.toml").write_text(tomli_w.dumps(STUDY))
    environment = os.environ | {"PYTHONPATH": str(extended), "COLUMNS": "300"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "testbed", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    fields = run("fields")
    assert "| distance_ratio |" in fields and "`distance_ratio`: the distance of the ends" in fields
    assert "sorting | weights" in fields and "`sorting`: both ends' units in the order" in fields
    assert "data of kind stripes" in fields and "the class alternates" in fields

    said = run("run", "study.toml", "--out", "run")
    folder = tmp_path / "run"
    pairs = pl.read_parquet(folder / "pairs.parquet")
    assert pairs["distance_ratio"].is_between(0, 1).all()
    assert pairs["sorting_train_loss_barrier_linear"].null_count() == 0
    curves = pl.read_parquet(folder / "curves.parquet")
    at_ends = curves.filter(pl.col("alpha").is_in([0.0, 1.0]))
    assert (at_ends["sorting_train_loss"] - at_ends["train_loss"]).abs().max() < 1e-6  # the same functions
    meanings = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
    assert meanings["pairs"]["distance_ratio"] == "distance of the ends over the sum of their norms"
    assert "after both ends' units were sorted" in meanings["pairs"]["sorting_train_loss_barrier_linear"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "distance ratio (ratio)" in page and "A ratio is at most 1." in page and "Agrees: yes" in said
    assert "after both ends&#39; units were sorted" in page


def test_the_places_that_are_named_exist():
    """Every file and folder that the page names is there, but for those with a name to be chosen."""
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:kernels|theory|testbed|tests|benchmarks|docs)/[^`]*)`", page)
    assert len(named) > 20
    for path in named:
        known, _, _ = path.partition("<")
        assert (ROOT / known.rpartition("/")[0]).is_dir() if "<" in path else (ROOT / path).exists(), path
