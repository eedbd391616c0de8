"""One figure of a run, for a notebook: the page's, of one factor."""

from __future__ import annotations

from matplotlib.figure import Figure

from testbed.report.facets import facets
from testbed.report.figures import by_factor, curves
from testbed.report.panels import panels
from testbed.results.results import Results


def figure_of(results: Results, factor: str | None = None) -> Figure:
    """Mean barriers against a factor, by default the first that has two levels; curves of a few pairs without one.

    ValueError names the factors that there are, or says that nothing can be drawn.
    """
    if factor is not None and factor not in results.factors:
        raise ValueError(
            f"factor must be one of {', '.join(results.factors) or 'none, since none varies'}, not {factor!r}."
        )
    for key in results.factors if factor is None else [factor]:
        shown = [panel for facet in facets(results, key) for panel in panels(results, facet)]
        if drawn := by_factor.figure(results, shown):
            return drawn
    drawn = curves.figure(results)
    if drawn is None:
        raise ValueError("there is nothing to draw: no pair was measured.")
    return drawn
