"""Draws the figures of docs/theory.md: each result of theory/, measured against predicted.

    python benchmarks/theory_figures.py [--out docs/figures]

Points are measured by kernels/ (trained networks, losses along paths), lines are what theory/ predicts from the same
weights; nothing is fitted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import theory
from kernels import SGD, Adam, Architecture, Teacher, Training, path_losses, train
from testbed.pair_set import layers
from testbed.report.figures.draw import STYLE

DOUBLE = torch.float64
ALPHAS = torch.linspace(0, 1, 25, dtype=DOUBLE)
FINE = np.linspace(0, 1, 401)
Data = tuple[torch.Tensor, torch.Tensor]


def inputs(n: int, d: int, seed: int = 0) -> torch.Tensor:
    """x ~ N(0, I), `[n, d]`."""
    return torch.randn(n, d, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def trained(architecture: Architecture, n: int, seed: int, data: Data, training: Training) -> torch.Tensor:
    """Parameters of n trained networks, `[n, n_parameters]`."""
    return train(architecture, architecture.initial(n, seed, dtype=DOUBLE), data, training).params


def barriers_on_grid(
    architecture: Architecture,
    a: torch.Tensor,
    b: torch.Tensor,
    data: Data,
    alphas: torch.Tensor = ALPHAS,
    loss: str = "mse",
) -> np.ndarray:
    """The barriers `linear` of losses that kernels/ measured at `alphas`, `[n_pairs]`."""
    losses = path_losses(architecture, a, b, alphas, data, loss).loss
    return theory.barriers_on_grid(alphas.numpy(), losses.numpy()).value


def points_and_lines(ax: Axes, measured: torch.Tensor, lines: np.ndarray) -> None:
    """Losses measured at ALPHAS as points and predicted at FINE as lines, a colour a pair."""
    for k, (points, line) in enumerate(zip(measured, lines, strict=True)):
        ax.plot(ALPHAS, points, "o", ms=2.5, color=f"C{k}")
        ax.plot(FINE, line, lw=1, color=f"C{k}")


def legend_below(figure: Figure) -> None:
    """A legend of what the axes label, and of points (measured) and lines (predicted)."""
    measured = Line2D([], [], color="0.3", marker="o", ls="", ms=2.5, label="measured")
    predicted = Line2D([], [], color="0.3", lw=1, label="predicted")
    handles = [*figure.axes[0].get_legend_handles_labels()[0], measured, predicted]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)), fontsize=7)


def population() -> Figure:
    """Population loss between trained students of a teacher: 20,000 fresh inputs against the exact curve."""
    figure = Figure(figsize=(6.6, 2.7))
    for ax, activation in zip(figure.subplots(1, 3), ("relu", "erf", "tanh"), strict=True):
        architecture = Architecture((6, 8, 1), activation, biases=False)
        teacher = Architecture((6, 3, 1), activation, biases=False)
        target = teacher.initial(1, 1, dtype=DOUBLE)
        source = Teacher(teacher, target[0])
        params = train(
            architecture, architecture.initial(8, 0, dtype=DOUBLE), source, Training(3000, SGD(lr=0.05), batch_size=16)
        ).params
        a, b = params[:4], params[4:]
        measured = path_losses(architecture, a, b, ALPHAS, source, n_samples=20_000, seeds=5)
        curve = theory.population_path(
            layers(architecture, a), layers(architecture, b), layers(teacher, target), activation
        )
        lines = curve(FINE)
        for k in range(4):
            ax.errorbar(ALPHAS, measured.loss[k], 2 * measured.standard_error[k], fmt="o", ms=2, lw=0.6, color=f"C{k}")
            ax.plot(FINE, lines[k], lw=1, color=f"C{k}")
        ax.set(title=activation, xlabel="α", ylim=(0, None))
    legend_below(figure)
    figure.axes[0].set_ylabel("loss (½ mean squared error)")
    return figure


def linear() -> Figure:
    """Linear networks: curves of degree 2L at depth 3, and the barrier of exact solutions of depth 2."""
    figure = Figure(figsize=(6.6, 3.1))
    left, right = figure.subplots(1, 2)
    x = inputs(64, 4)
    y = x @ inputs(4, 2, 1) + 0.1 * inputs(64, 2, 2)
    moments = theory.SecondMoments.from_data(x.numpy(), y.numpy())
    deep = Architecture((4, 5, 5, 2), "identity", biases=False)
    params = trained(deep, 8, 0, (x, y), Training(400, SGD(lr=0.05)))
    measured = path_losses(deep, params[:4], params[4:], ALPHAS, (x, y)).loss
    points_and_lines(
        left, measured, theory.linear_path(layers(deep, params[:4]), layers(deep, params[4:]), moments)(FINE)
    )
    left.set(xlabel="α", ylabel="loss (½ mean squared error)", title="depth 3: a polynomial of degree 6")
    flat = Architecture((4, 5, 2), "identity", biases=False)
    clean = x @ inputs(4, 2, 1)
    params = trained(flat, 200, 1, (x, clean), Training(6000, SGD(lr=0.1)))
    a, b = params[:100], params[100:]
    exact = theory.depth_two_barrier(layers(flat, a), layers(flat, b), (x.T @ x / 64).numpy())
    right.plot(exact, barriers_on_grid(flat, a, b, (x, clean)), "o", ms=2.5)
    right.axline((0, 0), slope=1, color="black", lw=0.8)
    right.set(xlabel="‖ΔW₂ ΔW₁ Σ^½‖² / 32", ylabel="measured barrier", title="depth 2, exact solutions, 100 pairs")
    legend_below(figure)
    return figure


def piecewise() -> Figure:
    """Exact training loss of relu networks, two layers and four, and what grids of alphas miss of the barrier."""
    figure = Figure(figsize=(6.6, 3.1))
    x = inputs(32, 2)
    y = torch.sin(3 * x[:, :1])
    axes = figure.subplots(1, 3)
    training = Training(3000, Adam(lr=0.01))
    paths = {(2, 8, 1): theory.piecewise_path, (2, 8, 8, 8, 1): theory.deep_piecewise_path}
    for ax, (widths, path) in zip(axes[:2], paths.items(), strict=True):
        architecture = Architecture(widths)
        params = trained(architecture, 6, 3, (x, y), training)
        ends = layers(architecture, params[:3]), layers(architecture, params[3:])
        measured = path_losses(architecture, params[:3], params[3:], ALPHAS, (x, y)).loss
        points_and_lines(ax, measured, path(*ends, x.numpy(), y.numpy())(FINE))
        ax.set(title=f"{len(widths) - 1} layers", xlabel="α", ylim=(0, None))
    axes[0].set_ylabel("training loss (½ mean squared error)")
    legend_below(figure)
    architecture = Architecture((2, 8, 1))
    params = trained(architecture, 400, 4, (x, y), training)
    a, b = params[:200], params[200:]
    found = theory.piecewise_barriers(layers(architecture, a), layers(architecture, b), x.numpy(), y.numpy())
    exact = found.barriers["linear"].value
    counts = [5, 9, 17, 33, 65, 129]
    grids = [torch.linspace(0, 1, n, dtype=DOUBLE) for n in counts]
    missed = [1 - barriers_on_grid(architecture, a, b, (x, y), grid) / exact for grid in grids]
    low, middle, high = np.quantile(np.maximum(missed, 1e-7), [0.1, 0.5, 0.9], axis=1)
    axes[2].fill_between(counts, low, high, alpha=0.2, lw=0)
    axes[2].plot(counts, middle, "o-", ms=3)
    axes[2].set(
        xscale="log",
        yscale="log",
        xlabel="alphas in the grid",
        title="share that a grid misses",
        ylabel="of the exact barrier, 200 pairs",
    )
    axes[2].set_xticks(counts, [str(n) for n in counts])
    axes[2].minorticks_off()
    return figure


def enclosure() -> Figure:
    """Certified enclosures of barriers, and what a grid measured: cross-entropy of tanh networks, two hidden layers."""
    figure = Figure(figsize=(6.6, 2.6))
    left, right = figure.subplots(1, 2)
    x = inputs(24, 2)
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long()
    architecture = Architecture((2, 6, 6, 2), "tanh")
    params = trained(architecture, 32, 5, (x, y), Training(800, Adam(lr=0.02), "cross_entropy"))
    a, b = params[:16], params[16:]
    measured = barriers_on_grid(architecture, a, b, (x, y), loss="cross_entropy")
    order = np.argsort(measured)
    ends = layers(architecture, a), layers(architecture, b)
    for color, tol, lw in (("C0", 1e-1, 5), ("C1", 1e-2, 2.5), ("C2", 1e-3, 1.2)):
        curve = theory.certified_path(*ends, x.numpy(), y.numpy(), "tanh", loss="cross_entropy", tol=tol)
        low, high = (curve.enclosure("linear") - measured[:, None])[order].T
        left.vlines(np.arange(16), low, high, color=color, lw=lw, label=f"tolerance {tol:g}")
        right.plot(high, "o", ms=3, color=color, label=f"tolerance {tol:g}")
    left.axhline(0, color="black", lw=0.7)
    left.set(
        xlabel="pair, by its barrier", ylabel="[lo, hi] − measured (nats)", title="enclosures, less a grid of 25 alphas"
    )
    left.legend(fontsize=6.5)
    right.set(
        yscale="log", xlabel="pair, by its barrier", ylabel="hi − measured (nats)", title="no measurement lies above"
    )
    return figure


def flow() -> Figure:
    """Gradient flow of two-layer linear networks from balanced starts, against gradient descent with a small rate."""
    figure = Figure(figsize=(3.6, 3.1))
    ax = figure.subplots()
    x = inputs(200, 3)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / 200)).T  # whitened, as the closed form asks
    y = x @ torch.tensor([[1.5, 0.0, 0.3], [0.0, 0.7, 0.0]], dtype=DOUBLE).T
    architecture = Architecture((3, 2, 2), "identity", biases=False)
    rotation = torch.linalg.qr(inputs(3, 3, 7)).Q
    rate, steps = 0.005, 2400
    scales = (0.03, 0.1, 0.3)
    starts = []
    for scale in scales:
        w1 = scale * rotation[:2]
        w2 = scale * torch.linalg.qr(inputs(2, 2, 8)).Q  # W₂ᵀ W₂ = W₁ W₁ᵀ: balanced
        starts.append(torch.cat([w1.flatten(), w2.flatten()]))
    params = torch.stack(starts)
    run = train(architecture, params, (x, y), Training(steps, SGD(lr=rate), record_every=60))
    moments = theory.SecondMoments.from_data(x.numpy(), y.numpy())
    times = np.linspace(0, steps * rate, 200)
    lines = theory.flow_losses(layers(architecture, params), moments, times)
    for k, scale in enumerate(scales):
        ax.plot(np.array(run.loss_steps) * rate, run.losses[k], "o", ms=2.5, color=f"C{k}", label=f"start {scale:g}")
        ax.plot(times, lines[k], lw=1, color=f"C{k}")
    ax.set(xlabel="time (steps × rate)", ylabel="loss (½ mean squared error)", yscale="log", ylim=(1e-6, None))
    legend_below(figure)
    return figure


def curvature() -> Figure:
    """The barrier and its bound by the path's curvature, for relu students on data."""
    figure = Figure(figsize=(3.6, 2.8))
    ax = figure.subplots()
    x = inputs(48, 3)
    y = torch.sin(2 * x[:, :1])
    architecture = Architecture((3, 10, 1))
    starts = architecture.initial(200, 6, dtype=DOUBLE)
    for steps, name in ((0, "at initialisation"), (300, "after 300 steps"), (5000, "after 5,000 steps")):
        params = train(architecture, starts, (x, y), Training(steps, Adam(lr=0.01))).params
        a, b = params[:100], params[100:]
        curve = theory.piecewise_path(layers(architecture, a), layers(architecture, b), x.numpy(), y.numpy())
        measured = barriers_on_grid(architecture, a, b, (x, y))
        ax.plot(theory.curvature_bound(curve).bound, measured, "o", ms=2.5, label=name)
    ax.axline((1, 1), (10, 10), color="black", lw=0.8)
    ax.set(
        xscale="log", yscale="log", xlabel="bound: ⅛ sup (−L″)₊ and kinks", ylabel="measured barrier", ylim=(1e-3, None)
    )
    ax.legend(fontsize=7)
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "population": population,
    "linear": linear,
    "piecewise": piecewise,
    "enclosure": enclosure,
    "flow": flow,
    "curvature": curvature,
}


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "figures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(fname=STYLE):
        for name, draw in FIGURES.items():
            draw().savefig(options.out / f"theory_{name}.svg", metadata={"Date": None})
            print(options.out / f"theory_{name}.svg")


if __name__ == "__main__":
    main()
