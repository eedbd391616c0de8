"""The ctypes mirror of the C++ structs has their fields, in their order, with their types."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from kernels import native
from kernels.native import structures

FOLDER = Path(native.__file__).parent
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted([*FOLDER.glob("*.h"), *FOLDER.glob("*.cpp")]))
NUMBERS = {"int64_t": ctypes.c_int64, "int32_t": ctypes.c_int32, "double": ctypes.c_double}
MIRRORS = {
    name: mirror
    for name, mirror in vars(structures).items()
    if isinstance(mirror, type) and issubclass(mirror, ctypes.Structure)
}


def fields_in_cpp(name: str) -> list[tuple[str, type]]:
    """Names of the fields of a C++ struct and the ctypes that stand for their types; one `type name;` a line."""
    (body,) = re.findall(rf"^struct {name} {{[^\n]*\n(.*?)^}};", SOURCE, re.MULTILINE | re.DOTALL)
    fields: list[tuple[str, type]] = []
    for kind, field in re.findall(r"^  (\w[\w ]*\*?) (\w+);", body, re.MULTILINE):
        pointer = kind.endswith("*")
        fields.append((field, ctypes.c_void_p if pointer else (NUMBERS | MIRRORS)[kind]))
    return fields


def test_every_struct_that_python_fills_in_is_mirrored():
    mirrored = re.findall(r"^struct (\w+) { +// mirrored by kernels/native/structures.py", SOURCE, re.MULTILINE)
    assert set(mirrored) == set(MIRRORS)


@pytest.mark.parametrize("name", MIRRORS)
def test_a_mirror_has_the_fields_of_its_struct(name):
    assert fields_in_cpp(name) == list(MIRRORS[name]._fields_)


def test_codes_are_those_of_the_enums():
    """The place of a name in Python's tuple is the number of its enumerator in C++."""
    for enum, names in (("Sampling", native.SAMPLINGS), ("Optimizer", native.OPTIMIZERS)):
        (body,) = re.findall(rf"^enum {enum} : int32_t {{(.*?)}};", SOURCE, re.MULTILINE)
        enumerators = [entry.strip().removeprefix("k").lower() for entry in body.split(",")]
        assert enumerators == list(names)
