"""Handwritten digits: the one task whose samples are not drawn, but chosen from those that there are."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from testbed.data.sampling import Arrays, Seeds, uniforms
from testbed.data.tasks import Task


class DigitsData(Task):
    """scikit-learn's handwritten digits (Alpaydin & Kaynak 1998): 1,797 images of 8 × 8 pixels, here in [0, 1].

    Ten classes, in random order. Training samples are the first n_train, test samples the rest.
    """

    kind: Literal["digits"]
    n_train: Annotated[int, Field(ge=1, le=1700)] = 1000

    @property
    def n_inputs(self) -> int:
        """Pixels."""
        return 64

    @property
    def n_classes(self) -> int:
        """Ten."""
        return 10

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """The first n images.

        >>> x, y = DigitsData(kind="digits", n_train=4).train()
        >>> x.shape, y.shape
        ((4, 64), (4,))
        """
        x, y = self._images()
        return x[:n], y[:n]

    def test(self, n: int) -> Arrays:
        """At most n of those that are not trained on."""
        x, y = self._images()
        return x[self.n_train :][:n], y[self.n_train :][:n]

    def _images(self) -> Arrays:
        from sklearn.datasets import load_digits  # half a second, for this task alone

        x, y = load_digits(return_X_y=True)
        order = np.argsort(uniforms(self.seed, len(y)))
        return x[order] / 16, y[order].astype(np.int64)

    @model_validator(mode="after")
    def _too_few_for_sets_of_their_own(self) -> DigitsData:
        if self.shared != 1 or self.shift:
            raise ValueError("shared and shift are not for digits, of which there are too few for sets of their own.")
        return self
