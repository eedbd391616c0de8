"""What analysis predicts for the loss along straight paths between small networks. numpy and scipy, float64.

    result                                       module            holds for
    `Curve`, `Barrier`, four barrier definitions curve             every loss; measured: `barriers_on_grid`
    polynomials and pieces, exact maxima         polynomials       any degree
    E σ(u), E σ(u) σ(w) under Gaussians          gaussian_moments  identity, square, relu, leaky relu, erf
    `population_loss`, `population_path`         population        two layers, x ~ N(μ, Σ), those activations
    `linear_path`                                linear_networks   linear, any depth, data through 2nd moments
    `depth_two_barrier`                          linear_networks   linear, depth two, both endpoints exact
    `gradient_descent_solution`                  linear_networks   full-batch descent on a quadratic
    `piecewise_path`, `piecewise_barriers`       piecewise         two layers, relu or leaky relu, finite data

Networks are `Layers`: sequences of (W, b), W [n_networks, fan_out, fan_in], b [n_networks, fan_out] or None,
first layer first; a single network may leave out the leading axis. The loss is ½ mean ‖f − y‖² everywhere.
"""

from theory.curve import BARRIER_DEFINITIONS, Barrier, Curve, SmoothCurve, barriers_on_grid
from theory.gaussian_moments import ACTIVATIONS, first_moment, second_moment
from theory.layers import Layers
from theory.linear_networks import SecondMoments, depth_two_barrier, gradient_descent_solution, linear_path
from theory.piecewise import PiecewiseBarriers, piecewise_barriers, piecewise_path
from theory.polynomials import PiecewisePolynomialCurve, PolynomialCurve
from theory.population import population_loss, population_path

__all__ = [
    "ACTIVATIONS",
    "BARRIER_DEFINITIONS",
    "Barrier",
    "Curve",
    "Layers",
    "PiecewiseBarriers",
    "PiecewisePolynomialCurve",
    "PolynomialCurve",
    "SecondMoments",
    "SmoothCurve",
    "barriers_on_grid",
    "depth_two_barrier",
    "first_moment",
    "gradient_descent_solution",
    "linear_path",
    "piecewise_barriers",
    "piecewise_path",
    "population_loss",
    "population_path",
    "second_moment",
]
