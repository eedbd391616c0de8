"""How much one launch takes: what counts to 2³¹ does not pass it, and small GPUs answer again within about a second."""

from __future__ import annotations

import pytest
import torch

from kernels import Architecture, Teacher, Training
from kernels.problem import path_problem, training_problem

launch = pytest.importorskip("kernels.gpu.launch", reason="Triton is not installed")

STUDENT = Architecture((2, 16, 1))


def paths(n_alphas: int, dtype: torch.dtype = torch.float64):
    """A pair's path on one sample."""
    ends = STUDENT.initial(1)
    return path_problem(STUDENT, ends, ends, n_alphas, (torch.ones(1, 2), torch.ones(1, 1)), dtype=dtype)


def online(teacher: Architecture, dtype: torch.dtype = torch.float32):
    """A network trained on fresh samples of a teacher."""
    params = STUDENT.initial(1, dtype=dtype)
    return training_problem(STUDENT, params, Teacher(teacher, teacher.initial(1)), Training(100, batch_size=32))


def test_places_on_paths_are_fewer_than_the_kernel_counts():
    """A kernel's place is pair · n_alphas + alpha, in 32 bits."""
    for n_alphas in (2, 25, 10**6):
        problem = paths(n_alphas)
        pairs = launch.most_pairs(problem, launch.plan(problem, "cuda"))
        assert 0 < pairs * n_alphas < 2**31 and 2 * pairs * STUDENT.n_parameters < 2**31


def test_a_large_teacher_makes_launches_shorter():
    """Its work is counted beside the network's: 112 multiply-adds a sample, and 4,288."""
    small, large = online(STUDENT), online(Architecture((2, 64, 64, 1)))
    assert launch.sample_work(small) == 112 + 48 and launch.sample_work(large) == 112 + 4288
    steps = [launch.steps_a_launch(problem, launch.plan(problem, "cuda"), 10**6) for problem in (small, large)]
    assert steps[0] > 20 * steps[1] > 0


@pytest.mark.parametrize("when", ["_moved", "_pieces"])
def test_memory_of_the_gpu_that_is_full_is_said(monkeypatch, when):
    """As it is on the CPU; when arrays are copied to it, or when they are made there."""

    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 GiB.")

    monkeypatch.setattr(launch, "_moved", lambda problem, device: problem)
    monkeypatch.setattr(launch, when, full)
    for call in (lambda: launch.train(online(STUDENT)), lambda: launch.path_losses(paths(3))):
        with pytest.raises(MemoryError, match=r"gpu backend ran out of memory; .* memory\. Tried to allocate 20"):
            call()


@pytest.mark.parametrize(("capability", "times"), [((8, 0), 2), ((8, 9), 64), ((9, 0), 2), ((12, 1), 64)])
def test_float64_makes_launches_shorter(monkeypatch, capability, times):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert launch.slower_doubles(torch.device("cuda")) == times and launch.slower_doubles(torch.device("cpu")) == 1
    single, double = paths(25, torch.float32), paths(25)
    assert launch.sample_work(single) == launch.sample_work(double) == 48
    monkeypatch.setattr(launch, "slower_doubles", lambda device: times)
    assert launch.sample_work(single) == 48 and launch.sample_work(double) == 48 * times
