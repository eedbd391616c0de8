"""Where commands print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

WIDE = 140  # columns of a table in a file or a pipe, where there is no terminal to fit


def console(soft_wrap: bool = True) -> Console:
    """Prints everything as it stands: a name in a study may hold what rich would take for markup."""
    return Console(soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table below its title, as wide as the terminal, or WIDE where there is none.

    Cells are folded where there is little room, and never cut.
    """
    table = Table(box=None)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out = console(soft_wrap=False)
    if not out.is_terminal:
        out.width = WIDE
    out.print(title)
    out.print(table)
