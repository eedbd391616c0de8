"""What the command `testbed` can do, a class for each command.

Each imports what it needs when it is called: help and the list of studies wait for nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import tyro

from testbed.commands.folders import Compare, Gallery, Report, Verify
from testbed.commands.machine import Completion, Derive, Doctor
from testbed.commands.runs import Run
from testbed.commands.studies import Fields, New, Studies

Command: TypeAlias = New | Run | Report | Compare | Gallery | Verify | Studies | Fields | Derive | Doctor | Completion


def parse(arguments: list[str] | None) -> Command:
    """The command that these arguments ask for; those of the shell if there are none.

    >>> parse(["report", "runs/width"]).folder.name
    'width'
    """
    return tyro.cli(Command, prog="testbed", args=arguments)
