"""A kernel of Triton's language in Gluon, the dialect in which tensors say where their elements lie.

Gluon's own `sum` and `max` are made of Triton's in the same way: the same function, compiled in the other dialect.
What differs between the two is handed in: the functions that make tensors.
"""

from __future__ import annotations

import types
from typing import Any

import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.runtime.jit import JITFunction


def in_gluon(kernel: Any, instead: dict[Any, Any], made: dict[Any, Any] | None = None) -> Any:
    """`kernel` and all functions that it calls, in Gluon; the names of the language (`tl.load`, …) mean Gluon's then.

    instead: for functions of Triton's language, those of Gluon that take their place; made: what was translated before.
    """
    made = dict(instead) if made is None else made
    if kernel in made:
        return made[kernel]
    source = kernel.fn
    names = dict(source.__globals__)
    copy = types.FunctionType(source.__code__, names, source.__name__, source.__defaults__, source.__closure__)
    copy.__module__ = source.__module__
    copy.__qualname__ = source.__qualname__
    copy.__annotations__ = source.__annotations__
    copy.__doc__ = source.__doc__
    translated = gluon.jit(
        copy,
        do_not_specialize=kernel.do_not_specialize,
        do_not_specialize_on_alignment=kernel.do_not_specialize_on_alignment,
    )
    made[kernel] = translated
    for name in source.__code__.co_names:
        value = names.get(name)
        if value is tl:
            names[name] = gl
        elif isinstance(value, JITFunction):
            names[name] = in_gluon(value, instead, made)
    return translated
