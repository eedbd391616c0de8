"""Linear networks: everything in closed form.

networks       paths between networks of any depth are polynomials; gradient descent on a quadratic
gradient_flow  gradient flow of two layers from balanced starts on whitened inputs
"""
