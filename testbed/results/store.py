"""The run folder: whole files only, and the same bytes however often the run was cut off.

Every file is written under a temporary name and renamed. While a study runs, its shards lie in `shards/`, a
safetensors file each; at the end they become the tables and parameter files, `manifest.json` says so, and the shards
go.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from safetensors.torch import load, save
from torch import Tensor

from testbed.errors import StudyError
from testbed.study import Study

PARTIAL = ".partial"


class Store:
    """A run folder. Nothing is written before `begin`.

    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp())
    >>> store.write_json("manifest.json", {"finished": True})
    >>> store.finished()
    True
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.figures = self.folder / "figures"

    def check(self, study: Study) -> None:
        """StudyError unless the folder is absent, empty, or of this very study."""
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            return
        if self.folder.exists() and (not self.folder.is_dir() or not (self.folder / "study.toml").is_file()):
            raise StudyError(f"{self.folder} exists and is not a run folder: give another --out.")
        if self.folder.exists() and (self.folder / "study.toml").read_text(encoding="utf-8") != study.toml():
            raise StudyError(
                f"{self.folder} holds another study (its study.toml differs from this one): give another --out."
            )

    @contextmanager
    def begin(self, study: Study) -> Iterator[None]:
        """Hold the folder for writing, alone; half-written files of a run that was cut off are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "study.toml").exists():
            self.write("study.toml", study.toml().encode())
        with (self.folder / "study.toml").open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyError(f"Another process is writing to {self.folder}.") from None
            for partial in self.folder.rglob(f"*{PARTIAL}"):
                partial.unlink()
            yield

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Write indented JSON."""
        self.write(name, (json.dumps(value, indent=2) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """A JSON file, or None if it is not there."""
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def write_table(self, name: str, table: pl.DataFrame) -> None:
        """Write a Parquet table."""
        buffer = io.BytesIO()
        table.write_parquet(buffer)
        self.write(f"{name}.parquet", buffer.getvalue())

    def read_table(self, name: str) -> pl.DataFrame:
        """A Parquet table."""
        return pl.read_parquet(self.folder / f"{name}.parquet")

    def write_tensors(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Write a safetensors file."""
        self.write(f"{name}.safetensors", save({key: tensor.contiguous() for key, tensor in sorted(tensors.items())}))

    def has_tensors(self, name: str) -> bool:
        """Whether a safetensors file is there; if it is, it is whole."""
        return (self.folder / f"{name}.safetensors").is_file()

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """A safetensors file."""
        return load((self.folder / f"{name}.safetensors").read_bytes())

    def finished(self) -> bool:
        """Whether every table is there."""
        return bool((self.read_json("manifest.json") or {}).get("finished"))

    def drop_shards(self) -> None:
        """Remove the shards of a finished run."""
        shutil.rmtree(self.folder / "shards", ignore_errors=True)
