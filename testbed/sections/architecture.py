"""The students of a study: their widths, what is connected in them, how they are pruned, and how they start."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

import kernels
from kernels.connectivity import windows
from testbed.section import ActivationName, Count, NotNegative, Section, Widths


class PruningSpec(Section):
    """Iterative magnitude pruning (Frankle & Carbin 2019) before the training that is measured.

    In each of `rounds` the network is trained, its weights of smallest magnitude are masked (all layers' together,
    biases stay; after round r a share density^(r/rounds) is left), and the rest goes back to where it was at step
    `rewind_step`. The measured training starts there, with all its steps; one round with rewind_step = training.steps
    is magnitude pruning and fine-tuning.

    retrain: false leaves the pruned networks as they are. mask: `own`, each network's from its own training; `family`,
    the first sibling's for all.
    """

    density: Annotated[float, Field(gt=0, lt=1)]
    rounds: Count = 1
    rewind_step: Annotated[int, Field(ge=0)] = 0
    retrain: bool = True
    mask: Literal["own", "family"] = "own"

    @model_validator(mode="after")
    def _check(self) -> PruningSpec:
        if not self.retrain and self.mask == "family":
            raise ValueError(
                "mask 'family' goes with retrain = true: it is found by a training of the family's own, and siblings "
                "differ by what follows."
            )
        if not self.retrain and self.rounds == 1 and self.rewind_step:
            raise ValueError(
                "rewind_step goes with retrain = true, or with more than one of rounds: nothing is trained from there."
            )
        return self


class ArchitectureSpec(Section):
    """The students: hidden widths (inputs and outputs follow from the data), connections, initial values.

    normalise, residual: of kernels.Architecture.
    connectivity: of the first layer, as kernels.connectivity has it, with `receptive_field` inputs a unit and windows
        every `stride` inputs; `full`: every unit sees every input.
    density: share of the weights of each layer that exist, drawn at random for each network (mask `own`), for each
        family, or once for all networks of a cell (`shared`). Weights of a unit with fewer inputs start larger by
        √(all inputs / its inputs), so that its pre-activation has the dense one's variance (Evci et al. 2022).
    pruning: a mask that is found by training.
    tied: any other weight sharing: a whole number for each parameter, in the order of kernels.Architecture.layout;
        parameters of one number are one.
    lean: `lean` times the teacher's first layer, its units in a random order for each family, is added to the initial
        one: starts whose overlap with the teacher does not vanish with the number of inputs.
    """

    hidden: Widths
    activation: ActivationName = "relu"
    biases: bool = True
    negative_slope: float = 0.01
    normalise: bool = False
    residual: bool = False
    connectivity: Literal["full", "random", "local", "convolutional"] = "full"
    receptive_field: Count | None = None
    stride: Count = 1
    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    mask: Literal["own", "family", "shared"] = "own"
    pruning: PruningSpec | None = None
    tied: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] | None = None
    initialisation: Literal["kaiming", "xavier", "torch", "committee", "mean_field"] = "kaiming"
    scale: NotNegative = 1.0
    lean: NotNegative = 0.0

    def build(self, n_inputs: int, n_outputs: int) -> kernels.Architecture:
        """The architecture between these inputs and outputs.

        >>> ArchitectureSpec(hidden=(8, 8), activation="tanh").build(n_inputs=2, n_outputs=1).n_parameters
        105
        """
        widths = (n_inputs, *self.hidden, n_outputs)
        architecture = kernels.Architecture(
            widths, self.activation, self.biases, self.negative_slope, self.normalise, self.residual
        )
        if self.receptive_field is not None:
            windows(architecture, self.receptive_field, self.stride)
        return architecture

    def build_hidden(self) -> kernels.Architecture:
        """The hidden layers between one input and one output, for what does not depend on these."""
        return kernels.Architecture(
            (1, *self.hidden, 1), self.activation, self.biases, self.negative_slope, self.normalise, self.residual
        )

    @property
    def sparse(self) -> bool:
        """Whether some weights are not there."""
        return self.connectivity != "full" or self.density < 1 or self.pruning is not None

    @model_validator(mode="after")
    def _check(self) -> ArchitectureSpec:
        self.build_hidden()
        if self.connectivity != "full" and self.receptive_field is None:
            raise ValueError(
                f"receptive_field is missing: the inputs that a unit of a {self.connectivity} first layer sees."
            )
        if self.connectivity == "convolutional" and (self.density < 1 or self.pruning is not None):
            raise ValueError(
                "connectivity 'convolutional' shares weights, which a random or pruned mask would tear apart: "
                "use 'local' there."
            )
        if self.tied is not None and (self.sparse or self.lean):
            raise ValueError(
                "tied shares weights as it says: leave out connectivity, density, pruning and lean, which would tear "
                "them apart."
            )
        return self
