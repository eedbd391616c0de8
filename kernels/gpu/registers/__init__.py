"""Kernels whose networks live in registers from the first step to the last: a network per lane, or per program."""
