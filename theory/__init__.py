"""What analysis predicts for the loss along straight paths between small networks. numpy and scipy, float64.

    curves        `Curve`, `Barrier` under four definitions; polynomials, pieces and smooth curves with their maxima
    population    two layers, x ~ N(μ, Σ), a two-layer teacher: `population_loss`, `population_path`, and the
                  moments E σ(u), E σ(u) τ(w) they are made of: `first_moment`, `second_moment`, `series_moment`
    linear        linear networks of any depth: `linear_path`, `depth_two_barrier`, `gradient_descent_solution`;
                  gradient flow of two layers: `flow_overlaps`, `flow_losses`, `flow_barriers`, `aligned_flow`
    finite_data   relu and leaky relu, squared loss on samples: `piecewise_path`, `piecewise_barriers` for two layers,
                  `deep_piecewise_path`, `deep_piecewise_barriers` for any depth
    certified     any depth and activation, both losses: `certified_path` gives [lo, hi] of each barrier and a proof,
                  `objections` checks it by other arithmetic
    online        erf committees, online SGD, inputs → ∞: `twin_students`
    structure     `cross_entropy_parts`, `feature_residuals`, `linearly_connected`, `sphere_path`, `least_segments`,
                  `common_centre`, `straight_probability`, `centre_probability`, `curvature_bound`,
                  `expanded_path`, `loss_derivatives`, `sibling_gap`, `quadratic_spread`, `counterexample_data`,
                  `midpoint_errors`

`layers` holds networks and the checks that all share, `symbolic` derives the simplest formulas by sympy.

Networks are `Layers`: sequences of (W, b), W [n_networks, fan_out, fan_in], b [n_networks, fan_out] or None,
first layer first; a single network may leave out the leading axis. The loss is ½ mean ‖f − y‖² where none is named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theory.certified.checker import objections
    from theory.certified.enclosure import CertifiedCurve, Proof, certified_path
    from theory.curves.curve import BARRIER_DEFINITIONS, Barrier, Curve, barriers_on_grid
    from theory.curves.polynomials import PiecewisePolynomialCurve, PolynomialCurve
    from theory.curves.smooth_curve import SmoothCurve
    from theory.finite_data.deep import deep_piecewise_barriers, deep_piecewise_path
    from theory.finite_data.pieces import PiecewiseBarriers
    from theory.finite_data.two_layer import piecewise_barriers, piecewise_path
    from theory.layers import Layers
    from theory.linear.gradient_flow import aligned_flow, flow_losses, flow_overlaps
    from theory.linear.networks import SecondMoments, depth_two_barrier, gradient_descent_solution, linear_path
    from theory.online.order_parameters import TwinStudents, twin_students
    from theory.population.activations import CLOSED_FORM_ACTIVATIONS, Polynomial
    from theory.population.gaussian_moments import first_moment, second_moment
    from theory.population.hermite_series import series_moment
    from theory.population.loss import population_loss, population_path
    from theory.structure.cross_entropy import cross_entropy_parts
    from theory.structure.curvature import curvature_bound
    from theory.structure.feature_connectivity import feature_residuals
    from theory.structure.output_expansion import expanded_path
    from theory.structure.rebasin_counterexample import counterexample_data, midpoint_errors
    from theory.structure.sphere_teacher import linearly_connected, neuron_types, sphere_path

__all__ = [
    "BARRIER_DEFINITIONS",
    "CLOSED_FORM_ACTIVATIONS",
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
    "centre_probability",
    "certified_path",
    "common_centre",
    "counterexample_data",
    "cross_entropy_parts",
    "curvature_bound",
    "deep_piecewise_barriers",
    "deep_piecewise_path",
    "depth_two_barrier",
    "expanded_path",
    "feature_residuals",
    "first_moment",
    "flow_barriers",
    "flow_losses",
    "flow_overlaps",
    "gradient_descent_solution",
    "least_segments",
    "linear_path",
    "linearly_connected",
    "loss_derivatives",
    "midpoint_errors",
    "neuron_types",
    "objections",
    "piecewise_barriers",
    "piecewise_path",
    "population_loss",
    "population_path",
    "quadratic_spread",
    "second_moment",
    "series_moment",
    "sibling_gap",
    "sphere_path",
    "straight_probability",
    "twin_students",
]
HOMES = {
    "BARRIER_DEFINITIONS": "theory.curves.curve",
    "Barrier": "theory.curves.curve",
    "CLOSED_FORM_ACTIVATIONS": "theory.population.activations",
    "CertifiedCurve": "theory.certified.enclosure",
    "Curve": "theory.curves.curve",
    "Layers": "theory.layers",
    "PiecewiseBarriers": "theory.finite_data.pieces",
    "PiecewisePolynomialCurve": "theory.curves.polynomials",
    "Polynomial": "theory.population.activations",
    "PolynomialCurve": "theory.curves.polynomials",
    "Proof": "theory.certified.enclosure",
    "SecondMoments": "theory.linear.networks",
    "SmoothCurve": "theory.curves.smooth_curve",
    "TwinStudents": "theory.online.order_parameters",
    "aligned_flow": "theory.linear.gradient_flow",
    "barriers_on_grid": "theory.curves.curve",
    "certified_path": "theory.certified.enclosure",
    "counterexample_data": "theory.structure.rebasin_counterexample",
    "cross_entropy_parts": "theory.structure.cross_entropy",
    "curvature_bound": "theory.structure.curvature",
    "deep_piecewise_barriers": "theory.finite_data.deep",
    "deep_piecewise_path": "theory.finite_data.deep",
    "depth_two_barrier": "theory.linear.networks",
    "expanded_path": "theory.structure.output_expansion",
    "feature_residuals": "theory.structure.feature_connectivity",
    "first_moment": "theory.population.gaussian_moments",
    "flow_losses": "theory.linear.gradient_flow",
    "flow_overlaps": "theory.linear.gradient_flow",
    "gradient_descent_solution": "theory.linear.networks",
    "linear_path": "theory.linear.networks",
    "linearly_connected": "theory.structure.sphere_teacher",
    "midpoint_errors": "theory.structure.rebasin_counterexample",
    "neuron_types": "theory.structure.sphere_teacher",
    "objections": "theory.certified.checker",
    "piecewise_barriers": "theory.finite_data.two_layer",
    "piecewise_path": "theory.finite_data.two_layer",
    "population_loss": "theory.population.loss",
    "population_path": "theory.population.loss",
    "second_moment": "theory.population.gaussian_moments",
    "series_moment": "theory.population.hermite_series",
    "sphere_path": "theory.structure.sphere_teacher",
    "twin_students": "theory.online.order_parameters",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: to name a barrier or an activation takes no scipy."""
    if name not in HOMES:
        raise AttributeError(f"module 'theory' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
