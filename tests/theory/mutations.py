"""The mutation test: every numeric constant of the formulas is needed.

A constant is a number that is an operand of + − × ÷ or a power, or a choice of np.where, in the functions named. One at
a time is changed (an exponent by 1, any other number by a quarter), in the running code, and the check, which compares
with an independent route, must fail.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

MARGINS = {"UNIT", "FUNCTION_ERROR"}  # what is multiplied by a unit of rounding may as well be larger


def mutation_cases(*cases: tuple[types.ModuleType, set[str], Callable[[], Any]]) -> pytest.MarkDecorator:
    """Runs a test for each (module, functions, check), named by its module."""
    names = [module.__name__.rpartition(".")[2] for module, *_ in cases]
    return pytest.mark.parametrize(("module", "functions", "check"), cases, ids=names)


def assert_every_constant_is_needed(module: types.ModuleType, functions: set[str], check: Callable[[], Any]) -> None:
    """`check` passes, and fails once any constant of the functions or methods of these names in `module` is changed."""
    check()
    survivors = []
    n_mutants = 0
    for label, mutant in _mutants(module, functions):
        n_mutants += 1
        with _running(module, mutant), np.errstate(all="ignore"):
            try:
                check()
            except Exception:  # any failure tells the mutant
                continue
        survivors.append(label)
    assert n_mutants > 0
    assert survivors == [], survivors


def _mutants(module: types.ModuleType, functions: set[str]) -> Iterator[tuple[str, types.ModuleType]]:
    """(label, copy of the module) for each constant of the named functions, changed in the copy."""
    source = inspect.getsource(module)
    for index in range(len(list(_constants(ast.parse(source), functions)))):
        tree = ast.parse(source)
        constant, is_power = list(_constants(tree, functions))[index]
        label = f"{module.__name__} line {constant.lineno}: {constant.value}"
        constant.value = constant.value + 1 if is_power else constant.value * 1.25
        copy = types.ModuleType(module.__name__)
        exec(compile(tree, str(module.__file__), "exec"), copy.__dict__)
        yield label, copy


def _constants(tree: ast.AST, functions: set[str]) -> Iterator[tuple[Any, bool]]:
    """The constants of the named functions, and whether each is in a power."""
    for function in ast.walk(tree):
        if not (isinstance(function, ast.FunctionDef) and function.name in functions):
            continue
        operations = [node for node in ast.walk(function) if isinstance(node, ast.BinOp)]
        margins = {
            part
            for operation in operations
            if _is_margin(operation.left) or _is_margin(operation.right)
            for part in ast.walk(operation)
        }
        for node in ast.walk(function):
            if node in margins:
                continue
            if isinstance(node, ast.BinOp):
                numbers, is_power = [node.left, node.right], isinstance(node.op, ast.Pow)
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("where", "array"):
                numbers, is_power = node.args, False
            else:
                continue
            for number in numbers:
                value = getattr(number, "value", None)
                if isinstance(value, (int, float)) and value:
                    yield number, is_power


def _is_margin(node: ast.AST) -> bool:
    """A tolerance, or the unit of rounding."""
    value = getattr(node, "value", None)
    return getattr(node, "id", "") in MARGINS or (isinstance(value, float) and 0 < value <= 1e-6)


def _functions_of(module: types.ModuleType) -> dict[str, types.FunctionType]:
    """All functions and methods that the module defines, by qualified name."""
    found = {}
    owners = [value for value in vars(module).values() if inspect.isclass(value)]
    for value in (value for owner in (module, *owners) for value in vars(owner).values()):
        for function in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "func", "__wrapped__"))):
            if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
                found[function.__qualname__] = function
    return found


@contextlib.contextmanager
def _running(module: types.ModuleType, copy: types.ModuleType) -> Iterator[None]:
    """While it lasts the functions of `module`, wherever they were imported, run the code of `copy`."""
    originals, changed = _functions_of(module), _functions_of(copy)
    codes = {name: function.__code__ for name, function in originals.items()}
    _forget(module)
    try:
        for name, function in originals.items():
            function.__code__ = changed[name].__code__
        yield
    finally:
        for name, function in originals.items():
            function.__code__ = codes[name]
        _forget(module)


def _forget(module: types.ModuleType) -> None:
    """Empties the caches of the module's functions."""
    for value in vars(module).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
