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

import re
from dataclasses import dataclass, field

import numpy as np

UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
SIGNED = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
FLOATING = {4: np.float32, 8: np.float64}
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
GAP = 256  # bytes between two arrays, which no access may touch


@dataclass
class Instruction:
    """`@!%p1 opcode.a.b operands`: guard, whether it is negated, parts of the opcode, operands, and the text."""

    guard: str
    negated: bool
    parts: list[str]
    operands: list[str]
    text: str


@dataclass
class Code:
    """A kernel: its parameters' names, threads of a program, instructions, and the instruction that each label stands
    before.
    """

    parameters: list[str]
    threads: int
    instructions: list[Instruction]
    labels: dict[str, int]


def parse(ptx: str) -> Code:
    """The one kernel of a PTX module."""
    ptx = re.sub(r"//[^\n]*", "", ptx)
    entry = re.search(r"\.entry\s+\w+\s*\(([^)]*)\)([^{]*)\{", ptx)
    assert entry is not None
    parameters = [line.split()[-1] for line in entry[1].split(",")]
    threads = int(re.search(r"\.reqntid (\d+)", entry[2])[1])
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in statements(ptx[entry.end() :]):
        text = " ".join(line.split())
        while label := re.match(r"([$\w]+):\s*", text):
            labels[label[1]] = len(instructions)
            text = text[label.end() :]
        if not text or text.startswith("."):
            continue
        found = re.match(r"(?:@(!?)(%p\d+)\s+)?([\w.:]+)\s*(.*)$", text)
        parts = found[3].split(".")
        instructions.append(Instruction(found[2] or "", bool(found[1]), parts, operands(found[4]), text))
    return Code(parameters, threads, instructions, labels)


def statements(body: str):
    """What ends with a semicolon or is a label, to the end of the kernel; `.loc` and `.section` lines left out."""
    body = re.sub(r"^\s*\.(loc|file)\b[^\n]*\n", "", body, flags=re.MULTILINE)
    depth, start = 0, 0
    for index, character in enumerate(body):
        if character == "{" and not body[start:index].strip():
            start = index + 1  # a scope of its own
        elif character == "{":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == "}":
            if body[start:index].strip():
                yield body[start:index]
            if "}" not in body[index + 1 :].split(".entry")[0]:
                return
            start = index + 1
        elif character == ";" and not depth:
            yield body[start:index]
            start = index + 1


def operands(text: str) -> list[str]:
    """What stands between commas outside of brackets."""
    return [part.strip() for part in re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,])+", text)] if text else []


class Memory:
    """Bytes that arrays lie in, with gaps between them; accesses outside of the arrays raise IndexError."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays
        self.begins = []
        size = GAP
        for array in arrays:
            self.begins.append(size)
            size += -(-array.nbytes // GAP) * GAP + GAP
        self.bytes = np.zeros(size, np.uint8)
        self.inside = np.zeros(size, bool)
        for begin, array in zip(self.begins, arrays, strict=True):
            self.bytes[begin : begin + array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
            self.inside[begin : begin + array.nbytes] = True

    def check(self, address: np.ndarray, size: int, text: str) -> None:
        if address.size and not (address.max() + size <= len(self.bytes) and self.inside[address].all()):
            raise IndexError(f"outside of the arrays: {text}")
        if address.size and not (self.inside[address + size - 1].all() and (address % size == 0).all()):
            raise IndexError(f"across the end of an array, or not aligned: {text}")

    def load(self, address: np.ndarray, size: int, text: str) -> np.ndarray:
        self.check(address, size, text)
        return self.bytes.view(UNSIGNED[size])[address // size]

    def store(self, address: np.ndarray, value: np.ndarray, size: int, text: str) -> None:
        self.check(address, size, text)
        self.bytes.view(UNSIGNED[size])[address // size] = value

    def give_back(self) -> None:
        for begin, array in zip(self.begins, self.arrays, strict=True):
            array[...] = self.bytes[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)


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
        shared = "shared" in i.parts
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
        assert "max" in i.parts, i.text
        self.put(i, i.operands[0], np.repeat(source.max(1), 32))

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


def list_of(operand: str) -> list[str]:
    """Names between braces, or one without."""
    return [name.strip() for name in operand.strip("{} ").split(",")]


def arithmetic(i: Instruction, v: list[np.ndarray]) -> np.ndarray:
    """The result of an instruction that works on numbers of one type."""
    name, kind = i.parts[0], i.parts[-1]
    floating = kind[0] == "f"
    match name:
        case "add":
            return v[0] + v[1]
        case "sub":
            return v[0] - v[1]
        case "mul" if "hi" in i.parts:
            wide = np.int64 if kind[0] == "s" else np.uint64
            assert kind[1:] == "32", i.text
            return ((v[0].astype(wide) * v[1].astype(wide)) >> wide(32)).astype(v[0].dtype)
        case "mul":
            return v[0] * v[1]
        case "mad":
            return v[0] * v[1] + v[2]
        case "fma":  # rounded once: 64 bits hold a product of two float32, and long double more than a float64 does
            wide = np.float64 if kind == "f32" else np.longdouble
            return (v[0].astype(wide) * v[1].astype(wide) + v[2].astype(wide)).astype(v[0].dtype)
        case "div" if not floating:
            quotient = np.abs(v[0].astype(np.int64)) // np.maximum(np.abs(v[1].astype(np.int64)), 1)
            return (quotient * np.sign(v[0].astype(np.int64)) * np.sign(v[1].astype(np.int64))).astype(v[0].dtype)
        case "rem":
            return np.fmod(v[0], v[1])
        case "div":
            return v[0] / v[1]
        case "rcp":
            return 1 / v[0]
        case "sqrt":
            return np.sqrt(v[0])
        case "rsqrt":
            return 1 / np.sqrt(v[0])
        case "ex2":
            return np.exp2(v[0])
        case "lg2":
            return np.log2(v[0])
        case "max" | "min" if floating and "NaN" not in i.parts:
            return (np.fmax if name == "max" else np.fmin)(v[0], v[1])
        case "max" | "min":
            return (np.maximum if name == "max" else np.minimum)(v[0], v[1])
        case "neg":
            return -v[0]
        case "abs":
            return np.abs(v[0])
        case "and":
            return v[0] & v[1]
        case "or":
            return v[0] | v[1]
        case "xor":
            return v[0] ^ v[1]
        case "not":
            return ~v[0]
        case "shl" | "shr":
            return shifted(name, v[0], v[1])
        case "bfe":
            width = np.dtype(v[0].dtype).itemsize * 8
            first, count = int(v[1]), int(v[2])
            raised = v[0] << v[0].dtype.type(width - first - count)
            return raised >> v[0].dtype.type(width - count)
        case "prmt":
            both = v[0].astype(np.uint64) | (v[1].astype(np.uint64) << np.uint64(32))
            total = np.zeros((), np.uint32)
            for k in range(4):
                select = (v[2] >> np.uint32(4 * k)) & np.uint32(15)
                assert (select < 8).all(), i.text
                byte = (both >> (select.astype(np.uint64) * np.uint64(8))) & np.uint64(255)
                total = total | (byte.astype(np.uint32) << np.uint32(8 * k))
            return total
    raise NotImplementedError(i.text)


def shifted(name: str, value: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Shifts by as much as the width or more give 0, or copies of the sign."""
    width = value.dtype.itemsize * 8
    by = by.view(UNSIGNED[by.dtype.itemsize])
    amount = np.minimum(by, width - 1).astype(value.dtype)
    if name == "shl":
        return np.where(by < width, value << amount, 0).astype(value.dtype)
    if value.dtype.kind == "i":
        return value >> amount
    return np.where(by < width, value >> amount, 0).astype(value.dtype)


def convert(value: np.ndarray, parts: list[str]) -> np.ndarray:
    """cvt.….to.from."""
    to = parts[-2]
    if to == "tf32":  # ten bits behind the point, ties away from zero
        assert "rna" in parts, parts
        return ((value.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(value.dtype)
    dtype = {"s": SIGNED, "f": FLOATING}.get(to[0], UNSIGNED)[int(to[1:]) // 8]
    if value.dtype.kind == "f" and "rni" in parts:
        value = np.rint(value)
    elif value.dtype.kind == "f" and "rzi" in parts:
        value = np.trunc(value)
    return value.astype(dtype)


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
