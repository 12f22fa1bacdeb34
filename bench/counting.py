"""Multiply-adds of one forward pass, counted twice by independent means.

Convention: one multiply-add is one MAC; convolutions, linear layers and attention count, normalisation, activation
and pooling do not.

fvcore traces the model on the CPU. It does not know two operators that matter here and would count them as nothing:
`padding="same"` convolutions (all depthwise work of a ConvMixer) and fused attention. Their handlers are below.
torch's own counter, with attention forced to its unfused form, is the cross-check.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# What fvcore counts by itself and the convention leaves out.
LEFT_OUT = (
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "adaptive_avg_pool2d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "grid_sampler",
)
# An uncounted operator with one of these in its name is arithmetic that the convention wants counted.
MUST_COUNT = (
    "conv",
    "matmul",
    "addmm",
    "baddbmm",
    "addmv",
    "bmm",
    "mm",
    "linear",
    "einsum",
    "attention",
    "mv",
    "dot",
    "lstm",
    "gru",
    "rnn",
)


@dataclass(frozen=True)
class MacCount:
    """`macs` as fvcore counts, `check` as torch counts, `uncounted` operators by name with how often they ran."""

    macs: int
    check: int
    uncounted: dict[str, int]

    @property
    def missed(self) -> list[str]:
        """Uncounted operators that the convention wants counted."""
        return [name for name in self.uncounted if _must_count(name)]


def _must_count(operator: str) -> bool:
    words = operator.rpartition("::")[2].strip("_").split("_")
    joined = "_".join(words)
    return any(word in words or (len(word) > 3 and word in joined) for word in MUST_COUNT)


def _shape(value: Any) -> list[int]:
    return value.type().sizes()


def _nothing(inputs: list[Any], outputs: list[Any]) -> int:
    """An operator that the convention leaves out. (None would not do: fvcore's own handle would win.)"""
    return 0


def _convolution(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of `aten::_convolution_mode`: output elements times the weights that each one meets."""
    weight, output = _shape(inputs[1]), _shape(outputs[0])
    return math.prod(output) * math.prod(weight[1:])


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of `aten::scaled_dot_product_attention`: queries by keys, then weights by values."""
    query, key, value = (_shape(tensor) for tensor in inputs[:3])
    scores = math.prod(query[:-1]) * key[-2]
    return scores * (query[-1] + value[-1])


@contextmanager
def _without_tracing_warnings() -> Iterator[None]:
    """fvcore traces with `torch.jit`, which newer torch calls deprecated: that one warning, nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        yield


def count_macs(model: nn.Module, inputs: Tensor) -> MacCount:
    """Count one forward pass of `model` (in eval mode, on the CPU) on `inputs` (batch, 3, size, size).

    Raises RuntimeError where fvcore and torch differ by more than one part in a thousand, or where a convolution,
    matrix product or attention went uncounted: such a count would be wrong, not approximate.
    """
    with _without_tracing_warnings():
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model, inputs)
        analysis.set_op_handle("aten::_convolution_mode", _convolution)
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention)
        for operator in LEFT_OUT:
            analysis.set_op_handle(f"aten::{operator}", _nothing)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        counted = MacCount(int(analysis.total()), torch_macs(model, inputs), dict(analysis.unsupported_ops()))
    if counted.missed:
        raise RuntimeError(f"MACs: {', '.join(counted.missed)} went uncounted; the figure would be too small")
    if abs(counted.macs - counted.check) > 1e-3 * max(counted.macs, counted.check):
        raise RuntimeError(f"MACs: fvcore counts {counted.macs:,}, torch {counted.check:,}; they differ by more than 0.1 %")
    return counted


def count_activations(model: nn.Module, inputs: Tensor) -> int:
    """Output elements of every operator that `count_macs` counts, in one forward pass."""
    with _without_tracing_warnings():
        from fvcore.nn import ActivationCountAnalysis

        analysis = ActivationCountAnalysis(model, inputs)
        for operator in ("_convolution_mode", "scaled_dot_product_attention"):
            analysis.set_op_handle(f"aten::{operator}", lambda inputs, outputs: math.prod(_shape(outputs[0])))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        return int(analysis.total())


def torch_macs(model: nn.Module, inputs: Tensor) -> int:
    """MACs of one forward pass as torch's own counter sees them; works on the meta device too."""
    # Fused attention on a CPU counts as nothing before torch 2.15; its unfused form is matrix products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(inputs)
    return counter.get_total_flops() // 2


def without_uncounted(model: nn.Module) -> nn.Module:
    """The same model, changed in place, with norms and activations that no counter counts taken out.

    On the meta device they are most of a count's time: torch decomposes them into many small operators there.
    """
    for name, child in model.named_children():
        if type(child) in (nn.LayerNorm, nn.BatchNorm2d, nn.GELU, nn.ReLU):
            setattr(model, name, nn.Identity())
        else:
            without_uncounted(child)
    return model
