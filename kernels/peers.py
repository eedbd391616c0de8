"""The same training by general tools: the contenders of the benchmarks and of `kernels.gpu.doctor`.

Full-batch gradient descent on ½ mean squared error, relu, with biases; the rate is LR.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kernels.network import Architecture

LR = 0.05

Step = Callable[[Tensor], Tensor]  # parameters [n_networks, n_parameters] before and after


def split(widths: tuple[int, ...], params: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of a parameter vector, or of an array of them.

    >>> [tuple(weight.shape) for weight, bias in split((2, 3, 1), torch.zeros(5, 13))]
    [(5, 3, 2), (5, 1, 3)]
    """
    return [(weight, bias) for weight, bias in Architecture(widths).layers(params) if bias is not None]


def loss_of_one(widths: tuple[int, ...], params: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Loss of one network, by torch.

    >>> loss_of_one((1, 1), torch.tensor([3.0, 0.0]), torch.ones(1, 1), torch.ones(1, 1))  # ½ (3 − 1)²
    tensor(2.)
    """
    h = x
    layers = split(widths, params)
    for k, (weight, bias) in enumerate(layers):
        h = torch.nn.functional.linear(h, weight, bias)
        h = torch.relu(h) if k < len(layers) - 1 else h
    return 0.5 * (h - y).square().sum(1).mean()


def bmm_step(widths: tuple[int, ...], x: Tensor, y: Tensor, params: Tensor) -> Tensor:
    """One step of gradient descent on all networks by batched products and hand-written gradients.

    >>> bmm_step((1, 1), torch.ones(1, 1), torch.ones(1, 1), torch.tensor([[3.0, 0.0]]))  # LR = 0.05, gradient (2, 2)
    tensor([[ 2.9000, -0.1000]])
    """
    layers = split(widths, params)
    inputs = [x.expand(len(params), *x.shape)]
    for k, (weight, bias) in enumerate(layers):
        z = torch.baddbmm(bias[:, None], inputs[-1], weight.mT)
        inputs.append(torch.relu(z) if k < len(layers) - 1 else z)
    delta = (inputs.pop() - y) / len(x)
    gradients: list[Tensor] = []
    for k in reversed(range(len(layers))):
        gradients = [torch.bmm(delta.mT, inputs[k]).flatten(1), delta.sum(1), *gradients]
        if k:
            delta = torch.bmm(delta, layers[k][0]) * (inputs[k] > 0)
    return params - LR * torch.cat(gradients, 1)


def compiled_step(widths: tuple[int, ...], x: Tensor, y: Tensor) -> Step:
    """One step by torch.compile(vmap(grad))."""
    gradient = torch.vmap(torch.func.grad(partial(loss_of_one, widths, x=x, y=y)))
    return torch.compile(lambda params: params - LR * gradient(params))


def graphed(step: Step, params: Tensor) -> Callable[[Tensor, int], Tensor]:
    """`step` captured once in a CUDA graph and replayed: (parameters, steps) → parameters."""
    still = params.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(still)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        still.copy_(step(still))

    def run(start: Tensor, steps: int) -> Tensor:
        still.copy_(start)
        for _ in range(steps):
            graph.replay()
        return still.clone()

    return run


def repeated(step: Step) -> Callable[[Tensor, int], Tensor]:
    """`steps` calls of `step`: (parameters, steps) → parameters.

    >>> repeated(lambda params: params + 1)(torch.zeros(1), 3)
    tensor([3.])
    """

    def run(params: Tensor, steps: int) -> Tensor:
        for _ in range(steps):
            params = step(params)
        return params

    return run


def jax_trainer(widths: tuple[int, ...], steps: int, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """`steps` steps by JAX's jit(vmap(scan of grad)), on the arrays' own device; ImportError without JAX."""
    import jax
    import jax.numpy as jnp

    jx = jnp.from_dlpack(x.contiguous())
    jy = jnp.from_dlpack(y.contiguous())
    gradient = jax.grad(lambda params: jax_loss(widths, params, jx, jy))

    def one(params: Any) -> Any:
        return jax.lax.scan(lambda p, _: (p - LR * gradient(p), None), params, None, length=steps)[0]

    compiled = jax.jit(jax.vmap(one))
    return lambda params: torch.from_dlpack(compiled(jnp.from_dlpack(params)).block_until_ready())


def jax_loss(widths: tuple[int, ...], params: Any, x: Any, y: Any) -> Any:
    """Loss of one network, by JAX."""
    import jax.numpy as jnp

    h = x
    layout = Architecture(widths).layout
    for k, layer in enumerate(layout):
        stop = layer.weight + layer.fan_in * layer.fan_out
        weight = params[layer.weight : stop].reshape(layer.fan_out, layer.fan_in)
        h = h @ weight.T + params[stop : stop + layer.fan_out]
        h = jnp.maximum(h, 0) if k < len(layout) - 1 else h
    return 0.5 * jnp.square(h - y).sum(1).mean()
