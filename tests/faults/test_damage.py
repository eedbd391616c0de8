"""A bit flipped, a file cut short, emptied or gone, anywhere in a run folder: noticed, said, and computed anew."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import testbed.run
from testbed import Study, StudyError
from testbed.cli import main
from testbed.ensemble import shards
from testbed.results import Results
from testbed.results.store import Store
from testbed.results.verify import verify
from tests.faults.children import KINDS, SETTINGS, contents, small_run
from tests.testbed.conftest import tables_of

FAULTS = {
    "a bit": lambda content, rng: flipped(content, rng),
    "the end": lambda content, rng: content[: rng.randrange(len(content))],
    "everything": lambda content, rng: b"",
    "other bytes": lambda content, rng: rng.randbytes(len(content)),
    "the file": lambda content, rng: None,
}


def flipped(content: bytes, rng: random.Random) -> bytes:
    """One bit changed."""
    damaged = bytearray(content)
    damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The study, a finished run, and one that was cut off before its tables."""
    raw = tables_of(SETTINGS)
    home = tmp_path_factory.mktemp("damage")

    def cut_off(store, name, table):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((testbed.run, "_page"), (shards, "SHARD_WORK")):
            patch.setattr(module, name, getattr(module, name))  # small_run changes them
        small_run(raw, home / "finished")
        with pytest.MonkeyPatch.context() as cutting:
            cutting.setattr(Store, "write_table", cut_off)
            with pytest.raises(KeyboardInterrupt):
                small_run(raw, home / "cut")
        yield raw, home / "finished", home / "cut"


def trials(folder: Path, faults: Iterable[str], n: int, seed: int) -> Iterator[tuple[str, str, Path, random.Random]]:
    """n of each kind of file and of each fault."""
    rng = random.Random(seed)
    for kind, pattern in KINDS.items():
        for path in [rng.choice(found) for _ in range(n) if (found := sorted(folder.glob(pattern)))]:
            for fault in faults:
                yield kind, fault, path.relative_to(folder), rng


def damage_and_mend(folders, tmp_path, capfd, of: str, faults: Iterable[str] = FAULTS, n: int = 1) -> dict[str, int]:
    """Damage copies of a folder, read them, and run the study again; the number of trials by kind of file."""
    raw, finished, cut = folders
    original = finished if of == "finished" else cut
    expected = contents(finished)
    counts: dict[str, int] = {}
    for kind, fault, name, rng in trials(original, faults, n, seed=len(of)):
        where = f"{fault} of {name}"
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        content = FAULTS[fault]((original / name).read_bytes(), rng)
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        unnamed = (content is None and kind.startswith("shards")) or (of == "cut" and kind == "parameters")
        harmless = kind == "timings" or unnamed  # nothing says that it was there
        assert all(file.holds for file in verify(folder)) == harmless, where
        if kind in ("study", "manifest", "columns", "tables"):
            with pytest.raises(StudyError, match=r"is damaged|is missing|is not finished"):
                Results.load(folder)
        capfd.readouterr()
        small_run(raw, folder)
        said = capfd.readouterr().err
        assert contents(folder) == expected, where
        assert harmless or kind == "report" or f"{name.name} is damaged or missing" in said or str(name) in said, where
        assert all(file.holds for file in verify(folder)), where
        counts[kind] = counts.get(kind, 0) + 1
    return counts


@pytest.mark.parametrize("of", ["finished", "cut"])
def test_damage_is_mended(folders, tmp_path, capfd, of):
    counts = damage_and_mend(folders, tmp_path, capfd, of, faults=["a bit", "the file"])
    lacking = {"finished": {"shards of networks", "shards of pairs"}, "cut": {"tables", "columns", "timings", "report"}}
    assert set(counts) == set(KINDS) - lacking[of]


@pytest.mark.slow
@pytest.mark.parametrize("of", ["finished", "cut"])
def test_much_damage_is_mended(folders, tmp_path, capfd, of):
    print(of, damage_and_mend(folders, tmp_path, capfd, of, n=6))


def test_the_command_says_what_holds(folders, tmp_path, capsys):
    _, finished, _ = folders
    folder = tmp_path / "of mine"
    shutil.copytree(finished, folder)
    (folder / "notes.txt").write_text("mine")
    main(["verify", str(folder)])
    out = capsys.readouterr().out
    assert "holds." in out and "not of this run" in out and "parameters/launch-1.safetensors  whole" in out
    (folder / "curves.parquet").write_bytes(b"")
    (folder / "pairs.parquet").unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(folder)])
    out = capsys.readouterr().out
    assert stopped.value.code == 1 and f"2 of {len(verify(folder))} files do not hold" in out
    assert f"`testbed run '{folder}/study.toml' --out '{folder}'`" in out
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(folder)])
    assert stopped.value.code == 2 and "pairs.parquet is missing: `testbed run" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(tmp_path)])
    assert stopped.value.code == 2 and "is not a run folder" in capsys.readouterr().err


def test_a_shard_of_another_study_or_place_is_not_taken(folders, tmp_path, capfd):
    """Each is whole by itself; what it says of itself tells."""
    raw, finished, cut = folders
    shutil.copytree(cut, tmp_path / "run")
    found = sorted((tmp_path / "run" / "shards").glob("networks-*"))
    found[0].write_bytes(found[1].read_bytes())
    assert not all(file.holds for file in verify(tmp_path / "run"))
    small_run(raw, tmp_path / "run")
    assert f"{found[0].name} is of another run" in capfd.readouterr().err
    assert contents(tmp_path / "run") == contents(finished)


def test_files_of_the_users_stay(folders, tmp_path):
    """Whatever they are called, unless a run writes a file of that very name."""
    raw, _, cut = folders
    folder = tmp_path / "run"
    shutil.copytree(cut, folder)
    names = [
        "notes.partial",
        "shards/mine.safetensors",
        "shards/networks-0.txt",
        "figures/a/b.png.partial",
        "study.bak",
    ]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    small_run(raw, folder)
    assert [(folder / name).read_text() for name in names] == names
    assert sorted(path.name for path in (folder / "shards").iterdir()) == ["mine.safetensors", "networks-0.txt"]


def test_a_kill_during_the_very_first_write_does_not_block(folders, tmp_path):
    raw, finished, _ = folders
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.toml.partial").write_bytes(b"ques")
    small_run(raw, tmp_path / "run")
    assert contents(tmp_path / "run") == contents(finished)


def test_a_folder_of_an_earlier_version_is_read(folders, tmp_path):
    """Its manifest has no checksums: it is read as it is, what is no table is named, and verify says so."""
    import json

    _, finished, _ = folders
    shutil.copytree(finished, tmp_path / "run")
    manifest = json.loads((finished / "manifest.json").read_text())
    old = {key: value for key, value in manifest.items() if key not in ("files", "sha256")}
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(old))
    assert len(Results.load(tmp_path / "run").pairs) == 20
    assert [file.holds for file in verify(tmp_path / "run")] == [False]
    (tmp_path / "run" / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(StudyError, match=r"pairs\.parquet is damaged"):
        Results.load(tmp_path / "run")


def test_a_file_says_what_it_is(folders):
    """Study, name and layout of the parameters, for whoever finds the file alone."""
    import json

    from safetensors import safe_open

    raw, finished, _ = folders
    with safe_open(finished / "parameters" / "launch-1.safetensors", "np") as file:
        about = json.loads(file.metadata()["lmc-testbed"])
        params = file.get_tensor("params")
    assert about["study_sha256"] == Study.make(raw).sha256 and about["name"] == "parameters/launch-1"
    assert about["widths"] == [3, 3, 1]
    assert about["layout"][1] == {"fan_in": 3, "fan_out": 1, "weight": 12, "bias": 15}
    assert params.shape[1] == 16
