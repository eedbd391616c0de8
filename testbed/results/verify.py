"""Whether every file of a run folder is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed import run_folder
from testbed.results import sealed
from testbed.results.store import OWN, PARTIAL, SHARD, Store


@dataclass(frozen=True)
class Checked:
    """A file of a run folder, what was found of it, and whether the run can be trusted with it."""

    name: str
    found: str
    holds: bool = True


def verify(folder: str | Path) -> list[Checked]:
    """Every file of a run folder, and of its manifest, with what was found; StudyError if it is no run folder.

    A file holds if it has the SHA-256 of the manifest, or, as a shard of an unfinished run, the one inside it. Files
    that are not the run's are named, and hold.

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> store.write("study.toml", b"")
    >>> store.write_manifest({"finished": False})
    >>> [(file.name, file.found) for file in verify(store.folder)]
    [('manifest.json', 'whole'), ('study.toml', 'whole')]
    """
    run_folder.check(folder)
    store = Store(folder)
    present = {path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file()}
    damage = store.damage()
    if "manifest.json" not in present or "manifest.json" in damage:
        found = "damaged" if "manifest.json" in present else "missing"
        return [Checked("manifest.json", f"{found}: nothing says what the other files should be", holds=False)]
    manifest = store.manifest() or {}
    if "files" not in manifest:
        return [Checked("manifest.json", "of an earlier version, without checksums", holds=False)]
    named = {"manifest.json", *manifest["files"]}
    checked = [Checked(name, *_state(name in damage, name in present)) for name in sorted(named)]
    return checked + list(_others(store, manifest.get("study_sha256", ""), sorted(present - named)))


def _state(damaged: bool, present: bool) -> tuple[str, bool]:
    if not damaged:
        return "whole", True
    return ("damaged", False) if present else ("missing", False)


def _others(store: Store, study_sha256: str, names: list[str]) -> Iterator[Checked]:
    """Files that the manifest does not name."""
    for name in names:
        if SHARD.fullmatch(name):
            about = {"study_sha256": study_sha256, "name": name.removesuffix(".safetensors")}
            whole = _is_whole(store.folder / name, about)
            yield Checked(name, *_state(not whole, present=True))
        elif name == "timings.json":
            yield Checked(name, "not checked: no result depends on it")
        elif OWN.fullmatch(name.removesuffix(PARTIAL)):
            yield Checked(name, "of a run that was cut off; the run removes or replaces it")
        else:
            yield Checked(name, "not of this run")


def _is_whole(path: Path, about: dict[str, str]) -> bool:
    """Whether a shard has its own checksum, and is of this study and name."""
    try:
        _, found = sealed.tensors_of(path)
    except ValueError:
        return False
    return about.items() <= found.items()
