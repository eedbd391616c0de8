"""docs/theory.md names folders, modules and functions that exist, one section a folder, and every public name."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import theory

PAGE = (Path(__file__).parents[2] / "docs" / "theory.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`.*?\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
FOLDERS = {module.name for module in pkgutil.iter_modules(theory.__path__) if module.ispkg}
NO_RESULT = {"Layers"}  # a public name that is no result: how networks are given


def names_in(text: str) -> list[str]:
    """Names in backticks like `module.function`."""
    return re.findall(r"`(\w+\.\w+)`", text)


def test_sections_are_the_folders():
    assert set(SECTIONS) == FOLDERS


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_names_of_a_section_are_in_its_folder(folder):
    names = names_in(SECTIONS[folder])
    assert names
    for name in names:
        module, _, attribute = name.partition(".")
        assert hasattr(importlib.import_module(f"theory.{folder}.{module}"), attribute), f"theory.{folder}.{name}"


def test_names_before_the_first_section_exist():
    """They are in theory itself, or in the folder of the example."""
    for name in names_in(PAGE.partition("\n## ")[0]):
        module, _, attribute = name.partition(".")
        owner = {"theory": "theory", "loss": "theory.population.loss"}.get(module, f"theory.{module}")
        assert hasattr(importlib.import_module(owner), attribute), name


def test_every_public_name_is_on_the_page():
    on_the_page = {name.partition(".")[2] for name in names_in(PAGE)}
    assert set(theory.__all__) - on_the_page - NO_RESULT == set()


def test_links_lead_to_headings_and_files():
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", PAGE):
        assert anchor in headings, anchor
    for path in re.findall(r"\]\((?!#|https?:)([^)#]+)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / path).exists(), path
