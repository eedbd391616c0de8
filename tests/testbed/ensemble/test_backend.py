"""How many GPU kernels the shipped studies need: cells share them wherever sizes padded the same do."""

from __future__ import annotations

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from kernels.gpu.compile import kernel_name
from testbed.ensemble.backend import problems
from testbed.ensemble.plan import plan
from testbed.shipped import SHIPPED
from testbed.study import Study

KERNELS = {  # with --quick
    "aligned_width": 36,
    "along_training": 2,
    "boundary": 2,
    "collapse": 10,
    "committee_paths": 15,
    "components": 9,
    "controls": 8,
    "counterexample": 6,
    "difficulty": 2,
    "disentangle": 37,
    "double_descent": 33,
    "full_batch": 2,
    "full_length": 2,
    "instability": 2,
    "lazy": 12,
    "lemma7": 12,
    "locality": 4,
    "locality_causes": 9,
    "locality_curvature": 3,
    "locality_field": 4,
    "locality_map": 4,
    "locality_whole": 4,
    "million": 3,
    "modulo": 21,
    "plateau": 8,
    "plateau_rates": 12,
    "plateau_three": 8,
    "plateau_unequal": 16,
    "proved": 12,
    "random_order": 32,
    "rebasin": 3,
    "segments": 9,
    "smoothing": 4,
    "sparsity": 6,
    "spread": 2,
    "strategy": 2,
    "strong": 6,
    "teacher_student": 18,
    "twins": 8,
    "twins_lean": 10,
    "twins_spread": 6,
    "width": 28,
}


def test_every_shipped_study_is_counted():
    assert set(KERNELS) == {path.stem for path in SHIPPED.glob("*.toml")}


SOON = (
    "disentangle",
    "locality_causes",
    "million",
    "teacher_student",
)  # without slow tests: all layouts, and tied ones


@pytest.mark.parametrize(
    "name", [name if name in SOON else pytest.param(name, marks=pytest.mark.slow) for name in KERNELS]
)
def test_kernels_of_a_study(name):
    launches = plan(Study.load(name, quick=True)).launches
    kernels = {kernel_name(problem, "sm_90") for launch in launches for problem in problems(launch)}
    assert len(kernels) == KERNELS[name]
