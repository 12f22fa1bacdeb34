"""The multiply-adds of products: one table for every count.

`PRODUCTS` gives them from the shapes in fvcore's trace, and `dispatched` adds to torch's own counter what that lacks.
What is a product, and what happens to one that has no formula here, says `bench/record/product_names.py`.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.count import einsum

Handle = Callable[[list[Any], list[Any]], int]
"""Multiply-adds from the traced inputs and outputs of one operator."""


def shape_of(value: Any) -> list[int]:
    """Sizes of a traced tensor; RuntimeError where the trace does not know them."""
    sizes = value.type().sizes() if value.isCompleteTensor() else None
    if sizes is None:
        raise RuntimeError(f"the trace does not know the shape of {value.debugName()}")
    return list(sizes)


def _shapes_of(value: Any) -> list[list[int]]:
    """Sizes of the tensors in a traced list."""
    return [shape_of(one) for one in value.node().inputs()]


def _integers_of(value: Any) -> list[int] | None:
    """A traced list of integers, None where there is none."""
    if value.node().kind() == "prim::ListConstruct":
        return [one.toIValue() for one in value.node().inputs()]
    found: list[int] | None = value.toIValue()
    return found


def _fvcore(name: str) -> Handle:
    """A handle of fvcore's own, imported when it is needed."""

    def handle(inputs: list[Any], outputs: list[Any]) -> int:
        from fvcore.nn import jit_handles

        counted = getattr(jit_handles, name)(inputs, outputs)
        return int(sum(counted.values()) if isinstance(counted, Counter) else counted)

    return handle


def _rows_by_columns(inputs: list[Any], outputs: list[Any]) -> int:
    """Every output element is a row of the left operand times a column of the right one."""
    return math.prod(shape_of(outputs[0])) * shape_of(inputs[0])[-1]


def _added_rows_by_columns(inputs: list[Any], outputs: list[Any]) -> int:
    """The same with something to add in front: `addmv`, `baddbmm`."""
    return _rows_by_columns(inputs[1:], outputs)


def _addbmm(inputs: list[Any], outputs: list[Any]) -> int:
    """The products of a batch, added up."""
    return math.prod(shape_of(inputs[1])) * shape_of(inputs[2])[-1]


def _inner(inputs: list[Any], outputs: list[Any]) -> int:
    """Over the last dimension of both; with a scalar it is no product."""
    return _rows_by_columns(inputs, outputs) if shape_of(inputs[0]) and shape_of(inputs[1]) else 0


def _tensordot(inputs: list[Any], outputs: list[Any]) -> int:
    left = shape_of(inputs[0])
    return math.prod(shape_of(outputs[0])) * math.prod(
        left[one] for one in _integers_of(inputs[2]) or []
    )


def _chain(inputs: list[Any], outputs: list[Any]) -> int:
    """`multi_dot`: the cheapest order of products."""
    shapes = _shapes_of(inputs[0])
    first, last = shapes[0], shapes[-1]
    sides = [
        *([1] if len(first) == 1 else []),
        *(shape[0] for shape in shapes),
        *([1] if len(last) == 1 else last[1:]),
    ]
    return cheapest_chain(sides)


def cheapest_chain(sides: Sequence[int]) -> int:
    """Multiply-adds of a chain of matrices, the n-th of `sides[n]` by `sides[n + 1]`, in the cheapest order."""
    many = len(sides) - 1
    cheapest = {(start, start): 0 for start in range(many)}
    for length in range(1, many):
        for start in range(many - length):
            end = start + length
            cheapest[start, end] = min(
                cheapest[start, cut]
                + cheapest[cut + 1, end]
                + sides[start] * sides[cut + 1] * sides[end + 1]
                for cut in range(start, end)
            )
    return cheapest[0, many - 1]


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    path = _integers_of(inputs[2]) if len(inputs) > 2 else None
    return einsum.macs(inputs[0].toIValue(), _shapes_of(inputs[1]), path)


def _filtered(inputs: list[Any], outputs: list[Any]) -> int:
    """`_convolution_mode` and deformable convolution: output elements times the weights that each one meets."""
    return math.prod(shape_of(outputs[0])) * math.prod(shape_of(inputs[1])[1:])


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Queries by keys, then weights by values; a mask leaves nothing out."""
    queries, keys, mixed = shape_of(inputs[0]), shape_of(inputs[1]), shape_of(outputs[0])
    return math.prod(mixed[:-1]) * keys[-2] * (queries[-1] + mixed[-1])


def _recurrent(inputs: list[Any], outputs: list[Any]) -> int:
    """Every weight matrix meets every step of every sequence once, whatever the direction or layer it is of."""
    weights = [one for one in inputs if one.node().kind() == "prim::ListConstruct"][-1]
    return math.prod(shape_of(inputs[0])[:-1]) * sum(
        math.prod(shape) for shape in _shapes_of(weights) if len(shape) == 2
    )


def _cell(inputs: list[Any], outputs: list[Any]) -> int:
    """One step of a recurrent layer."""
    return math.prod(shape_of(inputs[0])[:-1]) * sum(
        math.prod(shape_of(weight)) for weight in inputs[2:4]
    )


PRODUCTS: dict[str, Handle] = {
    "aten::_convolution": _fvcore("conv_flop_jit"),
    "aten::_convolution_mode": _filtered,
    "torchvision::deform_conv2d": _filtered,
    "aten::linear": _fvcore("linear_flop_jit"),
    "aten::addmm": _fvcore("addmm_flop_jit"),
    "aten::bmm": _fvcore("bmm_flop_jit"),
    "aten::mm": _rows_by_columns,
    "aten::mv": _rows_by_columns,
    "aten::dot": _rows_by_columns,
    "aten::vdot": _rows_by_columns,
    "aten::matmul": _rows_by_columns,
    "aten::linalg_matmul": _rows_by_columns,
    "aten::baddbmm": _added_rows_by_columns,
    "aten::addmv": _added_rows_by_columns,
    "aten::addbmm": _addbmm,
    "aten::inner": _inner,
    "aten::tensordot": _tensordot,
    "aten::linalg_multi_dot": _chain,
    "aten::chain_matmul": _chain,
    "aten::einsum": _einsum,
    "aten::scaled_dot_product_attention": _attention,
    **{f"aten::{name}": _recurrent for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    **{
        f"aten::{name}": _cell
        for name in ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
    },
}


def _flops_of_mv(matrix: Sequence[int], *rest: Any, **more: Any) -> int:
    return 2 * math.prod(matrix)


def _flops_of_addmv(added: Sequence[int], matrix: Sequence[int], *rest: Any, **more: Any) -> int:
    return 2 * math.prod(matrix)


def _flops_of_addbmm(
    added: Sequence[int], left: Sequence[int], right: Sequence[int], *rest: Any, **more: Any
) -> int:
    return 2 * math.prod(left) * right[-1]


def _flops_of_mkldnn_rnn(
    steps: Sequence[int],
    from_input: Sequence[int],
    from_state: Sequence[int],
    *rest: Any,
    **more: Any,
) -> int:
    return 2 * math.prod(steps[:-1]) * (math.prod(from_input) + math.prod(from_state))


def _flops_of_cudnn_rnn(
    steps: Sequence[int], weights: Sequence[Sequence[int]], *rest: Any, **more: Any
) -> int:
    return (
        2 * math.prod(steps[:-1]) * sum(math.prod(weight) for weight in weights if len(weight) == 2)
    )


def _flops_of_deformable(
    images: Sequence[int], weight: Sequence[int], *rest: Any, out_shape: Sequence[int], **more: Any
) -> int:
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def dispatched() -> dict[Any, Callable[..., int]]:
    """FLOPs of products that torch's own counter lacks, by operator, from shapes."""
    aten = torch.ops.aten
    found: dict[Any, Callable[..., int]] = {
        aten.mv: _flops_of_mv,
        aten.dot: _flops_of_mv,
        aten.vdot: _flops_of_mv,
        aten.addmv: _flops_of_addmv,
        aten.addbmm: _flops_of_addbmm,
        aten.mkldnn_rnn_layer: _flops_of_mkldnn_rnn,
        aten._cudnn_rnn: _flops_of_cudnn_rnn,
    }
    if "torchvision" in sys.modules and hasattr(torch.ops.torchvision, "deform_conv2d"):
        found[torch.ops.torchvision.deform_conv2d] = _flops_of_deformable
    return found
