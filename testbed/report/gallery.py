"""All runs below a folder on one page: the question of each, its answer, a picture, and the way to its own page."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from testbed.errors import StudyError
from testbed.report import svg
from testbed.report.blocks import Block, blocks
from testbed.report.report import TEMPLATES
from testbed.results.results import Results
from testbed.results.store import Store

MOST_ROWS = 6  # of a ranking in a picture


@dataclass(frozen=True)
class Entry:
    """One run: its folder as the page names it, the way to its page, what it asks and says, and its picture."""

    name: str
    href: str
    question: str
    answer: str
    warning: str
    facts: str
    picture: Markup


def write_gallery(folder: str | Path, out: str | Path) -> tuple[int, list[str]]:
    """Write a page of the finished runs below `folder`; how many they are, and a sentence for each that is left out.

    The page asks no network, needs no scripts, and is the same bytes for the same runs. StudyError if there is no run.
    """
    folder, out = Path(folder), Path(out)
    entries: list[Entry] = []
    others: list[str] = []
    for run in run_folders(folder):
        try:
            entries.append(entry(Results.load(run), folder, out))
        except StudyError as error:
            others.append(str(error))
    if not entries:
        raise StudyError(*others or [f"There is no run below {folder}: `testbed run STUDY` makes one in runs/."])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["inline"] = lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))
    page = environment.get_template("gallery.html.j2").render(entries=entries, others=others)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return len(entries), others


def run_folders(folder: Path) -> list[Path]:
    """The folders at or below `folder` in which a run was begun, by their paths; what lies in a run is not searched."""
    found = []
    for where, below, files in os.walk(folder):
        below.sort()
        if {"study.toml", "manifest.json"} <= set(files):
            found.append(Path(where))
            below.clear()
    return found


def entry(results: Results, folder: Path, out: Path) -> Entry:
    """What the gallery says of one run."""
    block = blocks(results)[0]
    counts = results.counts
    page = os.path.relpath(results.folder / "report.html", out.parent)
    n_pairs = counts["pairs"] - counts["pairs_left_out"]
    diverged = f" ({counts['diverged']:,} diverged)" if counts["diverged"] else ""
    facts = f"{counts['networks']:,} networks{diverged}, {n_pairs:,} pairs" + ", quick" * results.study.quick
    return Entry(
        name=results.folder.relative_to(folder).as_posix() if results.folder != folder else results.folder.name,
        href=quote(Path(page).as_posix()),
        question=results.study.question,
        answer=block.sentences[0] if block.sentences else "No pair was measured.",
        warning=block.warnings[0] if block.warnings else "",
        facts=facts,
        picture=Markup("").join(_picture(results, block)),
    )


def _picture(results: Results, block: Block) -> Iterator[Markup]:
    """The first panel of a block; of components the top of their ranking; else the figure that papers get."""
    drawn = [panel for panel in block.panels if not panel.is_zero]
    if drawn:
        yield Markup('<p class="facts">{}, {}</p>').format(drawn[0].title, drawn[0].y_label)
        yield Markup(svg.draw(drawn[0]))
        return
    for table in list(block.tables.values())[:1] if block.figure == "ranking" else []:
        for name, bar, *_ in table["rows"][:MOST_ROWS]:
            yield Markup('<div class="ranked">{} {}</div>').format(bar, name)
        return
    image = Store(results.folder).folder / "figures" / f"{block.figure}.png"
    if image.is_file():
        data = base64.b64encode(image.read_bytes()).decode()
        yield Markup('<img class="plot" alt="{}" src="data:image/png;base64,{}">').format(block.name, data)
