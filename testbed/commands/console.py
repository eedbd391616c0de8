"""Where commands print."""

from __future__ import annotations

from rich.console import Console


def console(soft_wrap: bool = True) -> Console:
    """Prints everything as it stands: a name in a study may hold what rich would take for markup."""
    return Console(soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)
