"""What analysis predicts for the loss along straight paths between small networks. numpy and scipy, float64.

    result                                       module            holds for
    `Curve`, `Barrier`, four barrier definitions curve             every loss; measured: `barriers_on_grid`
    polynomials and pieces, exact maxima         polynomials       any degree
    E σ(u), E σ(u) σ(w) under Gaussians          gaussian_moments  identity, square, relu, leaky relu, erf
    `series_moment`: the same, with its error    hermite_series    those, tanh, gelu, any `Polynomial`, mixed
    `population_loss`, `population_path`         population        two layers, x ~ N(μ, Σ), all of these
    how far those paths can bend                 population_bounds  the same; so that their maxima are certain
    `SmoothCurve`: maxima of such curves         smooth_curve      given L, L′ and, if known, bounds of L″
    `linear_path`                                linear_networks   linear, any depth, data through 2nd moments
    `depth_two_barrier`                          linear_networks   linear, depth two, both endpoints exact
    `gradient_descent_solution`                  linear_networks   full-batch descent on a quadratic
    `twin_students`                              twin_students     erf committees, online SGD, inputs → ∞
    `piecewise_path`, `piecewise_barriers`       piecewise         two layers, relu or leaky relu, finite data
    `certified_path`: [lo, hi] of each barrier   enclosure         any depth and activation, squared loss or
                                                                   cross-entropy, finite data
    `objections` to a proof of that              proofs            by other arithmetic than the search's
    `flow_overlaps`, `flow_losses`               gradient_flow     linear, depth two, whitened, balanced start
    `aligned_flow`                               gradient_flow     the same, aligned: the weights themselves
    `deep_piecewise_path`, `…_barriers`          deep_piecewise    relu or leaky relu of any depth, finite data
    `cross_entropy_parts`                        cross_entropy     logits along a path: Jensen gap and departure
    `feature_residuals`                          feature_connectivity  any depth and activation, given data
    `linearly_connected`, `sphere_path`          sphere_teacher    two-layer relu minima, x on the sphere
    `curvature_bound`                            curvature         barrier ≤ ⅛ sup (−L″)₊ + concave kinks
    `counterexample_data`, `midpoint_errors`     rebasin_counterexample  two solutions that no permutation connects

Networks are `Layers`: sequences of (W, b), W [n_networks, fan_out, fan_in], b [n_networks, fan_out] or None,
first layer first; a single network may leave out the leading axis. The loss is ½ mean ‖f − y‖² where none is named.
"""

from theory.cross_entropy import cross_entropy_parts
from theory.curvature import curvature_bound
from theory.curve import BARRIER_DEFINITIONS, Barrier, Curve, barriers_on_grid
from theory.deep_piecewise import deep_piecewise_barriers, deep_piecewise_path
from theory.enclosure import CertifiedCurve, Proof, certified_path
from theory.feature_connectivity import feature_residuals
from theory.gaussian_moments import ACTIVATIONS, first_moment, second_moment
from theory.gradient_flow import aligned_flow, flow_losses, flow_overlaps
from theory.hermite_series import Polynomial, series_moment
from theory.layers import Layers
from theory.linear_networks import SecondMoments, depth_two_barrier, gradient_descent_solution, linear_path
from theory.piecewise import PiecewiseBarriers, piecewise_barriers, piecewise_path
from theory.polynomials import PiecewisePolynomialCurve, PolynomialCurve
from theory.population import population_loss, population_path
from theory.proofs import objections
from theory.rebasin_counterexample import counterexample_data, midpoint_errors
from theory.smooth_curve import SmoothCurve
from theory.sphere_teacher import linearly_connected, neuron_types, sphere_path
from theory.twin_students import TwinStudents, twin_students

__all__ = [
    "ACTIVATIONS",
    "BARRIER_DEFINITIONS",
    "Barrier",
    "CertifiedCurve",
    "Curve",
    "Layers",
    "PiecewiseBarriers",
    "PiecewisePolynomialCurve",
    "Polynomial",
    "PolynomialCurve",
    "Proof",
    "SecondMoments",
    "SmoothCurve",
    "TwinStudents",
    "aligned_flow",
    "barriers_on_grid",
    "certified_path",
    "counterexample_data",
    "cross_entropy_parts",
    "curvature_bound",
    "deep_piecewise_barriers",
    "deep_piecewise_path",
    "depth_two_barrier",
    "feature_residuals",
    "first_moment",
    "flow_losses",
    "flow_overlaps",
    "gradient_descent_solution",
    "linear_path",
    "linearly_connected",
    "midpoint_errors",
    "neuron_types",
    "objections",
    "piecewise_barriers",
    "piecewise_path",
    "population_loss",
    "population_path",
    "second_moment",
    "series_moment",
    "sphere_path",
    "twin_students",
]
