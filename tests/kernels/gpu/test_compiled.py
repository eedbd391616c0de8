"""What the compiler makes of the kernels is right: their PTX, run on numpy, gives the reference's numbers.

33 samples, since compilers fuse a multiplication with the addition behind it, which shows only where products are
rounded: with a power of two they are not. Networks' first bad steps are compared too. erf, and exp and log in
    float64, are left to the interpreted
kernels: the compiler's own branch for each thread.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from kernels import reference
from tests.kernels.gpu import ptx
from tests.kernels.gpu.cases import PATHS, SETTINGS, TRAINING, make
from tests.kernels.problems import check_paths, relative_error

compiler = pytest.importorskip("kernels.gpu.compile", reason="Triton is not installed")

TARGET = "sm_80"  # whose matrix products and copies the numpy machine knows


def run(call, **options) -> None:
    """Run a call's compiled kernel; what it writes is then in the call's arrays."""
    with compiler.standing_in(TARGET):
        kernel = call.compiled(num_stages=1, **options)  # one stage: no asynchronous copies
    names = [name for name in call.kernel.arg_names if name in call.arguments]
    values = [call.arguments[name] for name in names]
    arrays = [value.numpy() if isinstance(value, torch.Tensor) else value for value in values]
    ptx.run(kernel.asm["ptx"], arrays, call.programs, kernel.metadata.shared)


def trained(problem, chosen=None, **options):
    """The state after all steps of the training kernel compiled to a plan; None: its own."""
    from kernels.gpu import launch
    from kernels.gpu.calls import TrainingState
    from kernels.gpu.plan import plan

    everything = slice(0, len(problem.params))
    chosen = chosen or plan(problem, "cuda")
    state = TrainingState.begin(problem, chosen, everything, launch.initial(problem), launch.schedule_of(problem))
    run(state.call(0, problem.training.steps, "cuda"), **options)
    return state


def compare(problem, **options) -> None:
    """Parameters and losses to float32 of what the steps changed, first bad steps exactly."""
    state, want = trained(problem, **options), reference.train(problem)
    start = problem.params.double()
    tolerance = 1e-5 if problem.params.dtype is torch.float32 else 1e-12
    assert relative_error(state.params.double() - start, want.params.double() - start) < tolerance
    assert relative_error(state.arrays["losses"].T, want.losses) < tolerance
    assert torch.equal(state.arrays["diverged_at"], want.diverged_at)
    assert torch.equal(state.arrays["stopped_at"], want.stopped_at)


LONG = (
    *("memory, every setting", "memory, every setting, adamw", "memory, every setting, momentum"),
    *("memory, epoch, sgd with decay", "lanes, epoch, adamw, masked", "tiles, three layers, two warps"),
)
CASES = [case for case in (*TRAINING, *SETTINGS) if "gelu" not in case]


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case in LONG)) for case in CASES])
def test_training(case):
    compare(make(case) if case.startswith("lanes") else make(case, n=3, steps=5))


@pytest.mark.slow
def test_sixteen_samples_a_turn():
    """Where shared memory has room for all weights only then; and not for paths, which need less."""
    from kernels.gpu.plan import plan
    from tests.kernels.problems import paths, problem

    five = (2, 64, 64, 64, 64, 64, 1)
    trains = problem(five, dtype=torch.float32, n_samples=33, n=2, steps=3)
    chosen = plan(trains, "cuda")
    assert chosen.layout.turn == chosen.batch.tile == 16 and chosen.net.parked
    assert plan(paths(five, dtype=torch.float32), "cuda").layout.turn == 32
    compare(trains)


@pytest.mark.parametrize("case", [case for case in PATHS if "teacher" not in case])
def test_paths(case):
    from kernels.gpu import launch

    problem = make(case, n=3)
    call = launch.first_call(problem, "cuda")
    names = ("mean", "standard_error", "skewness", "error")
    run(call)
    from kernels.problem import PathMoments

    got = PathMoments(**{name: call.arguments[name] for name in names})
    tolerance = 1e-5 if problem.params_a.dtype is torch.float32 else 1e-10
    if problem.params_a.dtype is torch.float32:  # a skewness of float32 losses is known to their rounding
        assert relative_error(got.mean, reference.path_losses(problem).mean) < tolerance
    else:
        check_paths(got, reference.path_losses(problem), tolerance)


@pytest.mark.parametrize("case", ["lanes, full", "tiles, full", "memory, full"])
def test_a_diverging_network_is_marked_at_its_step_and_no_other_is(case):
    problem = make(case, n=3, steps=5)
    problem.lr[1] = 1e25
    state, want = trained(problem), reference.train(problem)
    assert want.diverged_at[1] >= 0 and want.diverged_at[0] == want.diverged_at[2] == -1
    assert torch.equal(state.arrays["diverged_at"], want.diverged_at)


@pytest.mark.parametrize("parameter", [0, 33, 50, 64])  # of 2-16-1: weight and bias of the first layer, of the second
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_parameter_that_is_not_finite_is_marked_at_its_step(parameter, value):
    """Clamped values hide it from the loss."""
    problem = make("lanes, full", n=3, steps=5)
    problem.params[1, parameter] = value
    state, want = trained(problem), reference.train(problem)
    assert torch.equal(state.arrays["diverged_at"], want.diverged_at) and want.diverged_at.tolist() == [-1, 0, -1]
    assert not state.arrays["losses"][0, 1].isfinite()


@pytest.mark.parametrize("case", ["lanes, full", "lanes, group, two data sets"])
def test_clamped_values_are_relus_bit_for_bit(case):
    """In units of a power of two nothing is rounded that would not be without."""
    from kernels.gpu.plan import plan

    problem = make(case)
    chosen = plan(problem, "cuda")
    other = dataclasses.replace(chosen, net=dataclasses.replace(chosen.net, clamps=False))
    state, want = trained(problem), trained(problem, other)
    assert chosen.net.clamps and torch.equal(state.params, want.params)
    assert torch.equal(state.arrays["losses"], want.arrays["losses"])


def test_without_fused_multiply_adds_it_is_as_right():
    compare(make("lanes, full"), enable_fp_fusion=False)


def test_places_of_teachers_are_counted_in_64_bits():
    """In lanes, where teachers lie side by side: 2²⁸ of 17 parameters are more than 2³¹ of them."""
    from kernels import Architecture
    from kernels.gpu.shapes import net
    from tests.kernels.gpu.places_kernel import last_bias

    dataset, found = torch.arange(32) + 2**27, torch.zeros(32, dtype=torch.int64)
    given = {"dataset": dataset, "out": found, "n_datasets": 2**28}
    teacher = net(Architecture((2, 4, 1)), lanes=True, block=32)
    assert teacher.n_parameters == 17
    with compiler.standing_in(TARGET):
        kernel = last_bias.warmup(grid=(1,), **given, TEACHER=teacher, num_warps=1)
    ptx.run(kernel.asm["ptx"], [dataset.numpy(), found.numpy(), 2**28], 1)
    assert torch.equal(found, 16 * 2**28 + dataset)


class TestTheMachine:
    """The numpy machine itself, on PTX written for it."""

    HEAD = ".visible .entry k(.param .u64 .ptr k_0, .param .u64 .ptr k_1, .param .u32 k_2) .reqntid 32\n{\n"

    def go(self, body: str, array: np.ndarray, programs: int = 1, other: np.ndarray | None = None, number: int = 0):
        arguments = [array, np.zeros(1, np.int64) if other is None else other, number]
        place = (
            "ld.param.b64 %rd1, [k_0]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; shl.b32 %r3, %r2, 5; "
            "add.s32 %r4, %r3, %r1; mul.wide.s32 %rd2, %r4, 4; add.s64 %rd3, %rd1, %rd2;\n"
        )
        ptx.run(self.HEAD + place + body + "\nret;\n}", arguments, programs, 256)
        return array

    def test_a_fused_multiply_add_is_rounded_once(self):
        x = np.full(32, 1 + 2.0**-12, np.float32)
        body = (
            "ld.global.b32 {%r5}, [%rd3+0]; mul.f32 %r6, %r5, %r5; neg.f32 %r7, %r6; fma.rn.f32 %r8, %r5, %r5, %r7; "
            "st.global.b32 [%rd3+0], {%r8};"
        )
        assert (self.go(body, x) == np.float32(2.0**-24)).all()  # the product's rounding error, not 0

    def test_programs_that_branch_apart_both_go_on(self):
        body = (
            "setp.eq.s32 %p1, %r2, 1; @%p1 bra $L1; mov.b32 %r5, 7; bra.uni $L2; $L1: mov.b32 %r5, 9; "
            "$L2: st.global.b32 [%rd3+0], {%r5};"
        )
        assert (self.go(body, np.zeros(96, np.int32), 3).reshape(3, 32) == [[7], [9], [7]]).all()

    def test_threads_that_part_and_accesses_outside_are_errors(self):
        with pytest.raises(AssertionError, match="threads of a program part"):
            self.go("setp.lt.s32 %p1, %r1, 5; @%p1 bra $L1; $L1: mov.b32 %r5, 9;", np.zeros(32, np.int32))
        with pytest.raises(IndexError, match="outside of the arrays"):
            self.go("st.global.b32 [%rd3+4], {%r1};", np.zeros(32, np.int32))
        with pytest.raises(NotImplementedError, match="popc"):
            self.go("popc.b32 %r5, %r1;", np.zeros(32, np.int32))

    def test_shuffles_shared_memory_and_words(self):
        body = "shfl.sync.bfly.b32 %r5, %r1, 3, 31, -1; st.global.b32 [%rd3+0], {%r5};"
        assert (self.go(body, np.zeros(32, np.int32)) == np.arange(32) ^ 3).all()
        body = (
            "shl.b32 %r6, %r1, 2; st.shared.b32 [ %r6 + 0 ], %r1; bar.sync 0; xor.b32 %r7, %r6, 124; "
            "ld.shared.b32 %r8, [%r7]; mul.hi.u32 %r9, %r8, -2147483648; st.global.b32 [%rd3+0], {%r9};"
        )
        assert (self.go(body, np.zeros(32, np.int32)) == (31 - np.arange(32)) // 2).all()
