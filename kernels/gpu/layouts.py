"""Which layout a network trains in, and why. All here depends on network and settings alone, so that its bits do not
depend on its company.

Registers are what decides: a lane has 255, and a network lives in them with its gradient and its optimizer's moments.
One hidden layer splits over a small group of lanes (its output is then summed by shuffles); deeper networks that do
not fit one lane take a warp or more each. What fits no registers, and what only few runs ask for, stays in device
memory.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise

import torch

from kernels.checks import numbers
from kernels.gpu.shapes import MOST_ENDS, TURN, Net, net
from kernels.network import Architecture
from kernels.training import SGD, Training

MOST_REGISTERS = 255
OVERHEAD = 40  # registers of a lane for addresses, counters and the values of the sample at hand
BUDGETS = (128, 168, MOST_REGISTERS)  # 16, 12 and 8 warps a multiprocessor
LARGEST_TILES = 2**14 + 2**12  # padded parameters: 2-128-128-1 on eight warps
WIDEST_TILE = 128
MOST_NUMBERS = 80  # of 32 bits that a lane of a program in tiles holds of a network
MOST_HELD = 112  # of a network, its gradient and its moments, where products are those of tensor cores
FEW_HELD = 40  # a program of one warp whose lanes hold no more of them has room beside two others
FEW_PARKED = 78  # the same of four warps, with the weights between hidden layers in shared memory
MOST_UNPARKED = 200  # numbers of a lane above which it is worth half a turn to have its weights in shared memory
MOST_WARPS = 8  # of a program
FEW_SAMPLES = 16  # that a program takes at a time then, and where products are not those of tensor cores
FEW_COLUMNS = 7  # inputs that columns are better for than a matrix on tensor cores, padded to 16


@dataclass(frozen=True)
class Layout:
    """How a launch is shaped.

    group: lanes (name `lanes`) that share a network; block: networks a program trains; warps: of a program; turn:
    samples that one turn of the loop takes; registers: most that a lane may use; reason: a sentence; precision: of
    `tl.dot`, where the kernels leave products to it; most_columns: as `net` has it.

    >>> from kernels.network import Architecture
    >>> explain_layout(Architecture((784, 20, 2))).lanes
    False
    """

    name: str
    group: int
    block: int
    warps: int
    turn: int
    registers: int
    reason: str
    precision: str = "ieee"
    most_columns: int = MOST_ENDS

    @property
    def lanes(self) -> bool:
        """Whether a program's items are networks."""
        return self.name == "lanes"


def explain_layout(
    architecture: Architecture,
    training: Training | None = None,
    device: str = "cuda",
    dtype: torch.dtype = torch.float32,
    special: str = "",
) -> Layout:
    """The layout of a training run (or, with training None, of a path evaluation) on `device` ("cuda", or "hip" with
    64 lanes a warp).

    special: a setting outside architecture and training that registers have no room for, by name.

    >>> from kernels.network import Architecture
    >>> explain_layout(Architecture((2, 16, 1)), Training(steps=1)).name
    'lanes'
    >>> explain_layout(Architecture((2, 32, 32, 1)), Training(steps=1)).name
    'tiles'
    >>> explain_layout(Architecture((784, 20, 2)), Training(steps=1)).reason[:34]
    'more than 128 inputs or 32 outputs'
    """
    warp, words = 64 if device == "hip" else 32, 2 if dtype == torch.float64 else 1
    tensor_cores = device != "hip" and words == 1
    if why := special or _special(architecture, training):
        return _in_memory(architecture, why, tensor_cores)
    most_inputs = WIDEST_TILE if tensor_cores else MOST_ENDS
    if architecture.n_inputs > most_inputs or architecture.n_outputs > MOST_ENDS:
        return _in_memory(architecture, f"more than {most_inputs} inputs or {MOST_ENDS} outputs", tensor_cores)
    wide = architecture.n_inputs > MOST_ENDS
    shape = net(architecture, lanes=True)
    parameters = padded_parameters(shape)
    live = words * parameters
    moments = 0
    if training is not None:
        optimizer = training.optimizer
        moments = 2
        if isinstance(optimizer, SGD):
            moments = int(bool((numbers("momentum", optimizer.momentum) > 0).any()))
        sums = parameters - shape.padded[-2] if shape.factored and shape.degree else parameters
        live += words * (sums + moments * parameters)
    group = 1
    while shape.n_hidden == 1 and group < min(warp, shape.padded[1]) and live / group + OVERHEAD > MOST_REGISTERS:
        group *= 2
    need = live // group + OVERHEAD
    if need <= MOST_REGISTERS and not wide:
        budget = next(b for b in BUDGETS if need <= b)
        how = "a lane holds a whole network" if group == 1 else f"{group} lanes share a network's units"
        reason = f"{how}: {live} numbers of 32 bits and about {OVERHEAD} besides, of {MOST_REGISTERS} registers a lane"
        turn = 8 if shape.factored else 4 if shape.n_hidden == 1 else 1
        return Layout("lanes", group, warp // group, 1, turn, budget, reason)
    most_columns = FEW_COLUMNS if tensor_cores else MOST_ENDS
    shape = net(architecture, lanes=False, most_columns=most_columns)
    parameters = padded_parameters(shape)
    if parameters > LARGEST_TILES or max(architecture.widths[1:-1]) > WIDEST_TILE:
        return _in_memory(
            architecture,
            f"more than {LARGEST_TILES:,} (padded) parameters or {WIDEST_TILE} units a layer",
            tensor_cores,
        )
    reason = f"{live} numbers of 32 bits do not fit the {MOST_REGISTERS} registers of a lane"
    if wide:
        reason = f"more than {MOST_ENDS} inputs"
    tiles = _in_tiles(shape, words, moments, reason, tensor_cores, training is not None)
    return dataclasses.replace(tiles, most_columns=most_columns)


def _in_tiles(shape: Net, words: int, moments: int, why: str, tensor_cores: bool, trains: bool) -> Layout:
    """One network a program, of as many warps as its numbers of 32 bits ask for; beside each lie its gradient and
    `moments` more (a network that is not trained gets as many warps).

    Chosen by measurement (docs/gpu.md): with fewer warps the step loop spills, with more they do each other's work.
    """
    numbers = words * padded_parameters(shape)
    held, most = ((2 + moments) * numbers / 32, MOST_HELD) if tensor_cores else (numbers / 32, MOST_NUMBERS)
    most_warps = max(shape.padded[1:-1]) // 16 if tensor_cores else MOST_WARPS
    warps = 1
    while held / warps > most and warps < min(most_warps, MOST_WARPS):
        warps *= 2
    reason = f"{why}: a program of {warps} warp(s) trains one network"
    if tensor_cores and warps == 4:
        matrices = sum(into * out for into, out in pairwise(shape.padded[0 if shape.wide else 1 : -1]))
        vectors = 4 * (numbers - matrices)  # every four lanes hold the same
        few = ((1 + moments) * matrices + (2 + moments) * vectors) / (32 * warps) <= FEW_PARKED
    else:
        few = warps == 1 and (held <= FEW_HELD or not tensor_cores)
    registers = 168 if few else MOST_REGISTERS
    turn = TURN if tensor_cores else FEW_SAMPLES
    shape = dataclasses.replace(shape, warps=warps)
    unparked = trains and tensor_cores and not shape.fits(TURN)
    if unparked and held / warps > MOST_UNPARKED and shape.fits(FEW_SAMPLES):
        turn = FEW_SAMPLES
        reason += f", {turn} samples at a time, so that shared memory has room for its weights"
    return Layout("tiles", 1, 1, warps, turn, registers, reason)


def _special(architecture: Architecture, training: Training | None) -> str:
    """What only the memory layout does, by name; empty for nothing."""
    hidden = architecture.widths[1:-1]
    if not hidden:
        return "no hidden layer"
    for name in ("normalise", "residual"):
        if getattr(architecture, name):
            return name
    if training is None:
        return ""
    for name, default in (("label_smoothing", 0.0), ("clip_norm", None), ("stop_below", None)):
        if getattr(training, name) != default:
            return name
    inputs = () if architecture.n_inputs <= FEW_COLUMNS else architecture.widths[:1]
    padded = any(w < 16 or w & (w - 1) for w in (*inputs, *hidden))
    return "eps = 0" if padded and not isinstance(training.optimizer, SGD) and training.optimizer.eps == 0 else ""


def _in_memory(architecture: Architecture, why: str, tensor_cores: bool) -> Layout:
    """One program a network; its threads outnumber none of the passes over its parameters (`memory.STRIDE`)."""
    warps = 1 if architecture.n_parameters <= 2**11 else 4
    reason = f"{why}: parameters stay in device memory, and a program of {warps} warp(s) trains one network"
    return Layout("memory", 1, 1, warps, 16, MOST_REGISTERS, reason, "tf32x3" if tensor_cores else "ieee")


def padded_parameters(shape: Net) -> int:
    """Numbers that the padded parameter tensors hold.

    >>> from kernels.network import Architecture
    >>> padded_parameters(net(Architecture((2, 3, 1)), lanes=True))  # 3 units are padded to 4: 4 · (2 + 1) + 4 + 1
    17
    """
    total = shape.padded[1] * ((shape.padded[0] if shape.wide else shape.n_inputs) + shape.biases)
    for layer in range(2, shape.n_hidden + 1):
        total += shape.padded[layer] * (shape.padded[layer - 1] + shape.biases)
    return total + shape.n_outputs * (shape.padded[shape.n_hidden] + shape.biases)
