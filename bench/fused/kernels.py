"""The Triton kernels: depthwise convolutions and matrix products, with the steps after them.

All of them end with `scale * activation(sum + bias) + shift`, plus a residual if there is one,
computed in float32 and written once. There are two sets, by the order of a feature map in memory:

- `depthwise` and `product` read channels-last maps, (image, row, column, channel). The convolution
  runs on the float32 units, in any precision and at any size.
- `planar_depthwise` and `planar_product` read maps plane by plane, (image, channel, row, column),
  in bfloat16 or float16. Both run on tensor cores, the convolution as a product with a band matrix.

The kernels use the Triton language only, so that Triton's interpreter runs them without a GPU.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _gelu(x, EXACT: tl.constexpr):
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
def _finish(
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
        total = _gelu(total, out.dtype.element_ty == tl.float32)
    total = total * scale + shift
    if RESIDUAL:
        total += tl.load(residual + place, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + place, total.to(out.dtype.element_ty), mask=mask)


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
    _finish(sum0, b, a, s, residual, out, place, inside, ACTIVATION, RESIDUAL)
    _finish(
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
    _finish(
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
    _finish(
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
        _finish(
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
        _finish(
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
        _finish(
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
        _finish(
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
    _finish(
        total, b, a, s, residual, out, place, here[:, None] & there[None, :], ACTIVATION, RESIDUAL
    )


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
    """
    channel = tl.program_id(0)
    line = tl.arange(0, LINES)
    image = tl.program_id(1) * (LINES // ROWS) + line // ROWS
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
    _finish(total, b, a, s, residual, out, place, there[:, None] & inside, ACTIVATION, RESIDUAL)


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
    _finish(
        total, b, a, s, residual, out, place, there[:, None] & here[None, :], ACTIVATION, RESIDUAL
    )
