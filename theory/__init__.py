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
    online        erf committees, online SGD: `twin_students` for inputs → ∞, `twin_fluctuations` for many,
                  `different_order_probability` and `different_order_at` for the orders that twins end in
    structure     `cross_entropy_parts`, `feature_residuals`, `linearly_connected`, `sphere_path`, `least_segments`,
                  `common_centre`, `straight_probability`, `centre_probability`, `curvature_bound`,
                  `expanded_path`, `loss_derivatives`, `sibling_gap`, `quadratic_spread`, `random_order`,
                  `counterexample_data`, `midpoint_errors`

`layers` holds networks and the checks that all share, `symbolic` derives the simplest formulas by sympy.

Networks are `Layers`: sequences of (W, b), W [n_networks, fan_out, fan_in], b [n_networks, fan_out] or None,
first layer first; a single network may leave out the leading axis. The loss is ½ mean ‖f − y‖² where none is named.
"""

# names and their modules stand in __init__.pyi; each is imported when it is asked for, so that to name a barrier or an
# activation takes no scipy
import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
