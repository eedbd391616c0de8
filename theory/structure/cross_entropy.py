"""Cross-entropy along a path: what interpolated logits would gain, and how far the network's depart from them.

With z(α) the network's logits, z̄ = (1−α) z(0) + α z(1), LSE = log Σ exp and the mean over samples,

    CE(α) − [(1−α) CE(0) + α CE(1)] = mean[LSE(z) − LSE(z̄)] − J − mean[(z − z̄)_y],
    J = mean[(1−α) LSE(z(0)) + α LSE(z(1)) − LSE(z̄)] ≥ 0

(add and subtract LSE(z̄) and z̄_y; J is a Jensen gap, since LSE is convex). So where logits interpolate, the height is
−J: averaging two classifiers' logits cannot cost cross-entropy. And since LSE is 1-Lipschitz in the largest norm,

    height ≤ 2 mean ‖z − z̄‖_∞ − J.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from theory.arguments import Array, classes, finite


class CrossEntropyParts(NamedTuple):
    """height = lse_shift − jensen_gap − label_shift ≤ bound, each [n_pairs, n_alphas], in nats.

    Attributes:
        height: CE(α) − [(1−α) CE(0) + α CE(1)], from the losses themselves.
        lse_shift: mean[LSE(z) − LSE(z̄)].
        jensen_gap: J.
        label_shift: mean[(z − z̄)_y].
        bound: 2 mean ‖z − z̄‖_∞ − J.

    Example:
        >>> opposite = [[[[2.0, 0.0]], [[1.0, 1.0]], [[0.0, 2.0]]]]  # logits that interpolate
        >>> parts = cross_entropy_parts([0.0, 0.5, 1.0], opposite, [0])
        >>> bool(np.allclose(parts.height, -parts.jensen_gap)), parts.bound.round(3).tolist()
        (True, [[0.0, -0.434, 0.0]])
    """

    height: Array
    lse_shift: Array
    jensen_gap: Array
    label_shift: Array
    bound: Array


def cross_entropy_parts(alphas: ArrayLike, logits: ArrayLike, labels: ArrayLike) -> CrossEntropyParts:
    """The decomposition of the module, at each α.

    Args:
        alphas: [n_alphas], beginning with 0 and ending with 1.
        logits: [n_pairs, n_alphas, n_samples, n_classes] of the interpolated networks.
        labels: [n_samples] or [n_pairs, n_samples], whole numbers.

    Raises:
        ValueError: shapes do not fit, alphas do not begin with 0 and end with 1, a label is no class, or a number is
            not finite.

    Example:
        >>> logits = [[[[0.0, 0.0]], [[0.0, 2.0]], [[0.0, 0.0]]]]  # z leaves z̄ = (0, 0) by (0, 2); label 0
        >>> parts = cross_entropy_parts([0.0, 0.5, 1.0], logits, [0])
        >>> bool(np.isclose(parts.height[0, 1], np.log1p(np.e**2) - np.log(2))), parts.bound[0, 1].item()
        (True, 4.0)
    """
    alpha = finite("alphas", alphas)
    z = finite("logits", logits)
    y = finite("labels", labels)
    if alpha.ndim != 1 or alpha.size < 2 or alpha[0] != 0 or alpha[-1] != 1 or alpha.min() < 0 or alpha.max() > 1:
        raise ValueError(
            "alphas must be [n_alphas] in [0, 1], beginning with 0 and ending with 1: the endpoints' logits are "
            "those there"
        )
    if z.ndim != 4 or z.shape[1] != alpha.size or y.shape not in (z.shape[2:3], (z.shape[0], z.shape[2])):
        raise ValueError(
            f"logits has shape {z.shape} and labels {y.shape}; "
            f"give [n_pairs, {alpha.size}, n_samples, n_classes] and [n_samples]"
        )
    if z.shape[2] == 0:
        raise ValueError("logits holds no samples; a mean over them needs one at least")
    label = np.broadcast_to(classes("labels", y, z.shape[3]), (z.shape[0], z.shape[2]))[:, None, :, None]

    def of_label(logits: Array) -> Array:
        """The label's logit of each sample, [n_pairs, n_alphas, n_samples]."""
        return np.asarray(np.take_along_axis(logits, np.broadcast_to(label, (*logits.shape[:3], 1)), axis=3)[..., 0])

    weight = alpha[:, None]
    mean_logits = (1 - weight[..., None]) * z[:, :1] + weight[..., None] * z[:, -1:]
    lse, lse_of_mean = logsumexp(z, axis=3), logsumexp(mean_logits, axis=3)
    loss = (lse - of_label(z)).mean(axis=2)
    jensen = ((1 - weight) * lse[:, :1] + weight * lse[:, -1:] - lse_of_mean).mean(axis=2)
    gap = z - mean_logits
    return CrossEntropyParts(
        height=loss - ((1 - alpha) * loss[:, :1] + alpha * loss[:, -1:]),
        lse_shift=(lse - lse_of_mean).mean(axis=2),
        jensen_gap=jensen,
        label_shift=of_label(gap).mean(axis=2),
        bound=2 * np.abs(gap).max(axis=3).mean(axis=2) - jensen,
    )
