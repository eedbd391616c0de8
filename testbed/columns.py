"""The names of the columns that a run writes. They are made here and nowhere else.

A quantity is `train_loss`, `test_loss`, `train_error` or `test_error` where it is measured, or the name of a
prediction. A path is "" between the networks as they were trained, the name of an alignment after it, or the name of a
path that is not straight (`bend`, `star`); it stands in front of the quantity.

>>> barrier("train_loss"), barrier("test_error", "midpoint", path="weights")
('train_loss_barrier_linear', 'weights_test_error_barrier_midpoint')
"""

from __future__ import annotations

import theory

DEFINITIONS = theory.BARRIER_DEFINITIONS
QUANTITIES = ("train_loss", "test_loss", "train_error", "test_error")
DIFFERENT_PERMUTATION = "different_permutation"


def along(quantity: str, path: str = "") -> str:
    """A measured quantity along a path: a column of the table of curves.

    >>> along("train_loss", "weights")
    'weights_train_loss'
    """
    return f"{path}_{quantity}" if path else quantity


def barrier(quantity: str, definition: str = "linear", path: str = "") -> str:
    """The barrier of a quantity, measured or predicted, under one of DEFINITIONS.

    >>> barrier("population")
    'population_barrier_linear'
    """
    return f"{along(quantity, path)}_barrier_{definition}"


def barrier_alpha(quantity: str, definition: str = "linear", path: str = "") -> str:
    """The alpha at which that barrier is reached.

    >>> barrier_alpha("train_loss")
    'train_loss_barrier_linear_alpha'
    """
    return f"{barrier(quantity, definition, path)}_alpha"


def ends(quantity: str) -> str:
    """The mean of a quantity over both ends.

    >>> ends("train_error")
    'train_error_ends'
    """
    return f"{quantity}_ends"


def distance(path: str = "") -> str:
    """The distance of the two ends.

    >>> distance("weights")
    'weights_distance'
    """
    return along("distance", path)


def gap(alignment: str) -> str:
    """What an alignment leaves of the training barrier beyond the best of all permutations.

    >>> gap("weights")
    'weights_gap'
    """
    return f"{alignment}_gap"


def predicted_loss(prediction: str) -> str:
    """The predicted loss along the path: a column of the table of curves.

    >>> predicted_loss("population")
    'population_loss'
    """
    return f"{prediction}_loss"


def predicted_barriers(prediction: str) -> str:
    """In a shard, `[n_pairs, 4, 2]`: value and argmax of the predicted barrier under each of DEFINITIONS.

    >>> predicted_barriers("population")
    'population_barriers'
    """
    return f"{prediction}_barriers"


def check(prediction: str) -> str:
    """How far theory's own route is from its compiled twin: a column of the table of pairs.

    >>> check("population")
    'population_check'
    """
    return f"{prediction}_check"


def readable(column: str) -> str:
    """A column as tables and axes name it.

    >>> readable("train_loss_barrier_linear")
    'train loss barrier linear'
    """
    return column.replace("_", " ")
