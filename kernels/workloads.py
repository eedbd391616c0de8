"""What benchmarks time: calls as a study makes them, and the peak that they are shares of."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels import Architecture
from kernels.native import fma_peak

# freed memory is kept: page faults of fresh intermediates would cost the peers a factor of four
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


@dataclass(frozen=True)
class Workload:
    """n_networks of `widths` on n_samples: `steps` of a call, or the paths of all their pairs at so many alphas.

    >>> work = Workload("train 2-16-1", (2, 16, 1), n_samples=64, n_networks=1024)
    >>> work.fma_per_item  # 64 samples × (forward 48, weight gradients 48, deltas 16)
    7168
    >>> work.items(1024)  # steps of 1,024 networks
    1024000
    """

    name: str
    widths: tuple[int, ...]
    n_samples: int
    n_networks: int
    steps: int = 1000
    alphas: int = 0

    @property
    def fma_per_item(self) -> int:
        """Fused multiply-adds of a network-step (forward, weight gradients, deltas) or an evaluation (forward)."""
        forward = sum(i * o for i, o in zip(self.widths[:-1], self.widths[1:], strict=True))
        deltas = sum(i * o for i, o in zip(self.widths[1:-1], self.widths[2:], strict=True))
        return self.n_samples * (forward if self.alphas else 2 * forward + deltas)

    def items(self, rows: int) -> int:
        """Network-steps of so many networks, or evaluations of so many pairs."""
        return rows * (self.alphas or self.steps)

    def samples(self) -> tuple[Tensor, Tensor]:
        """Inputs and labels."""
        x = torch.rand(self.n_samples, self.widths[0], generator=torch.Generator().manual_seed(0)) * 2 - 1
        return x, (torch.sin(3 * x[:, :1]) * x[:, 1:2]).repeat(1, self.widths[-1])

    def networks(self) -> Tensor:
        """Parameters that training starts from."""
        return Architecture(self.widths).initial(self.n_networks, 0)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Parameters at both ends of every path."""
        params = self.networks()
        first, second = torch.triu_indices(self.n_networks, self.n_networks, 1)
        return params[first], params[second]


WORKLOADS = (
    Workload("train 2-16-1, 64 samples", (2, 16, 1), 64, 1024),
    Workload("train 2-32-32-1, 128 samples", (2, 32, 32, 1), 128, 256),
    Workload("train 16-16-2, 64 samples", (16, 16, 2), 64, 1024),
    Workload("paths 2-16-1, 64 samples, 25 alphas", (2, 16, 1), 64, 512, alphas=25),
)


def peak(threads: int) -> float:
    """Multiply-adds a second (float32) of so many threads, in time that they had a core; RuntimeError without a kernel.

    >>> peak(threads=1) > 1e9
    True
    """
    seconds = 0.02
    busy = time.process_time()
    rate = fma_peak(threads=threads, seconds=seconds)  # by the clock, over so long in every thread
    return rate * threads * seconds / (time.process_time() - busy)
