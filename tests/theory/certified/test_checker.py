"""The checker confirms proofs, and refuses those that are broken in any part."""

from dataclasses import replace

import numpy as np
import pytest

from tests.theory.certified.problems import problem, single
from theory import certified_path, objections
from theory.certified.intervals import ENCLOSED_ACTIVATIONS


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("activation", ENCLOSED_ACTIVATIONS)
def test_proofs_are_confirmed(activation, loss):
    a, b, x, y = problem(9, (3, 4, 3), loss, 2, 8)
    curve = certified_path(a, b, x, y, activation, loss=loss, tol=1e-5)
    for row, definition in ((0, "linear"), (1, "mean_endpoints"), (1, "max_endpoint")):
        proof = curve.proof(row, definition)
        assert objections(proof, single(a, row), single(b, row), x, y, activation, loss=loss) == []


def hill():
    """A pair whose barrier is in the open, with its data and its proof."""
    a, b, x, y = problem(3, (3, 4, 2), "cross_entropy", 12, 8)
    curve = certified_path(a, b, x, y, "tanh", loss="cross_entropy", tol=1e-6)
    row = int(np.argmax(curve.enclosure()[:, 0]))
    return single(a, row), single(b, row), x, y, curve.proof(row)


def broken_proofs(proof):
    """(what is wrong, a proof that no longer holds)."""
    top = int(np.argmax(proof.bounds))
    lower = proof.bounds.copy()
    lower[top] -= 3e-6
    yield "bounds", replace(proof, bounds=lower)
    quiet = int(np.argmin(proof.bounds))
    lower = proof.bounds.copy()
    lower[quiet] -= proof.high - proof.low + 2 * (proof.high - lower[quiet])
    yield "bounds", replace(proof, bounds=lower)
    above = proof.bounds.copy()
    above[top] = proof.high + 1e-6
    yield "above", replace(proof, bounds=above)
    yield "gap", replace(proof, edges=proof.edges[1:], bounds=proof.bounds[1:])
    yield "gap", replace(proof, edges=proof.edges[:-1], bounds=proof.bounds[:-1])
    yield "gap", replace(proof, edges=proof.edges[:-1])
    swapped = proof.edges.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    yield "gap", replace(proof, edges=swapped)
    merged = np.delete(proof.edges, max(top, 1))  # a piece now reaches over the top under its neighbour's bound
    yield "bounds", replace(proof, edges=merged, bounds=np.delete(proof.bounds, top))
    yield "witness", replace(proof, low=proof.high)
    yield "witness", replace(proof, witness=proof.witness / 2)
    yield "witness", replace(proof, witness=1.5)
    yield "endpoint", replace(proof, endpoints=proof.endpoints + 1e-6)
    yield "follow", replace(proof, barrier=proof.barrier + 1e-6)
    yield "follow", replace(proof, barrier=proof.barrier - 1e-6)
    yield "follow", replace(proof, definition="max_endpoint")
    yield "finite", replace(proof, bounds=proof.bounds * np.nan)
    yield "bounds", replace(proof, tilt=proof.tilt - 1e-3)


def test_broken_proofs_are_refused():
    a, b, x, y, proof = hill()
    assert proof.barrier[0] > 0.01 and proof.barrier[1] - proof.barrier[0] <= 1e-6
    assert objections(proof, a, b, x, y, "tanh", loss="cross_entropy") == []
    for word, broken in broken_proofs(proof):
        found = objections(broken, a, b, x, y, "tanh", loss="cross_entropy")
        assert any(word in sentence for sentence in found), (word, found)
    # The right proof of another problem.
    assert objections(proof, a, b, 1.001 * x, y, "tanh", loss="cross_entropy")
    assert objections(proof, a, b, x, y, "erf", loss="cross_entropy")


def test_an_activation_that_it_does_not_know_is_refused():
    a, b, x, y = problem(0, (3, 4, 2), "mse")
    with pytest.raises(ValueError, match="activation 'selu' is not known to the checker"):
        objections(certified_path(a, b, x, y, "relu").proof(0), single(a, 0), single(b, 0), x, y, "selu")
