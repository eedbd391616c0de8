"""Commands about run folders: draw a page anew, compare two, collect all, hold files against their checksums."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.table import Table

from testbed import run_folder
from testbed.commands.console import console, print_table
from testbed.commands.summary import summary


@dataclass(frozen=True)
class Report:
    """Draw the figures and write report.html of a finished run anew."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""

    def __call__(self) -> None:
        """Write the report."""
        run_folder.check(self.folder)
        from testbed.report import write_page
        from testbed.results.store import Store

        summary(write_page(Store(self.folder)))


@dataclass(frozen=True)
class Compare:
    """Hold two runs against each other: where their studies differ, and whether their barriers do."""

    first: tyro.conf.Positional[Path]
    """Run folder, A in the tables."""
    second: tyro.conf.Positional[Path]
    """Run folder, B."""

    def __call__(self) -> None:
        """Print what differs, the barriers beside each other, and what is sure of their differences."""
        for folder in (self.first, self.second):
            run_folder.check(folder)
        from testbed.report import two_runs
        from testbed.results import Results

        found = two_runs.compare(Results.load(self.first), Results.load(self.second))
        page = console()
        page.print(f"A: {self.first}\nB: {self.second}\n")
        for title, header, rows in found.tables:
            print_table(title, header, rows)
            page.print()
        for sentence in found.sentences:
            page.print(f"• {sentence}")


@dataclass(frozen=True)
class Gallery:
    """Write one page of all runs below a folder: question, answer, picture, link."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Folder with run folders in it, at any depth."""
    out: Path | None = None
    """The page; FOLDER/index.html if it is not given."""

    def __call__(self) -> None:
        """Write the page, and say where it is."""
        from testbed.report.gallery import write_gallery

        out = self.out or self.folder / "index.html"
        n_runs, others = write_gallery(self.folder, out)
        for sentence in others:
            console().print(f"left out: {sentence}")
        console().print(f"{n_runs} run{'s' * (n_runs != 1)}: {out}")


@dataclass(frozen=True)
class Verify:
    """Say of every file of a run folder whether it is as it was written."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""

    def __call__(self) -> None:
        """Print the files and what was found. Exit code 1 if one is damaged or missing."""
        run_folder.check(self.folder)
        from testbed.results.store import Store
        from testbed.results.verify import verify

        checked = verify(self.folder)
        table = Table("file", "", box=None)
        for file in checked:
            table.add_row(file.name, file.found)
        console().print(table)
        wrong = [file.name for file in checked if not file.holds]
        if not wrong:
            console().print(f"{self.folder} holds.")
            return
        console().print(f"{len(wrong)} of {len(checked)} files do not hold: {Store(self.folder).mended_by(wrong)}")
        sys.exit(1)
