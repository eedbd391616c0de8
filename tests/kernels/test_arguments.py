"""What users pass to the public functions: plain meanings are taken, all else is refused in a sentence by name."""

from __future__ import annotations

import inspect
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kernels import SGD, Adam, AdamW, Architecture, Schedule, Teacher, Training, native, path_losses, train
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


def losses(a, b, alphas, samples, backend="reference", **options):
    return path_losses(ARCHITECTURE, a, b, alphas, samples, backend=backend, **options).loss


X, Y = SAMPLES
LEAF = A.clone().requires_grad_()
MEANT = {
    "numpy": ((A.numpy(), B.numpy(), np.array([0, 0.5, 1]), (X.numpy(), Y.numpy())), {}),
    "big-endian numbers": ((A.numpy().astype(">f4"), B, [0, 0.5, 1], (X.numpy().astype(">f8"), Y)), {}),
    "backwards in memory": ((A.numpy()[::-1].copy()[::-1], B, [0, 0.5, 1], (X, Y.numpy()[::-1].copy()[::-1])), {}),
    "requires grad": ((LEAF, nn.Parameter(B), [0, 0.5, 1], (X.clone().requires_grad_(), Y)), {}),
    "a count of alphas": ((A, B, 3, SAMPLES), {}),
    "lists": ((A, B, (0, 0.5, 1), [X.tolist(), Y.tolist()]), {"dataset": [0, 0]}),
    "one data set in front": ((A, B, 3, (X[None], Y)), {}),
    "a set of its own": ((A, B, 3, (X[None], Y[None])), {"dataset": np.zeros(2, np.uint32)}),
}


@pytest.mark.parametrize("meant", MEANT)
def test_what_is_plainly_meant_is_taken(backend, meant):
    arguments, options = MEANT[meant]
    assert torch.equal(losses(*arguments, backend=backend, **options), losses(A, B, [0, 0.5, 1], SAMPLES, backend))


def test_read_only_arrays_are_taken_without_a_warning():
    x = X.numpy().copy()
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = losses(A, B, 3, (x, Y))
    assert torch.equal(found, losses(A, B, 3, SAMPLES))


def test_training_takes_arrays(backend):
    training = Training(3, SGD(lr=np.array([0.1, 0.2])), batch_size=4, snapshots=np.array([0, 3]))
    mask = np.arange(13) % 3 > 0
    want = train(ARCHITECTURE, A, SAMPLES, training, mask=torch.from_numpy(mask), data_seeds=[3, 4], backend=backend)
    got = train(
        Architecture(np.array([2, 3, 1])),
        A.numpy(),
        (X.numpy(), Y.numpy()),
        training,
        mask=mask,
        data_seeds=np.array([3, 4], ">u8"),
        backend=backend,
    )
    assert torch.equal(got.params, want.params) and got.snapshots.shape == (2, 2, 13)
    assert torch.equal(A, ARCHITECTURE.initial(2, 0))  # what was given stays as it was


LOADER = DataLoader(TensorDataset(X, Y), batch_size=2)
CLASSIFIER = Architecture((2, 3, 4))
REFUSED = {
    "half precision": (
        lambda: train(ARCHITECTURE, A.numpy().astype(np.float16), SAMPLES, Training(1)),
        "params must be float32 or float64, not torch.float16",
    ),
    "no networks": (
        lambda: train(ARCHITECTURE, A[:0], SAMPLES, Training(1)),
        "params must hold at least one row: there are no networks",
    ),
    "no pairs": (lambda: losses(A[:0], B[:0], 3, SAMPLES), "params_a must hold at least one row: there are no pairs"),
    "sets in front of x alone": (
        lambda: losses(A, B, 3, (X.expand(3, 8, 2), Y), dataset=0),
        "y must have shape [3, 8, 1], the outputs for each sample of x, not [8, 1]",
    ),
    "y without outputs": (
        lambda: losses(A, B, 3, (X, Y[:, 0])),
        "y must have shape [8, 1], the outputs for each sample of x, not [8]",
    ),
    "y as a column of classes": (
        lambda: path_losses(
            CLASSIFIER, CLASSIFIER.initial(1), CLASSIFIER.initial(1), 3, (X, Y.long()), "cross_entropy"
        ),
        "y must have shape [8], a class number for each sample of x, not [8, 1]",
    ),
    "y of a class too many": (
        lambda: path_losses(
            CLASSIFIER, CLASSIFIER.initial(1), CLASSIFIER.initial(1), 3, (X, torch.full((8,), 4)), "cross_entropy"
        ),
        "class numbers from 0 to 3 for loss 'cross_entropy', not 4 to 4",
    ),
    "a loader": (
        lambda: train(ARCHITECTURE, A, LOADER, Training(1)),
        "data must be (x, y) or a Teacher, not a DataLoader. x, y = map(torch.cat, zip(*loader))",
    ),
    "x alone": (
        lambda: train(ARCHITECTURE, A, torch.zeros(2, 2), Training(1)),
        "data must be (x, y) or a Teacher, not torch.float32 [2, 2]",
    ),
    "words": (
        lambda: train(ARCHITECTURE, A, ([["a", "b"]], Y), Training(1)),
        "x must be a tensor, an array or lists of real numbers, not [['a', 'b']]",
    ),
    "masked entries": (
        lambda: losses(A, B, 3, (np.ma.masked_less(X.numpy(), 0), Y)),
        "x must be a tensor, an array or lists of real numbers",
    ),
    "a sparse x": (
        lambda: losses(A, B, 3, (X.to_sparse(), Y)),
        "x must be a tensor, an array or lists of real numbers, not torch.float64 [8, 2]",
    ),
    "complex parameters": (
        lambda: losses(A.to(torch.complex64), B, 3, SAMPLES),
        "params_a must be a tensor, an array or lists of real numbers, not torch.complex64",
    ),
    "a schedule's name": (
        lambda: Training(1, schedule="cosine"),
        "schedule must be a Schedule, such as Schedule('cosine'), not 'cosine'",
    ),
    "a number of betas": (lambda: Adam(betas=0.9), "betas must be two numbers, not 0.9"),
    "an epsilon a network": (lambda: Adam(eps=[1e-8, 1e-6]), "eps must be a number, not [1e-08, 1e-06]"),
    "a smoothing a network": (
        lambda: Training(1, loss="cross_entropy", label_smoothing=torch.ones(2)),
        "label_smoothing must be a number, not torch.float32 [2]",
    ),
    "one snapshot": (lambda: Training(3, snapshots=3), "snapshots must be a list, not 3"),
    "many steps": (lambda: Training(10**20), "steps must be below 2^63, not 100000000000000000000"),
    "one alpha": (
        lambda: losses(A, B, 0.5, SAMPLES),
        "alphas must be a list of finite numbers, or a count of them, not 0.5",
    ),
    "a count of one": (
        lambda: losses(A, B, 1, SAMPLES),
        "alphas, as a count, must be a whole number of at least 2, not 1",
    ),
    "negative seeds": (
        lambda: train(ARCHITECTURE, A, SAMPLES, Training(1), data_seeds=[1, -1]),
        "data_seeds must be whole numbers in [0, 2^63), not [1, -1]",
    ),
    "large seeds": (
        lambda: train(ARCHITECTURE, A, SAMPLES, Training(1), data_seeds=2**63),
        "data_seeds must be below 2^63",
    ),
    "ragged ties": (
        lambda: train(ARCHITECTURE, A, SAMPLES, Training(1), tied=[[0], 1]),
        "tied must be a tensor, an array or lists of real numbers, not [[0], 1]",
    ),
    "an architecture's widths": (
        lambda: train((2, 3, 1), A, SAMPLES, Training(1)),
        "architecture must be an Architecture, such as Architecture((2, 16, 1)), not (2, 3, 1)",
    ),
    "steps for a training": (
        lambda: train(ARCHITECTURE, A, SAMPLES, 1000),
        "training must be a Training, such as Training(steps=1000), not 1000",
    ),
    "one width": (lambda: Architecture(3), "widths must be a list, not 3"),
    "a slope's name": (
        lambda: Architecture((2, 1), negative_slope="small"),
        "negative_slope must be a number, not 'small'",
    ),
    "a teacher's widths": (lambda: Teacher((2, 3, 1), A), "the teacher's architecture must be an Architecture"),
    "a teacher of another size": (
        lambda: Teacher(ARCHITECTURE, A[:, 1:]),
        "the teacher's params must have shape [13] or [n_teachers, 13], not [2, 12]",
    ),
    "a diverged teacher": (
        lambda: train(ARCHITECTURE, A, Teacher(ARCHITECTURE, A * torch.nan), Training(1, batch_size=2)),
        "the teacher's params must be finite in torch.float32",
    ),
    "threads by name": (
        lambda: losses(A, B, 3, SAMPLES, threads="all"),
        "threads must be a whole number of at least 1, not 'all'",
    ),
    "progress as a switch": (
        lambda: losses(A, B, 3, SAMPLES, progress=True),
        "progress must be a function of (done, total), not True",
    ),
    "layers of another size": (
        lambda: ARCHITECTURE.layers(A[:, 1:]),
        "params must be a tensor of shape […, 13], not torch.float32 [2, 12]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_meant_is_refused_in_a_sentence(case):
    call, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(sentence)) as refusal:
        call()
    assert str(refusal.value).endswith(".")


SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
DTYPES = st.sampled_from(
    [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.complex64]
)
TENSORS = st.builds(lambda shape, dtype: torch.ones(shape, dtype=dtype), SHAPES, DTYPES)
ARRAYS = st.builds(
    np.ones, SHAPES, st.sampled_from(["f2", ">f4", "f8", "i4", "u8", "?", "c8", "U3", "O", "M8[s]", "g"])
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.complex_numbers()
THINGS = st.sampled_from(
    [
        LOADER,
        object(),
        int,
        lambda: 0,
        range(3),
        torch.float32,
        {},
        {1},
        X.to_sparse(),
        X.to("meta"),
        nn.ReLU(),
        nn.LazyLinear(3),
    ]
)
ANYTHING = TENSORS | ARRAYS | SCALARS | st.lists(SCALARS, max_size=3) | THINGS
RIGHT = {
    train: {"architecture": ARCHITECTURE, "params": A, "data": SAMPLES, "training": Training(1, batch_size=3)},
    path_losses: {"architecture": ARCHITECTURE, "params_a": A, "params_b": B, "alphas": [0.0, 1.0], "data": SAMPLES},
    Architecture: {"widths": (2, 3, 1)},
    SGD: {},
    Adam: {},
    AdamW: {},
    Schedule: {"kind": "cosine"},
    Training: {"steps": 2},
    Teacher: {"architecture": ARCHITECTURE, "params": A},
    ARCHITECTURE.initial: {"n_networks": 2},
    ARCHITECTURE.layers: {"params": A},
    ARCHITECTURE.to_torch: {"params": A[0]},
    ARCHITECTURE.from_torch: {"model": ARCHITECTURE.to_torch(A[0])},
}
NAMES = {"data": ("data", "x", "y"), "params": ("params",), "kind": ("schedule.kind",)}
SLOW = {"alphas", "n_networks", "threads"}  # a large one is right, and takes memory or time


@given(
    function=st.sampled_from(list(RIGHT)),
    data=st.data(),
    backend=st.sampled_from(["reference", "native"]),
)
@settings(max_examples=300)
def test_every_outcome_is_a_result_or_a_sentence_that_names_the_argument(native_backend, function, data, backend):
    """One argument at a time is anything at all; the rest is right."""
    name = data.draw(st.sampled_from(list(inspect.signature(function).parameters)))
    values = ANYTHING
    if name == "data":
        values = ANYTHING | st.tuples(ANYTHING, st.just(Y)) | st.tuples(st.just(X), ANYTHING)
    value = data.draw(values)
    assume(not (name in SLOW and isinstance(value, int) and value > 100))
    assume(not (name == "progress" and callable(value)))  # its own errors are its own
    options = {"backend": backend} if function in (train, path_losses) else {}
    try:
        function(**RIGHT[function] | options | {name: value})
    except (ValueError, TypeError) as error:
        sentence = str(error)
        assert any(known.split(".")[-1] in sentence for known in NAMES.get(name, (name,))), (name, value, sentence)
        assert sentence.endswith((".", "?"))
