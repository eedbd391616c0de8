"""Runs the PTX of a compiled kernel on numpy: what the compiler made of the source, with no GPU, one instruction
after the other.

All threads of all programs go in step, an instruction being one operation on arrays `[programs · threads]`; where
programs branch apart, each side goes on by itself (programs do not speak to each other). Within a program a branch
must be uniform. Every load and store is checked against the arrays that the kernel was given. Registers hold raw
bits, as the machine's do. An instruction that is not known here raises NotImplementedError with its text.

    run(ptx, arguments, programs, shared)       # arguments: numpy arrays, which the kernel changes, and whole
    numbers, in its order
"""

from __future__ import annotations

import numpy as np

from tests.kernels.gpu.ptx.code import parse
from tests.kernels.gpu.ptx.machine import Machine, Threads
from tests.kernels.gpu.ptx.memory import Memory


def run(ptx: str, arguments: list, n_programs: int, shared: int = 0) -> None:
    """Launch n_programs programs with `shared` bytes of shared memory each; the arrays among the arguments are
    changed.
    """
    code = parse(ptx)
    arrays = {
        a.ctypes.data: a for a in arguments if isinstance(a, np.ndarray)
    }  # one that is given twice lies in one place
    memory = Memory(list(arrays.values()))
    begins = dict(zip(arrays, memory.begins, strict=True))
    values = [begins[a.ctypes.data] if isinstance(a, np.ndarray) else int(a) for a in arguments]
    programs = np.arange(n_programs)
    cells = np.zeros((n_programs, -(-max(shared, 16) // 16) * 16), np.uint8)
    Machine(code, memory, values, n_programs).run(Threads(programs, 0, {}, cells))
    memory.give_back()
