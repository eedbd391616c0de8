"""Reads the machine code of NVIDIA GPUs: instructions, loops, and what each instruction says of itself.

Volta and later encode the stall count in bits 41 – 44 of an instruction's upper word, the scoreboard that it sets in
bits 46 – 48 (49 – 51 for one that guards its operands), and the awaited ones in bits 52 – 57; registers have two banks,
even and odd (Jia, Maggioni, Staiger & Scarpazza 2018, "Dissecting the NVIDIA Volta GPU architecture via
microbenchmarking").
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# opcode (before its first dot) to pipe; everything else is the integer and logic pipe, "alu"
PIPES = {
    "fma": ("FFMA", "FMUL", "FADD", "FFMA2", "FMUL2", "FADD2", "IMAD", "HFMA2"),
    "fp64": ("DFMA", "DMUL", "DADD", "DSETP", "DMNMX"),
    "special": ("MUFU", "I2F", "F2I", "F2F", "I2I", "FRND", "POPC", "FLO"),
    "memory": ("LDG", "STG", "LDS", "STS", "LDL", "STL", "LD", "ST", "SHFL", "ATOMS", "ATOMG", "RED", "LDSM", "LDGSTS"),
    "tensor": ("HMMA", "IMMA", "DMMA"),
    "control": ("BRA", "BAR", "EXIT", "WARPSYNC", "BSYNC", "BSSY", "NOP", "CALL", "RET", "DEPBAR"),
    "uniform": ("R2UR", "S2R", "S2UR", "CS2R", "LDC", "VOTE", "VOTEU"),
}
PIPE_OF = {opcode: pipe for pipe, opcodes in PIPES.items() for opcode in opcodes}


@dataclass
class Instruction:
    """One line of machine code."""

    address: int
    opcode: str
    operands: str
    upper: int = 0

    @property
    def name(self) -> str:
        """The opcode without its modifiers."""
        return self.opcode.split(".")[0]

    @property
    def pipe(self) -> str:
        """What executes it."""
        return PIPE_OF.get(self.name, "uniform" if self.name.startswith("U") else "alu")

    @property
    def stall(self) -> int:
        """Cycles until the warp's next instruction may start."""
        return max(self.upper >> 41 & 15, 1)

    @property
    def sets(self) -> tuple[int, ...]:
        """The scoreboards that it holds until it is done."""
        return tuple(board for board in (self.upper >> 46 & 7, self.upper >> 49 & 7) if board != 7)

    @property
    def awaits(self) -> tuple[int, ...]:
        """The scoreboards that it waits for."""
        return tuple(board for board in range(6) if self.upper >> 52 + board & 1)

    @property
    def spills(self) -> bool:
        """Whether it moves a register to or from local memory."""
        return self.name in ("LDL", "STL")

    @property
    def reads(self) -> tuple[tuple[int, int, bool], ...]:
        """Registers that it reads: place among the operands, number, and whether it keeps the number for the next."""
        found = []
        for place, operand in enumerate(self.operands.split(",")[1:]):
            if (register := re.search(r"\bR(\d+)", operand)) and "c[" not in operand:
                found.append((place, int(register[1]), ".reuse" in operand))
        return tuple(found)

    @property
    def size(self) -> int:
        """Bytes that a lane moves, if it is a load or a store."""
        if self.name == "LDSM":  # so many matrices, of each of which a lane gets 4 bytes
            return 4 * int(self.opcode.rsplit(".", 1)[1])
        return next((int(part) // 8 for part in self.opcode.split(".") if part in ("64", "128")), 4)

    @property
    def spilled_bytes(self) -> range:
        """The bytes of a lane's local memory that it moves."""
        place = re.search(r"\[R1(?:\+(0x[0-9a-f]+))?\]", self.operands)
        start = int(place[1] or "0", 16) if place else 0
        return range(start, start + self.size)


def disassemble(cubin: bytes) -> tuple[list[Instruction], dict[str, int], tuple[int, int]]:
    """Instructions, the index that each label stands for, and (registers, shared bytes) of the one kernel in a
    cubin.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        listing = _tool("nvdisasm", "-c", "-hex", str(path))
        usage = _tool("cuobjdump", "-res-usage", str(path))
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in listing.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(instructions)
        elif found := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?);", line):
            instructions.append(Instruction(int(found[1], 16), found[2], found[3]))
        elif (found := re.match(r"\s+/\* 0x([0-9a-f]{16}) \*/", line)) and instructions:
            instructions[-1].upper = int(found[1], 16)
    numbers = re.search(r"REG:(\d+).*?SHARED:(\d+)", usage)
    assert instructions and numbers, "nvdisasm and cuobjdump print what this module expects"
    return instructions, labels, (int(numbers[1]), int(numbers[2]))


def loops(instructions: list[Instruction], labels: dict[str, int]) -> list[range]:
    """Bodies of the loops (from the target of a backward branch to the branch), the longest first; a branch to itself
    is padding.
    """
    found = set()
    for index, instruction in enumerate(instructions):
        if instruction.name == "BRA" and (label := re.search(r"\.L_\w+", instruction.operands)):
            start = labels.get(label[0], len(instructions))
            if start < index:
                found.add((start, index + 1))
    return sorted((range(*pair) for pair in found), key=len, reverse=True)


def _tool(name: str, *arguments: str) -> str:
    """What a tool of the CUDA toolkit that Triton ships prints."""
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout
