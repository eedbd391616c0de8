"""The command that runs a study, or says what a run would take."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.table import Table

from testbed.commands.console import console
from testbed.commands.summary import summary
from testbed.run_folder import folder_name, is_begun

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
        from testbed.shipped import find
        from testbed.toml import read

        path = find(self.study)
        read(path)  # what is no TOML is refused before torch is loaded
        from testbed.study import Study

        study = Study.load(path, self.set, self.quick, self.scale)
        if self.dry_run:
            _forecast(study, self.backend)
            return
        out = self.out or Path("runs") / folder_name(path.stem, self.quick, self.scale)
        if not is_begun(out):
            from testbed.ensemble import bounds

            bounds.check_memory([cell.study for cell in study.cells()])  # what is too large is refused before torch too
        from testbed.run import run_to_page

        gc.freeze()  # what was imported stays: no collection of garbage needs to go through all of it again
        summary(run_to_page(study, out, backend=self.backend, progress=True, cluster=self.cluster))


def _forecast(study: Study, backend: str) -> None:
    """What a run of the study would take."""
    from testbed import memory
    from testbed.ensemble.forecast import forecast

    made = forecast(study, backend)
    minutes = made.seconds / 60
    time = "under a minute" if minutes < 1 else f"about {minutes:,.0f} minutes, within a factor of two or three,"
    table = Table("", "", box=None, show_header=False)
    table.add_row("cells", f"{made.cells:,}")
    table.add_row("networks", f"{made.networks:,}, in {made.launches:,} launch{'es' * (made.launches != 1)}")
    table.add_row("pairs", f"{made.pairs:,}")
    table.add_row("backend", made.backend)
    table.add_row("time", f"{time} on two cores")
    table.add_row("memory", f"about {memory.readable(made.bytes)}, beside what Python and torch take")
    console().print(table)
