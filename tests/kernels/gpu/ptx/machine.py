"""Programs, their registers, and what every instruction does to these."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from tests.kernels.gpu.ptx.arithmetic import arithmetic, convert
from tests.kernels.gpu.ptx.code import Code, Instruction, list_of
from tests.kernels.gpu.ptx.memory import Memory
from tests.kernels.gpu.ptx.numbers import FLOATING, SIGNED, UNSIGNED

REGISTERS = {"%p": np.bool_, "%rs": np.uint16, "%r": np.uint32, "%rd": np.uint64}
SPECIAL = ("%tid.x", "%ctaid.x", "%ntid.x", "%nctaid.x", "%laneid", "%warpid")
COMPARE = {
    **{
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    },
    **{"lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal},
}
POISON = {
    "%p": False,
    "%rs": 0xDEAD,
    "%r": 0x7FC0DEAD,
    "%rd": 0x7FF8DEAD7FC0DEAD,
}  # of a register that nothing wrote: NaN, as a float


@dataclass
class Threads:
    """The threads of some programs: numbers of the programs, place in the code, registers as raw bits, shared memory
    of each program.
    """

    programs: np.ndarray
    place: int
    registers: dict[str, np.ndarray]
    shared: np.ndarray = field(repr=False)


class Machine:
    """Runs a kernel; `memory` holds its arrays."""

    def __init__(self, code: Code, memory: Memory, values: list[int], n_programs: int) -> None:
        self.code = code
        self.memory = memory
        self.values = dict(zip(code.parameters, values + [0] * len(code.parameters), strict=False))
        self.n_programs = n_programs

    def run(self, threads: Threads) -> None:
        waiting = [threads]
        while waiting:
            self.t = waiting.pop()
            self.count = len(self.t.programs) * self.code.threads
            self.lane = np.tile(np.arange(self.code.threads), len(self.t.programs))
            while self.t.place < len(self.code.instructions):
                instruction = self.code.instructions[self.t.place]
                self.t.place += 1
                if instruction.parts[0] in ("ret", "exit"):
                    taken = self.taken(instruction)
                    if taken.all():
                        break
                    other = self.split(~taken)
                    self.t = other
                elif instruction.parts[0] == "bra":
                    taken = self.taken(instruction)
                    target = self.code.labels[instruction.operands[0]]
                    if taken.all():
                        self.t.place = target
                    elif taken.any():
                        jumping = self.split(taken)
                        jumping.place = target
                        waiting.append(jumping)
                        self.t = self.split(~taken)
                    else:
                        continue
                else:
                    self.step(instruction)
                    continue
                self.count = len(self.t.programs) * self.code.threads
                self.lane = np.tile(np.arange(self.code.threads), len(self.t.programs))

    def taken(self, instruction: Instruction) -> np.ndarray:
        """For each program, whether the guard holds."""
        guard = np.broadcast_to(self.guard(instruction), self.count).reshape(-1, self.code.threads)
        if not (guard == guard[:, :1]).all():
            raise AssertionError(f"threads of a program part: {instruction.text}")
        return guard[:, 0]

    def split(self, programs: np.ndarray) -> Threads:
        """The threads of the chosen programs."""
        chosen = np.repeat(programs, self.code.threads)
        registers = {name: value[chosen] if value.ndim else value for name, value in self.t.registers.items()}
        return Threads(self.t.programs[programs], self.t.place, registers, self.t.shared[programs].copy())

    def register(self, name: str) -> np.ndarray:
        if name not in self.t.registers:
            family = re.match(r"%[a-z]+", name)[0]
            return np.asarray(POISON[family], REGISTERS[family])
        return self.t.registers[name]

    def guard(self, instruction: Instruction) -> np.ndarray:
        if not instruction.guard:
            return np.asarray(True)
        value = self.register(instruction.guard)
        return ~value if instruction.negated else value

    def bits(self, name: str, size: int) -> np.ndarray:
        """An operand's bits."""
        if name in SPECIAL:
            return self.special(name).astype(UNSIGNED[size])
        if name.startswith("%"):
            value = self.register(name)
            if value.dtype == np.bool_ or value.dtype.itemsize == size:
                return value
            return value.astype(UNSIGNED[size])
        if name[:2] in ("0f", "0F", "0d", "0D"):
            return np.asarray(int(name[2:], 16), UNSIGNED[size])
        if name == "global_smem":
            return np.asarray(0, UNSIGNED[size])
        whole = int(name.rstrip("U"), 0)
        return np.asarray(whole & ((1 << 8 * size) - 1), UNSIGNED[size])

    def special(self, name: str) -> np.ndarray:
        match name:
            case "%tid.x":
                return self.lane
            case "%laneid":
                return self.lane % 32
            case "%warpid":
                return self.lane // 32
            case "%ntid.x":
                return np.asarray(self.code.threads)
            case "%nctaid.x":
                return np.asarray(self.n_programs)
            case _:
                return np.repeat(self.t.programs, self.code.threads)

    def value(self, name: str, kind: str) -> np.ndarray:
        """An operand as a number of PTX type `kind` (s32, u64, f32, b16, pred)."""
        if kind == "pred":
            return self.register(name) if name.startswith("%") else np.asarray(bool(int(name)))
        size = int(kind[1:]) // 8
        bits = self.bits(name, size)
        return bits.view({"s": SIGNED, "f": FLOATING}.get(kind[0], UNSIGNED)[size])

    def put(self, instruction: Instruction, name: str, value: np.ndarray) -> None:
        """Write a register, for the threads whose guard holds."""
        if not name.startswith("%"):  # `_`, or a name of a scope of its own: what is thrown away
            return
        dtype = REGISTERS[re.match(r"%[a-z]+", name)[0]]
        value = np.asarray(value)
        if dtype is not np.bool_:
            value = np.ascontiguousarray(value)
            if value.dtype.kind == "f":
                value = value.view(UNSIGNED[value.dtype.itemsize])
            if value.dtype.kind == "i" and value.dtype.itemsize < dtype().itemsize:
                value = value.astype(SIGNED[dtype().itemsize])
        value = value.astype(dtype)
        if instruction.guard:
            value = np.where(self.guard(instruction), value, self.register(name))
        self.t.registers[name] = value if value.ndim == 0 or len(value) == self.count else value.reshape(())

    def step(self, i: Instruction) -> None:
        """One instruction that is no branch."""
        name, kind = i.parts[0], i.parts[-1]
        if name in ("bar", "barrier", "fence", "membar"):
            return
        with np.errstate(all="ignore"):
            if name in ("ld", "st"):
                self.access(i)
            elif name in ("ldmatrix", "mma", "shfl", "redux"):
                getattr(self, name)(i)
            elif name == "mov":
                self.mov(i)
            elif name == "setp":
                self.put(i, i.operands[0], self.compare(i.parts[1], *(self.value(a, kind) for a in i.operands[1:])))
            elif name == "selp":
                condition = self.value(i.operands[3], "pred")
                self.put(i, i.operands[0], np.where(condition, *(self.value(a, kind) for a in i.operands[1:3])))
            elif name == "cvt":
                self.put(i, i.operands[0], convert(self.value(i.operands[1], kind), i.parts))
            elif name in ("mul", "mad") and "wide" in i.parts:
                wide = kind[0] + str(2 * int(kind[1:]))
                dtype = self.value("0", wide).dtype
                product = self.value(i.operands[1], kind).astype(dtype) * self.value(i.operands[2], kind).astype(dtype)
                self.put(i, i.operands[0], product + self.value(i.operands[3], wide) if name == "mad" else product)
            else:
                self.put(i, i.operands[0], arithmetic(i, [self.value(a, kind) for a in i.operands[1:]]))

    def compare(self, how: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if how in ("nan", "num"):
            unordered = np.isnan(a) | np.isnan(b)
            return unordered if how == "nan" else ~unordered
        if a.dtype.kind == "f":
            unordered = np.isnan(a) | np.isnan(b)
            if how.endswith("u"):
                return COMPARE[how[:-1]](a, b) | unordered
            return COMPARE[how](a, b) & ~unordered
        return COMPARE[how](a, b)

    def mov(self, i: Instruction) -> None:
        to, source, kind = i.operands[0], i.operands[1], i.parts[-1]
        if kind == "pred":
            self.put(i, to, self.value(source, kind))
            return
        size = int(kind[1:]) // 8
        if to.startswith("{"):
            names = list_of(to)
            bits = self.bits(source, size)
            part = 8 * size // len(names)
            for k, name in enumerate(names):
                self.put(i, name, (bits >> UNSIGNED[size](k * part)) & UNSIGNED[size]((1 << part) - 1))
        elif source.startswith("{"):
            names = list_of(source)
            part = 8 * size // len(names)
            total = np.zeros((), UNSIGNED[size])
            for k, name in enumerate(names):
                total = total | (self.bits(name, part // 8).astype(UNSIGNED[size]) << UNSIGNED[size](k * part))
            self.put(i, to, total)
        else:
            self.put(i, to, self.bits(source, size))

    def access(self, i: Instruction) -> None:
        """Loads and stores."""
        loads, kind = i.parts[0] == "ld", i.parts[-1]
        size = int(kind[1:]) // 8
        place = re.match(r"\[\s*([%\w]+)\s*(?:\+\s*(-?\d+))?\s*\]", i.operands[1 if loads else 0])
        if "param" in i.parts:
            bits = np.asarray(self.values[place[1]] & ((1 << 8 * size) - 1), UNSIGNED[size])
            self.put(i, i.operands[0], bits.view(SIGNED[size]) if kind[0] == "s" else bits)
            return
        shared = "shared" in i.parts or "shared::cta" in i.parts
        address = self.bits(place[1], 4 if shared else 8).astype(np.int64) + int(place[2] or 0)
        address = np.broadcast_to(address, self.count)
        active = np.broadcast_to(self.guard(i), self.count)
        names = list_of(i.operands[0 if loads else 1])
        for k, name in enumerate(names):
            spot = (address + k * size)[active]
            if shared:
                cells = self.t.shared.reshape(-1).view(UNSIGNED[size])
                if spot.size and not (spot.min() >= 0 and spot.max() + size <= self.t.shared.shape[1]):
                    raise IndexError(f"outside of shared memory: {i.text}")
                program = np.repeat(np.arange(len(self.t.programs)), self.code.threads)[active]
                index = (spot + program * self.t.shared.shape[1]) // size
            if loads:
                result = np.zeros(self.count, UNSIGNED[size])
                result[active] = cells[index] if shared else self.memory.load(spot, size, i.text)
                self.put(i, name, result.view(SIGNED[size]) if kind[0] == "s" else result)
            else:
                value = np.broadcast_to(self.bits(name, size), self.count)[active]
                if shared:
                    cells[index] = value
                else:
                    self.memory.store(spot, value, size, i.text)

    def shfl(self, i: Instruction) -> None:
        source = np.broadcast_to(self.bits(i.operands[1], 4), self.count)
        by = np.broadcast_to(self.bits(i.operands[2], 4), self.count).astype(np.int64)
        lane = np.arange(self.count)
        other = lane ^ by if "bfly" in i.parts else (lane & ~31) | (by & 31)
        assert "bfly" in i.parts or "idx" in i.parts, i.text
        self.put(i, i.operands[0].split("|")[0], source[other])

    def redux(self, i: Instruction) -> None:
        source = np.broadcast_to(self.value(i.operands[1], i.parts[-1]), self.count).reshape(-1, 32)
        reduced = {"max": source.max, "min": source.min, "add": source.sum}[i.parts[2]](1)
        self.put(i, i.operands[0], np.repeat(reduced.astype(source.dtype), 32))

    def ldmatrix(self, i: Instruction) -> None:
        """8 × 8 matrices of 16 bits: lane 8m + r points at row r of matrix m; lane l gets four bytes of row l/4 of
        each.
        """
        assert "trans" not in i.parts, i.text
        place = re.match(r"\[\s*([%\w]+)\s*(?:\+\s*(-?\d+))?\s*\]", i.operands[1])
        address = np.broadcast_to(self.bits(place[1], 4).astype(np.int64) + int(place[2] or 0), self.count)
        lane = np.arange(self.count)
        program = lane // self.code.threads
        cells = self.t.shared.reshape(-1).view(np.uint32)
        for m, name in enumerate(list_of(i.operands[0])):
            row = address[(lane & ~31) + 8 * m + lane % 32 // 4]
            spot = row + 4 * (lane % 4)
            if not (spot.min() >= 0 and spot.max() + 4 <= self.t.shared.shape[1]):
                raise IndexError(f"outside of shared memory: {i.text}")
            self.put(i, name, cells[(spot + program * self.t.shared.shape[1]) // 4])

    def mma(self, i: Instruction) -> None:
        """Matrix products of a warp, as the PTX manual lays out their fragments: float64 8 × 8 × 4 and tf32 16 × 8 ×
        8.
        """
        to, a, b, c = (list_of(operand) for operand in i.operands)
        shape = next(part for part in i.parts if part.startswith("m") and part[1].isdigit())
        kind = "f64" if shape == "m8n8k4" else "f32"
        rows, k_size = {"m8n8k4": (8, 4), "m16n8k8": (16, 8)}[shape]
        lane = np.arange(32)
        group, member = lane // 4, lane % 4
        a_places = [(group + 8 * (r % 2), member + 4 * (r // 2)) for r in range(len(a))]
        b_places = [(member + 4 * r, group) for r in range(len(b))]
        c_places = [(group + 8 * (r // 2), 2 * member + r % 2) for r in range(len(c))]

        def matrix(names, places, n_rows, n_columns):
            filled = np.zeros((self.count // 32, n_rows, n_columns))
            for name, (row, column) in zip(names, places, strict=True):
                bits = np.broadcast_to(self.bits(name, int(kind[1:]) // 8), self.count)
                if kind == "f32" and names is not c:
                    bits = bits & np.uint32(0xFFFFE000)  # tf32 has ten bits behind the point
                filled[:, row, column] = bits.view(FLOATING[bits.dtype.itemsize]).reshape(-1, 32)
            return filled

        left, right = matrix(a, a_places, rows, k_size), matrix(b, b_places, k_size, 8)
        total = left @ right + matrix(c, c_places, rows, 8)
        for name, (row, column) in zip(to, c_places, strict=True):
            self.put(i, name, total[:, row, column].reshape(-1).astype(FLOATING[int(kind[1:]) // 8]))
