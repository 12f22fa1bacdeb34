"""Kernels for maps that lie plane by plane: (image, channel, row, column), in 16-bit types.

Both run on tensor cores, the convolution as a product with band matrices.
"""

from __future__ import annotations

import triton
import triton.language as tl

from bench.fused.kernels.finish import finish


@triton.jit
def planar_depthwise(
    x,
    bands,
    bias,
    scale,
    shift,
    residual,
    out,
    images,
    height,
    width,
    channels,
    KERNEL: tl.constexpr,
    BEFORE: tl.constexpr,
    WIDEN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LINES: tl.constexpr,
    IMAGES_FIRST: tl.constexpr,
    STAGES: tl.constexpr,
):
    """A depthwise KERNEL x KERNEL convolution of stride 1, as KERNEL products with band matrices.

    x, residual, out: (image, channel, height, width). bands: (channel, KERNEL, COLUMNS, COLUMNS);
    the matrix of filter row i has the weight that input column k has for output column n at [k, n],
    and zeros where the filter does not reach or the map ends. Rows above and below the map are
    loaded as zeros, BEFORE of them above.

    A program computes LINES lines (a power of two, at least ROWS) of one channel: whole maps, each
    filled up to ROWS rows and COLUMNS columns, which are powers of two. The products do COLUMNS /
    KERNEL times the arithmetic of the convolution, on units that are fifteen times as fast.

    Adjacent programs compute adjacent channels of the same images; with IMAGES_FIRST, other images
    of the same channel, whose band matrices then come from the L2 cache.
    """
    if IMAGES_FIRST:
        images_of, channel = tl.program_id(0), tl.program_id(1)
    else:
        channel, images_of = tl.program_id(0), tl.program_id(1)
    line = tl.arange(0, LINES)
    image = images_of * (LINES // ROWS) + line // ROWS
    row = line % ROWS
    column = tl.arange(0, COLUMNS)
    known = image < images
    inside = (column < width)[None, :]
    plane = (image.to(tl.int64) * channels + channel) * (height * width)
    place = plane[:, None] + (row * width)[:, None] + column[None, :]
    band = bands + channel.to(tl.int64) * (KERNEL * COLUMNS * COLUMNS)
    band += column[:, None] * COLUMNS + column[None, :]

    total = tl.zeros((LINES, COLUMNS), dtype=tl.float32)
    for i in tl.range(0, KERNEL, num_stages=STAGES):
        above = i - BEFORE
        there = known & (row + above >= 0) & (row + above < height)
        a = tl.load(x + place + above * width, mask=there[:, None] & inside, other=0.0)
        b = tl.load(band + i * (COLUMNS * COLUMNS))
        if WIDEN:
            a, b = a.to(tl.float32), b.to(tl.float32)
        total = tl.dot(a, b, total)

    b = tl.load(bias + channel)
    a = tl.load(scale + channel)
    s = tl.load(shift + channel)
    there = known & (row < height)
    finish(total, b, a, s, residual, out, place, there[:, None] & inside, ACTIVATION, RESIDUAL)


@triton.jit
def planar_product(
    x,
    weight,
    bias,
    scale,
    shift,
    residual,
    out,
    positions,
    outputs,
    inputs: tl.constexpr,
    WIDEN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    RESIDUAL: tl.constexpr,
    OUTPUTS: tl.constexpr,
    POSITIONS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """The product of weight (outputs, inputs) and each image of x (image, inputs, positions).

    residual, out: (image, outputs, positions). Adjacent programs compute different outputs of the
    same positions, so that these are read from the L2 cache.
    """
    program = tl.program_id(0)
    down = (outputs + OUTPUTS - 1) // OUTPUTS
    across = (positions + POSITIONS - 1) // POSITIONS
    output = program % down * OUTPUTS + tl.arange(0, OUTPUTS)
    position = program // down % across * POSITIONS + tl.arange(0, POSITIONS)
    image = (program // down // across).to(tl.int64)
    here, there = position < positions, output < outputs

    step = tl.arange(0, INPUTS)
    left = weight + output[:, None] * inputs + step[None, :]
    right = x + image * (inputs * positions) + step[:, None] * positions + position[None, :]
    total = tl.zeros((OUTPUTS, POSITIONS), dtype=tl.float32)
    for start in range(0, inputs, INPUTS):
        if inputs % INPUTS == 0:
            a = tl.load(left, mask=there[:, None], other=0.0)
            b = tl.load(right, mask=here[None, :], other=0.0)
        else:
            known = start + step < inputs
            a = tl.load(left, mask=there[:, None] & known[None, :], other=0.0)
            b = tl.load(right, mask=known[:, None] & here[None, :], other=0.0)
        left += INPUTS
        right += INPUTS * positions
        if WIDEN:
            a, b = a.to(tl.float32), b.to(tl.float32)
        total = tl.dot(a, b, total)

    b = tl.load(bias + output, mask=there, other=0.0)[:, None]
    a = tl.load(scale + output, mask=there, other=0.0)[:, None]
    s = tl.load(shift + output, mask=there, other=0.0)[:, None]
    place = image * (outputs * positions) + output[:, None] * positions + position[None, :]
    finish(
        total, b, a, s, residual, out, place, there[:, None] & here[None, :], ACTIVATION, RESIDUAL
    )
