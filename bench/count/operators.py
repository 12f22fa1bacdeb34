"""The multiply-adds of products: one table for every count.

`PRODUCTS` has the formulas for fvcore's trace, from traced shapes; `dispatched` has those that
torch's own counter lacks. `bench/record/product_names.py` defines which operators are products, and
what happens to one without a formula here.
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
"""Gives the multiply-adds of one operator from its traced inputs and outputs."""


def shape_of(value: Any) -> list[int]:
    """Return the shape of a traced tensor; RuntimeError if the trace does not know it."""
    sizes = value.type().sizes() if value.isCompleteTensor() else None
    if sizes is None:
        raise RuntimeError(f"the trace does not know the shape of {value.debugName()}")
    return list(sizes)


def _shapes_of(value: Any) -> list[list[int]]:
    """Return the shapes of the tensors in a traced list."""
    return list(map(shape_of, value.node().inputs()))


def _integers_of(value: Any) -> list[int] | None:
    """Return a traced list of integers; None if the operator was given none."""
    if value.node().kind() == "prim::ListConstruct":
        return [item.toIValue() for item in value.node().inputs()]
    integers: list[int] | None = value.toIValue()
    return integers


def _fvcore(name: str) -> Handle:
    """Return a handle of fvcore's own, which is imported when it is called."""

    def handle(inputs: list[Any], outputs: list[Any]) -> int:
        from fvcore.nn import jit_handles

        counted = getattr(jit_handles, name)(inputs, outputs)
        return int(sum(counted.values()) if isinstance(counted, Counter) else counted)

    return handle


def _rows_by_columns(inputs: list[Any], outputs: list[Any]) -> int:
    """Count matrix products: every output element is a row of the left times a column."""
    return math.prod(shape_of(outputs[0])) * shape_of(inputs[0])[-1]


def _added_rows_by_columns(inputs: list[Any], outputs: list[Any]) -> int:
    """Count products with a tensor to add as the first input: `addmv`, `baddbmm`."""
    return _rows_by_columns(inputs[1:], outputs)


def _addbmm(inputs: list[Any], outputs: list[Any]) -> int:
    """Count a batch of products that are added up."""
    return math.prod(shape_of(inputs[1])) * shape_of(inputs[2])[-1]


def _inner(inputs: list[Any], outputs: list[Any]) -> int:
    """Count products over the last dimension of both operands; a scalar operand makes none."""
    return _rows_by_columns(inputs, outputs) if shape_of(inputs[0]) and shape_of(inputs[1]) else 0


def _tensordot(inputs: list[Any], outputs: list[Any]) -> int:
    """Count the output elements times the sizes of the dimensions that are summed over."""
    left = shape_of(inputs[0])
    summed = _integers_of(inputs[2]) or []
    return math.prod(shape_of(outputs[0])) * math.prod(left[dimension] for dimension in summed)


def _chain(inputs: list[Any], outputs: list[Any]) -> int:
    """Count `multi_dot`, in the cheapest order of products. Its ends may be vectors."""
    shapes = _shapes_of(inputs[0])
    sides = [shape[0] for shape in shapes]
    sides += [1] if len(shapes[-1]) == 1 else shapes[-1][1:]
    if len(shapes[0]) == 1:
        sides.insert(0, 1)
    return cheapest_chain(sides)


def cheapest_chain(sides: Sequence[int]) -> int:
    """Return the multiply-adds of a chain of matrix products in the cheapest order.

    The n-th matrix has the shape (sides[n], sides[n + 1]).
    """
    number = len(sides) - 1
    cheapest = {(start, start): 0 for start in range(number)}
    for length in range(1, number):
        for start in range(number - length):
            end = start + length
            costs = []
            for cut in range(start, end):
                last = sides[start] * sides[cut + 1] * sides[end + 1]
                costs.append(cheapest[start, cut] + cheapest[cut + 1, end] + last)
            cheapest[start, end] = min(costs)
    return cheapest[0, number - 1]


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    path = _integers_of(inputs[2]) if len(inputs) > 2 else None
    return einsum.macs(inputs[0].toIValue(), _shapes_of(inputs[1]), path)


def _filtered(inputs: list[Any], outputs: list[Any]) -> int:
    """Count output elements times weights per element: padded by mode, and deformable."""
    return math.prod(shape_of(outputs[0])) * math.prod(shape_of(inputs[1])[1:])


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Count queries by keys, then weights by values; a mask leaves nothing out."""
    queries, keys, mixed = shape_of(inputs[0]), shape_of(inputs[1]), shape_of(outputs[0])
    return math.prod(mixed[:-1]) * keys[-2] * (queries[-1] + mixed[-1])


def _recurrent(inputs: list[Any], outputs: list[Any]) -> int:
    """Count every weight matrix, of any direction and layer, once per step of every sequence."""
    lists = [value for value in inputs if value.node().kind() == "prim::ListConstruct"]
    return math.prod(shape_of(inputs[0])[:-1]) * _elements_of_matrices(_shapes_of(lists[-1]))


def _elements_of_matrices(shapes: Sequence[Sequence[int]]) -> int:
    """Return the number of elements of the matrices among tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes if len(shape) == 2)


def _cell(inputs: list[Any], outputs: list[Any]) -> int:
    """Count one step of a recurrent layer."""
    weights = math.prod(shape_of(inputs[2])) + math.prod(shape_of(inputs[3]))
    return math.prod(shape_of(inputs[0])[:-1]) * weights


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
    "aten::lstm": _recurrent,
    "aten::gru": _recurrent,
    "aten::rnn_tanh": _recurrent,
    "aten::rnn_relu": _recurrent,
    "aten::lstm_cell": _cell,
    "aten::gru_cell": _cell,
    "aten::rnn_tanh_cell": _cell,
    "aten::rnn_relu_cell": _cell,
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
    return 2 * math.prod(steps[:-1]) * _elements_of_matrices(weights)


def _flops_of_deformable(
    images: Sequence[int], weight: Sequence[int], *rest: Any, out_shape: Sequence[int], **more: Any
) -> int:
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def dispatched() -> dict[Any, Callable[..., int]]:
    """Return, by operator, FLOP formulas from shapes for products that torch's counter lacks."""
    aten = torch.ops.aten
    formulas: dict[Any, Callable[..., int]] = {
        aten.mv: _flops_of_mv,
        aten.dot: _flops_of_mv,
        aten.vdot: _flops_of_mv,
        aten.addmv: _flops_of_addmv,
        aten.addbmm: _flops_of_addbmm,
        aten.mkldnn_rnn_layer: _flops_of_mkldnn_rnn,
        aten._cudnn_rnn: _flops_of_cudnn_rnn,
    }
    if "torchvision" in sys.modules and hasattr(torch.ops.torchvision, "deform_conv2d"):
        formulas[torch.ops.torchvision.deform_conv2d] = _flops_of_deformable
    return formulas
