"""Costs read from machine code: known counts of a kernel written for it, and the occupancy arithmetic."""

from __future__ import annotations

import platform

import pytest

from kernels.gpu import cost
from kernels.gpu.cost import GPUS

pytest.importorskip("triton", reason="Triton is not installed")


@pytest.fixture(scope="module")
def kernel():
    """8 rounds of 64 dependent multiply-adds and one store, 100 (or n) times over."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from tests.kernels.gpu.cost_kernel import rounds

    source = ASTSource(fn=rounds, signature={"out": "*fp32", "n": "i32", "N": "constexpr"}, constexprs={(2,): 64})
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 1})


@pytest.mark.skipif(platform.system() != "Linux", reason="Triton ships its disassembler for Linux")
def test_a_kernel_with_known_counts(kernel):
    c = cost.cost(kernel, GPUS["H100"], turns=8, networks=32, flop=2 * 8 * 64)
    assert c.opcodes["FFMA"] == 8 * 64 and c.opcodes["STG"] == 1 and c.spills == 0
    assert c.roofline == pytest.approx(GPUS["H100"].flops / (2 * 8 * 64))
    assert 0.7 < c.issue_bound / c.roofline < 1  # what is not a multiply-add is the loops' own
    # dependent multiply-adds take four cycles or more, and 16 warps a scheduler hide them
    assert c.prediction <= c.issue_bound and c.resident == 8  # 32 programs of a warp
    crowded = cost.cost(kernel, GPUS["H100"], turns=8, networks=16, flop=2 * 8 * 64)
    assert crowded.issue_bound == pytest.approx(c.issue_bound / 2)


@pytest.mark.parametrize(
    ("registers", "shared", "warps", "expected"),
    [
        (168, 0, 1, 3.0),
        (255, 0, 1, 2.0),
        (128, 0, 4, 4.0),
        (32, 0, 1, 8.0),
        (32, 0, 4, 16.0),
        (32, 76 * 1024, 1, 0.5),
        (168, 227 * 1024, 4, 1.0),
    ],
)
def test_resident_warps(registers, shared, warps, expected):
    """Of CUDA's occupancy tables for compute capability 9.0."""
    assert cost._resident(GPUS["H100"], registers, shared, warps) == expected
