"""What a compiled GPU kernel will cost, read from its machine code; no GPU needed.

Two rates, and neither is a measurement. The *issue bound*: a scheduler starts one instruction a cycle, and each pipe
takes a warp's instruction in a known number of cycles; no run can be faster. The *prediction* adds what was seen to
matter on an H100 (docs/gpu.md has the table of predicted against measured):

    cycles² = (instructions + registers read from a bank that is taken · CONFLICT)²
              + ((stall counts + waits for memory) / resident warps)²
              + (spilled bytes that miss the first-level cache / SPILL_BYTES)²

Operands that one instruction reads from one of the two register banks are read one after another, unless they are
reused. Warps of a scheduler hide each other's waits, the better the more there are. What all resident warps have
spilled competes for the cache.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from kernels.gpu.sass import Instruction, disassemble, loops

# fitted to 42 variants of the kernels on an H100 (benchmarks/gpu_variants.py)
CONFLICT = 1 / 3  # cycles for every further operand from a register bank
WAIT = 20  # cycles for a scoreboard: shared memory, shuffles, tensor cores, special functions
SPILL_WAIT = 70  # cycles for a scoreboard of local memory
SPILL_BYTES = 3.5  # a cycle and scheduler, past the first-level cache
SPILL_CACHE = 155 * 1024  # bytes of it that spilled registers get, less what programs share


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
    "H100": Gpu("sm_90", 132, 1.98, 128, 64, 64, 32, 228),  # the clock that both held under load
    "H200": Gpu("sm_90", 132, 1.98, 128, 64, 64, 32, 228),
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
    """What is known of a GPU: by its name, else by its compute capability, with its own clock (GHz); None for neither.
    The multiprocessors are its own, fewer than its name says on a slice of a GPU, or on a smaller card of that name.

    >>> gpu_named("NVIDIA H200", (9, 0), 132, 1.98).clock
    1.98
    >>> gpu_named("NVIDIA H200 MIG 1g.18gb", (9, 0), 16, 1.98).processors
    16
    >>> gpu_named("Another GPU", (8, 6), 84, 1.7).lanes
    128
    """
    for known, gpu in GPUS.items():
        if known in name:
            return replace(gpu, processors=processors)
    if capability not in CAPABILITIES:
        return None
    return Gpu(f"sm_{capability[0]}{capability[1]}", processors, clock, *CAPABILITIES[capability])


@dataclass(frozen=True)
class Cost:
    """Per network-step unless it says otherwise.

    registers of a lane; spills: local loads and stores inside the step loop; shared memory of a program (bytes);
    warps resident on a scheduler; instructions of a warp by pipe, divided by the networks of a warp; rates in
    network-steps/s of the whole GPU.

    >>> Cost(168, 0, 0, 3, {"fma": 100}, 6e9, 5e9, 8e9, {}).share
    0.625
    """

    registers: int
    spills: float
    shared: int
    resident: float
    instructions: dict[str, float]
    issue_bound: float
    prediction: float
    roofline: float
    opcodes: dict[str, float] = field(repr=False)

    @property
    def share(self) -> float:
        """The prediction as a share of the FP32 roofline."""
        return self.prediction / self.roofline


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
    held: dict[str, float] = defaultdict(float)
    for index in step:
        times = turns if index in samples else 1.0
        opcodes[instructions[index].name] += times
        pipes[instructions[index].pipe] += times
        held[instructions[index].pipe] += times * _cycles(instructions[index], gpu)
    busiest = max(sum(pipes.values()), *held.values())
    resident = _resident(gpu, registers, shared, warps)
    weighted = [(instructions[index], turns if index in samples else 1.0) for index in step]
    cycles = math.hypot(
        busiest + CONFLICT * _conflicts(weighted),
        _waits(weighted) / resident,
        _missed(weighted, 4 * resident, 4 * resident / warps * shared) / SPILL_BYTES,
    )
    rate = gpu.processors * 4 * gpu.clock * 1e9 * networks / warps  # per cycle of a scheduler
    return Cost(
        registers,
        opcodes["LDL"] + opcodes["STL"],
        shared,
        resident,
        {pipe: count * warps / networks for pipe, count in sorted(pipes.items(), key=lambda item: -item[1])},
        rate / busiest,
        rate / cycles,
        gpu.flops / flop,
        opcodes,
    )


Weighted = list[tuple[Instruction, float]]  # instructions in their order, and how often a step comes by each


def _conflicts(weighted: Weighted) -> float:
    """Registers that must be read after another one of their bank; what the instruction before kept need not be."""
    total = 0.0
    kept: set[tuple[int, int]] = set()
    for instruction, times in weighted:
        read = {number for place, number, _ in instruction.reads if (place, number) not in kept}
        even = sum(number % 2 == 0 for number in read)
        total += times * max(0, max(even, len(read) - even) - 1)
        kept = {(place, number) for place, number, keeps in instruction.reads if keeps}
    return total


def _waits(weighted: Weighted) -> float:
    """Cycles that a warp takes if it is alone."""
    total = 0.0
    of_spills: dict[int, bool] = {}
    for instruction, times in weighted:
        total += times * instruction.stall
        if awaited := instruction.awaits:
            total += times * (SPILL_WAIT if any(of_spills.get(board, False) for board in awaited) else WAIT)
        of_spills |= dict.fromkeys(instruction.sets, instruction.name == "LDL")
    return total


def _missed(weighted: Weighted, warps: float, shared: float) -> float:
    """Spilled bytes of a warp that go past the first-level cache, where so many warps of a multiprocessor spill, and
    its programs share so many bytes.
    """
    spilling = [(instruction, times) for instruction, times in weighted if instruction.spills]
    held = len({byte for instruction, _ in spilling for byte in instruction.spilled_bytes}) * 32 * warps
    if not held:
        return 0.0
    moved = sum(times * 32 * len(instruction.spilled_bytes) for instruction, times in spilling)
    return moved * (1 - min(1.0, max(SPILL_CACHE - shared, 0.0) / held))


def _cycles(instruction: Instruction, gpu: Gpu) -> float:
    """Cycles for which a warp's instruction holds its pipe on one of a multiprocessor's four schedulers.

    The four share the way to memory, which takes 128 bytes a cycle.
    """
    if instruction.pipe == "memory":
        return float(instruction.size)
    return {
        "fma": 128 / gpu.lanes,
        "fp64": 128 / gpu.double_lanes,
        "alu": 2.0,
        "special": 8.0,
        "tensor": 8.0,
    }.get(instruction.pipe, 1.0)


def _resident(gpu: Gpu, registers: int, shared: int, warps: int) -> float:
    """Warps resident on a scheduler; registers are given out in units of eight a lane, and a program's shared memory
    costs 1 KiB besides.
    """
    by_registers = 65536 // (32 * 8 * -(-registers // 8)) // 4 * 4 // warps
    by_shared = gpu.shared * 1024 // (shared + 1024)
    return max(1, min(by_registers, by_shared, gpu.blocks, gpu.warps // warps)) * warps / 4
