"""What the command says of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from testbed.commands.console import console

if TYPE_CHECKING:
    from testbed.report import Page


def summary(written: Page) -> None:
    """Print the answer, mean barriers by the first factor, and where the report is."""
    from testbed import columns
    from testbed.report import answers
    from testbed.results.comparison import group_means, interval

    results = written.results
    page = console()
    for sentence in answers(results, written.answer):
        page.print(f"• {sentence}")
    barrier = columns.barrier(f"{results.part}_loss")
    if results.has(barrier):  # not if every network diverged
        factors = results.factors[:1]
        labels = (results.label(key) for key in factors)
        table = Table("pairs", *labels, "n", f"{columns.readable(barrier)} [95 %]", box=None)
        by = ["kind", *factors]
        for row in group_means(results.pairs_with(barrier), by, barrier).to_dicts():
            table.add_row(*(str(row[key]) for key in by), f"{row['n']:,}", interval(row))
        page.print(table)
    page.print(f"report: {written.path}")
