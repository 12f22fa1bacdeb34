"""Handwritten kernels for ConvMixers, which show how fast the same function can run."""
