"""The site that `make docs` builds; where Sphinx is installed (`pip install ".[docs]"`)."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the built site; any warning of Sphinx's fails."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--builder", "html", str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    """docs/conf.py as a module."""
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_docstrings_become_lists_and_keep_their_examples(conf):
    given = [
        "The loss `[n]` of a_pair_, |x| and all.",
        "",
        "params `[n, p]`: the ends, of",
        "    both. alphas: places.",
        "gpu        Triton.",
        "",
        ">>> loss(2)",
        "4",
    ]
    written = [line for line in conf.as_rst(given) if line]
    assert written == [
        r"The loss ``[n]`` of a\_pair\_, \|x\| and all.",
        "- **params** ``[n, p]``: the ends, of",
        "  both. alphas: places.",
        "- **gpu**: Triton.",
        ">>> loss(2)",
        "4",
    ]


@pytest.mark.parametrize(
    ("tex", "whole"), [(r"\tfrac12 x", r"\frac{1}{2} x"), (r"\frac2\pi y", r"\frac{2}{\pi} y"), (r"\frac1{32}", None)]
)
def test_short_fractions_are_written_out(conf, tex, whole):
    assert conf.SHORT_FRACTION.sub(r"\\frac{\1}{\2}", tex) == (whole or r"\frac{1}{{32}}")


@pytest.mark.slow
def test_every_page_and_every_public_name_is_on_the_site(site):
    import kernels
    import testbed
    import theory

    for page in DOCS.glob("*.md"):
        assert (site / f"{page.stem}.html").is_file(), page.name
    for room in (kernels, theory, testbed):
        text = (site / "api" / f"{room.__name__}.html").read_text(encoding="utf-8")
        named = [name for name in room.__all__ if callable(getattr(room, name))]
        missing = [name for name in named if f">{name}</span>" not in text]
        assert set(missing) <= {"PerNetwork", "Layers", "Polynomial"}, missing  # names of types, not of classes


@pytest.mark.slow
def test_it_asks_no_network(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["'](?:https?:)?//[^>]*>""", text), page.name
