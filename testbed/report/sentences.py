"""The answer of a study in sentences, every number computed from the tables."""

from __future__ import annotations

import polars as pl

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.measures.registry import PREDICTIONS
from testbed.report.tables import grid_numbers
from testbed.report.verdicts import NAMES, name_of
from testbed.results.comparison import interval, nearest_alpha, number, z_summary
from testbed.results.results import Results
from testbed.results.tables import GAPS

STABLE = 0.02  # Frankle's rule, of the test error barrier
PROVED = ("barrier", "gap", "missed")  # what is certified
FOUND = 1e-9  # a gap below: the best of all permutations is found


def overall(results: Results, kind: str) -> list[str]:
    """The mean barrier of a kind of pairs, and how many of them are connected."""
    name = NAMES[kind]
    barrier = results.main_barrier
    if not results.has(barrier):
        return []
    ends = columns.ends(f"{results.part}_loss")
    error = columns.barrier(f"{results.part}_error", "mean_endpoints")
    at_ends = f"; mean {results.part} loss at the ends {_mean(results, kind, ends)}" if results.has(ends) else ""
    mean = _mean(results, kind, barrier)
    pairs = results.pairs_with(error, kind=kind)
    said = [
        f"The mean {name_of(barrier)} of {name} is {mean} "
        f"({results.unit}; {len(pairs):,} pairs, 95 % interval over families{at_ends})."
    ]
    if results.has(error):
        stable = float((pairs[error] < STABLE).mean())  # type: ignore[arg-type]
        said.append(
            f"{stable:.0%} of {name} are stable by Frankle's rule: {results.part} error barrier (mean_endpoints) under "
            f"{100 * STABLE:.0f} %."
        )
    return said


def further(results: Results) -> list[str]:
    """What is true of all pairs of the study together."""
    said = []
    for kind in results.kinds:
        if not results.groups_of_components:
            said += overall(results, kind) + aligned_sentences(results, kind)
        else:
            said += gap_sentences(results, kind)
    said += _permutation_sentences(results)
    return list(dict.fromkeys(said))


def checks(results: Results) -> list[str]:
    """How far measured and predicted agree."""
    return _z_sentences(results) + _grid_sentences(results) + _twin_sentences(results) + _certified_sentences(results)


def aligned_sentences(results: Results, kind: str) -> list[str]:
    """What alignment leaves of the barrier."""
    by_mean: dict[str, list[str]] = {}
    for name, alignment in ALIGNMENTS.items():
        barrier = columns.barrier(f"{results.part}_loss", path=name)
        if results.has(barrier):
            by_mean.setdefault(_mean(results, kind, barrier), []).append(alignment.phrase)
    said = [
        f"The mean {results.part} loss barrier of {NAMES[kind]}, {', '.join(phrases)}, is {mean}."
        for mean, phrases in by_mean.items()
    ]
    return said + gap_sentences(results, kind)


def gap_sentences(results: Results, kind: str) -> list[str]:
    """What matching misses of the best of all permutations."""
    said = []
    for name, gap in GAPS.items():
        if results.has(gap):
            pairs = results.pairs_with(gap, kind=kind)
            found = float((pairs[gap].drop_nulls() < FOUND).mean())  # type: ignore[arg-type]
            how = ALIGNMENTS[name].phrase.removeprefix("after ").capitalize()
            said.append(
                f"{how} finds the best of all permutations for {found:.0%} of {NAMES[kind]}; "
                f"its mean gap to it is {_mean(results, kind, gap)}."
            )
    return said


def _permutation_sentences(results: Results) -> list[str]:
    column = columns.DIFFERENT_PERMUTATION
    if not results.has(column):
        return []
    return [
        f"The share of {NAMES[kind]} whose students ended in different permutations of the teacher's units is "
        f"{_mean(results, kind, column)}."
        for kind in results.kinds
    ]


def _z_sentences(results: Results) -> list[str]:
    """How measured and predicted test losses agree."""
    if not results.has("z"):
        return []
    z = results.pairs_with("z")["z"].drop_nulls().to_numpy()
    if len(z) < 2:
        return []
    summary = z_summary(z)
    alpha = nearest_alpha(results.study.measure.alphas, 0.5)
    verdict = "each is within" if summary.standard_normal else "not all of them are within"
    return [
        f"Measured test losses less the exact population losses, in standard errors, over {summary.n:,} pairs at α = "
        f"{alpha:g}: mean {summary.mean:+.3f}, standard deviation {summary.std:.3f}, "
        f"Kolmogorov–Smirnov p = {summary.p:.2g}; {verdict} what standard normals give 999 times in 1,000."
    ]


def _grid_sentences(results: Results) -> list[str]:
    """How measured and exact training losses agree."""
    numbers = grid_numbers(results)
    if numbers is None:
        return []
    return [
        f"On the training set the measured and the exact curves differ by at most {numbers['difference']:.1g} at the "
        f"grid's points; a barrier read off the grid misses {numbers['median']:.2%} of the exact one in the median, "
        f"and at most {numbers['most']} ({results.unit})."
    ]


def _twin_sentences(results: Results) -> list[str]:
    """Which pairs of a compiled prediction theory computed too, and how far the two are apart."""
    said = []
    for prediction in PREDICTIONS.values():
        check = columns.check(prediction.name)
        pairs = results.pairs_with(check)
        apart = pairs[check].drop_nulls().to_list() if results.has(check) else []
        if apart:
            said.append(
                f"The compiled kernel computed {prediction.text}. Theory's own route computed it too for "
                f"{len(apart):,} of {len(pairs):,} pairs, drawn by their seeds: they differ by at most "
                f"{max(apart):.1g} of the largest loss on a path."
            )
    return said


def _certified_sentences(results: Results) -> list[str]:
    """Of how many pairs the barrier is known with a proof, and to what."""
    if not results.has("certified_gap"):
        return []
    pairs = results.pairs_with(*(f"certified_{name}" for name in PROVED))
    proved = pairs.drop_nulls("certified_gap")
    if not len(proved):
        return []
    barrier, gap, missed = (proved[f"certified_{name}"].to_numpy() for name in PROVED)
    return [
        f"Of {len(proved):,} of {len(pairs):,} pairs, drawn by their seeds, the training barrier is "
        f"enclosed with a proof: it is {number(barrier.mean())} in the mean, up to {number(gap.max())} more at most, "
        f"and the grid misses of it at least {number(missed.max())} where it misses most ({results.unit})."
    ]


def count(results: Results) -> str:
    """How many networks were trained, and how many pairs are left out."""
    counts = results.counts
    trained = f"{counts['networks']:,} networks were trained"
    if not counts["diverged"]:
        return f"{trained}; none diverged."
    left_out = f"the {counts['pairs_left_out']:,} pairs with one of them are in no average"
    return f"{trained}; {counts['diverged']:,} diverged, and {left_out}{_lost(results)}."


def _lost(results: Results) -> str:
    """Of how many cells no pair is left, and which levels stand nowhere on the page for that reason."""
    cells = results.all_pairs.select(pl.col("cell").n_unique()).collect().item()
    lost = cells - len(results.levels_measured("cell"))
    if not lost:
        return ""
    named = []
    for key in [*results.factors, *(["component"] if results.groups_of_components else [])]:
        measured = set(results.levels_measured(key))
        levels = results.all_pairs.select(pl.col(key).unique().sort()).collect()[key].to_list()
        gone = [str(level).removesuffix(".0") for level in levels if level not in measured]
        if gone and measured:
            named.append(f"{results.short(key)} {', '.join(gone)}")
    said = f"; none is left in {lost:,} of {cells:,} cells"
    return f"{said}, and nothing here is of {' or '.join(named)}" if named else said


def _mean(results: Results, kind: str, column: str) -> str:
    """The mean of a column over pairs of one kind, with its interval."""
    (row,) = results.means(kind, ["kind"], column).to_dicts()
    return interval(row)
