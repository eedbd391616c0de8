"""The report: figures as PNG and PDF, and one report.html that needs no network."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl

from testbed.report import ranking, sentences, tables
from testbed.report.figures.draw import STYLE, Drawn, draw
from testbed.results.results import Results
from testbed.results.store import Store

TEMPLATES = Path(__file__).with_name("templates")
FORMATS: dict[str, dict[str, None]] = {  # and what is not written into them: no clock in what is reproducible
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}
PAGE_WIDTH = 6.6  # inches


def write_report(folder: str | Path) -> Path:
    """Draw the figures and write report.html of a finished run; returns its path. StudyError if it is not finished."""
    results = Results.load(folder)
    store = Store(folder)
    figures = [_written(store, name, drawn) for name, drawn in draw(results).items()]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.get_template("report.html.j2").render(
        study=results.study,
        manifest=results.manifest,
        answers=sentences.answers(results),
        figures=figures,
        z_rows=tables.z_rows(results),
        barriers=tables.barrier_table(results),
        grid=tables.grid_numbers(results),
        columns=results.columns,
        claims=tables.claims_table(results),
        components=ranking.table(results),
        effects=tables.effects_table(results),
        measures=tables.measures_table(results),
        unit=results.unit,
        n_families=results.networks["family"].n_unique(),
        kinds={kind: len(results.pairs.filter(kind=kind)) for kind in ("independent", "siblings")},
        toml=results.study.toml(),
    )
    store.write("report.html", html.encode())
    store.add_drawn()
    return store.folder / "report.html"


def _written(store: Store, name: str, drawn: Drawn) -> dict[str, Any]:
    """A figure saved in every format; its name, caption, width as a share of the page, and PNG for the page."""
    images = {}
    for kind, metadata in FORMATS.items():
        buffer = io.BytesIO()
        with mpl.rc_context(fname=STYLE):
            drawn.figure.savefig(buffer, format=kind, metadata=metadata)
        drawn.figure.set_layout_engine("none")  # the layout is found; finding it again costs as much as drawing
        store.write(f"figures/{name}.{kind}", buffer.getvalue())
        images[kind] = buffer.getvalue()
    return {
        "name": name,
        "caption": drawn.caption,
        "width": drawn.figure.get_size_inches()[0] / PAGE_WIDTH,
        "png": base64.b64encode(images["png"]).decode(),
    }
