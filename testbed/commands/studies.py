"""Commands about studies: those that are shipped, what one may hold, and a new one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from testbed.commands.console import console


@dataclass(frozen=True)
class Studies:
    """List the shipped studies and their questions."""

    def __call__(self) -> None:
        """Print the list."""
        from testbed.shipped import questions

        table = Table("study", "question", box=None)
        for name, question in questions().items():
            table.add_row(name, question)
        console(soft_wrap=False).print(table)


@dataclass(frozen=True)
class New:
    """Write a commented study that runs, to be edited; printed if no file is named."""

    file: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="[FILE]")]] = None
    """The file to write, such as decay.toml; one that is there already stays as it is."""
    data: str = "gaussian_mixture"
    """Data family: gaussian_mixture, spirals, teacher_student, …; `testbed fields data` lists them."""
    vary: tyro.conf.UseAppendAction[Annotated[list[str], tyro.conf.arg(metavar="KEY=VALUE,VALUE")]] = field(
        default_factory=list
    )
    """What varies, and its values: architecture.hidden=8,32,128. May be given several times."""
    set: tyro.conf.UseAppendAction[Annotated[list[str], tyro.conf.arg(metavar="KEY=VALUE")]] = field(
        default_factory=list
    )
    """A setting, the value in TOML: training.steps=1000. May be given several times."""
    question: str = ""
    """What the study asks; made of what varies if it is not given."""

    def __call__(self) -> None:
        """Write or print the study; nothing is written that does not run."""
        from testbed import draft
        from testbed.errors import StudyError

        if self.file is not None and self.file.exists():
            raise StudyError(f"{self.file} is there already: name another file, or remove it first.")
        text = draft.draft(self.data, self.vary, self.set, self.question)
        study = draft.check(text, Path() if self.file is None else self.file.parent)
        if self.file is None:
            print(text, end="")
            return
        with self.file.open("x", encoding="utf-8") as new:
            new.write(text)
        cells = study.cells()
        n_networks = sum(cell.study.ensemble.n_networks for cell in cells)
        size = f"{len(cells)} cell{'s' * (len(cells) != 1)}, {n_networks:,} networks"
        console().print(f"{self.file}: {size}. Try it: testbed run {self.file} --quick")


@dataclass(frozen=True)
class Fields:
    """Say what a study may hold: every field with its type and default, and what it means."""

    table: tyro.conf.Positional[str] = ""
    """One table alone, such as data.spirals, training or measure; none prints all."""

    def __call__(self) -> None:
        """Print the tables."""
        from testbed.study import fields

        page = console()
        for described in fields.described(self.table):
            page.rule(described.heading, align="left")
            page.print(described.text)
            table = Table("field", "type", "default", box=None)
            for row in described.rows:
                table.add_row(*row)
            page.print(table)
