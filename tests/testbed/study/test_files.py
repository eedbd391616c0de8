"""Data files that a study names: found beside it wherever they are named, and held to their SHA-256."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import tomli_w

from testbed import Study, StudyError, run_study
from testbed.cli import main
from testbed.ensemble.plan import plan
from testbed.sha256 import sha256_of

pytestmark = pytest.mark.usefixtures("no_figures")
PLACES = {
    "data": {"data.path": "b.npz"},
    "vary, a path": {"vary": {"data.path": ["a.npz", "b.npz"]}},
    "vary, a table": {"vary": {"data": [{"kind": "file", "path": "a.npz"}, {"kind": "file", "path": "b.npz"}]}},
    "component, a path": {"component": {"data": {"other": {"data.path": "b.npz"}}}},
    "component, a table": {"component": {"data": {"other": {"data": {"kind": "file", "path": "b.npz"}}}}},
}


def write(path, seed, n=12):
    """Samples of two classes."""
    x = np.random.default_rng(seed).standard_normal((n, 2))
    np.savez(path, x=x, y=np.arange(n) % 2)


@pytest.fixture
def of_files(raw, tmp_path, monkeypatch):
    """The path of a study whose data lie beside it, in another folder than the working one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(tmp_path / "a.npz", 1)
    write(tmp_path / "b.npz", 2)

    def make(settings):
        tables = raw({"training.loss": "cross_entropy", "measure.theory": [], "training.steps": 20})
        tables["data"] = {"kind": "file", "path": "a.npz"}
        for key, value in settings.items():
            if key == "data.path":
                tables["data"]["path"] = value
            else:
                tables[key] = value
        (tmp_path / "study.toml").write_text(tomli_w.dumps(tables))
        return tmp_path / "study.toml"

    return make


@pytest.mark.parametrize("place", PLACES)
def test_a_file_is_found_beside_the_study_and_held_to_its_hash(of_files, place, tmp_path):
    """Two files of other samples give other networks; a file that was replaced is refused, wherever it is named."""
    source = of_files(PLACES[place])
    study = Study.load(source)
    folder = run_study(study, tmp_path / "run").parent
    assert str(tmp_path / "b.npz") in (folder / "study.toml").read_text()
    assert sha256_of(tmp_path / "b.npz") in (folder / "study.toml").read_text()
    losses = pl.read_parquet(folder / "networks.parquet")["train_loss"]
    assert losses.n_unique() == len(losses)
    main(["run", str(folder / "study.toml"), "--out", str(folder)])  # what the folder holds is the study
    write(tmp_path / "b.npz", 3)
    with pytest.raises(StudyError, match=r"b\.npz is not the file that the study names; it has changed"):
        plan(study)
    with pytest.raises(StudyError, match="holds another study"):
        run_study(Study.load(source), tmp_path / "run")


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_is_not_there_is_named_with_its_place(of_files, place, tmp_path):
    source = of_files(PLACES[place])
    (tmp_path / "b.npz").unlink()
    where = {
        "data": r"data\.path",
        "vary, a path": r"vary\.'data\.path'\[1\]",
        "vary, a table": r"vary\.'data'\[1\]\.path",
        "component, a path": r"component\.data\.other\.'data\.path'",
        "component, a table": r"component\.data\.other\.data\.path",
    }[place]
    with pytest.raises(StudyError, match=f"^{where}: there is no file .*b.npz"):
        Study.load(source)


@pytest.mark.parametrize("path", ["a\0.npz", "a" * 5000, "elsewhere"])
def test_what_is_no_path_is_refused(of_files, path):
    with pytest.raises(StudyError, match=r"data\.path: "):
        Study.load(of_files({"data.path": path}))
    with pytest.raises(StudyError, match=r"data\.path"):
        plan(Study.make({**Study.load(of_files({})).resolved(), "data": {"kind": "file", "path": path}}))


def test_a_hash_that_the_study_gives_is_kept(of_files, tmp_path):
    source = of_files({"data": {"kind": "file", "path": "a.npz", "sha256": "0" * 64}})
    with pytest.raises(StudyError, match=r"a\.npz is not the file"):
        plan(Study.load(source))
    pinned = {"kind": "file", "path": "a.npz", "sha256": "0" * 64}
    with pytest.raises(StudyError, match=r"a\.npz is not the file"):
        plan(Study.load(of_files({"data": pinned, "vary": {"data.path": ["b.npz", "a.npz"]}})))
