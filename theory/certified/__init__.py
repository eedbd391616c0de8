"""Certified enclosures: intervals that hold the true barrier of any network and loss, with a proof.

enclosure  branch and bound over [0, 1]; `CertifiedCurve` and `Proof`
path_jets  bounds of the loss, its slope and its curvature on a piece of the path
intervals  ball arithmetic, outward rounding included
checker    verifies a `Proof` by other arithmetic, and shares no code with the search
"""
