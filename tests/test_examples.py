"""The examples in docstrings run and give what they say, and every public function and class of a room has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

ROOMS = ("theory",)  # all of their modules
# what Python users call, and what is written to be read; the rest is the command's, or for compilers
OTHER_MODULES = (
    "kernels",
    "kernels.activations",
    "kernels.assignment",
    "kernels.checks",
    "kernels.connectivity",
    "kernels.gpu.layouts",
    "kernels.initialisation",
    "kernels.network",
    "kernels.peers",
    "kernels.problem",
    "kernels.reference",
    "kernels.samples",
    "kernels.streams",
    "kernels.torch_models",
    "kernels.training",
    "kernels.workloads",
    "testbed.alignment.canonical",
    "testbed.alignment.exhaustive",
    "testbed.columns",
    "testbed.data.datasets",
    "testbed.data.digits",
    "testbed.data.sampling",
    "testbed.data.structured",
    "testbed.data.tasks",
    "testbed.data.teacher_student",
    "testbed.ensemble.pairs",
    "testbed.measures.disagreement",
    "testbed.measures.features",
    "testbed.measures.perturbation",
    "testbed.measures.segments",
    "testbed.results.comparison",
    "testbed.study.claim",
    "testbed.study.dotted",
    "testbed.study.levels",
    "testbed.study.sizes",
)
WITHOUT_EXAMPLE: dict[str, str] = {  # full name: why it needs none
    "kernels.peers.compiled_step": "torch.compile takes seconds; `benchmarks/peers.py` checks it against the reference",
    "kernels.peers.graphed": "a CUDA graph needs a GPU",
    "kernels.peers.jax_loss": "JAX is optional",
    "kernels.peers.jax_trainer": "JAX is optional",
    "testbed.data.datasets.Dataset": "`make` makes one in its example",
    "testbed.data.sampling.Sampled": "the base of the data families",
    "testbed.data.tasks.Task": "the base of the tasks",
    "testbed.measures.segments.Descent": "`trained_bends` takes one in its example",
    "testbed.results.comparison.ZSummary": "`z_summary` makes one in its example",
}


def modules_of(room: str) -> list[str]:
    """The names of the package `room` and of all modules in it."""
    package = importlib.import_module(room)
    return [room, *(module.name for module in pkgutil.walk_packages(package.__path__, f"{room}."))]


MODULES = [name for room in ROOMS for name in modules_of(room)] + list(OTHER_MODULES)


def public_objects(module: ModuleType) -> list[type | object]:
    """Functions and classes without an underscore that the module defines, and those in a package's `__all__`."""
    defined = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    named = [getattr(module, name) for name in getattr(module, "__all__", ())]
    found = [value for value in (*defined, *named) if inspect.isfunction(value) or inspect.isclass(value)]
    return [value for value in found if not value.__name__.startswith("_")]


def has_example(value: object) -> bool:
    """Does the docstring of a function or class, or of one of the methods that it defines, hold an example?"""
    members = [member for member in vars(value).values() if inspect.isroutine(member)] if inspect.isclass(value) else []
    parser = doctest.DocTestParser()
    return any(parser.get_examples(inspect.getdoc(member) or "") for member in (value, *members))


@pytest.mark.parametrize("name", sorted({*MODULES, *modules_of("testbed")} - {"testbed.__main__"}))
def test_examples_give_what_they_say(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0, f"{results.failed} of {results.attempted} examples of {name} fail: see the output above"


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_an_example(name):
    bare = {
        f"{value.__module__}.{value.__name__}"
        for value in public_objects(importlib.import_module(name))
        if not has_example(value)
    }
    assert not bare - set(WITHOUT_EXAMPLE), f"without an example: {', '.join(sorted(bare))}"


def test_exceptions_are_of_things_that_exist_and_have_no_example():
    for full_name, reason in WITHOUT_EXAMPLE.items():
        module, _, name = full_name.rpartition(".")
        assert not has_example(getattr(importlib.import_module(module), name)) and reason
