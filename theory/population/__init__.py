"""Population loss of two-layer networks on Gaussian inputs, x ~ N(μ, Σ), with a two-layer teacher.

loss              L and its exact curve along straight paths, from order parameters
bounds            how far that curve can bend, which makes its maximum certain
gaussian_moments  E σ(u) and E σ(u) τ(w) in closed form
hermite_series    the same as a series with an error, for activations that have no closed form
"""
