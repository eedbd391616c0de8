"""The barrier of two segments over a point that is trained between the ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed import columns
from testbed.kinds import Column, Extent, Mark, Measure, Work
from testbed.measures.segments import Descent, chain_barriers, trained_bends
from testbed.pair_set import PairSet, start_seeds
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

PATH = "bend"
BARRIER = columns.barrier("train_loss", path=PATH)
PAIRS_AT_A_TIME = 256  # bounds the memory


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    import torch

    bends = [
        trained_bends(part.architecture, (part.a, part.b), part.samples_of_a, part.loss, seeds=start_seeds(part.row))
        for part in pairs.chunks(PAIRS_AT_A_TIME)
    ]
    return {BARRIER: torch.from_numpy(chain_barriers(pairs, torch.cat(bends)))}


def _work(extent: Extent) -> Work:
    """A gradient costs about three forward passes."""
    return Work(kernels=2 * extent.n_alphas * extent.step, arrays=3 * Descent().steps * extent.step)


def weights_are_their_own(setting: Setting) -> str | None:
    """What a trained point lacks where weights are shared: it would leave the networks that share them."""
    if setting.architecture.connectivity == "convolutional":
        sharing = "convolutional"
    elif setting.architecture.tied is not None:
        sharing = "tied"
    else:
        return None
    return f"trains a point whose weights are its own; architecture.{sharing} shares them"


MEASURE = Measure(
    name="bend",
    text="the largest barrier of two segments over a point trained between the ends",
    columns=(
        Column(
            BARRIER,
            "largest barrier of the training loss (linear, on the grid) of two segments over a trained bend",
            "loss",
        ),
    ),
    compute=_compute,
    work=_work,
    lacks=weights_are_their_own,
    held=None,
    mark=Mark("^", "over a trained bend"),
    path=PATH,
)
