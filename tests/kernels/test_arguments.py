"""What users pass to the public functions: plain meanings are taken, all else is refused in a sentence by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels import Architecture, native, path_losses
from kernels.native.structures import address
from tests.kernels.problems import data

ARCHITECTURE = Architecture((2, 3, 1))
A, B = ARCHITECTURE.initial(2, 0), ARCHITECTURE.initial(2, 1)
SAMPLES = data(ARCHITECTURE, "mse", 8)


@pytest.fixture(params=["reference", "native"])
def backend(request):
    if request.param == "native":
        request.getfixturevalue("native_backend")
    return request.param


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32, torch.int64, torch.complex64])
def test_paths_in_other_than_two_dtypes_are_refused(backend, dtype):
    with pytest.raises(ValueError, match=rf"dtype must be torch\.float32 or torch\.float64, not {dtype}"):
        path_losses(ARCHITECTURE, A, B, [0.0, 1.0], SAMPLES, dtype=dtype, backend=backend)
    with pytest.raises(ValueError, match=r"dtype must be torch\.float32 or torch\.float64"):
        native.stream_samples(np.arange(3), 0, 0, 5, dtype)


def test_every_array_may_have_gaps_in_memory(backend):
    """Every other number of a longer array is an array like any other."""

    def with_gaps(array):
        longer = torch.stack([array, torch.full_like(array, 7)], -1)
        assert not longer[..., 0].is_contiguous()
        return longer[..., 0]

    a, b = A.double(), B.double()
    alphas = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    x, y = SAMPLES
    want = path_losses(ARCHITECTURE, a, b, alphas, SAMPLES, backend=backend)
    got = path_losses(ARCHITECTURE, *map(with_gaps, (a, b, alphas)), (with_gaps(x), with_gaps(y)), backend=backend)
    assert torch.equal(got.loss, want.loss) and torch.equal(got.alphas, alphas)
    got = path_losses(ARCHITECTURE, a, b, np.array([0.0, 7, 0.3, 7, 1.0])[::2], SAMPLES, backend=backend)
    assert torch.equal(got.loss, want.loss)


@pytest.mark.parametrize("array", [torch.zeros(4)[::2], np.zeros((3, 2)).T])
def test_no_array_with_gaps_reaches_the_native_kernel(array):
    with pytest.raises(ValueError, match="in one piece"):
        address(array)
