"""Kernels for maps with channels last in memory: (image, row, column, channel).

The convolution runs on the float32 units, in any precision and at any size.
"""

from __future__ import annotations

import triton
import triton.language as tl

from bench.fused.kernels.finish import finish


@triton.jit
def depthwise(
    x,
    weight,
    bias,
    scale,
    shift,
    residual,
    out,
    height,
    width,
    channels,
    KERNEL: tl.constexpr,
    BEFORE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """A depthwise KERNEL x KERNEL convolution of stride 1 with BEFORE zeros above and to the left.

    x, residual, out: (image, height, width, channels). weight: (KERNEL, KERNEL, channels), float32.

    A program computes ROWS x COLUMNS positions (4 or 8 columns) of CHANNELS channels. The window
    slides along a row, so that an input value is loaded once for all columns, and a weight once for
    all values that it is multiplied with. The columns are separate variables, because the language
    has no arrays in registers. PAIRS loads two bfloat16 channels as one 32-bit word (the number of
    channels is even): its upper half is a float32 up to the last bits, its lower half is one after
    a shift.
    """
    tile = tl.program_id(0)
    tiles_across = (width + COLUMNS - 1) // COLUMNS
    tiles_down = (height + ROWS - 1) // ROWS
    across = tile % tiles_across
    down = (tile // tiles_across) % tiles_down
    image = (tile // (tiles_across * tiles_down)).to(tl.int64) * height * width * channels
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = channel < channels
    top = down * ROWS
    left = across * COLUMNS
    lines = tl.arange(0, ROWS)

    sum0 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    sum1 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    sum2 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    sum3 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    sum4 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    sum5 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    sum6 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    sum7 = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    for i in range(KERNEL):
        row = top + lines + (i - BEFORE)
        line = image + (row[:, None] * width + (left - BEFORE)) * channels
        inside = ((row >= 0) & (row < height))[:, None]
        if PAIRS:
            pair = tl.program_id(1) * (CHANNELS // 2) + tl.arange(0, CHANNELS // 2)
            inside = (
                inside & (pair < channels // 2)[None, :]
            )  # in this form whole vectors are known to be inside
            values = x.to(tl.pointer_type(tl.int32)) + (line // 2 + pair[None, :])
        else:
            inside = inside & there[None, :]
            values = x + (line + channel[None, :])
        weights = weight + i * (KERNEL * channels) + channel
        # The weights of this column and of those before it, newest first.
        tap0 = tl.zeros((CHANNELS,), dtype=tl.float32)
        tap1 = tl.zeros((CHANNELS,), dtype=tl.float32)
        tap2 = tl.zeros((CHANNELS,), dtype=tl.float32)
        tap3 = tl.zeros((CHANNELS,), dtype=tl.float32)
        tap4 = tl.zeros((CHANNELS,), dtype=tl.float32)
        tap5 = tl.zeros((CHANNELS,), dtype=tl.float32)
        tap6 = tl.zeros((CHANNELS,), dtype=tl.float32)
        tap7 = tl.zeros((CHANNELS,), dtype=tl.float32)
        for j in tl.static_range(KERNEL + COLUMNS - 1):
            column = left + (j - BEFORE)
            if PAIRS:
                both = tl.load(values, mask=inside & (column >= 0) & (column < width), other=0)
                value = tl.interleave(
                    (both << 16).to(tl.float32, bitcast=True),
                    (both & -65536).to(tl.float32, bitcast=True),
                )
                values += channels // 2
            else:
                value = tl.load(
                    values, mask=inside & (column >= 0) & (column < width), other=0.0
                ).to(tl.float32)
                values += channels
            tap7 = tap6
            tap6 = tap5
            tap5 = tap4
            tap4 = tap3
            tap3 = tap2
            tap2 = tap1
            tap1 = tap0
            if j < KERNEL:
                tap0 = tl.load(weights, mask=there, other=0.0)
                weights += channels
                sum0 += value * tap0[None, :]
            if j >= 1 and j - 1 < KERNEL:
                sum1 += value * tap1[None, :]
            if j >= 2 and j - 2 < KERNEL:
                sum2 += value * tap2[None, :]
            if j >= 3 and j - 3 < KERNEL:
                sum3 += value * tap3[None, :]
            if COLUMNS == 8:
                if j >= 4 and j - 4 < KERNEL:
                    sum4 += value * tap4[None, :]
                if j >= 5 and j - 5 < KERNEL:
                    sum5 += value * tap5[None, :]
                if j >= 6 and j - 6 < KERNEL:
                    sum6 += value * tap6[None, :]
                if j >= 7 and j - 7 < KERNEL:
                    sum7 += value * tap7[None, :]

    b = tl.load(bias + channel, mask=there, other=0.0)[None, :]
    a = tl.load(scale + channel, mask=there, other=0.0)[None, :]
    s = tl.load(shift + channel, mask=there, other=0.0)[None, :]
    row = top + lines
    inside = (row < height)[:, None] & there[None, :]
    place = image + (row[:, None] * width + left) * channels + channel[None, :]
    finish(sum0, b, a, s, residual, out, place, inside, ACTIVATION, RESIDUAL)
    finish(
        sum1,
        b,
        a,
        s,
        residual,
        out,
        place + channels,
        inside & (left + 1 < width),
        ACTIVATION,
        RESIDUAL,
    )
    finish(
        sum2,
        b,
        a,
        s,
        residual,
        out,
        place + 2 * channels,
        inside & (left + 2 < width),
        ACTIVATION,
        RESIDUAL,
    )
    finish(
        sum3,
        b,
        a,
        s,
        residual,
        out,
        place + 3 * channels,
        inside & (left + 3 < width),
        ACTIVATION,
        RESIDUAL,
    )
    if COLUMNS == 8:
        finish(
            sum4,
            b,
            a,
            s,
            residual,
            out,
            place + 4 * channels,
            inside & (left + 4 < width),
            ACTIVATION,
            RESIDUAL,
        )
        finish(
            sum5,
            b,
            a,
            s,
            residual,
            out,
            place + 5 * channels,
            inside & (left + 5 < width),
            ACTIVATION,
            RESIDUAL,
        )
        finish(
            sum6,
            b,
            a,
            s,
            residual,
            out,
            place + 6 * channels,
            inside & (left + 6 < width),
            ACTIVATION,
            RESIDUAL,
        )
        finish(
            sum7,
            b,
            a,
            s,
            residual,
            out,
            place + 7 * channels,
            inside & (left + 7 < width),
            ACTIVATION,
            RESIDUAL,
        )


@triton.jit
def product(
    x,
    weight,
    bias,
    scale,
    shift,
    residual,
    out,
    rows,
    outputs,
    inputs: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """The product of x (rows, inputs) and the transpose of weight (outputs, inputs).

    residual, out: (rows, outputs). Adjacent programs share GROUP blocks of rows, to keep weights in
    the L2 cache. WIDEN multiplies in float32, as Triton's interpreter has no bfloat16 product.
    """
    program = tl.program_id(0)
    down = (rows + ROWS - 1) // ROWS
    across = (outputs + OUTPUTS - 1) // OUTPUTS
    group = program // (GROUP * across)
    first = group * GROUP
    members = tl.minimum(down - first, GROUP)
    block = first + (program % (GROUP * across)) % members
    row = block * ROWS + tl.arange(0, ROWS)
    output = (program % (GROUP * across)) // members * OUTPUTS + tl.arange(0, OUTPUTS)
    here, there = row < rows, output < outputs

    step = tl.arange(0, INPUTS)
    left = x + row.to(tl.int64)[:, None] * inputs
    right = weight + output[None, :] * inputs
    total = tl.zeros((ROWS, OUTPUTS), dtype=tl.float32)
    for start in range(0, inputs, INPUTS):
        at = start + step
        if inputs % INPUTS == 0:
            a = tl.load(left + at[None, :], mask=here[:, None], other=0.0)
            b = tl.load(right + at[:, None], mask=there[None, :], other=0.0)
        else:
            known = at < inputs
            a = tl.load(left + at[None, :], mask=here[:, None] & known[None, :], other=0.0)
            b = tl.load(right + at[:, None], mask=known[:, None] & there[None, :], other=0.0)
        if WIDEN:
            a, b = a.to(tl.float32), b.to(tl.float32)
        total = tl.dot(a, b, total, input_precision=PRECISION)

    b = tl.load(bias + output, mask=there, other=0.0)[None, :]
    a = tl.load(scale + output, mask=there, other=0.0)[None, :]
    s = tl.load(shift + output, mask=there, other=0.0)[None, :]
    place = row.to(tl.int64)[:, None] * outputs + output[None, :]
    finish(
        total, b, a, s, residual, out, place, here[:, None] & there[None, :], ACTIVATION, RESIDUAL
    )
