"""The run folder: whole files only, each with its checksum, and the same bytes however often the run was cut off.

Every file is written under a temporary name, brought to the disk and renamed. While a study runs, its shards lie in
`shards/`, a safetensors file each, with a checksum of its own; at the end they become the tables and parameter files,
`manifest.json` names all of them with their SHA-256, and the shards go. What is read is held against these, once by a
process, but for what it wrote itself. Only files of the names that a run has are ever overwritten or removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source
from torch import Tensor

from testbed import memory, run_folder
from testbed.errors import StudyError
from testbed.results import sealed
from testbed.results.parts import LongTable
from testbed.sha256 import sha256_of
from testbed.study import Study

PARTIAL = ".partial"
IN_MEMORY = memory.TABLE_WHOLE  # numbers in a table that is made whole before it is written
KEPT = 2**22  # numbers in a table that is read once and kept
PROBE = 2**20  # bytes that a disk must take to be called good
COMPRESSION = 1  # of zstd: numbers of measurements compress as well as by its usual 3, in two thirds of the time
ROW_GROUP = 2**17  # rows that a reader of a longer one holds at a time
TABLES = ("networks", "pairs", "curves", "losses", "planes", "soups")
SHARD = re.compile(r"shards/(networks|pairs)-\d+-\d+\.safetensors")
DRAWN = re.compile(r"report\.html|figures/\w+\.(png|pdf)")  # anew from the tables, at any time
OWN = re.compile(
    rf"study\.toml|(manifest|timings|columns)\.json|({'|'.join(TABLES)})\.parquet|"
    rf"parameters/launch-\d+\.safetensors|{SHARD.pattern}|{DRAWN.pattern}"
)


class Damaged(StudyError):
    """A file of a run folder that is not as it was written, or not there."""


class Store:
    """A run folder. Nothing is written before `begin`.

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> store.write_manifest({"finished": True})
    >>> store.finished()
    True
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._written: dict[str, str] = {}  # SHA-256 by name
        self._sound: set[str] = set()  # files that this store wrote, or held against their checksum

    def check(self, study: Study) -> None:
        """StudyError unless the folder is absent, empty, or of this very study."""
        if not self.folder.exists() or self._is_empty():
            return
        if not self.folder.is_dir() or not run_folder.is_begun(self.folder):
            raise StudyError(f"{self.folder} exists and is not a run folder: give another --out.")
        if not self._is_of(study):
            raise StudyError(
                f"{self.folder} holds another study (its study.toml differs from this one): give another --out."
            )

    def _is_empty(self) -> bool:
        """Whether nothing is there but what a kill during the very first write leaves."""
        return self.folder.is_dir() and all(path.name == f"study.toml{PARTIAL}" for path in self.folder.iterdir())

    def _is_of(self, study: Study) -> bool:
        """Whether study.toml is that of the study, or the manifest says that it was."""
        if self._bytes("study.toml") == study.toml().encode():
            return True
        with suppress(Damaged):
            return bool((self.manifest() or {}).get("study_sha256") == study.sha256)
        return False

    @contextmanager
    def begin(self, study: Study) -> Iterator[None]:
        """Hold the folder for writing, alone; half-written files of a run that was cut off are removed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(f"{self.folder} cannot be made ({error.strerror}): give another --out.") from None
        held = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyError(f"Another process is writing to {self.folder}.") from None
            for partial in self.folder.rglob(f"*{PARTIAL}"):
                if OWN.fullmatch(self._name(partial).removesuffix(PARTIAL)):
                    partial.unlink()
            text = study.toml().encode()
            if self._bytes("study.toml") != text:
                self.write("study.toml", text)
            self._written["study.toml"] = hashlib.sha256(text).hexdigest()
            yield
        finally:
            os.close(held)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder, whole or not at all, also where the power fails."""
        with self._whole(name) as partial:
            partial.write_bytes(content)
        self._written[name] = hashlib.sha256(content).hexdigest()

    @contextmanager
    def _whole(self, name: str) -> Iterator[Path]:
        """The temporary name under which a file is written; it has its own once it is on the disk."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        try:
            yield partial
            _to_disk(partial)
            os.replace(partial, path)
            _to_disk(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    @contextmanager
    def _hashed(self, name: str) -> Iterator[Path]:
        """The same for what another library writes: the checksum is that of the file."""
        with self._whole(name) as partial:
            try:
                yield partial
            except pl.exceptions.PolarsError:  # of a full disk it has errors of its own, which do not always say so
                with partial.open("ab") as file:
                    file.write(bytes(PROBE))  # the system's error, if there is one
                raise
            written = sha256_of(partial)
        self._written[name] = written
        self._sound.add(name)

    def read(self, name: str) -> bytes:
        """A file of the folder, as it was written; Damaged if it is another, or not there."""
        content = self._bytes(name)
        if content is None:
            raise self.damaged(name, "is missing")
        hashes = (self.manifest() or {}).get("files")
        if hashes is not None and hashes.get(name) != hashlib.sha256(content).hexdigest():
            raise self.damaged(name)
        return content

    def damaged(self, name: str, what: str = "is damaged") -> Damaged:
        """The error of a file, with what to do."""
        return Damaged(f"{self.folder / name} {what}: {self.mended_by([name])}")

    def mended_by(self, names: Collection[str]) -> str:
        """What to do about files that are damaged or missing."""
        if "study.toml" in names:
            return f"the study itself, run again with --out {shlex.quote(str(self.folder))}, writes it anew."
        return f"{self.command} computes it anew."

    @property
    def command(self) -> str:
        """What continues or mends this run, as a shell takes it."""
        return f"`testbed run {shlex.quote(str(self.folder / 'study.toml'))} --out {shlex.quote(str(self.folder))}`"

    def write_manifest(self, fields: dict[str, Any]) -> None:
        """Write manifest.json: these fields, and the SHA-256 of every file that this store wrote and that is there."""
        present = {name: self._written[name] for name in sorted(self._written) if (self.folder / name).is_file()}
        unlisted = ("manifest.json", "timings.json")  # times differ from run to run
        files = {name: value for name, value in present.items() if name not in unlisted and not SHARD.fullmatch(name)}
        self.write("manifest.json", sealed.json_bytes(fields | {"files": files}))

    def add_drawn(self) -> None:
        """Name the report and the figures that this store wrote in the manifest, in place of earlier ones."""
        manifest = self.manifest()
        if manifest is None or "files" not in manifest:
            return
        kept = {name: value for name, value in manifest["files"].items() if not DRAWN.fullmatch(name)}
        drawn = {name: value for name, value in self._written.items() if DRAWN.fullmatch(name)}
        self.write("manifest.json", sealed.json_bytes(manifest | {"files": dict(sorted((kept | drawn).items()))}))

    def manifest(self) -> dict[str, Any] | None:
        """What manifest.json says, or None if it is not there; Damaged if it is not as it was written."""
        content = self._bytes("manifest.json")
        if content is None:
            return None
        try:
            return sealed.json_fields(content)
        except ValueError:
            raise self.damaged("manifest.json") from None

    def finished(self) -> bool:
        """Whether every table is there; Damaged if the manifest cannot say."""
        return bool((self.manifest() or {}).get("finished"))

    def damage(self) -> dict[str, Damaged]:
        """The manifest and what it names, as far as they are not as they were written, by their names."""
        try:
            manifest = self.manifest()
        except Damaged as error:
            return {"manifest.json": error}
        if manifest is None:
            others = (self._name(path) for path in self.folder.rglob("*"))
            is_lost = any(OWN.fullmatch(name) and name != "study.toml" for name in others)
            return {"manifest.json": self.damaged("manifest.json", "is missing")} if is_lost else {}
        found = {}
        for name, expected in manifest.get("files", {}).items():
            path = self.folder / name
            if not path.is_file():
                found[name] = self.damaged(name, "is missing")
            elif sha256_of(path) != expected:
                found[name] = self.damaged(name)
            else:
                self._sound.add(name)
        return found

    def write_json(self, name: str, value: Any) -> None:
        """Write indented JSON."""
        self.write(name, (json.dumps(value, indent=2) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """A JSON file; Damaged if it is not as it was written."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise error if isinstance(error, Damaged) else self.damaged(name) from None

    def timings(self) -> dict[str, float]:
        """Seconds by stage of a run's earlier parts; what cannot be read counts as none."""
        try:
            earlier = json.loads(self._bytes("timings.json") or b"{}")
        except (ValueError, RecursionError):
            return {}
        numbers = earlier.items() if isinstance(earlier, dict) else ()
        return {stage: taken for stage, taken in numbers if isinstance(taken, int | float)}

    def write_table(self, name: str, table: pl.DataFrame) -> None:
        """Write a Parquet table."""
        with self._hashed(f"{name}.parquet") as partial:
            table.write_parquet(partial, compression_level=COMPRESSION)

    def write_long(self, table: LongTable) -> None:
        """Write a Parquet table of parts; one of more than IN_MEMORY numbers is never in memory whole."""
        parts = (pl.concat([table.columns, part], how="diagonal_relaxed") for part in table.parts)
        if table.n_rows * table.columns.width <= IN_MEMORY:
            whole = table.columns.clone()
            for part in parts:
                whole.extend(part)  # in place: never twice, as pl.concat would have it
            self.write_table(table.name, whole)
            return
        source = register_io_source(lambda *_: parts, schema=table.columns.schema)
        with self._hashed(f"{table.name}.parquet") as partial:
            source.sink_parquet(partial, compression_level=COMPRESSION, row_group_size=ROW_GROUP, maintain_order=True)

    def scan_table(self, name: str) -> pl.LazyFrame:
        """A Parquet table, to be read as far as it is asked for; Damaged if it is not as it was written."""
        file = f"{name}.parquet"
        path = self.folder / file
        if not path.is_file():
            raise self.damaged(file, "is missing")
        hashes = (self.manifest() or {}).get("files")
        if file not in self._sound and hashes is not None and hashes.get(file) != sha256_of(path):
            raise self.damaged(file)
        self._sound.add(file)
        found = pl.scan_parquet(path)
        try:
            found.collect_schema()
        except pl.exceptions.PolarsError:  # of a folder without checksums
            raise self.damaged(file) from None
        return found

    def table(self, name: str) -> pl.LazyFrame:
        """A Parquet table; one of at most KEPT numbers is read now, a longer one as far as it is asked for."""
        table = self.scan_table(name)
        n_rows = table.select(pl.len()).collect().item()
        return table if n_rows * table.collect_schema().len() > KEPT else self.read_table(name).lazy()

    def read_table(self, name: str) -> pl.DataFrame:
        """A whole Parquet table; Damaged if it is not as it was written."""
        try:
            return self.scan_table(name).collect()
        except pl.exceptions.PolarsError:  # of a folder without checksums
            raise self.damaged(f"{name}.parquet") from None

    def write_tensors(self, name: str, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Write a safetensors file, with what it is `about` and a checksum in its metadata."""
        file = f"{name}.safetensors"
        is_shard = SHARD.fullmatch(file) is not None  # which no manifest names
        with self._whole(file) if is_shard else self._hashed(file) as partial:
            sealed.write_tensors(partial, tensors, about)
        self._sound.add(file)

    def has_tensors(self, name: str) -> bool:
        """Whether a safetensors file is there."""
        return (self.folder / f"{name}.safetensors").is_file()

    def read_tensors(self, name: str, about: dict[str, Any]) -> dict[str, Tensor]:
        """A safetensors file, mapped; Damaged if it is not as it was written, or about something else."""
        file = f"{name}.safetensors"
        if not self.has_tensors(name):
            raise self.damaged(file, "is missing")
        try:
            tensors, found = sealed.tensors_of(self.folder / file, unchecked=file in self._sound)
        except ValueError:
            raise self.damaged(file) from None
        if found != about:
            raise self.damaged(file, "is of another run")
        self._sound.add(file)
        return tensors

    def drop_shards(self) -> None:
        """Remove the shards of a run, and their folder unless something else is in it."""
        shards = self.folder / "shards"
        for path in shards.iterdir() if shards.is_dir() else ():
            if SHARD.fullmatch(self._name(path).removesuffix(PARTIAL)):
                path.unlink()
        with suppress(OSError):  # a file of the user's is in it, or there is none
            shards.rmdir()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _bytes(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None


def _to_disk(path: Path) -> None:
    """Have the system write a file, or a folder's names, where a loss of power cannot take it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
