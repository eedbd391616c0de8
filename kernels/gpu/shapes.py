"""The compile-time form of an architecture: what a kernel is compiled for. Needs no Triton."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kernels import activations
from kernels.network import Architecture

# Triton keeps compiled kernels by their source and constants, and the properties of these classes are neither: so that
# a kernel is not taken for what an older version of them made of it, their own source is one of the constants
SOURCE = hashlib.sha256(b"".join(Path(path).read_bytes() for path in (__file__, activations.__file__))).hexdigest()


MOST_ENDS = 32  # inputs, outputs whose loops are unrolled
SHARED = 99 * 1024  # bytes of shared memory that a program may have on every GPU since sm_80
TURN = 32  # samples that a program of tiles takes at a time, if its weights have room beside them
LARGE = 2.0**64  # the unit of values that multiply-adds clamp to 0 … 1: a power of two, so that it rounds nothing


@dataclass(frozen=True)
class Net:
    """What a kernel is compiled for: an architecture in one of the layouts. Hashable, so that it can be a constexpr.

    >>> shape = net(Architecture((2, 3, 1)), lanes=True)
    >>> shape.n_hidden, shape.factored, shape.degree
    (1, True, 1.0)
    """

    widths: tuple[int, ...]
    padded: tuple[int, ...]
    starts: tuple[int, ...]  # of each layer's weight in the parameter vector; the bias follows the weight
    activation: str
    slope: float
    biases: int
    lanes: bool
    group: int  # lanes that share a network
    block: int  # networks that a program trains
    warps: int  # of a program
    normalise: bool
    skips: tuple[bool, ...]  # for each affine layer, whether its input is added to its activation
    wide: bool  # whether the first weight is a matrix, as those between hidden layers are, and not a column an input
    precision: str  # of `tl.dot`: "ieee", or "tf32x3", three products of tensor cores to float32's precision
    turn: int = TURN  # samples that a program of tiles takes at a time
    parks: bool = True  # whether its weights may be parked: not a teacher's, beside those of a network
    clamps: bool = False  # whether inputs, biases of the first layer and its values are in units of LARGE: `clamped`
    source: str = SOURCE

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.widths[0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.widths[-1]

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers."""
        return len(self.widths) - 2

    @property
    def columns(self) -> int:
        """Tensors in the parameter tuple that the first weight takes."""
        return 1 if self.wide else self.n_inputs

    @property
    def rows(self) -> int:
        """Place in the parameter tuple of the first row of the output weight."""
        return self.hidden(self.n_hidden + 1)

    @property
    def factored(self) -> bool:
        """One hidden layer and one output: ∂L/∂w₁ = w₂ Σ e σ′ x, so that w₂ leaves the sum over the samples."""
        return self.n_hidden == 1 and self.n_outputs == 1 and not self.wide

    @property
    def factored_top(self) -> bool:
        """One output above several hidden layers of relu, in tiles: the output's row leaves the top layer's sums over
        the samples as well, and with the errors outside, their products are with zeros and ones, which tensor cores
        take exactly.
        """
        return not self.lanes and self.n_hidden > 1 and self.n_outputs == 1 and self.activation == "relu"

    @property
    def clamped(self) -> bool:
        """One hidden layer of relu in lanes, and one output: a multiply-add of NVIDIA GPUs can clamp its result to
        0 … 1 for nothing, which is relu for values in units of LARGE, and the gradients need no more than their signs.
        """
        return self.lanes and self.factored and self.activation == "relu"

    @property
    def apart(self) -> bool:
        """Whether products in tiles have room for a sum of their factors' rests beside that of their leading bits: a
        warp then holds 16 rows of a layer, and waits for fewer products.
        """
        return max(self.padded[1:-1]) <= 16 * self.warps

    @property
    def parked(self) -> bool:
        """Whether weights between hidden layers lie in shared memory during a step (tiles, where all warps of a program
        read them there anyway), and leave the registers to what else a lane holds.
        """
        return not self.lanes and self.warps >= 4 and self.parks and self.fits(self.turn)

    def fits(self, turn: int) -> bool:
        """Whether shared memory holds the weights between hidden layers, and what else a turn of so many samples
        needs.
        """
        layers = self.padded[0 if self.wide else 1 : -1]
        numbers = sum(into * out for into, out in pairwise(layers))
        rows = sum(layers[:-1]) + (0 if self.wide else self.n_inputs)  # of samples, kept for the backward pass
        return 4 * (numbers + turn * rows) + 2**14 + 2**10 <= SHARED  # and the outputs' terms, or a layer's errors

    @property
    def degree(self) -> float:
        """k of σ(z) = z σ′(z) / k for activations where that holds (then ∂L/∂w₂ = (w₁·Σ e σ′ x + b₁ Σ e σ′)/k), else
        0.
        """
        return float(activations.TABLE[self.activation].degree)

    @property
    def n_parameters(self) -> int:
        """Length of a network's parameter vector."""
        return self.starts[-1] + self.widths[-1] * (self.widths[-2] + self.biases)

    @property
    def residual(self) -> bool:
        """Whether any layer is added to the next."""
        return any(self.skips)

    @property
    def n_values(self) -> int:
        """Numbers that the memory layout keeps of a sample."""
        return self.inverse_at(self.n_hidden + 1)

    def h_at(self, layer: int) -> int:
        """Place of the values of layer `layer`, 0 being the inputs, among the numbers kept of a sample."""
        return sum(self.widths[:layer])

    def z_at(self, layer: int) -> int:
        """Place of the pre-activations of layer `layer` ≥ 1 among the numbers kept of a sample."""
        return sum(self.widths[:-1]) + sum(self.widths[1:layer])

    def spare_at(self, which: int) -> int:
        """Place of the spare row `which` = 0 … 4 among the numbers kept of a sample."""
        return self.z_at(len(self.widths)) + which * max(self.widths[1:])

    def inverse_at(self, layer: int) -> int:
        """Place of 1/√(variance) of hidden layer `layer` among the numbers kept of a sample."""
        return self.spare_at(5) + layer - 1

    def span(self, layer: int, tile: int) -> int:
        """Units of a layer that a pass of the memory layout takes at a time, of `tile` samples: 16 at least where
        products are `tl.dot`.
        """
        units = 1 << (self.widths[layer] - 1).bit_length()
        return max(16, min(units, 32)) if tile >= 16 else min(units, max(64 // tile, 16))

    def hidden(self, layer: int) -> int:
        """Place in the parameter tuple of the weight into hidden layer `layer` (2, 3, …; of wide networks 1 too)."""
        return self.columns + self.biases + (layer - 2) * (1 + self.biases)


def net(
    architecture: Architecture,
    lanes: bool,
    group: int = 1,
    block: int = 1,
    warps: int = 1,
    precision: str = "ieee",
    most_columns: int = MOST_ENDS,
    turn: int = TURN,
) -> Net:
    """The compile-time form of an architecture; hidden widths are padded to a power of two, in tiles at least 16. In
    tiles the first weight of more than `most_columns` inputs is one matrix.

    >>> net(Architecture((2, 20, 3)), lanes=False).padded
    (16, 32, 16)
    """
    least = 1 if lanes else 16
    padded = tuple(max(least, 1 << (w - 1).bit_length()) for w in architecture.widths)
    return Net(
        widths=architecture.widths,
        padded=padded,
        starts=tuple(layer.weight for layer in architecture.layout),
        activation=architecture.activation,
        slope=architecture.negative_slope,
        biases=int(architecture.biases),
        lanes=lanes,
        group=group,
        block=block,
        warps=warps,
        normalise=architecture.normalise,
        skips=architecture.skips,
        wide=not lanes and architecture.n_inputs > most_columns,
        precision=precision,
        turn=turn,
    )


@dataclass(frozen=True)
class Batch:
    """How a kernel draws samples: sampling full, epoch, replacement or online; `shared`: all items read one data set.

    unroll: samples (lanes) that one turn of the loop takes; tile: samples (tiles, memory) that it takes as one
    tensor; even: no turn is cut short; single: one turn is the whole batch; rounds: of the permutation's Feistel
    network; values: numbers that a program of the memory layout keeps of its samples.
    """

    sampling: str
    loss: str
    shared: bool
    unroll: int
    tile: int
    even: bool
    single: bool
    rounds: int
    teacher: Net | None = None
    values: int = 0


@dataclass(frozen=True)
class Optimizer:
    """What an optimizer compiles to: kind sgd, adam or adamw; whether momentum, weight decay or a mask occur at all.

    held, tied, rated, clipped, stops: whether parameters are held, are one with others, have rates of their own,
    gradients clipped, networks stopped (memory layout alone). scaled: whether gradients come with the rate in them.
    """

    kind: str
    momentum: bool
    nesterov: bool
    decay: bool
    masked: bool
    held: bool = False
    tied: bool = False
    rated: bool = False
    clipped: bool = False
    stops: bool = False
    scaled: bool = False

    @property
    def plain(self) -> bool:
        """Whether a step is θ ← θ − η g and nothing else."""
        return self == Optimizer("sgd", momentum=False, nesterov=self.nesterov, decay=False, masked=False)


def multiply_adds(architecture: Architecture, training: bool = True) -> int:
    """Multiply-adds of one network on one sample: forward, and for training weight gradients and the deltas of hidden
    layers.

    >>> multiply_adds(Architecture((2, 16, 1)))  # forward 48, weight gradients 48, deltas of the hidden layer 16
    112
    """
    forward = sum(layer.fan_in * layer.fan_out for layer in architecture.layout)
    return 2 * forward + sum(layer.fan_in * layer.fan_out for layer in architecture.layout[1:]) if training else forward
