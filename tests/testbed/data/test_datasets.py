"""Data sets: what they are, and the sentences with which a user's file is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from testbed import Study, StudyError, memory, run_study
from testbed.data import datasets
from testbed.ensemble.plan import plan as make_plan

X = np.zeros((6, 2))
Y = np.zeros((6, 1))
LABELS = np.array([0, 1, 2, 0, 1, 2])
FILES = [
    ({"y": Y}, "mse", r"has no array 'x'"),
    ({"x": X}, "mse", r"has no array 'y'"),
    ({"x": X, "y": Y, "x_test": X}, "mse", r"has no array 'y_test'"),
    ({"x": X, "y": Y, "z": Y}, "mse", r"holds 'z'"),
    ({"x": np.full((6, 2), np.nan), "y": Y}, "mse", r"data\.x must be finite; it has 12"),
    ({"x": X, "y": np.full((6, 1), np.inf)}, "mse", r"data\.y must be finite"),
    ({"x": X[0], "y": Y}, "mse", r"data\.x must be numbers of shape \[n_samples, n_inputs\]"),
    ({"x": X.astype(str), "y": Y}, "mse", r"data\.x must be numbers"),
    ({"x": X.astype(complex), "y": Y}, "mse", r"data\.x must be numbers"),
    ({"x": X.astype(object), "y": Y}, "mse", r"is not a \.npz of plain number arrays"),
    ({"x": X, "y": Y[:5]}, "mse", r"data\.y must have as many samples as x, 6"),
    ({"x": X, "y": Y[:, 0]}, "mse", r"data\.y must be floats of shape \[n_samples, n_outputs\]"),
    ({"x": X, "y": LABELS}, "mse", r"data\.y must be floats"),
    ({"x": X, "y": Y}, "cross_entropy", r"data\.y must be class numbers"),
    ({"x": X, "y": LABELS - 1}, "cross_entropy", r"data\.y must be class numbers .* from -1 to 1"),
    ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "mse", r"data\.x_test must have the columns of x"),
    (
        {"x": X, "y": LABELS + 1},
        "cross_entropy",
        r"it holds 3 classes up to 3, and class 0 has no sample",
    ),
    ({"x": X, "y": LABELS + 100}, "cross_entropy", r"3 classes up to 102, and class 0 has no sample"),
    ({"x": X, "y": LABELS % 2 * 10**9}, "cross_entropy", r"2 classes up to 1000000000, and class 1 has no sample"),
    ({"x": X, "y": LABELS.astype(np.uint64) * (2**63)}, "cross_entropy", r"up to 9223372036854775808, and class 1 has"),
    (
        {"x": X, "y": LABELS, "x_test": X, "y_test": LABELS + 1},
        "cross_entropy",
        r"data\.y_test has samples of class 3, and y has none: its classes are 0 to 2",
    ),
    ({"x": X + 1e300, "y": Y}, "mse", r"too large for float32: scale them, or set training\.dtype = \"float64\""),
    ({"x": X.astype(np.longdouble) + np.longdouble(10) ** 400, "y": Y}, "mse", r"data\.x must be finite; it has 12"),
    ({"x": X, "y": np.zeros((6, 0))}, "mse", r"data\.y must be floats"),
]


def made(study: Study) -> datasets.Dataset:
    """The data set of a study without vary."""
    return datasets.make(
        study.data, loss=study.training.loss, n_test=study.measure.test_samples, dtype=study.training.torch_dtype
    )


def file_study(raw, path, loss="mse", **settings) -> Study:
    tables = raw({"training.loss": loss, "training.batch_size": 2, "measure.theory": []})
    tables["data"] = {"kind": "file", "path": str(path)}
    for key, value in settings.items():
        tables["data"][key] = value
    return Study.make(tables)


@pytest.mark.parametrize(("arrays", "loss", "sentence"), FILES, ids=[sentence[:40] for *_, sentence in FILES])
def test_a_file_that_cannot_be_used_is_refused_by_field(raw, tmp_path, arrays, loss, sentence):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(StudyError, match=sentence):
        make_plan(file_study(raw, tmp_path / "data.npz", loss))


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_file_without_columns_is_refused_where_its_memory_is_worked_out(raw, tmp_path, name):
    np.savez(tmp_path / "data.npz", **({"x": X, "y": Y} | {name: np.zeros((6, 0))}))
    with pytest.raises(StudyError, match=rf"data\.{name} must be"):
        run_study(file_study(raw, tmp_path / "data.npz"), tmp_path / "run")


def test_a_file_that_is_no_npz_or_absent(raw, tmp_path):
    (tmp_path / "data.npz").write_bytes(b"nothing")
    for path, sentence in ((tmp_path / "data.npz", "is not a .npz"), (tmp_path / "other.npz", "there is no file")):
        with pytest.raises(StudyError, match=sentence):
            made(file_study(raw, path))


def test_a_npy_named_npz_is_refused(raw, tmp_path):
    np.save(tmp_path / "data.npy", X)
    (tmp_path / "data.npy").rename(tmp_path / "data.npz")
    with pytest.raises(StudyError, match=r"data\.npz is not a \.npz of plain number arrays"):
        made(file_study(raw, tmp_path / "data.npz"))


@pytest.mark.parametrize("of", [">f8", ">f4", "<f2", np.longdouble, ">i4", "u1", "F"])
def test_numbers_of_any_kind_and_order_are_read(raw, tmp_path, of):
    """Big-endian arrays, short and long floats, whole numbers, Fortran's order: the same samples."""
    x = np.arange(12.0).reshape(6, 2)
    stored = np.asfortranarray(x) if of == "F" else x.astype(of)
    labels = LABELS.astype(">i2")
    np.savez(tmp_path / "data.npz", x=stored, y=x.astype(">f4"), x_test=stored, y_test=x)
    train = made(file_study(raw, tmp_path / "data.npz")).train
    assert torch.equal(train[0], torch.from_numpy(x)) and torch.equal(train[1], torch.from_numpy(x))
    np.savez(tmp_path / "classes.npz", x=stored, y=labels)
    train = made(file_study(raw, tmp_path / "classes.npz", "cross_entropy")).train
    assert train[1].tolist() == LABELS.tolist()


def test_headers_are_read_before_data(raw, tmp_path, monkeypatch):
    """A small file whose arrays would be large is refused unread, and so is an array that nobody asked for."""
    n = 2**20
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((n, 16)), y=np.zeros((n, 1)))
    np.savez_compressed(tmp_path / "more.npz", x=X, y=Y, other=np.zeros(n * 16))
    assert (tmp_path / "bomb.npz").stat().st_size < 2**18
    monkeypatch.setattr(memory, "limit", lambda: 2**28)
    tracemalloc.start()
    with pytest.raises(StudyError, match=r"data\.path: the arrays of .*bomb\.npz need about 544 MiB, and .* 256 MiB"):
        made(file_study(raw, tmp_path / "bomb.npz"))
    with pytest.raises(StudyError, match="holds 'other'"):
        made(file_study(raw, tmp_path / "more.npz"))
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_a_damaged_file_is_refused(raw, tmp_path):
    """A byte changed anywhere, or an end that is missing: a sentence, or samples that the checksums of zip let pass."""
    np.savez(tmp_path / "whole.npz", x=X + 1, y=Y)
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        (tmp_path / "data.npz").write_bytes(damaged[: rng.integers(len(whole))] if trial % 4 == 0 else damaged)
        try:
            found = made(file_study(raw, tmp_path / "data.npz")).train
        except StudyError:
            refused += 1
            continue
        assert torch.equal(found[0], torch.from_numpy(X + 1))
    assert refused > 200


def test_a_file_that_changed_is_refused(raw, tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    with pytest.raises(StudyError, match=r"data\.sha256"):
        made(file_study(raw, tmp_path / "data.npz", sha256="0" * 64))


def test_a_batch_larger_than_the_file(raw, tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    tables = raw({"training.batch_size": 7, "measure.theory": []}) | {
        "data": {"kind": "file", "path": str(tmp_path / "data.npz")}
    }
    with pytest.raises(StudyError, match=r"training\.batch_size \(7\) must be at most the 6"):
        make_plan(Study.make(tables))


def test_classes_of_a_file_set_the_outputs(raw, tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=LABELS, x_test=X, y_test=LABELS)
    data = made(file_study(raw, tmp_path / "data.npz", "cross_entropy"))
    assert (data.n_inputs, data.n_outputs) == (2, 3)
    assert data.test is not None
    assert data.test[1].dtype == torch.int64


def test_teacher_student_labels_are_the_teachers(study):
    clean, noisy = (made(study({"data.noise": noise, "data.n_train": 4000})) for noise in (0.0, 0.5))
    x, y = clean.train
    expected = clean.teacher.architecture.to_torch(clean.teacher.params)(x).detach()
    torch.testing.assert_close(y, expected.float().double(), rtol=1e-6, atol=1e-7)
    assert torch.equal(x, noisy.train[0])
    assert (noisy.train[1] - y).std().item() == pytest.approx(0.5, rel=0.05)
    assert x.std().item() == pytest.approx(1, rel=0.05)
    assert torch.equal(x, x.float().double())  # what float32 training saw is what is measured on


def test_seeds_of_data_and_teacher_are_separate(study):
    base, other_data, other_teacher = (
        made(study(settings)) for settings in ({}, {"data.seed": 1}, {"data.teacher.seed": 1})
    )
    assert torch.equal(base.teacher.params, other_data.teacher.params)
    assert not torch.equal(base.train[0], other_data.train[0])
    assert torch.equal(base.train[0], other_teacher.train[0])
    assert not torch.equal(base.teacher.params, other_teacher.teacher.params)


@pytest.mark.parametrize("kind", ["gaussian_mixture", "spirals"])
def test_classes_are_balanced_and_test_samples_are_others(classes, kind):
    settings = {"data": {"kind": kind, "classes": 3, "n_train": 30}}
    if kind == "gaussian_mixture":
        settings["data"] |= {"inputs": 2, "separation": 50.0}
    data = made(classes(settings))
    assert torch.bincount(data.train[1]).tolist() == [10, 10, 10]
    assert len(data.test[0]) == 200
    assert not torch.isin(data.test[0], data.train[0]).any()
    if kind == "gaussian_mixture":  # far apart: the class means of training and test agree
        for label in range(3):
            torch.testing.assert_close(
                data.train[0][data.train[1] == label].mean(0),
                data.test[0][data.test[1] == label].mean(0),
                atol=2.0,
                rtol=0,
            )
    else:
        assert data.train[0].norm(dim=1).max() < 1.2


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "spirals", "n_train": 6, "noise": 1e300},
        {"kind": "gaussian_mixture", "inputs": 2, "n_train": 6, "separation": 1e39},
        {"kind": "spirals", "n_train": 6, "noise": 1e300, "shared": 0.5},
        {"kind": "teacher_student", "inputs": 2, "n_train": 6, "teacher": {"hidden": [2], "scale": 1e30}},
        {"kind": "teacher_student", "inputs": 2, "teacher": {"hidden": [2], "scale": 1e39}},
        {"kind": "teacher_student", "inputs": 2, "n_train": 6, "noise": 1e39, "teacher": {"hidden": [2]}},
    ],
)
def test_samples_too_large_for_the_type_of_training_are_refused_by_table(raw, settings):
    loss = "mse" if settings["kind"] == "teacher_student" else "cross_entropy"
    online = {} if "n_train" in settings else {"training.online": True}
    tables = raw({"training.loss": loss, "training.batch_size": 2, "measure.theory": [], **online})
    tables["data"] = settings
    with pytest.raises(StudyError, match=rf"^data: samples of kind '{settings['kind']}' .* not finite in float32"):
        make_plan(Study.make(tables))
