"""Kernels of this project's own for ConvMixers: how fast the same function can be, beside what libraries make of it."""
