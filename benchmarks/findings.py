"""Runs the studies of docs/findings.md and docs/theory.md and brings their tables and figures up to date.

    python benchmarks/findings.py [--runs runs] [--only STUDY …] [--quick] [--scale S]

A study that has run already is not run again. Between the marks <!-- STUDY --> and <!-- end --> of either page the
table of claims is written anew, and the figures named in FIGURES are drawn as SVG in docs/figures, the first under
the study's name. With --quick or --scale the tables are printed and docs/ stays as it is.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import matplotlib as mpl

from testbed.report import claims_table
from testbed.report.blocks import blocks
from testbed.report.figures.draw import STYLE, draw
from testbed.results import Results
from testbed.run import run_study
from testbed.run_folder import folder_name
from testbed.study import Study

DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES: dict[str, tuple[str, ...]] = {
    "disentangle": ("ranking",),
    "width": ("barrier_architecture_hidden",),
    "instability": ("barrier_ensemble_spawn_step",),
    "rebasin": ("barrier_training_steps",),
    "counterexample": ("barrier_architecture_hidden",),
    "double_descent": ("barrier_architecture_hidden",),
    "aligned_width": ("barrier_architecture_hidden",),
    "sparsity": ("ranking",),
    "locality": ("ranking",),
    "difficulty": ("barrier_data_label_noise",),
    "strategy": ("barrier_training_optimizer_lr",),
    "controls": ("barrier_architecture_hidden",),
    "lemma7": ("predicted",),
    "segments": ("barrier_architecture_hidden", "planes"),
    "twins": ("twins",),
    "plateau": ("permutations",),
    "locality_map": ("barrier_training_optimizer_lr",),
    "locality_field": ("ranking",),
    "locality_whole": (),  # its figure is that of benchmarks/locality.py
    "locality_causes": ("ranking",),
    "full_length": ("ranking",),
    "boundary": ("barrier_ensemble_spawn_step",),
    "modulo": ("barrier_architecture_hidden",),
    "collapse": ("barrier_architecture_hidden",),
    "strong": ("barrier_architecture_hidden",),
    "components": ("barrier_architecture_hidden",),
    "lazy": ("barrier_architecture_hidden",),
    "twins_lean": ("twins",),
    "smoothing": ("ranking",),
    "spread": (),  # its figure is that of benchmarks/spread.py
    "committee_paths": (),  # it has a table of benchmarks/committee_paths.py
    "proved": ("barrier_architecture_hidden",),
    "plateau_three": ("permutations",),
    "plateau_rates": (),  # it has tables of benchmarks/fluctuations.py
    "plateau_unequal": (),  # it has tables of benchmarks/fluctuations.py
    "twins_spread": (),  # it has tables of benchmarks/fluctuations.py
    "locality_curvature": ("barrier_training_optimizer_lr",),
    "full_batch": ("barrier_training_snapshot",),
    "random_order": (),  # its figure is that of benchmarks/random_order.py
}


def main() -> None:
    """Run what has not run, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="shrink the studies to a few seconds each")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times as many families and pairs")
    parser.add_argument(
        "--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="STUDY", help="these studies alone"
    )
    options = parser.parse_args()
    for name in options.only:
        study = Study.load(name, quick=options.quick, scale=options.scale)
        folder = options.runs / folder_name(name, options.quick, options.scale)
        results = Results.load(run_study(study, folder, progress=True).parent)
        if options.quick or options.scale != 1:
            print(f"## {name}\n{_markdown(results)}")
        else:
            _draw_figures(name, results)
            _write_table(name, results)


def _draw_figures(name: str, results: Results) -> None:
    """The study's figures in docs/figures: the first under its name, others with their own added."""
    drawn = dict(draw(results, blocks(results))) if FIGURES[name] else {}
    for place, figure in enumerate(FIGURES[name]):
        file = name if place == 0 else f"{name}_{figure}"
        with mpl.rc_context(fname=STYLE):
            drawn[figure].figure.savefig(DOCS / "figures" / f"{file}.svg", metadata={"Date": None})


def _write_table(name: str, results: Results) -> None:
    """The study's claims between its marks, in every page that has them."""
    between = re.compile(rf"<!-- {name} -->.*?<!-- end -->", re.DOTALL)
    written = f"<!-- {name} -->\n{_markdown(results)}<!-- end -->"
    for page in (DOCS / "findings.md", DOCS / "theory.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(between.sub(written.replace("\\", "\\\\"), text), encoding="utf-8")


def _markdown(results: Results) -> str:
    """The claims as a table, and how large the study was."""
    counts = results.manifest["counts"]
    rows = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in claims_table(results)]
    said = f"{counts['networks']:,} networks ({counts['diverged']} diverged), {counts['pairs']:,} pairs.\n"
    if not rows:
        return said
    return said + "\n| claim | source | here | agrees? |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
