"""The arrays that a kernel is given, as addresses."""

from __future__ import annotations

import numpy as np

from tests.kernels.gpu.ptx.numbers import UNSIGNED

GAP = 256  # bytes between two arrays, which no access may touch


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
