"""The steps after a sum, which all kernels end with."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gelu(x, EXACT: tl.constexpr):
    """x times the normal distribution function of x.

    Unless EXACT, that function is a logistic one of an odd polynomial of degree 5, fitted so that
    the largest error of the result is smallest: 2.5e-5, less than the rounding of a 16-bit result
    above 0.02. It takes a dozen instructions instead of about thirty: on an H200 a product of
    width 1536 over 64 images takes 0.51 ms with it, 0.61 ms with erf, 0.45 ms with neither.
    """
    if EXACT:
        return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    square = tl.minimum(x * x, 64.0)  # beyond 8 the polynomial would turn, and the result is x or 0
    logit = 2.3011204841872317 + square * (0.10677672802450355 - square * 0.001014481632391463)
    return x / (1.0 + tl.exp2(-x * logit))


@triton.jit
def finish(
    total,
    bias,
    scale,
    shift,
    residual,
    out,
    place,
    mask,
    ACTIVATION: tl.constexpr,
    RESIDUAL: tl.constexpr,
):
    """Apply the steps after a sum and store. `bias`, `scale` and `shift` broadcast to `total`."""
    total += bias
    if ACTIVATION == "relu":
        total = tl.maximum(total, 0.0)
    if ACTIVATION == "gelu":
        total = gelu(total, out.dtype.element_ty == tl.float32)
    total = total * scale + shift
    if RESIDUAL:
        total += tl.load(residual + place, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + place, total.to(out.dtype.element_ty), mask=mask)
