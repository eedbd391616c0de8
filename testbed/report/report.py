"""The report: figures as PNG and PDF, and one report.html that needs no network."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import polars as pl

from testbed.ensemble.measuring import DEFINITIONS
from testbed.report.figures import figures, ranking
from testbed.results.claims import judge
from testbed.results.comparison import effects, group_means, interval, mean_interval, nearest_alpha, number, z_summary
from testbed.results.results import Results
from testbed.results.store import Store
from testbed.results.tables import ALSO, GAPS, NUMBERS, PREFIXES

TEMPLATES = Path(__file__).with_name("templates")
CAPTIONS = {
    "curves": "Loss along the straight path between two networks, for pairs of small (10 % quantile), median and the largest "
    "barrier of each kind. Points are measured, lines predicted; nothing is fitted.",
    "predicted": "Every pair's barrier (linear definition), measured on the grid of alphas, against the predicted one. The line is equality.",
    "z": "z = (measured test loss − exact population loss) / standard error, one a pair. Every pair has its own fresh inputs, "
    "so that given the networks the z of different pairs are independent, also of pairs that share a network. The standard "
    "error is estimated from the same inputs, and a sample's loss is skewed to the right: z is corrected for that to O(1/n) "
    "(Johnson 1978).",
    "twins": "Twin students: every pair's midpoint barrier as simulated (exact population loss of the trained networks) against the solution of "
    "the order-parameter equations from the same initial overlaps, which hold for infinitely many inputs d; and how their distance falls with d.",
    "permutations": "Share of pairs whose two students ended in different permutations of the teacher's units (each unit goes to the teacher unit "
    "that it overlaps with, all permutations tried), with 95 % bootstrap intervals over families; half of two-unit pairs would, by chance.",
    "grid": "What a maximum over the grid of alphas misses of the exact training barrier, as a share of it.",
    "planes": "Training loss on the plane through three networks, logarithmic colours: the two ends of a pair, A and B, and C as the titles say. "
    "Axes are Euclidean distances between parameter vectors.",
    "training": "Recorded training losses of the networks that did not diverge.",
    "ranking": "Every component alone, ranked by how far it breaks linear connectivity: mean barrier with 95 % bootstrap intervals over families "
    "of networks and data sets. The line is the baseline's barrier, the band its interval.",
    "barrier": "Mean barrier at each level: points measured, lines the exact population loss where it is known, bars 95 % "
    "bootstrap intervals over families of networks (not over pairs, which share networks).",
}


def write_report(folder: str | Path) -> Path:
    """Draw the figures and write report.html of a finished run; returns its path. StudyError if the run is not finished."""
    results = Results.load(folder)
    store = Store(folder)
    drawn = []
    for name, figure in figures.draw(results).items():
        images = {}
        for kind, metadata in (
            ("png", {"Software": None}),
            ("pdf", {"CreationDate": None}),
        ):  # no clock in what is reproducible
            buffer = io.BytesIO()
            with mpl.rc_context(fname=figures.STYLE):
                figure.savefig(buffer, format=kind, metadata=metadata)
            figure.set_layout_engine("none")  # the layout is found; finding it again costs as much as drawing
            store.write(f"figures/{name}.{kind}", buffer.getvalue())
            images[kind] = base64.b64encode(buffer.getvalue()).decode()
        caption, width = CAPTIONS[name.split("_")[0]], figure.get_size_inches()[0] / 6.6
        drawn.append({"name": name, "caption": caption, "width": width, "png": images["png"]})
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.get_template("report.html.j2").render(
        study=results.study,
        manifest=results.manifest,
        answers=answers(results),
        figures=drawn,
        z_rows=z_rows(results),
        barriers=barrier_table(results),
        grid=grid_numbers(results),
        columns=results.columns,
        claims=claims_table(results),
        components=ranking.table(results),
        effects=effects_table(results),
        beside=beside_table(results),
        unit=results.unit,
        n_families=results.networks["family"].n_unique(),
        kinds={kind: len(results.pairs.filter(kind=kind)) for kind in ("independent", "siblings")},
        toml=results.study.toml(),
    )
    store.write("report.html", html.encode())
    return store.folder / "report.html"


def aligned_sentences(results: Results, kind: str, name: str) -> list[str]:
    """What alignment leaves of the barrier."""
    said = []
    pairs, column = results.measured.filter(kind=kind), f"{results.part}_loss_barrier_linear"
    for prefix, how in PREFIXES.items():
        if prefix and results.has(prefix + column):
            (row,) = group_means(pairs, ["kind"], prefix + column).to_dicts()
            said.append(f"The mean {results.part} loss barrier of {name}{how} is {interval(row)}.")
    return said + gap_sentences(results, kind, name)


def gap_sentences(results: Results, kind: str, name: str) -> list[str]:
    """What matching misses of the best of all permutations."""
    said, pairs = [], results.measured.filter(kind=kind)
    for gap in (gap for gap in GAPS if results.has(gap)):
        (row,) = group_means(pairs, ["kind"], gap).to_dicts()
        found = float((pairs[gap].drop_nulls() < 1e-9).mean())  # type: ignore[arg-type]
        how = PREFIXES[gap.removesuffix("gap")].removeprefix(", after ")
        said.append(
            f"{how.capitalize()} finds the best of all permutations for {found:.0%} of {name}; its mean gap to it is {interval(row)}."
        )
    return said


def claims_table(results: Results) -> list[list[str]]:
    """Rows of claim, source, what was found here, and whether it agrees."""
    verdicts = [(claim, judge(claim, results.pairs, results.shown)) for claim in results.study.claims]
    return [[claim.claim, claim.source, verdict.here, verdict.agrees] for claim, verdict in verdicts]


def answers(results: Results) -> list[str]:
    """The answer in sentences, every number computed from the tables."""
    said = []
    quantity = "population" if results.has("population_barrier_linear") else f"{results.part}_loss"
    column = f"{quantity}_barrier_linear"
    source = {"population": "exact population loss"}.get(quantity, f"measured {results.part} loss")
    for kind in results.kinds:
        pairs = results.measured.filter(kind=kind)
        name = "siblings" if kind == "siblings" else "independent pairs"
        if results.groups_of_components:
            said += ranking.sentences(results, kind) + gap_sentences(results, kind, name)
            continue
        (whole,) = group_means(pairs, ["kind"], column).to_dicts()
        said.append(
            f"The mean barrier of {name} is {interval(whole)} "
            f"({results.unit}; {source}, linear definition, {len(pairs):,} pairs, 95 % interval over families)."
        )
        for key in results.groups(kind):
            rows = group_means(pairs, [key], column).to_dicts()
            if len(rows) < 2 or key == "component":
                continue
            first, last, top = rows[0], rows[-1], max(rows, key=lambda row: row["mean"])
            peak = "" if top in (first, last) else f", with its largest value, {interval(top)}, at {top[key]}"
            said.append(
                f"By {results.label(key)}, {name}: from {interval(first)} at {first[key]} to {interval(last)} at {last[key]}{peak}."
            )
        if results.has(error := f"{results.part}_error_barrier_mean_endpoints"):
            stable = float((pairs[error] < 0.02).mean())  # type: ignore[arg-type]
            said.append(
                f"{stable:.0%} of {name} are stable by Frankle's rule: {results.part} error barrier (mean_endpoints) under 2 %."
            )
        said += aligned_sentences(results, kind, name)
    for claim, source, here, agrees in claims_table(results):
        said.append(f"{claim} ({source}) Here: {here}. Agrees: {agrees}.")
    if results.has("different_permutation"):
        for kind in results.kinds:
            (share,) = group_means(results.measured.filter(kind=kind), ["kind"], "different_permutation").to_dicts()
            name = "siblings" if kind == "siblings" else "independent pairs"
            said.append(
                f"The share of {name} whose students ended in different permutations of the teacher's units is {interval(share)}."
            )
    if results.has("z") and len(z := results.measured["z"].drop_nulls().to_numpy()) > 1:
        s = z_summary(z)
        verdict = "each is within" if s.standard_normal else "not all of them are within"
        said.append(
            f"Measured test losses less the exact population losses, in standard errors, over {s.n:,} pairs at α = "
            f"{nearest_alpha(results.curves, 0.5):g}: mean {s.mean:+.3f}, standard deviation {s.std:.3f}, "
            f"Kolmogorov–Smirnov p = {s.p:.2g}; {verdict} what standard normals give 999 times in 1,000."
        )
    if numbers := grid_numbers(results):
        said.append(
            f"On the training set the measured and the exact curves differ by at most {numbers['difference']:.1g} at the grid's "
            f"points; a barrier read off the grid misses {numbers['median']:.2%} of the exact one in the median, and at most "
            f"{numbers['most']} ({results.unit})."
        )
    counts = results.manifest["counts"]
    left = f"{counts['diverged']:,} diverged, and the {counts['pairs_left_out']:,} pairs with one of them are in no average"
    said.append(f"{counts['networks']:,} networks were trained; {left if counts['diverged'] else 'none diverged'}.")
    return said


def z_rows(results: Results) -> list[dict[str, Any]]:
    """The summary of z at five alphas: each row holds one z a pair; the rows share inputs and are not independent."""
    if not results.has("z"):
        return []
    scores = results.curves.select("alpha", "z").drop_nulls()
    chosen = list(dict.fromkeys(nearest_alpha(results.curves, alpha) for alpha in (0, 0.25, 0.5, 0.75, 1)))
    parts = [(alpha, scores.filter(pl.col("alpha") == alpha)["z"].to_numpy()) for alpha in chosen]
    return [{"alpha": alpha, "summary": z_summary(z)} for alpha, z in parts if len(z) > 1]


def barrier_table(results: Results) -> dict[str, Any]:
    """Mean barriers of every group of pairs: a header and rows of text."""
    sources = [
        name
        for name in ("test_loss", "population", "train_loss", "exact_training", "test_error", "train_error")
        if results.has(f"{name}_barrier_linear")
    ]
    sources += [
        f"{prefix}{name}" for prefix in PREFIXES for name in (f"{results.part}_loss", f"{results.part}_error") if prefix
    ]
    sources = [name for name in sources if results.has(f"{name}_barrier_linear")]
    main = next((name for name in ("population", "test_loss", "train_loss") if name in sources), "")
    others = [d for d in DEFINITIONS[1:] if results.has(f"{main}_barrier_{d}")]
    header = [
        "pairs",
        *(results.label(key) for key in results.factors),
        "n",
        *(f"{s.replace('_', ' ')}, linear" for s in sources),
    ]
    rows = []
    for kind in results.kinds:
        by, pairs = ["kind", *results.groups(kind)], results.measured.filter(kind=kind)
        columns = [f"{s}_barrier_linear" for s in sources] + [f"{main}_barrier_{d}" for d in others]
        averages = pairs.group_by(by).agg(pl.col(columns).mean())
        for row in (
            group_means(pairs, by, f"{main}_barrier_linear").join(averages, on=by, maintain_order="left").to_dicts()
        ):
            levels = [str(row[key]) if key in by else "all" for key in results.factors]
            means = [interval(row) if name == f"{main}_barrier_linear" else number(row[name]) for name in columns]
            rows.append([kind, *levels, f"{row['n']:,}", *means])
    return {"header": header + [f"{main.replace('_', ' ')}, {d}" for d in others], "rows": rows}


def effects_table(results: Results) -> dict[str, Any] | None:
    """What each level of each factor does to the mean barrier against the factor's first level: a header and rows of text; None without factors."""
    column = (
        "population_barrier_linear"
        if results.has("population_barrier_linear")
        else f"{results.part}_loss_barrier_linear"
    )
    if results.groups_of_components or not results.has(column):
        return None
    rows = []
    for kind in results.kinds:
        pairs = results.measured.filter((pl.col("kind") == kind) & pl.col(column).is_not_null())
        for key in results.groups(kind):
            first = str(pairs[key].unique().sort()[0]) if len(pairs) else ""
            rows += [
                [kind, results.label(key), first, str(row[key]), f"{row['n']:,}", interval(row)]
                for row in effects(pairs, key, column).to_dicts()
            ]
    return (
        {"header": ["pairs", "factor", "from", "to", "n", f"difference of {column.replace('_', ' ')}"], "rows": rows}
        if rows
        else None
    )


def beside_table(results: Results) -> dict[str, Any] | None:
    """What was measured beside the barrier (NUMBERS), means by kind of pairs and first factor: a header and rows of text."""
    names = [name for name in NUMBERS if results.has(name) and name != "different_permutation"]
    if not any(name in ALSO for name in names):
        return None
    names = ["train_loss_barrier_linear", *names]
    rows = []
    for kind in results.kinds:
        pairs, first = results.measured.filter(kind=kind), results.groups(kind)[:1]
        groups = (
            [("all", pairs)]
            if not first
            else [(level, pairs.filter(pl.col(first[0]) == level)) for level in pairs[first[0]].unique().sort()]
        )
        for level, group in groups:
            means = []
            for name in names:
                some = group.filter(pl.col(name).is_not_null())
                means.append(
                    interval(dict(zip(("mean", "low", "high"), mean_interval(some, name), strict=True)))
                    if len(some)
                    else "–"
                )
            rows.append([kind, str(level), f"{len(group):,}", *means])
    factor = next((results.label(key) for kind in results.kinds for key in results.groups(kind)[:1]), "")
    return {"header": ["pairs", factor, "n", *(name.replace("_", " ") for name in names)], "rows": rows}


def grid_numbers(results: Results) -> dict[str, Any] | None:
    """What the grid misses of the exact training barrier, and how far measured and exact curves are apart at its points."""
    if not results.has("exact_training_barrier_linear"):
        return None
    pairs = results.measured
    exact, on_grid = (pairs[f"{name}_barrier_linear"].to_numpy() for name in ("exact_training", "train_loss"))
    missed = exact - on_grid
    positive = exact > 1e-9
    difference = (results.curves["train_loss"] - results.curves["exact_training_loss"]).abs().max()
    return {
        "difference": difference,
        "median": float(np.median(missed[positive] / exact[positive])) if positive.any() else 0.0,
        "most": number(float(missed.max())),
        "n": int(positive.sum()),
    }
