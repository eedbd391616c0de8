"""The report: one report.html that needs no network, and the figures as PNG and PDF."""

from __future__ import annotations

import base64
import gc
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from testbed import memory
from testbed.figure_files import Images, drawing
from testbed.report import explore, sentences, soups, svg, tables
from testbed.report.blocks import Block, blocks
from testbed.report.figures.draw import STYLE, Drawn, draw
from testbed.report.legend import legend
from testbed.report.panels import Panel
from testbed.results.results import Results
from testbed.results.store import Store

TEMPLATES = Path(__file__).with_name("templates")
IN_FOLDER = ("png", "pdf")  # the page holds the SVG
CHECKS = ("predicted", "z", "grid")
MANY_PAIRS = 2**16  # whose figures take hundreds of megabytes: worth a collection of garbage, which takes 0.4 s
ANSWERS = ("ranking", "barrier_")  # on the page these are drawn as the blocks of the answer


@dataclass(frozen=True, eq=False)
class Page:
    """A page that was written, and what was worked out for it. answer: its blocks."""

    path: Path
    results: Results
    answer: list[Block]


def write_page(store: Store) -> Page:
    """Draw the figures and write report.html of a finished run. StudyError if it is not finished."""
    with drawing(STYLE) as begin:
        results = Results.of(store)
        if results.counts["pairs"] > MANY_PAIRS:
            memory.give_back_at_once()
        answer = blocks(results)
        begun = {}
        for name, drawn in draw(results, answer):
            begun[name] = (_about(name, drawn), begin(drawn.figure, _kinds(name)))
            del drawn
            if results.counts["pairs"] > MANY_PAIRS:
                gc.collect()  # a figure refers to itself, and one of a million points has hundreds of megabytes
                memory.give_back()
        told = without_figures(results, answer)  # meanwhile
        figures = {name: about | {"svg": _written(store, name, images())} for name, (about, images) in begun.items()}
    store.write("report.html", page(told, answer, figures).encode())
    store.add_drawn()
    return Page(store.folder / "report.html", results, answer)


def page(told: dict[str, Any], answer: list[Block], figures: dict[str, dict[str, Any]]) -> str:
    """The page as HTML. told: all of it but figures; figures: by name their caption, alt text and SVG."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["inline"] = lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))
    above = {block.figure for block in answer}
    shown = {name: figure for name, figure in figures.items() if not name.startswith(ANSWERS) and name not in above}
    return environment.get_template("report.html.j2").render(
        **told,
        drawn=figures,
        figures=[figure for name, figure in shown.items() if name not in CHECKS],
        checks=[figure for name, figure in shown.items() if name in CHECKS],
    )


def without_figures(results: Results, answer: list[Block]) -> dict[str, Any]:
    """What the page says and holds besides figures, by the names of its template."""
    data = explore.payload(results)
    return {
        "study": results.study,
        "manifest": results.manifest,
        "blocks": [_drawn(results, block) for block in answer],
        "claims": tables.claims_with_measures(results),
        "further": sentences.further(results),
        "counted": sentences.count(results),
        "checked": sentences.checks(results),
        "z_rows": tables.z_rows(results),
        "soups": soups.section(results),
        "tables": tables.titled(results),
        "columns": results.columns,
        "data": Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")) if data else None,
        "unit": results.unit,
        "n_families": results.n_families,
        "n_pairs": dict(results.all_pairs.group_by("kind").len().collect().iter_rows()),
        "toml": results.study.toml(),
    }


def _drawn(results: Results, block: Block) -> dict[str, Any]:
    """A block with its panels as SVG, and their legend."""
    return {
        "block": block,
        "panels": [_as_svg(panel) for panel in block.panels],
        "others": [_as_svg(panel) for panel in block.others],
        "legend": legend(results, [*block.panels, *block.others]),
    }


def _as_svg(panel: Panel) -> dict[str, Any]:
    """A panel's title, the name of its vertical axis, and the drawing; None where every barrier is 0."""
    drawing = None if panel.is_zero else Markup(svg.draw(panel))
    return {"title": panel.title, "y": panel.y_label, "svg": drawing}


def _kinds(name: str) -> tuple[str, ...]:
    """The formats of a figure: those of the answer are drawn anew on the page."""
    return IN_FOLDER if name.startswith(ANSWERS) else (*IN_FOLDER, "svg")


def _about(name: str, drawn: Drawn) -> dict[str, Any]:
    """What the page says of a figure: its name, caption, alt text, and width in pixels."""
    width = round(96 * drawn.figure.get_size_inches()[0])
    return {"name": name, "caption": drawn.caption, "alt": drawn.alt, "width": width}


def _written(store: Store, name: str, images: Images) -> str:
    """A figure, written to the folder; its SVG for the page."""
    for kind in IN_FOLDER:
        store.write(f"figures/{name}.{kind}", images[kind])
    return base64.b64encode(images.get("svg", b"")).decode()
