"""The run folder: readable without this project, whole at every moment, the same bytes however a run was cut off."""

from __future__ import annotations

import errno
import html
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import safetensors.numpy
import tomli_w

import testbed.run as running
from testbed import Study, StudyError, run_study, write_report
from testbed.cli import main
from testbed.ensemble import shards
from testbed.ensemble.plan import plan
from testbed.report import answers
from testbed.results import Results, Store, sealed

pytestmark = pytest.mark.usefixtures("no_figures")  # the tests of the report draw them
VARY = {"architecture.hidden": [[2], [3]], "ensemble.spawn_step": [0, 20]}
HOME = Path(running.__file__).resolve().parent.parent


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that must not depend on how the run went."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    files.pop("timings.json")
    return files


@pytest.fixture
def small_shards(monkeypatch):
    """Many shards from little work."""
    monkeypatch.setattr(shards, "SHARD_WORK", {"native": 3e5, "reference": 3e5})


def test_another_program_can_read_it(study, tmp_path):
    made = study({"vary": VARY})
    report = run_study(made, tmp_path / "run")
    folder = report.parent
    networks, pairs, curves, losses = (
        pl.read_parquet(folder / f"{n}.parquet") for n in ("networks", "pairs", "curves", "losses")
    )
    columns = json.loads((folder / "columns.json").read_text())
    for name, table in (("networks", networks), ("pairs", pairs), ("curves", curves), ("losses", losses)):
        assert list(columns[name]) == table.columns
        assert all(columns[name].values())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["counts"] == {"networks": 32, "diverged": 0, "pairs": 40, "pairs_left_out": 0}
    assert manifest["study_sha256"] == made.sha256
    assert {"torch", "numpy", "python", "backend", "lmc-testbed"} <= set(manifest["environment"])
    assert Study.load(folder / "study.toml") == made
    assert len(curves) == 40 * 5
    checks = [name for name in pairs.columns if name.endswith("_check")]  # of a sample of the pairs
    assert not any(table.null_count().sum_horizontal().item() for table in (pairs.drop(checks), curves, losses))
    for launch, row, network in (
        networks.filter(pl.col("network").is_in([0, 17])).select("launch", "row", "network").rows()
    ):
        params = safetensors.numpy.load_file(folder / f"parameters/launch-{launch}.safetensors")["params"]
        width = networks.filter(network=network)["architecture.hidden"].item()
        assert params.shape == (16, 3 * width + width + width + 1)
        assert np.isfinite(params[row]).all()
    assert not (folder / "shards").exists()


def test_numbers_agree_with_each_other(study, tmp_path):
    folder = run_study(study({"vary": VARY}), tmp_path / "run").parent
    networks, pairs, curves = (pl.read_parquet(folder / f"{name}.parquet") for name in ("networks", "pairs", "curves"))
    np.testing.assert_allclose(curves["train_loss"], curves["exact_training_loss"], rtol=1e-12, atol=1e-15)
    assert (pairs["exact_training_barrier_linear"] >= pairs["train_loss_barrier_linear"] - 1e-15).all()
    start = curves.filter(alpha=0.0).join(pairs.select("pair", "network_a"), on="pair").sort("pair")
    final = start.join(networks, left_on="network_a", right_on="network", maintain_order="left", suffix="_network")
    np.testing.assert_allclose(final["train_loss"], final["train_loss_network"], rtol=1e-12)
    curve = curves.filter(pair=7)["test_loss"].to_numpy()
    line = curve[0] + (curve[-1] - curve[0]) * np.linspace(0, 1, 5)
    assert pairs["test_loss_barrier_linear"][7] == pytest.approx(max(0.0, (curve - line).max()), abs=1e-15)
    assert pairs["test_loss_barrier_midpoint"][7] == pytest.approx(curve[2] - (curve[0] + curve[-1]) / 2, abs=1e-15)


def test_a_run_that_was_interrupted_ends_in_the_same_bytes(study, tmp_path, small_shards, monkeypatch):
    made = study({"vary": VARY})
    run_study(made, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    whole = Store._whole
    left = 0

    @contextmanager
    def cut_off(self, name):
        nonlocal left
        with whole(self, name) as partial:
            yield partial
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "_whole", cut_off)
    for attempt in range(1, 60):  # cut off after its first write, after its second, …
        left = attempt
        try:
            run_study(made, tmp_path / "cut")
        except KeyboardInterrupt:
            continue
        break
    assert attempt > 8
    assert contents(tmp_path / "cut") == expected


@pytest.mark.slow  # tests/faults has shorter ones
def test_a_run_that_was_killed_ends_in_the_same_bytes(raw, tmp_path):
    path = tmp_path / "study.toml"
    tables = raw({"vary": VARY, "measure.test_samples": 2000})
    path.write_text(tomli_w.dumps(tables))
    program = (
        "import sys, types, testbed.run as r; from testbed import Study; from testbed.ensemble import shards;"
        "r._page = lambda folder: types.SimpleNamespace(path=folder);"
        "shards.SHARD_WORK = dict(native=3e6, reference=3e6);"
        "r.run_study(Study.load(sys.argv[1]), sys.argv[2])"
    )
    command = [sys.executable, "-c", program, str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HOME), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([*command, str(tmp_path / "whole")], env=environment, check=True)
    killed = subprocess.Popen([*command, str(tmp_path / "cut")], env=environment)
    while killed.poll() is None and not any((tmp_path / "cut" / "shards").glob("pairs-*")):
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (tmp_path / "cut" / "shards" / "pairs-9-9.safetensors.partial").write_bytes(b"half")  # what a kill may leave
    assert not json.loads((tmp_path / "cut" / "manifest.json").read_text())["finished"]
    subprocess.run([*command, str(tmp_path / "cut")], env=environment, check=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_study_by_its_name_is_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"study must be a Study, such as Study\.load\(.*\), not 'sgd'"):
        run_study("sgd", tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_networks_as_initialised_are_a_study(raw, tmp_path, backend):
    """training.steps = 0, alone and as a level, and shrunk by --quick: the final parameters are the initial ones."""
    path = tmp_path / "study.toml"
    path.write_text(tomli_w.dumps(raw({"vary": {"training.steps": [0, 40]}, "ensemble.spawn_step": 0})))
    for source, settings, quick in ((path, [], False), (path, ["vary.'training.steps'=[0]"], True)):
        made = Study.load(source, settings, quick)
        folder = run_study(made, tmp_path / f"run-{quick}", backend=backend).parent
        launch = plan(made).launches[0]
        params = safetensors.numpy.load_file(folder / "parameters" / "launch-0.safetensors")["params"]
        assert launch.study.training.steps == 0
        assert np.array_equal(params, launch.initial(launch.networks).numpy())
        networks = pl.read_parquet(folder / "networks.parquet").filter(launch=0)
        assert networks["train_loss"].is_finite().all() and (networks["train_loss"] > 0).all()
        losses = pl.read_parquet(folder / "losses.parquet")
        assert not losses["network"].is_in(networks["network"].implode()).any()  # no step, no batch, no loss


def test_a_finished_run_is_not_redone(study, tmp_path, monkeypatch):
    report = run_study(study(), tmp_path / "run")
    expected = contents(tmp_path / "run")
    report.unlink()
    monkeypatch.setattr("testbed.run.train", None)
    run_study(study(), tmp_path / "run")
    assert contents(tmp_path / "run") == expected


def test_a_folder_with_another_study_is_left_alone(study, tmp_path):
    run_study(study(), tmp_path / "run")
    expected = contents(tmp_path / "run")
    with pytest.raises(StudyError, match="holds another study"):
        run_study(study({"training.steps": 41}), tmp_path / "run")
    assert contents(tmp_path / "run") == expected
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(StudyError, match="is not a run folder"):
        run_study(study(), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_run_continues_only_on_its_backend(study, tmp_path):
    run_study(study(), tmp_path / "run", backend="reference")
    manifest = sealed.json_fields((tmp_path / "run" / "manifest.json").read_bytes())
    manifest["finished"] = False
    manifest["environment"]["backend"] = "other"
    (tmp_path / "run" / "manifest.json").write_bytes(sealed.json_bytes(manifest))
    with pytest.raises(StudyError, match="was begun with backend other, this is backend reference"):
        run_study(study(), tmp_path / "run", backend="reference")


def test_a_finished_run_is_not_given_as_another_backends(study, tmp_path):
    report = run_study(study(), tmp_path / "run", backend="reference")
    with pytest.raises(StudyError, match="was begun with backend reference, this is backend native"):
        run_study(study(), tmp_path / "run", backend="native")
    for backend in ("reference", "auto"):
        assert run_study(study(), tmp_path / "run", backend=backend) == report


def test_two_processes_do_not_write_one_run(study, tmp_path):
    store = Store(tmp_path / "run")
    with store.begin(study()), pytest.raises(StudyError, match="Another process"):
        run_study(study(), tmp_path / "run")


def test_a_full_disk_leaves_no_half_files(study, tmp_path, small_shards, monkeypatch):
    whole = Store._whole
    calls = 0

    @contextmanager
    def full(self, name):
        nonlocal calls
        calls += 1
        with whole(self, name) as partial:
            yield partial
            if calls > 6:
                partial.write_bytes(partial.read_bytes()[: partial.stat().st_size // 2])
                raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_whole", full)
        with pytest.raises(OSError, match="No space left"):
            run_study(study(), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.partial"))
    run_study(study(), tmp_path / "run")
    run_study(study(), tmp_path / "whole")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no file that is full")
@pytest.mark.parametrize("rows", [1, 10**6])  # the footer alone does not fit, and the data do not
def test_a_full_disk_under_a_table_is_said_as_one(tmp_path, rows):
    """polars has errors of its own for it, of which one says nothing of the disk."""
    (tmp_path / "pairs.parquet.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as failed:
        Store(tmp_path).write_table("pairs", pl.DataFrame({"pair": range(rows)}))
    assert failed.value.errno == errno.ENOSPC
    assert Path("/dev/full").is_char_device() and not list(tmp_path.iterdir())


def test_what_is_wrong_with_a_table_is_polars_to_say(tmp_path):
    with pytest.raises(pl.exceptions.PolarsError):
        Store(tmp_path).write_table("pairs", pl.DataFrame({"pair": [object()]}))
    assert not list(tmp_path.iterdir())


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """fsync of the file, rename, fsync of the folder: a loss of power leaves the file, or the one before it."""
    done = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor):
        done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(("rename", new.name)), replace(old, new)))
    Store(tmp_path).write("shards/networks-0-0.safetensors", b"content")
    name = "networks-0-0.safetensors"
    assert done == [("fsync", f"{name}.partial"), ("rename", name), ("fsync", "shards")]
    assert (tmp_path / "shards" / name).read_bytes() == b"content"


def test_diverged_networks_are_counted_and_left_out(study, tmp_path):
    made = study({"vary": {"training.optimizer.lr": [0.05, 1e6]}})
    folder = run_study(made, tmp_path / "run").parent
    networks, pairs = (pl.read_parquet(folder / f"{name}.parquet") for name in ("networks", "pairs"))
    wild = networks.filter(pl.col("training.optimizer.lr") == 1e6)
    tame = networks.filter(pl.col("training.optimizer.lr") == 0.05)
    assert wild["diverged_at"].null_count() == 0
    assert wild["train_loss"].null_count() == 8
    assert tame["diverged_at"].null_count() == 8
    assert pairs.filter(cell=1)["left_out"].all()
    assert pairs.filter(cell=1)["test_loss_barrier_linear"].null_count() == 10
    assert not pairs.filter(cell=0)["left_out"].any()
    assert pairs.filter(cell=0)["z"].null_count() == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"] == {"networks": 16, "diverged": 8, "pairs": 20, "pairs_left_out": 10}
    said = answers(Results.load(folder))[-1]
    assert "8 diverged, and the 10 pairs with one of them are in no average" in said
    assert said.endswith("; none is left in 1 of 2 cells, and nothing here is of learning rate 1000000.")
    assert said in html.unescape(write_report(folder).read_text())
    alone = run_study(study(), tmp_path / "alone").parent  # the tame cell, not disturbed by the wild one
    kept = [name for name in pairs.columns if name not in ("training.optimizer.lr",)]
    assert pl.read_parquet(alone / "pairs.parquet").equals(pairs.filter(cell=0).select(kept))


ONLINE = {
    "training.online": True,
    "data": {"kind": "teacher_student", "inputs": 3, "teacher": {"hidden": [2]}},
    "measure.theory": ["population"],
}


@pytest.mark.parametrize(
    "start",
    [{"architecture.scale": 1e200}, {"training.optimizer.lr": 1e200}, {"architecture.scale": 1e200} | ONLINE],
)
def test_a_loss_that_overflows_only_at_the_end_is_a_divergence(study, tmp_path, start):
    """No batch has shown it: with no step, or after the last. The parameters are finite."""
    steps = int("training.optimizer.lr" in start)
    settings = {"training.dtype": "float64", "training.steps": steps, "ensemble.spawn_step": 0}
    as_they_are = {} if steps else {"ensemble.siblings": 1, "ensemble.pairs": ["independent"]}
    results = Results.load(run_study(study(start | settings | as_they_are), tmp_path / "run").parent)
    assert results.counts["diverged"] == results.counts["networks"] > 0
    assert results.networks["diverged_at"].unique().to_list() == [steps]
    params = safetensors.numpy.load_file(tmp_path / "run" / "parameters" / "launch-0.safetensors")["params"]
    assert np.isfinite(params).all()


def test_what_float32_could_not_hold_has_diverged(study, tmp_path, no_figures):
    """In float64 weights of 1e50 are numbers, but the losses of such networks are none that theory could square."""
    scales = {"vary": {"architecture.scale": [1.0, 1e50]}, "training.dtype": "float64", "training.steps": 0}
    folder = run_study(study(scales | {"ensemble.spawn_step": 0}), tmp_path / "run").parent
    diverged = pl.read_parquet(folder / "networks.parquet").filter(pl.col("diverged_at").is_not_null())
    assert diverged["architecture.scale"].unique().to_list() == [1e50]
    assert (diverged["diverged_at"] == 0).all() and len(diverged) == 8


def test_a_study_in_which_everything_diverges_still_ends(study, tmp_path, capsys):
    folder = run_study(study({"training.optimizer.lr": 1e6}), tmp_path / "run").parent
    assert "8 diverged" in write_report(folder).read_text()
    results = Results.load(folder)
    assert "Does it run?" in results._repr_html_()
    for of_pairs in (results.barriers, results.plot):
        with pytest.raises(ValueError, match="no pair was measured: of each of them a network diverged"):
            of_pairs()
    main(["report", str(folder)])
    assert "8 diverged" in capsys.readouterr().out
