"""How far a run is: bars in a terminal, a plain line every ten seconds in a file or a pipe."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 10.0


class Stages:
    """The stages of a run, each with what is done of its total; a context that shows them.

    >>> from rich.console import Console
    >>> with Stages(Console(width=80), shown=False) as stages:
    ...     stages.add("pairs", 10)
    ...     stages.advance("pairs", 4)
    ...     stages.done("pairs"), stages.text
    (4.0, 'pairs 4 of 10')
    """

    def __init__(self, console: Console, shown: bool) -> None:
        self.console = console
        columns = (
            TextColumn("{task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=not (shown and console.is_terminal))
        self._in_lines = shown and not console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._next_line = 0.0

    def __enter__(self) -> Stages:
        self._bars.start()
        self._next_line = time.monotonic() + LINE_SECONDS
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def add(self, stage: str, total: float | None) -> None:
        """Begin a stage of so much."""
        self._tasks[stage] = self._bars.add_task(stage, total=total)

    def advance(self, stage: str, amount: float) -> None:
        """So much more of a stage is done."""
        self.set(stage, self.done(stage) + amount)

    def set(self, stage: str, done: float, total: float | None = None) -> None:
        """So much of a stage is done; `total` where it was not known before."""
        self._bars.update(self._tasks[stage], completed=done, total=total)
        if self._in_lines and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self.console.print(f"testbed: {self.text}", soft_wrap=True, highlight=False)

    def done(self, stage: str) -> float:
        """What is done of a stage."""
        return float(self._bars.tasks[self._tasks[stage]].completed)

    @property
    def text(self) -> str:
        """All stages in a line."""
        tasks = self._bars.tasks
        return ", ".join(f"{task.description} {task.completed:,.0f} of {task.total or 0:,.0f}" for task in tasks)
