"""Weight matching by the native kernel finds what it finds in torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import Architecture, native
from testbed import alignment
from testbed.alignment import matching

ARCHITECTURES = [
    Architecture((2, 16, 1)),
    Architecture((3, 5, 2), "tanh", biases=False),
    Architecture((1, 1, 1), "erf"),
    Architecture((2, 6, 4, 7, 1)),
    Architecture((2, 9, 9, 9, 3), "tanh", residual=True),
    Architecture((2, 5, 5, 3, 3, 2), normalise=True, residual=True),
    Architecture((4, 33, 2), "identity"),
]

pytestmark = pytest.mark.skipif(bool(native.missing()), reason=native.missing())


def in_torch(*arguments, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "missing", lambda: "it is left out")
        return alignment.match_weights(*arguments, **options)


def same(one, other):
    """Whether two alignments are equal to the last bit."""
    mine, others = ((*found.permutations, *found.signs, found.params) for found in (one, other))
    return all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@given(seed=st.integers(0, 1000), n=st.sampled_from([1, 5, 33]), float_a=st.booleans(), float_b=st.booleans())
def test_the_same_permutations_and_bits(architecture, seed, n, float_a, float_b):
    a, b = (
        architecture.initial(n, seed + k, scheme="torch", dtype=torch.float32 if single else torch.float64)
        for k, single in ((0, float_a), (1001, float_b))
    )
    for signs in {False, alignment.has_signs(architecture)}:
        found = alignment.match_weights(architecture, a, b, signs=signs)
        want = in_torch(architecture, a, b, signs=signs)
        assert found.params.dtype is b.dtype and same(found, want)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_ties_are_broken_alike(architecture):
    """Units that are equal, zero, or small whole numbers: sums of these are exact, and many scores are equal."""
    generator = torch.Generator().manual_seed(0)
    shape = (200, architecture.n_parameters)
    a, b = (torch.randint(-1, 2, shape, generator=generator).double() for _ in range(2))
    a[::4] = 0
    b[1::4] = 0
    for signs in {False, alignment.has_signs(architecture)}:
        found = alignment.match_weights(architecture, a, b, signs=signs)
        assert same(found, in_torch(architecture, a, b, signs=signs))


def test_in_torch_pairs_are_matched_a_part_at_a_time(monkeypatch):
    architecture = ARCHITECTURES[3]
    a, b = architecture.initial(10, 1), architecture.initial(10, 2)
    whole = in_torch(architecture, a, b)
    monkeypatch.setattr(matching, "MOST_SCORES", 3 * 7**2)
    assert same(in_torch(architecture, a, b), whole)


def test_a_pair_does_not_depend_on_its_company_nor_on_threads():
    architecture = Architecture((2, 6, 4, 1))
    a, b = architecture.initial(70, 1), architecture.initial(70, 2)
    whole = alignment.match_weights(architecture, a, b)
    part = alignment.match_weights(architecture, a[40:45], b[40:45])
    assert torch.equal(part.params, whole.params[40:45])
    one_thread = native.matching.match_weights(architecture, a, b, False, 100, 1e-9, threads=1)[0]
    assert torch.equal(one_thread, whole.params)
