"""Panels as SVG: vectors in the page's own colours, every point with its numbers as a title."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.markers import MarkerStyle

from testbed.report.learnt import HALF
from testbed.report.panels import Panel, Point, Series
from testbed.report.ticks import labels, ticks
from testbed.results.comparison import number

WIDTH = 360.0
LEFT, RIGHT, TOP = 46.0, 10.0, 8.0
HEIGHT = 170.0  # of the barriers' axes
STRIP = 44.0  # of those of the ends, and what is between them
GAP = 12.0
MARKER = 6.0  # points across
ROOM = 46  # characters along an axis
LONGEST = 16  # characters of a tick that is turned
BAR = 190.0  # of the intervals in a row of a table
BAR_HEIGHT = 22.0
LINE = "M{:.1f} {:.1f}L{:.1f} {:.1f}"


@dataclass(frozen=True)
class Axis:
    """From numbers to places."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw(panel: Panel) -> str:
    """A panel as an SVG element of its own; of one whose barriers are all 0 there is nothing to draw."""
    n = len(panel.facet.levels)
    x = Axis(-0.5, n - 0.5, LEFT, WIDTH - RIGHT)
    room = 0.05 * (panel.top - panel.bottom)
    y = Axis(panel.bottom - (room if panel.bottom < 0 else 0.0), panel.top + room, TOP + HEIGHT, TOP)
    parts = [*_frame(y, x), *_curves(panel, x, y)]
    bottom = TOP + HEIGHT
    if panel.has_ends:
        bottom += GAP + STRIP
        parts += _ends(panel, x, bottom)
    under, below = _under(panel, x, bottom)
    height = bottom + below
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:.0f}" role="img" tabindex="0" aria-label="{html.escape(alt(panel))}">'
        + "".join(parts + under)
        + "</svg>"
    )


def alt(panel: Panel) -> str:
    """What a panel shows, for who does not see it: how many points of what, and from where to where they go."""
    said = []
    for series in panel.series:
        if series.role == "predicted" or not series.points:
            continue
        first, last = series.points[0], series.points[-1]
        ticks = panel.facet.ticks
        said.append(
            f"{series.label}: {number(first.mean)} at {ticks[first.level]}, {number(last.mean)} at {ticks[last.level]}"
        )
    return f"{panel.title}, against {panel.facet.name}. {'; '.join(said)}."


def marker(mark: str, size: float = MARKER) -> str:
    """A marker of matplotlib's as the path of an SVG, around the origin.

    >>> marker("s", 2)
    'M-1 1L1 1L1 -1L-1 -1Z'
    """
    style = MarkerStyle(mark)
    path = style.get_path().transformed(style.get_transform() + mpl.transforms.Affine2D().scale(size, -size))
    letters = {path.MOVETO: "M", path.LINETO: "L", path.CURVE3: "Q", path.CURVE4: "C", path.CLOSEPOLY: "Z"}
    parts = []
    for vertices, code in path.iter_segments(curves=True, simplify=False):
        places = " ".join(f"{value:.3g}" for value in vertices)
        parts.append("Z" if code == path.CLOSEPOLY else letters[code] + places)
    return "".join(parts)


def bars(drawn: list[dict[str, Any]], baseline: dict[str, Any] | None, x: Axis, sure: str) -> str:
    """Means with their intervals in a row of a table: as trained, and hollow along other paths; the baseline's behind.

    drawn: of each path mean, low, high; sure: what is sure of the first (its colour).
    """
    parts = []
    if baseline is not None:
        low, high = (baseline[end] if baseline[end] == baseline[end] else baseline["mean"] for end in ("low", "high"))
        parts.append(f'<rect class="band" x="{x(low):.1f}" width="{x(high) - x(low):.1f}" height="{BAR_HEIGHT:g}"/>')
        parts.append(f'<path class="base" d="{LINE.format(x(baseline["mean"]), 0, x(baseline["mean"]), BAR_HEIGHT)}"/>')
    for k, row in enumerate(drawn):
        y = BAR_HEIGHT * (k + 1) / (len(drawn) + 1)
        low, high = row["low"], row["high"]
        line = "" if low != low else f'<path d="{LINE.format(x(low), y, x(high), y)}"/>'
        kind = f"m {sure}" if k == 0 else "m path"
        parts.append(f'<g class="{kind}">{line}<circle cx="{x(row["mean"]):.1f}" cy="{y:.1f}" r="3"/></g>')
    return f'<svg class="bar" viewBox="0 0 {BAR:g} {BAR_HEIGHT:g}" aria-hidden="true">{"".join(parts)}</svg>'


def color(series: Series) -> str:
    """The attributes that give a series its colour: its place between dark and light, or that of its kind of pairs."""
    if series.color is None:
        return ""
    share = 100 * series.color / max(series.n_colors - 1, 1)
    return f' style="--c:color-mix(in oklab,var(--low),var(--high) {share:.0f}%)"'


def tip(panel: Panel, series: Series, point: Point) -> str:
    """A point in words: its value, its interval, of how many pairs, and where the networks end."""
    level = f"{panel.facet.name} {panel.facet.ticks[point.level]}"
    name = "" if series.label == "measured" else f", {series.label}"
    interval = "" if point.low != point.low else f", 95 % from {number(point.low)} to {number(point.high)}"
    end = "" if point.end is None else f"; {panel.end_label}: {number(point.end)}"
    stuck = "" if point.learnt else f"; did not learn (above {HALF:g} of the loss at the first step)"
    return f"{level}{name}: {number(point.mean)}{interval}, {point.n:,} pairs{end}{stuck}"


def _frame(y: Axis, x: Axis) -> list[str]:
    """Lines across at round numbers, and these."""
    values = ticks(y.low, y.high)
    parts = []
    for value, text in zip(values, labels(values), strict=True):
        place = y(value)
        parts.append(f'<path class="grid" d="{LINE.format(x.start, place, x.end, place)}"/>')
        parts.append(f'<text class="y" x="{x.start - 5:g}" y="{place + 3.5:.1f}">{text}</text>')
    return parts


def _curves(panel: Panel, x: Axis, y: Axis) -> list[str]:
    """Every series: a line, or points with their intervals."""
    paths = list(dict.fromkeys(series.label for series in panel.series if series.role == "path"))
    parts = []
    for series in panel.series:
        aside = 0.0 if series.color is None or series.n_colors == 1 else series.color / (series.n_colors - 1) - 0.5
        shift = 0.18 * aside + (0.1 * (paths.index(series.label) + 1) if series.role == "path" else 0.0)
        places = [(x(point.level + shift), y(point.mean)) for point in series.points]
        marks = []
        if series.role == "predicted":
            line = "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
            marks = [f'<path class="line" d="M{line}"/>'] if places else []
        else:
            shape = marker(series.mark.marker)
            for (px, py), point in zip(places, series.points, strict=True):
                marks.append(_point(panel, series, point, px, py, y, shape))
        parts.append(f'<g class="{panel.kind} {series.role}"{color(series)}>{"".join(marks)}</g>')
    return parts


def _point(panel: Panel, series: Series, point: Point, px: float, py: float, y: Axis, shape: str) -> str:
    bar = "" if point.low != point.low else f'<path d="{LINE.format(px, y(point.low), px, y(point.high))}"/>'
    cross = "" if point.learnt else f'<path class="cross" d="{LINE.format(px - 5, py - 5, px + 5, py + 5)}"/>'
    text = html.escape(tip(panel, series, point))
    place = f"translate({px:.1f} {py:.1f})"
    return f'<g class="pt"><title>{text}</title>{bar}<path class="m" d="{shape}" transform="{place}"/>{cross}</g>'


def _ends(panel: Panel, x: Axis, bottom: float) -> list[str]:
    """The strip: the quantity at the ends, a line a series."""
    with_ends = [series for series in panel.series if series.role == "measured"] or list(panel.series)
    top = max(point.end or 0.0 for series in with_ends for point in series.points)
    y = Axis(0.0, 1.1 * top or 1.0, bottom, bottom - STRIP)
    values = ticks(0.0, top, 2) if top else [0.0]
    parts = [f'<text class="strip" x="{x.start + 3:g}" y="{bottom - STRIP + 1:.0f}">{panel.end_label}</text>']
    for value, text in zip(values, labels(values), strict=True):
        parts.append(f'<path class="grid" d="{LINE.format(x.start, y(value), x.end, y(value))}"/>')
        parts.append(f'<text class="y" x="{x.start - 5:g}" y="{y(value) + 3.5:.1f}">{text}</text>')
    for series in with_ends:
        places = [f"{x(point.level):.1f} {y(point.end):.1f}" for point in series.points if point.end is not None]
        if places:
            line = f'<path class="end" d="M{"L".join(places)}"/>'
            parts.append(f'<g class="{panel.kind}"{color(series)}>{line}</g>')
    return parts


def _under(panel: Panel, x: Axis, bottom: float) -> tuple[list[str], float]:
    """Ticks and name of the horizontal axis, and the room that they take."""
    names = panel.facet.ticks
    crowded = sum(len(name) + 1 for name in names) > ROOM
    parts = []
    longest = 0
    for k, name in enumerate(names):
        short = name if len(name) <= LONGEST or not crowded else name[: LONGEST - 1] + "…"
        longest = max(longest, len(short))
        place = x(k)
        turned = f' transform="rotate(-40 {place:.1f} {bottom + 12:.1f})"' if crowded else ""
        side = "t" if crowded else "x"
        parts.append(f'<text class="{side}" x="{place:.1f}" y="{bottom + 13:.1f}"{turned}>{html.escape(short)}</text>')
    room = 16.0 + (4.2 * longest if crowded else 0.0)
    middle = (x.start + x.end) / 2
    name = html.escape(panel.facet.axis)
    parts.append(f'<text class="x" x="{middle:.0f}" y="{bottom + room + 12:.0f}">{name}</text>')
    return parts, room + 18
