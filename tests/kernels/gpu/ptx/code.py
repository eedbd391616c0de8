"""A kernel's PTX as instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass


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


def list_of(operand: str) -> list[str]:
    """Names between braces, or one without."""
    return [name.strip() for name in operand.strip("{} ").split(",")]
