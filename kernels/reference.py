"""The readable backend: plain torch, any device, float32 or float64. What the other backends must equal.

Shapes: n networks (or evaluations), b samples, i inputs and o outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kernels import streams
from kernels.activations import TABLE
from kernels.network import NORM_EPS, Architecture
from kernels.problem import PathMoments, PathProblem, Samples, Trained, TrainingProblem, bias_corrections
from kernels.training import SGD, AdamW

Progress = Callable[[int, int], None]


@dataclass
class Hidden:
    """What back-propagation needs of a hidden layer.

    slope, z `[n, b, units]`: σ′(z), and z (normalised, if layers are).
    inverse `[n, b, 1]`: 1/√(variance + ε) of z before it was normalised; None without normalisation.

    >>> slope = torch.tensor([[[1.0, 0.0]]])  # of relu, at z = 3 and z = −1
    >>> Hidden(slope, torch.tensor([[[3.0, -1.0]]])).back(torch.tensor([[[5.0, 7.0]]]))
    tensor([[[5., 0.]]])
    """

    slope: Tensor
    z: Tensor
    inverse: Tensor | None = None

    def back(self, d_h: Tensor) -> Tensor:
        """The derivative by W h + b from that by σ(z)."""
        d = d_h * self.slope
        if self.inverse is None:
            return d
        return self.inverse * (d - d.mean(-1, keepdim=True) - self.z * (d * self.z).mean(-1, keepdim=True))


def forward(architecture: Architecture, params: Tensor, x: Tensor) -> tuple[Tensor, list[Tensor], list[Hidden]]:
    """Outputs `[n, b, o]` of networks `[n, n_parameters]` on x `[n, b, i]`, and what back-propagation needs.

    That is the inputs of every layer `[n, b, fan_in]`, and a Hidden for every hidden layer.

    >>> line = Architecture((1, 1), biases=False)
    >>> outputs, inputs, hidden = forward(line, torch.tensor([[3.0]]), torch.ones(1, 2, 1))
    >>> outputs[0, :, 0]
    tensor([3., 3.])
    """
    inputs: list[Tensor] = [x]
    hidden: list[Hidden] = []
    layers = architecture.layers(params)
    activation = TABLE[architecture.activation]
    for index, (weight, bias) in enumerate(layers):
        z = inputs[-1] @ weight.mT
        if bias is not None:
            z = z + bias[:, None]
        if index == len(layers) - 1:
            return z, inputs, hidden
        inverse = None
        if architecture.normalise:
            inverse = (z.var(-1, correction=0, keepdim=True) + NORM_EPS).rsqrt()
            z = (z - z.mean(-1, keepdim=True)) * inverse
        h, slope = activation.value_and_slope(z, architecture.negative_slope)
        inputs.append(inputs[-1] + h if architecture.skips[index] else h)
        hidden.append(Hidden(slope, z, inverse))
    raise AssertionError("an architecture has at least one layer")


def sample_losses(loss: str, outputs: Tensor, y: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Loss of each sample `[n, b]` and its derivative by the outputs `[n, b, o]`.

    >>> sample_losses("mse", torch.tensor([[[3.0]]]), torch.tensor([[[1.0]]]))  # ½ 2², and 2
    (tensor([[2.]]), tensor([[[2.]]]))
    """
    if loss == "mse":
        residual = outputs - y
        return 0.5 * residual.square().sum(-1), residual
    log_p = outputs.log_softmax(-1)
    n_classes = outputs.shape[-1]
    label = torch.nn.functional.one_hot(y, n_classes).to(outputs.dtype)
    target = (1 - label_smoothing) * label + label_smoothing / n_classes
    if not label_smoothing:  # one label alone: 0 · log 0 must not be asked for
        return -log_p.gather(-1, y[..., None])[..., 0], log_p.exp() - target
    return -(target * log_p).sum(-1), log_p.exp() - target


def loss_and_gradient(
    architecture: Architecture, params: Tensor, x: Tensor, y: Tensor, loss: str, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean loss `[n]` over the samples x `[n, b, i]`, y, and its gradient `[n, n_parameters]`, by back-propagation.

    >>> line = Architecture((1, 1), biases=False)
    >>> one = torch.ones(1, 1, 1)
    >>> loss_and_gradient(line, torch.tensor([[3.0]]), one, one, "mse")  # ½ (w − 1)² and w − 1 at w = 3
    (tensor([2.]), tensor([[2.]]))
    """
    outputs, inputs, hidden = forward(architecture, params, x)
    losses, delta = sample_losses(loss, outputs, y, label_smoothing)
    delta = delta / x.shape[1]
    d_h = torch.zeros_like(delta)  # derivative of the loss by the inputs of the layer above
    gradient = torch.zeros_like(params)
    layers = architecture.layers(params)
    gradients = architecture.layers(gradient)
    for index in reversed(range(len(layers))):
        d_weight, d_bias = gradients[index]
        d_weight.copy_(delta.mT @ inputs[index])
        if d_bias is not None:
            d_bias.copy_(delta.sum(1))
        if index:
            below = delta @ layers[index][0]
            d_h = below + d_h if architecture.skips[index] else below
            delta = hidden[index - 1].back(d_h)
    return losses.mean(1), gradient


def fresh_samples(
    samples: Samples, seeds: Tensor, step: int, count: int, loss: str, like: Tensor, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Samples first … first + count − 1 of a teacher's stream: x `[n, count, i]` and its labels.

    >>> teacher = Architecture((2, 1), biases=False)
    >>> samples = Samples(0, torch.tensor([0]), teacher=teacher, teacher_params=torch.ones(1, 2))
    >>> x, y = fresh_samples(samples, torch.tensor([7]), step=0, count=3, loss="mse", like=torch.ones(1))
    >>> bool(torch.allclose(y[..., 0], x.sum(-1)))
    True
    """
    assert samples.teacher is not None and samples.teacher_params is not None
    z = streams.gaussian_inputs(seeds.cpu().numpy(), step, count, samples.teacher.n_inputs, first)
    x = torch.from_numpy(z).to(like)
    outputs = forward(samples.teacher, samples.teacher_params[samples.dataset], x)[0]
    return x, outputs if loss == "mse" else outputs.argmax(-1)


def batch(problem: TrainingProblem, step: int) -> tuple[Tensor, Tensor]:
    """The samples of one step: x `[n, b, i]` and y `[n, b, o]` (mse) or `[n, b]` (cross-entropy).

    >>> from kernels.problem import training_problem
    >>> from kernels.training import Training
    >>> line = Architecture((1, 1))
    >>> samples = torch.arange(4.0)[:, None], torch.zeros(4, 1)
    >>> problem = training_problem(line, line.initial(1), samples, Training(steps=2, batch_size=2))
    >>> both = torch.cat([batch(problem, step)[0] for step in range(2)], 1)  # an epoch: every sample once
    >>> both.flatten().sort().values
    tensor([0., 1., 2., 3.])
    """
    samples = problem.samples
    size = problem.batch_size
    seeds = torch.where(step >= problem.spawn_steps, problem.spawn_seeds, problem.data_seeds)
    if problem.sampling == "online":
        return fresh_samples(samples, seeds, step, size, problem.training.loss, problem.params)
    assert samples.x is not None and samples.y is not None
    if problem.sampling == "full":
        return samples.x[samples.dataset], samples.y[samples.dataset]
    if problem.sampling == "replacement":
        words = streams.words(streams.REPLACEMENT, seeds.cpu().numpy(), step, size)
        chosen = streams.integers(words, samples.n_samples)
    else:
        steps_per_epoch = -(-samples.n_samples // size)
        epoch = step // steps_per_epoch
        start = step % steps_per_epoch * size
        positions = np.arange(start, min(start + size, samples.n_samples))
        chosen = streams.permutation(seeds.cpu().numpy(), epoch, positions, samples.n_samples)
    index = torch.from_numpy(chosen).to(problem.params.device)
    return samples.x[samples.dataset[:, None], index], samples.y[samples.dataset[:, None], index]


def adjusted(problem: TrainingProblem, gradient: Tensor) -> Tensor:
    """The gradient `[n, n_parameters]` that the optimizer sees.

    0 where a parameter is masked or not trainable; for tied parameters the sum over their group; then clipped.

    >>> from kernels.problem import training_problem
    >>> from kernels.training import Training
    >>> line = Architecture((2, 1), biases=False)
    >>> samples = torch.ones(1, 2), torch.ones(1, 1)
    >>> problem = training_problem(line, line.initial(1), samples, Training(steps=1), tied=[0, 0])
    >>> adjusted(problem, torch.tensor([[1.0, 2.0]]))  # tied parameters move along the sum of their gradients
    tensor([[3., 3.]])
    """
    tied = problem.tied
    if problem.mask is not None:
        gradient = torch.where(problem.mask, gradient, 0)
    if tied is not None:
        gradient = torch.zeros_like(gradient).index_add_(1, tied, gradient)[:, tied]
    if problem.trainable is not None:
        gradient = torch.where(problem.trainable, gradient, 0)
    if (most := problem.training.clip_norm) is not None:
        once = gradient if tied is None else gradient[:, tied == torch.arange(len(tied), device=tied.device)]
        gradient = gradient * (most / (once.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1)
    return gradient


def train(problem: TrainingProblem, progress: Progress | None = None) -> Trained:
    """Train every network of the problem, one step after the other.

    >>> from kernels.problem import training_problem
    >>> from kernels.training import Training
    >>> line = Architecture((1, 1), biases=False)
    >>> one = torch.ones(1, 1)
    >>> train(training_problem(line, 0 * one, (one, one), Training(steps=2, optimizer=SGD(lr=0.5)))).params
    tensor([[0.7500]])
    """
    architecture = problem.architecture
    training = problem.training
    params = problem.params if problem.tied is None else problem.params[:, problem.tied]
    params = params.clone() if problem.mask is None else params * problem.mask
    n = len(params)
    losses = []
    snapshots = []
    diverged_at = torch.full((n,), -1, dtype=torch.int64, device=params.device)
    stopped_at = torch.full_like(diverged_at, -1)
    moves = torch.ones_like(params, dtype=torch.bool) if problem.trainable is None else problem.trainable
    m = torch.zeros_like(params)  # Adam's first moment, or SGD's velocity
    v = torch.zeros_like(params)  # Adam's second moment
    correction_1, correction_2 = bias_corrections(training.optimizer, training.steps)
    for step in range(training.steps):
        if step in training.snapshots:
            snapshots.append(params.clone())
        before = params
        loss, gradient = loss_and_gradient(
            architecture, params, *batch(problem, step), training.loss, training.label_smoothing
        )
        if step in training.loss_steps:
            losses.append(loss)
        diverged_at[(diverged_at < 0) & ~loss.isfinite()] = step
        if training.stop_below is not None:
            stopped_at[(stopped_at < 0) & (loss < training.stop_below)] = step
        gradient = adjusted(problem, gradient)
        params, m, v = _updated(problem, step, params, gradient, m, v, correction_1[step], correction_2[step])
        params = torch.where(moves & (stopped_at < 0)[:, None], params, before)
        if progress is not None:
            progress(step + 1, training.steps)
    if training.steps in training.snapshots:
        snapshots.append(params.clone())
    diverged_at[(diverged_at < 0) & ~params.isfinite().all(1)] = training.steps
    n_records = len(training.loss_steps)
    return Trained(
        params=params,
        losses=torch.stack(losses, 1) if n_records else params.new_zeros(n, 0),
        snapshots=torch.stack(snapshots) if snapshots else params.new_zeros(0, *params.shape),
        diverged_at=diverged_at,
        stopped_at=stopped_at,
    )


def _updated(
    problem: TrainingProblem,
    step: int,
    params: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    correction_1: float,
    correction_2: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """params, m and v after one step of the optimizer (formulas: `kernels.training`); all `[n, n_parameters]`.

    correction_1, correction_2: the step's `bias_corrections`.
    """
    optimizer = problem.training.optimizer
    lr = problem.lr[:, None] * problem.factors[step]
    if problem.rates is not None:
        lr = lr * problem.rates
    weight_decay = problem.weight_decay[:, None]
    if isinstance(optimizer, AdamW):
        params = params * (1 - lr * weight_decay)
    else:
        gradient = gradient + weight_decay * params
    if isinstance(optimizer, SGD):
        momentum = problem.momentum[:, None]
        m = momentum * m + gradient
        return params - lr * (gradient + momentum * m if optimizer.nesterov else m), m, v
    beta_1, beta_2 = optimizer.betas
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient.square()
    return params - lr * correction_1 * m / (v.sqrt() * correction_2 + optimizer.eps), m, v


def path_losses(problem: PathProblem, progress: Progress | None = None) -> PathMoments:
    """Moments of the samples' losses at every alpha of every path.

    >>> from kernels.problem import path_problem
    >>> line = Architecture((1, 1), biases=False)
    >>> one = torch.ones(1, 1)
    >>> path_losses(path_problem(line, -one, one, [0.0, 0.5], (one, 0 * one))).mean
    tensor([[0.5000, 0.0000]], dtype=torch.float64)
    """
    n_pairs = len(problem.params_a)
    n_alphas = len(problem.alphas)
    samples = problem.samples
    loss = problem.loss
    mean = torch.zeros(n_pairs, n_alphas, dtype=torch.float64, device=problem.params_a.device)
    standard_error = torch.zeros_like(mean)
    skewness = torch.zeros_like(mean)
    error = torch.zeros_like(mean)
    width = max(problem.architecture.widths)
    chunk = max(1, 2**22 // (samples.n_samples * width))  # evaluations at a time, to bound the memory
    flat = n_pairs * n_alphas
    for start in range(0, flat, chunk):
        item = torch.arange(start, min(start + chunk, flat), device=problem.params_a.device)
        pair = item // n_alphas
        column = item % n_alphas
        alpha = problem.alphas[column, None].to(problem.params_a.dtype)
        params = (1 - alpha) * problem.params_a[pair] + alpha * problem.params_b[pair]
        if samples.teacher is not None:
            own = replace(samples, dataset=samples.dataset[pair])
            x, y = fresh_samples(own, problem.seeds[pair], 0, samples.n_samples, loss, params)
        else:
            assert samples.x is not None and samples.y is not None
            x = samples.x[samples.dataset[pair]]
            y = samples.y[samples.dataset[pair]]
        outputs = forward(problem.architecture, params, x)[0]
        each = sample_losses(loss, outputs, y)[0].double()
        mean[pair, column] = each.mean(1)
        centred = each - each.mean(1, keepdim=True)
        square = centred.square().mean(1)
        standard_error[pair, column] = (square / max(samples.n_samples - 1, 1)).sqrt()
        cube = square.pow(1.5)
        skewness[pair, column] = torch.where(cube == 0, 0.0, centred.pow(3).mean(1) / cube)
        if loss == "cross_entropy":
            wrong = (outputs.argmax(-1) != y).double()
            error[pair, column] = torch.where(each.isnan(), torch.nan, wrong).mean(1)
        if progress is not None:
            progress(min(start + chunk, flat), flat)
    return PathMoments(mean=mean, standard_error=standard_error, skewness=skewness, error=error)
