"""Structure results: what connects minima, and what bounds or decomposes a barrier.

cross_entropy           what cross-entropy along a path owes to the curvature of log-sum-exp, and to the network
feature_connectivity    how far features are from interpolating (layerwise linear feature connectivity)
sphere_teacher          which minima of sums of relus are linearly connected
committee_paths         how many segments join these, and how often one, two or a star's centre do
curvature               barrier ≤ ⅛ sup (−L″)₊ + concave kinks
output_expansion        barriers from the outputs' first two orders along the path: lazy and quadratic limits
loss_derivatives        the loss's first four derivatives along a direction
sibling_gap             why siblings have a barrier: the mean gap to fourth order in their spread, and SGD's spread
rebasin_counterexample  two solutions that no permutation connects
"""
