"""Kernels whose networks live in device memory: any size, every setting."""
