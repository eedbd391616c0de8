"""What the kernels of all layouts share: elementwise mathematics, random streams, optimizers and losses."""
