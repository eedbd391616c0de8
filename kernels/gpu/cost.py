"""What a compiled GPU kernel will cost, read from its machine code; no GPU needed.

Two numbers, and neither is a measurement. The *issue bound*: a scheduler starts one instruction a cycle, and each
pipe takes a warp's instruction in a known number of cycles; no run can be faster. The *latency estimate*: a warp
waits as long as its stall counts say, and `WAIT` cycles for every scoreboard it waits on; warps of one scheduler hide
each other's waits perfectly. Caches always hit.

Volta and later encode the stall count in bits 41 – 44 and the awaited scoreboards in bits 52 – 57 of an instruction's
upper word (Jia, Maggioni, Staiger & Scarpazza 2018, "Dissecting the NVIDIA Volta GPU architecture via
microbenchmarking").
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WAIT = 30  # cycles of a shared-memory or first-level-cache access, about


@dataclass(frozen=True)
class Gpu:
    """One GPU: its target, multiprocessors, sustained boost clock (GHz), and per multiprocessor: FP32 and FP64 lanes,
    warps, blocks, shared KiB.
    """

    target: str
    processors: int
    clock: float
    lanes: int
    double_lanes: int
    warps: int
    blocks: int
    shared: int

    @property
    def flops(self) -> float:
        """FP32 operations a second, a multiply-add counting two."""
        return 2e9 * self.processors * self.lanes * self.clock


GPUS = {
    "H100": Gpu("sm_90", 132, 1.755, 128, 64, 64, 32, 228),
    "H200": Gpu("sm_90", 132, 1.98, 128, 64, 64, 32, 228),  # the clock it held under load
    "A100": Gpu("sm_80", 108, 1.41, 64, 32, 64, 32, 164),
    "B200": Gpu("sm_100", 148, 1.85, 128, 64, 64, 32, 228),
    "RTX 4090": Gpu("sm_89", 128, 2.52, 128, 2, 48, 24, 100),
}

# by compute capability: FP32 and FP64 lanes, warps, blocks and shared KiB of a multiprocessor (CUDA C++ programming
# guide, table of technical specifications; throughput of native arithmetic instructions)
CAPABILITIES = {
    (8, 0): (64, 32, 64, 32, 164),
    (8, 6): (128, 2, 48, 16, 100),
    (8, 9): (128, 2, 48, 24, 100),
    (9, 0): (128, 64, 64, 32, 228),
    (10, 0): (128, 64, 64, 32, 228),
    (12, 0): (128, 2, 48, 24, 100),
}


def gpu_named(name: str, capability: tuple[int, int], processors: int, clock: float) -> Gpu | None:
    """What is known of a GPU: by its name, else by its compute capability, with its own multiprocessors and clock
    (GHz); None for neither.

    >>> gpu_named("NVIDIA H200", (9, 0), 132, 1.98).clock
    1.98
    >>> gpu_named("Another GPU", (8, 6), 84, 1.7).lanes
    128
    """
    for known, gpu in GPUS.items():
        if known in name:
            return gpu
    if capability not in CAPABILITIES:
        return None
    return Gpu(f"sm_{capability[0]}{capability[1]}", processors, clock, *CAPABILITIES[capability])


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


@dataclass(frozen=True)
class Cost:
    """Per network-step unless it says otherwise.

    registers of a lane; spills: local loads and stores inside the step loop; shared memory of a program (bytes);
    warps resident on a scheduler; instructions of a warp by pipe, divided by the networks of a warp; rates in
    network-steps/s of the whole GPU.
    """

    registers: int
    spills: float
    shared: int
    resident: float
    instructions: dict[str, float]
    issue_bound: float
    latency_estimate: float
    roofline: float
    opcodes: dict[str, float] = field(repr=False)

    @property
    def share(self) -> float:
        """The lower of the two rates, as a share of the FP32 roofline."""
        return min(self.issue_bound, self.latency_estimate) / self.roofline


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


def cost(kernel: Any, gpu: Gpu, turns: float, networks: int, flop: float) -> Cost:
    """Cost of the step loop of a compiled training kernel.

    turns: how often a step goes round the loop over samples; networks: that a program trains; flop: of one
    network-step at its leanest, for the roofline. Further loops within a step (a permutation's walk) count once.
    """
    instructions, labels, (registers, shared) = disassemble(kernel.asm["cubin"])
    bodies = loops(instructions, labels)
    step = bodies[0] if bodies else range(len(instructions))
    inner = [body for body in bodies[1:] if body.start >= step.start and body.stop <= step.stop]
    samples = inner[0] if inner else range(0)
    warps, shared = kernel.metadata.num_warps, max(shared, kernel.metadata.shared)
    opcodes: dict[str, float] = defaultdict(float)
    pipes: dict[str, float] = defaultdict(float)
    stalled = 0.0
    for index in step:
        instruction, times = instructions[index], turns if index in samples else 1.0
        opcodes[instruction.name] += times
        pipes[instruction.pipe] += times
        stalled += times * (max(instruction.upper >> 41 & 15, 1) + WAIT * bool(instruction.upper >> 52 & 63))
    issued = sum(pipes.values())
    busiest = max(issued, *(count * _cycles(pipe, gpu) for pipe, count in pipes.items()))
    resident = _resident(gpu, registers, shared, warps)
    rate = gpu.processors * 4 * gpu.clock * 1e9 * networks / warps  # per cycle of a scheduler
    return Cost(
        registers,
        opcodes["LDL"] + opcodes["STL"],
        shared,
        resident,
        {pipe: count * warps / networks for pipe, count in sorted(pipes.items(), key=lambda item: -item[1])},
        rate / busiest,
        rate / max(busiest, stalled / resident),
        gpu.flops / flop,
        opcodes,
    )


def _cycles(pipe: str, gpu: Gpu) -> float:
    """Cycles for which a warp's instruction holds its pipe on one of a multiprocessor's four schedulers."""
    return {
        "fma": 128 / gpu.lanes,
        "fp64": 128 / gpu.double_lanes,
        "alu": 2.0,
        "special": 8.0,
        "memory": 4.0,
        "tensor": 8.0,
    }.get(pipe, 1.0)


def _resident(gpu: Gpu, registers: int, shared: int, warps: int) -> float:
    """Warps resident on a scheduler; registers are given out in units of eight a lane, and a program's shared memory
    costs 1 KiB besides.
    """
    by_registers = 65536 // (32 * 8 * -(-registers // 8)) // 4 * 4 // warps
    by_shared = gpu.shared * 1024 // (shared + 1024)
    return max(1, min(by_registers, by_shared, gpu.blocks, gpu.warps // warps)) * warps / 4


def _tool(name: str, *arguments: str) -> str:
    """What a tool of the CUDA toolkit that Triton ships prints."""
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout
