"""Barriers between linear networks on the way: gradient flow's closed form beside trained networks.

    python benchmarks/linear_flow.py [--quick] [--json] [--figure docs/figures/linear_flow.svg]

Two layers without biases, three inputs and outputs, whitened inputs, a task of singular values 3, 1.5 and 0.75, which
are learnt one after the other; trained by full-batch gradient descent of rate 0.005 from

    aligned     starts of the closed form: the task's own bases, hidden bases at random, strengths 10⁻³; width 16
    small       entries N(0, 0.01²); widths 16 and 128
    standard    torch's own initial weights; width 128

`theory.flow_barriers` predicts the barrier of each pair at each time from the starts alone: of a start that is not
aligned, mode k has the hidden direction r_k = ½ (W₁v_k + W₂ᵀu_k), the part that grows, and the strength |r_k|².
Written down before it ran:
  1  aligned: every measured barrier within 2 % of the largest;
  2  small: the mean over pairs within 5 % of its largest value at width 128, within 10 % at width 16, at all times;
  3  the mean barrier of the first mode is largest, 3²/6 = 1.5, when that mode is two thirds learnt, and falls by a
     quarter, to 9/8, before the second is: in small starts of width 128 to within 5 % of either number;
  4  standard: the closed form does not hold, the mean is off by more than 20 % of its largest value.

1 and 4 held. 2 failed at width 16 (by 24 %): random directions r_k are not orthogonal there, and what a mode shares
with those learnt before it is lost. "orthogonal" takes this off (Gram and Schmidt, in the order of learning): added
after these numbers were seen. 3 failed: the second mode is under way before the first has come down.

Rows: start, width, time, mean barrier measured, predicted and orthogonal, in units of the loss; then how far the means
are off at most, and the largest difference of a pair, in units of the largest value.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import kernels
import theory
from testbed.pair_set import layers
from testbed.report.figures.draw import STYLE

SINGULAR = np.array([3.0, 1.5, 0.75])
RATE = 0.005
TIMES = np.concatenate([np.arange(0.1, 3.0, 0.1), np.arange(3.0, 14.1, 0.5)])
ARMS = (("aligned", 16), ("small", 16), ("small", 128), ("standard", 128))
ALPHAS = torch.linspace(0, 1, 33, dtype=torch.float64)


def main() -> None:
    """Print rows, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 pairs for 64")
    parser.add_argument("--json", action="store_true", help="one object a row")
    parser.add_argument("--figure", type=Path, help="draw into this file")
    options = parser.parse_args()
    n_pairs = 8 if options.quick else 64
    found = {arm: barriers(*arm, n_pairs) for arm in ARMS}
    if options.figure:
        with mpl.rc_context(fname=STYLE):
            figure(found).savefig(options.figure, metadata={"Date": None})
    rows = []
    for (start, width), (measured, *predicted) in found.items():
        for k, time in enumerate(TIMES):
            names = ("measured", "predicted", "orthogonal")
            numbers = {name: part[:, k].mean() for name, part in zip(names, (measured, *predicted), strict=True)}
            rows.append({"start": start, "width": width, "time": float(time)} | numbers)
    if options.json:
        for row in rows:
            print(json.dumps(row))
        return
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=120).print(table)
    for (start, width), (measured, *predicted) in found.items():
        mean = measured.mean(0)
        for name, one in zip(("predicted", "orthogonal"), predicted, strict=True):
            off = np.abs(one.mean(0) - mean).max() / mean.max()
            furthest = np.abs(measured - one).max() / measured.max()
            print(f"{start}, width {width}, {name}: means off by {off:.3f}, a pair by {furthest:.3f}")
        first = int(mean[TIMES < 1.6].argmax())
        valley = mean[first : int((TIMES < 3).sum())].min()
        print(f"{start}, width {width}: first hill {mean[first]:.3f}, valley {valley:.3f}, last {mean[-1]:.3f}")


def barriers(start: str, width: int, n_pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measured and both predicted barriers of pairs, [n_pairs, n_times] each."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(2))
    cross = (left * SINGULAR) @ right.T
    x = np.linalg.qr(rng.standard_normal((64, 3)))[0] * 8  # second moments 1
    y = x @ cross.T
    moments = theory.SecondMoments(np.eye(3), cross.T, cross @ cross.T, x.mean(0), y.mean(0))
    architecture = kernels.Architecture((3, width, 3), "identity", biases=False)
    n = 2 * n_pairs
    if start == "aligned":
        bases = np.linalg.qr(rng.standard_normal((n, width, 3)))[0]
        networks = theory.aligned_flow(moments, [1e-3] * 3, bases, [0.0])
        params = torch.from_numpy(np.concatenate([weight.reshape(n, -1) for weight, _ in networks], 1))
    elif start == "small":
        params = torch.from_numpy(0.01 * rng.standard_normal((n, architecture.n_parameters)))
    else:
        params = architecture.initial(n, 0, dtype=torch.float64, scheme="torch")
    data = torch.from_numpy(x), torch.from_numpy(y)
    steps = tuple(round(time / RATE) for time in TIMES)
    training = kernels.Training(steps=steps[-1], optimizer=kernels.SGD(lr=RATE), snapshots=steps)
    run = kernels.train(architecture, params, data, training)
    measured = [
        theory.barriers_on_grid(
            ALPHAS.numpy(),
            kernels.path_losses(architecture, at[:n_pairs], at[n_pairs:], ALPHAS, data, "mse").loss.numpy(),
        ).value
        for at in run.snapshots
    ]
    starts = layers(architecture, params)
    predicted, orthogonal = (from_the_start(starts, cross, n_pairs, how) for how in (False, True))
    return np.stack(measured, 1), predicted, orthogonal


def from_the_start(networks: theory.Layers, cross: np.ndarray, n_pairs: int, orthogonal: bool) -> np.ndarray:
    """The closed form, of hidden directions that need be neither orthogonal nor of equal strength, [n_pairs, n_times].

    W₁ = Σ_k √u_k r̂_k v_kᵀ and W₂ = Σ_k √u_k u_k r̂_kᵀ along the flow, u_k(t) from u_k(0) = |r_k|²; the barrier is that
    of the path between two such networks.
    """
    (first, _), (second, _) = networks
    left, s, right = np.linalg.svd(cross)
    grows = (np.asarray(first) @ right.T + np.asarray(second).swapaxes(1, 2) @ left) / 2  # [n, width, 3]
    if orthogonal:
        basis, upper = np.linalg.qr(grows)
        grows = basis * np.diagonal(upper, axis1=1, axis2=2)[:, None]
    size = np.linalg.norm(grows, axis=1)
    decay = np.exp(-2 * s * TIMES[:, None])
    u = s / (1 + (s / size[:, None] ** 2 - 1) * decay)  # [n, n_times, 3]
    hidden = (grows / size[:, None])[:, None] * np.sqrt(u)[:, :, None]  # [n, n_times, width, 3]
    flat = hidden.reshape(-1, *hidden.shape[2:])
    w1, w2 = flat @ right, left @ flat.swapaxes(1, 2)
    moments = theory.SecondMoments(np.eye(3), cross.T, cross @ cross.T, np.zeros(3), np.zeros(3))
    half = n_pairs * len(TIMES)
    a, b = [(w1[:half], None), (w2[:half], None)], [(w1[half:], None), (w2[half:], None)]
    return theory.linear_path(a, b, moments).barrier().value.reshape(n_pairs, len(TIMES))


def figure(found: dict[tuple[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Means over pairs, and the range of 80 % of them, measured (points) and predicted (lines)."""
    whole = Figure(figsize=(6.6, 3.8))
    axes = whole.subplots(2, 2, sharex=True, sharey=True)
    for ax, ((start, width), (measured, predicted, orthogonal)) in zip(axes.flat, found.items(), strict=True):
        low, high = np.quantile(predicted, [0.1, 0.9], axis=0)
        ax.fill_between(TIMES, low, high, color="0.88", lw=0, label="predicted, 80 % of pairs")
        ax.plot(TIMES, predicted.mean(0), color="black", lw=1, label="predicted, mean")
        ax.plot(TIMES, orthogonal.mean(0), color="black", lw=1, ls=":", label="orthogonal, mean")
        ax.plot(TIMES, measured.mean(0), "o", ms=3, mfc="white", mec="black", mew=0.8, label="trained, mean")
        ax.set_title(f"{start} starts, width {width}")
    for ax in axes[1]:
        ax.set_xlabel("time, rate × steps")
    for ax in axes[:, 0]:
        ax.set_ylabel("barrier")
    whole.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return whole


if __name__ == "__main__":
    main()
