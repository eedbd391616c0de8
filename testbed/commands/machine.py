"""Commands that need no study: what this machine can run, formulas derived, completion in a shell."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.table import Table

from testbed.commands.console import console


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

        doctor.examine(console(soft_wrap=False))
        if self.gpu and not doctor.examine_gpu(console(), self.minutes, self.out):
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
        console(soft_wrap=False).print(table)


@dataclass(frozen=True)
class Completion:
    """Print a script that makes a shell complete this command with TAB."""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """Your shell. The script goes to ~/.local/share/bash-completion/completions/testbed (bash), ~/.zfunc/_testbed (zsh,
    with that folder in fpath before compinit) or ~/.config/fish/completions/testbed.fish (fish).
    """

    def __call__(self) -> None:
        """Print the script."""
        from testbed.commands import parse

        parse(["--tyro-print-completion", self.shell])
