"""The files that a study names, of samples and of networks.

They are found beside the study, and known by their SHA-256, so that no other is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import given_networks
from testbed.errors import StudyError, together
from testbed.sha256 import sha256_of


@dataclass(frozen=True)
class _Named:
    """A place of a raw study where a path stands: as sentences name it, the table or list, and the key within."""

    place: str
    within: Any
    key: Any

    @property
    def path(self) -> Any:
        return self.within[self.key]


def fill(raw: dict[str, Any], folder: Path) -> None:
    """Make the path of every file of a raw study absolute, from the study's folder, and note its SHA-256.

    Of the one file that `[data]` names the hash is noted as `data.sha256`; if [vary] or a component names others, that
    of every file in the table `files`, by its path. There stand those of the files of `ensemble.from` too, whose
    networks are counted where the study does not say how many families there are. A hash that is there already stays,
    and is checked when the file is read. StudyError, with the place, where there is no such file.

    >>> raw = {"data": {"kind": "file", "path": "samples.npz"}}
    >>> fill(raw, Path("/nowhere"))
    Traceback (most recent call last):
    testbed.errors.StudyError: data.path: there is no file /nowhere/samples.npz.
    """
    named = [place for place in _named(raw) if isinstance(place.path, str)]
    with together() as check:
        for place in named:
            check(_find, place, folder)
    _fill_networks(raw, folder)
    if len(named) == 1 and named[0].within is raw.get("data"):
        data = raw["data"]
        data.setdefault("sha256", sha256_of(data["path"]))
    else:
        for place in named:
            _note(raw, place.path, _pinned(place))


def _fill_networks(raw: dict[str, Any], folder: Path) -> None:
    """The files of networks that a study starts from."""
    ensemble = raw.get("ensemble")
    if not isinstance(ensemble, dict):
        return
    given = ensemble.get("from")
    patterns = [given] if isinstance(given, str) else given
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        return
    ensemble["from"] = given_networks.found(patterns, folder)
    if "families" not in ensemble:
        ensemble["families"] = given_networks.count(ensemble["from"])
    for path in ensemble["from"]:
        _note(raw, path)


def _note(raw: dict[str, Any], path: str, sha256: str | None = None) -> None:
    """Note the hash of a file in the table `files`, unless one stands there; None: it is worked out."""
    hashes = raw.setdefault("files", {})
    if isinstance(hashes, dict):
        hashes.setdefault(path, sha256 or sha256_of(path))


def _named(raw: dict[str, Any]) -> Iterator[_Named]:
    """Where paths of data files stand: in [data], in components, and in the lists of [vary]."""
    yield from _in_table("data", raw.get("data"))
    components = raw.get("component")
    for group, members in components.items() if isinstance(components, dict) else ():
        for name, settings in members.items() if isinstance(members, dict) else ():
            if isinstance(settings, dict):
                place = f"component.{group}.{name}"
                yield from _in_table(f"{place}.data", settings.get("data"))
                if "data.path" in settings:
                    yield _Named(f"{place}.'data.path'", settings, "data.path")
    vary = raw.get("vary")
    for key in ("data", "data.path"):
        values = vary.get(key) if isinstance(vary, dict) else None
        for index, value in enumerate(values) if isinstance(values, list) else ():
            place = f"vary.'{key}'[{index}]"
            yield from _in_table(place, value) if key == "data" else [_Named(place, values, index)]


def _in_table(place: str, data: Any) -> Iterator[_Named]:
    """The path of a whole table of data, if it is one of kind `file`."""
    if isinstance(data, dict) and data.get("kind") == "file" and "path" in data:
        yield _Named(f"{place}.path", data, "path")


def _pinned(place: _Named) -> str | None:
    """The hash that stands beside a path, taken out: the table `files` holds it, and a cell inherits no other's."""
    if not isinstance(place.within, dict):
        return None
    return place.within.pop("data.sha256" if place.key == "data.path" else "sha256", None)


def _find(place: _Named, folder: Path) -> None:
    """Make the path absolute."""
    try:
        path = (folder / place.path).resolve()
        is_file = path.is_file()
    except (OSError, ValueError):  # too long, or with a NUL
        raise StudyError(f"{place.place}: {place.path!r} is no path of a file.") from None
    if not is_file:
        raise StudyError(f"{place.place}: there is no file {path}.")
    place.within[place.key] = str(path)
