"""What the command `testbed` can do: run, report, verify, list studies and fields, derive, examine this machine.

Each command imports what it needs when it is called: help and the list of studies wait for nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from testbed.study import Study


@dataclass(frozen=True)
class Run:
    """Run a study, or continue it where it was cut off; prints where the report is."""

    study: tyro.conf.Positional[str]
    """Path of a study's TOML file, or the name of a shipped study."""
    set: tyro.conf.UseAppendAction[Annotated[list[str], tyro.conf.arg(metavar="KEY=VALUE")]] = field(
        default_factory=list
    )
    """A setting that replaces the file's, the value in TOML: training.steps=100. May be given several times."""
    out: Path | None = None
    """Run folder; runs/NAME-OF-THE-STUDY (with -quick) if it is not given."""
    backend: Literal["auto", "gpu", "native", "reference"] = "auto"
    """What trains and measures."""
    quick: bool = False
    """Shrink the study to a few seconds: a tenth of the families, a twentieth of the steps, and so on."""
    scale: float = 1.0
    """So many times as many families and pairs: 100 makes a study for two cores one for a GPU."""
    cluster: str | None = None
    """Address of a Dask cluster that trains and measures: tcp://HOST:PORT of its scheduler; local:4, processes of this
    machine with a share of its cores (or a GPU) each; slurm:PARTITION:8, jobs.
    """

    dry_run: bool = False
    """Only say how many networks and pairs it would be, and about how long and how much memory it would take."""

    def __call__(self) -> None:
        """Run the study."""
        from testbed.run import run_study
        from testbed.shipped import find
        from testbed.study import Study

        study = Study.load(self.study, self.set, self.quick, self.scale)
        if self.dry_run:
            _forecast(study, self.backend)
            return
        quick = "-quick" if self.quick else ""
        times = f"-times-{self.scale:g}" if self.scale != 1 else ""
        out = self.out or Path("runs") / f"{find(self.study).stem}{quick}{times}"
        report = run_study(study, out, backend=self.backend, progress=True, cluster=self.cluster)
        _summary(report)


@dataclass(frozen=True)
class Report:
    """Draw the figures and write report.html of a finished run anew."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""

    def __call__(self) -> None:
        """Write the report."""
        from testbed.report import write_report

        _summary(write_report(self.folder))


@dataclass(frozen=True)
class Verify:
    """Say of every file of a run folder whether it is as it was written."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""

    def __call__(self) -> None:
        """Print the files and what was found. Exit code 1 if one is damaged or missing."""
        from testbed.results.store import Store
        from testbed.results.verify import verify

        checked = verify(self.folder)
        table = Table("file", "", box=None)
        for file in checked:
            table.add_row(file.name, file.found)
        _console().print(table)
        wrong = [file.name for file in checked if not file.holds]
        if not wrong:
            _console().print(f"{self.folder} holds.")
            return
        _console().print(f"{len(wrong)} of {len(checked)} files do not hold: {Store(self.folder).mended_by(wrong)}")
        sys.exit(1)


@dataclass(frozen=True)
class Studies:
    """List the shipped studies and their questions."""

    def __call__(self) -> None:
        """Print the list."""
        from testbed.shipped import questions

        table = Table("study", "question", box=None)
        for name, question in questions().items():
            table.add_row(name, question)
        _console(soft_wrap=False).print(table)


@dataclass(frozen=True)
class Fields:
    """Say what a study may hold: every field with its type and default, and what it means."""

    table: tyro.conf.Positional[str] = ""
    """One table alone, such as data.spirals, training or measure; none prints all."""

    def __call__(self) -> None:
        """Print the tables."""
        from testbed.study import fields

        console = _console()
        for described in fields.described(self.table):
            of_kind = f" of kind {described.kind}" if described.kind else ""
            console.rule(f"{described.key or 'the study'}{of_kind}", align="left")
            console.print(described.text)
            table = Table("field", "type", "default", box=None)
            for row in described.rows:
                table.add_row(*row)
            console.print(table)


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can run, and how fast."""

    gpu: bool = False
    """Hold the GPU kernels against the reference and time them, beside the bounds read from their machine code and
    beside other tools.
    """

    minutes: float = 8.0
    """How long --gpu may take, about; the most telling comes first."""

    out: Path | None = None
    """With --gpu: file for what was found, one JSON object a line, written as it comes."""

    def __call__(self) -> None:
        """Print the tables. Exit code 1 if a GPU kernel disagrees with the reference."""
        from testbed import doctor

        doctor.examine(_console(soft_wrap=False))
        if self.gpu and not doctor.examine_gpu(_console(), self.minutes, self.out):
            sys.exit(1)


@dataclass(frozen=True)
class Derive:
    """Print the derivation of a formula, from its definition, in LaTeX."""

    name: tyro.conf.Positional[str] = ""
    """Name of the derivation; none lists them."""

    def __call__(self) -> None:
        """Print the derivation, or the list."""
        from testbed.errors import StudyError
        from theory.symbolic import DERIVATIONS, derive  # sympy takes half a second to import

        if self.name:
            try:
                print(derive(self.name))
            except ValueError as error:
                raise StudyError(f"{error}.") from None
            return
        table = Table("name", "what it derives", box=None)
        for name, function in DERIVATIONS.items():
            table.add_row(name, (function.__doc__ or "").splitlines()[0])
        _console(soft_wrap=False).print(table)


def _console(soft_wrap: bool = True) -> Console:
    """Prints everything as it stands: a name in a study may hold what rich would take for markup."""
    return Console(soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


def _forecast(study: Study, backend: str) -> None:
    """What a run of the study would take."""
    from testbed import memory
    from testbed.ensemble import backend as backends
    from testbed.ensemble import bounds
    from testbed.ensemble.plan import plan

    made = plan(study)
    chosen = backends.resolve(backend, made)
    cells = [cell for launch in made.launches for cell in launch.cells.values()]
    minutes = sum(bounds.seconds_needed(cells, chosen).values()) / 60
    table = Table("", "", box=None, show_header=False)
    table.add_row("cells", f"{len(made.cells):,}")
    table.add_row("networks", f"{len(made.networks):,}, in {len(made.launches):,} launches")
    table.add_row("pairs", f"{len(made.pairs):,}")
    table.add_row("backend", chosen)
    time = "under a minute" if minutes < 1 else f"about {minutes:,.0f} minutes, within a factor of two or three,"
    table.add_row("time", f"{time} on two cores")
    table.add_row("memory", f"about {memory.readable(sum(bounds.bytes_needed(cells, chosen).values()))}")
    _console().print(table)


def _summary(report: Path) -> None:
    """The answer, mean barriers by the first factor, and where the report is."""
    from testbed import columns
    from testbed.report import answers
    from testbed.results.comparison import group_means, interval
    from testbed.results.results import Results

    results = Results.load(report.parent)
    console = _console()
    for sentence in answers(results):
        console.print(f"• {sentence}")
    barrier = columns.barrier(f"{results.part}_loss")
    if results.has(barrier):  # not if every network diverged
        factors = results.factors[:1]
        labels = (results.label(key) for key in factors)
        table = Table("pairs", *labels, "n", f"{columns.readable(barrier)} [95 %]", box=None)
        by = ["kind", *factors]
        for row in group_means(results.pairs, by, barrier).to_dicts():
            table.add_row(*(str(row[key]) for key in by), f"{row['n']:,}", interval(row))
        console.print(table)
    console.print(f"report: {report}")


def parse(arguments: list[str] | None) -> Run | Report | Verify | Studies | Fields | Derive | Doctor:
    """The command that these arguments ask for; those of the shell if there are none.

    >>> parse(["report", "runs/width"]).folder.name
    'width'
    """
    return tyro.cli(Run | Report | Verify | Studies | Fields | Derive | Doctor, prog="testbed", args=arguments)
