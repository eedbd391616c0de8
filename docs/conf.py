"""How Sphinx builds these pages and the reference: `make docs`. Nothing is fetched while it does."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

project = "lmc-testbed"
copyright = "the lmc-testbed authors, Apache-2.0"
html_theme = "furo"
html_title = "lmc-testbed"
html_copy_source = False
extensions = ["sphinx.ext.autodoc", "myst_parser"]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # as GitHub makes them
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 100
smartquotes = False  # "mse" is typed so
default_role = "literal"  # docstrings have `code` in single backticks
# \frac12 and \frac2\pi, of which the converter makes something else
SHORT_FRACTION = re.compile(r"\\[td]?frac(\d)(\{[^{}]*\}|\\[a-z]+|\d)")
HEADING = re.compile(r"^[A-Z]\w+:$")  # Attributes:
FIELD = re.compile(r"^([a-z_]\w*(?:, [a-z_]\w*)*)( `\[[^]]*\]`)?(?:: | {2,})")


def as_rst(lines: list[str]) -> list[str]:
    """A docstring of this project as reStructuredText: fields become a list, and what looks like markup is escaped.

    A field is a line `name: what it is` or `name   what it is`, continued by those below it; `Attributes:` is a
    heading; examples stay as they are.
    """
    written: list[str] = []
    is_example = False
    in_list = False
    for line in lines:
        text = line.strip()
        if text.startswith(">>>") and not is_example:
            written.append("")
        is_example = text.startswith(">>>") or (is_example and bool(text))
        if is_example or not text:
            in_list = in_list and not text
            written.append(text if is_example else "")
            continue
        if HEADING.match(text):
            written += ["", f"*{text.removesuffix(':')}*", ""]
            in_list = False
            continue
        field = FIELD.match(text)
        if field:
            shape = (field[2] or "").strip()
            name = f"**{field[1]}**" + (f" {shape.replace('`', '``')}" if shape else "")
            written += ["", f"- {name.replace('_', chr(92) + '_')}: {escaped(text[field.end() :])}"]
            in_list = True
        else:
            written.append(f"  {escaped(text)}" if in_list else escaped(text))
    return written


def escaped(text: str) -> str:
    """Text whose stars, bars and trailing underscores mean nothing; what is in backticks stays, as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick whose partner is in another line
        parts = [text.replace("`", "")]
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"([*|_\\])", r"\\\1", parts[place])
    return "``".join(parts)


def _docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def _read(app: Any, name: str, source: list[str]) -> None:
    """The front page begins with the README; links to what is no page here become downloads, or text."""
    text = source[0]
    if name == "index":
        readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!https?:|#)", "](../", readme).replace("](../docs/", "](") + text
    source[0] = re.sub(r"\[([^][]*)\]\((\.\./[^)#]+)(#[^)]*)?\)", _outside, text)


def _outside(link: re.Match[str]) -> str:
    """A link that leads out of docs/."""
    label, path, anchor = link[1], link[2], link[3] or ""
    if path == "../README.md":
        return f"[{label}](index.md{anchor})"
    is_shown = (DOCS / path).is_file() and not path.endswith(".md")
    return link[0] if is_shown else label


def _formula(self: Any, node: Any) -> None:
    """A formula as MathML, which browsers draw themselves."""
    is_block = node.tagname == "math_block"
    tex = SHORT_FRACTION.sub(r"\\frac{\1}{\2}", node.astext())  # braces within braces do no harm
    converted = str(latex2mathml.tex2mathml(tex, as_block=is_block))
    self.body.append(f"<div class='math'>{converted}</div>" if is_block else converted)
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _docstring)
    app.add_html_math_renderer("mathml", inline_renderers=(_formula, None), block_renderers=(_formula, None))
