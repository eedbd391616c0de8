"""Instructions whose result is a function of their operands."""

from __future__ import annotations

import numpy as np

from tests.kernels.gpu.ptx.code import Instruction
from tests.kernels.gpu.ptx.numbers import FLOATING, SIGNED, UNSIGNED


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
            result = (v[0].astype(wide) * v[1].astype(wide) + v[2].astype(wide)).astype(v[0].dtype)
            return np.fmin(np.fmax(result, 0), 1) if "sat" in i.parts else result  # NaN becomes 0
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
