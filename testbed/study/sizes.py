"""A study made smaller (`--quick`) or larger (`--scale`): its counts changed wherever they stand."""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from testbed.errors import StudyError
from testbed.study.measure_section import MeasureSpec

SCALED = ("ensemble.families", "ensemble.independent_pairs")
QUICK = {  # dotted key: (divided by, but at least)
    "ensemble.families": (10, 4),
    "ensemble.independent_pairs": (20, 6),
    "ensemble.spawn_step": (20, 0),
    "architecture.pruning.rewind_step": (20, 0),
    "training.steps": (20, 20),
    "training.snapshot": (20, 0),
    "training.schedule.warmup_steps": (20, 0),
    "training.schedule.step_size": (20, 1),
    "training.record_every": (20, 1),
    "measure.test_samples": (8, 512),
}


def shrink(raw: dict[str, Any]) -> dict[str, Any]:
    """A copy of a valid raw study, small enough for a few seconds: every number of QUICK divided, wherever it stands.

    A component whose name holds a number that was divided is named by what runs: "4,000 steps (quick: 200)".

    >>> shrink({"training": {"steps": 4000}})["training"]
    {'steps': 200}
    """
    given = raw
    raw = copy.deepcopy(raw) | {"quick": True}
    measure = raw.setdefault("measure", {})
    measure.setdefault("test_samples", MeasureSpec().test_samples)
    for key, (divisor, least) in QUICK.items():
        _change(raw, key, functools.partial(_divided, divisor=divisor, least=least))
    _bound_independent_pairs(raw.get("ensemble", {}))
    _rename_components(raw, given)
    return raw


def enlarge(raw: dict[str, Any], scale: float) -> dict[str, Any]:
    """A copy of a valid raw study with `scale` times as many families and independent pairs, wherever they stand.

    >>> enlarge({"ensemble": {"families": 8}}, 2.5)["ensemble"]
    {'families': 20}
    """
    if not 0 < scale < math.inf:
        raise StudyError(f"--scale must be a finite number above 0, not {scale}.")
    raw = copy.deepcopy(raw)
    for key in SCALED:
        _change(raw, key, lambda value: max(2, round(scale * value)))
    return raw


def _divided(value: int, divisor: int, least: int) -> int:
    return min(value, max(value // divisor, least))


def _bound_independent_pairs(ensemble: dict[str, Any]) -> None:
    """No more independent pairs than there are, where the table says how many there are."""
    names = ("families", "siblings", "independent_pairs")
    if all(isinstance(ensemble.get(name), int) for name in names):
        families = ensemble["families"]
        possible = families * (families - 1) // 2 * ensemble["siblings"] ** 2
        ensemble["independent_pairs"] = max(1, min(ensemble["independent_pairs"], possible))


def _rename_components(raw: dict[str, Any], given: dict[str, Any]) -> None:
    """Names that hold a number which was divided say what runs, in the components and in the claims about them."""
    new_names: dict[str, str] = {}
    for group, components in raw.get("component", {}).items():
        for name, settings in components.items():
            numbers = _divided_numbers(given["component"][group][name], settings)
            shown = [f"{new:,}" for old, new in numbers if old != new and _holds(name, old)]
            new_names[name] = f"{name} (quick: {', '.join(shown)})" if shown else name
        raw["component"][group] = {new_names[name]: settings for name, settings in components.items()}
    for claim in raw.get("claims", []):
        if claim.get("factor") == "component":
            claim["levels"] = [new_names.get(level, level) for level in claim.get("levels", [])]
        if "component" in claim.get("where", {}):
            claim["where"]["component"] = new_names.get(claim["where"]["component"], claim["where"]["component"])


def _divided_numbers(old: Any, new: Any) -> list[tuple[int, int]]:
    """The whole numbers of nested tables, before and after."""
    if isinstance(old, dict):
        return [pair for key in old for pair in _divided_numbers(old[key], new[key])]
    return [(old, new)] if isinstance(old, int) and not isinstance(old, bool) else []


def _holds(name: str, number: int) -> bool:
    """Whether a name holds a number, with or without commas, and not as a part of another."""
    return any(re.search(rf"(?<![\d.,]){text}(?!,?\d)", name) for text in (f"{number:,}", str(number)))


def _change(raw: dict[str, Any], key: str, new: Callable[[int], int]) -> None:
    """Put new(value) for every whole number that stands at a dotted key: in the base, components, [vary] and claims."""
    for table in (raw, *_component_settings(raw)):
        _change_within(table, key, new)
    values = raw.get("vary", {}).get(key)
    if isinstance(values, list):
        changed = [new(value) if isinstance(value, int) else value for value in values]
        raw["vary"][key] = list(dict.fromkeys(changed))
    claims = raw.get("claims", [])
    for claim in claims if isinstance(claims, list) else ():
        _change_claim(claim, key, new)


def _component_settings(raw: dict[str, Any]) -> Iterator[Any]:
    """The settings of every component, as far as the raw study has the right shape."""
    components = raw.get("component", {})
    for group in components.values() if isinstance(components, dict) else ():
        yield from group.values() if isinstance(group, dict) else ()


def _change_within(table: Any, path: str, new: Callable[[int], int]) -> None:
    """In nested tables whose keys may be dotted themselves."""
    if not isinstance(table, dict):
        return
    value = table.get(path)
    if isinstance(value, int) and not isinstance(value, bool):
        table[path] = new(value)
    for name, inner in table.items():
        if path.startswith(f"{name}."):
            _change_within(inner, path[len(name) + 1 :], new)


def _change_claim(claim: dict[str, Any], key: str, new: Callable[[int], int]) -> None:
    """The levels that a claim names."""
    if claim.get("factor") == key and isinstance(claim.get("levels"), list):
        claim["levels"] = [new(level) if isinstance(level, int) else level for level in claim["levels"]]
    where = claim.get("where")
    if isinstance(where, dict) and isinstance(where.get(key), int):
        where[key] = new(where[key])
