"""Curves: losses along straight paths, their exact maxima and their barriers. What every other wing returns.

curve          `Curve`, `Barrier`, the four definitions of the barrier; `barriers_on_grid` for measured curves
polynomials    curves that are polynomials in α, or polynomials on pieces of [0, 1]
smooth_curve   curves known by L and L′, with bounds of L″ where there are some
"""
