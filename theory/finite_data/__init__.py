"""Exact training loss on finite data: relu networks are polynomials on pieces of a path.

two_layer  piecewise quartics, all breakpoints by one sort
deep       any depth, breakpoints as roots
pieces     what both share: jumps summed to pieces, pieces to curves or barriers
"""
