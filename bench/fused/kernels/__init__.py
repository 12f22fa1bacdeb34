"""The Triton kernels: depthwise convolutions and matrix products, with the steps after them.

All of them end with `scale * activation(sum + bias) + shift`, plus a residual if there is one,
computed in float32 and written once. There are two sets, by the order of a feature map in memory.
The kernels use the Triton language only, so that Triton's interpreter runs them without a GPU.
"""

from bench.fused.kernels.channels_last import depthwise, product
from bench.fused.kernels.planar import planar_depthwise, planar_product

__all__ = ["depthwise", "planar_depthwise", "planar_product", "product"]
