"""Multiply-adds and activations of one forward pass, counted by fvcore's trace and checked by torch's own counter.

One multiply-add is one MAC. What is a product and what is not is said in one place for all counts: by name in
`bench/record/product_names.py`, with formulas in `bench/count/operators.py`. The two means are independent: fvcore traces the model on the
CPU and multiplies shapes, torch's counter sees every operator that is dispatched, attention and composite operators taken
apart into matrix products. They have to give the same number.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.count.operators import PRODUCTS, Handle, dispatched, shape_of
from bench.count.outputs import tensors_in
from bench.errors import Uncountable
from bench.record.product_names import is_opaque, is_product

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
"""Operators that are not even listed as uncounted: what fvcore would count by itself and the convention leaves out."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """`traced` MACs as fvcore sees them, `check` as torch's counter does, and elements that products write.

    `uncounted` are the traced operators that are in no table, by name with how often they ran; `unseen` the products that
    torch's counter could not count.
    """

    traced: int
    check: int
    written: int
    uncounted: dict[str, int]
    unseen: tuple[str, ...] = ()

    @property
    def missed(self) -> list[str]:
        """Products that have no count."""
        # torch's names are those of the parts of the same operators, where the trace names any.
        return [name for name in self.uncounted if is_product(name)] or list(self.unseen)

    @property
    def macs(self) -> int:
        """Multiply-adds; Uncountable where a product went uncounted or the two counts differ."""
        if self.missed:
            raise uncounted(self.missed)
        if self.traced != self.check:
            raise Uncountable(
                f"fvcore counts {self.traced:,}, torch {self.check:,}{self._hidden()}"
            )
        return self.traced

    @property
    def activations(self) -> int:
        """Elements that products write; Uncountable where a product went uncounted or may be hidden."""
        if self.missed:
            raise uncounted(self.missed)
        if self._opaque and self.traced != self.check:
            raise Uncountable(f"products may be missing{self._hidden()}")
        return self.written

    @property
    def _opaque(self) -> list[str]:
        return [name for name in self.uncounted if is_opaque(name)]

    def _hidden(self) -> str:
        return f"; a trace does not look into {', '.join(self._opaque)}" if self._opaque else ""


def uncounted(products: Sequence[str]) -> Uncountable:
    """The refusal of a figure that would leave products out."""
    return Uncountable(f"{', '.join(products)} went uncounted; the figure would be too small")


def count(model: nn.Module, inputs: Tensor) -> Counts:
    """Count one forward pass of `model` (in eval mode, on the CPU) on `inputs` (batch, 3, size, size).

    Uncountable where the model is scripted or quantized, which neither counter can look into.
    """
    model = plain(model)
    traced = _trace(model, inputs)
    totals = traced.by_operator()
    with counter_of(model) as counted:
        model(inputs)
    return Counts(
        traced=totals["macs"],
        check=counted.macs,
        written=totals["written"],
        uncounted=dict(traced.unsupported_ops()),
        unseen=counted.missed,
    )


def torch_macs(model: nn.Module, inputs: Tensor) -> int:
    """MACs of one forward pass as torch's own counter sees them; works on the meta device too.

    Uncountable where a product went uncounted.
    """
    model = plain(model)
    with counter_of(model) as counted:
        model(inputs)
    if counted.missed:
        raise uncounted(counted.missed)
    return counted.macs


def plain(model: nn.Module) -> nn.Module:
    """The model without the wrappers of torch.compile and DataParallel; Uncountable where it is scripted or quantized."""
    wrapped = getattr(model, "_orig_mod", None) or (
        model.module if isinstance(model, nn.DataParallel) else None
    )
    if isinstance(wrapped, nn.Module):
        return plain(wrapped)
    for parent in list(model.modules()):
        if isinstance(parent, torch.jit.ScriptModule):
            raise Uncountable(
                "torch.jit.script hides the layers from counters; name the model as it is before it is scripted"
            )
        if ".quantized." in type(parent).__module__:
            raise Uncountable(
                f"{type(parent).__module__}.{type(parent).__name__} hides its weights; name the model as it is in float32"
            )
        for name, child in parent.named_children():
            if isinstance(getattr(child, "_orig_mod", None), nn.Module):
                setattr(parent, name, plain(child))
    return model


@contextmanager
def taken_apart(model: nn.Module) -> Iterator[None]:
    """Without gradients, and with attention executed as the products that it is made of."""
    fast = torch.backends.mha.get_fastpath_enabled()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Neither counter looks into the fused layers that torch.nn's transformers use in inference.
    torch.backends.mha.set_fastpath_enabled(False)
    for parameter in (
        trained
    ):  # torch's counter hangs on to gradients of what modules are given, such as a class token
        parameter.requires_grad = False
    try:
        # Fused attention on a CPU counts as nothing before torch 2.15; its unfused form is matrix products.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for parameter in trained:
            parameter.requires_grad = True


class _Leaves(TorchDispatchMode):
    """Names of what is executed once composite operators have been taken apart, where torch's counter does not know it."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known, self.unknown = counter.flop_registry, Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket not in self.known:
            self.unknown[func.name().partition(".")[0]] += 1
        return func(*args, **(kwargs or {}))


@dataclass
class Dispatched:
    """What torch's own counter has seen so far."""

    counter: FlopCounterMode
    leaves: _Leaves

    @property
    def macs(self) -> int:
        """Two FLOPs are one multiply-add."""
        return self.counter.get_total_flops() // 2

    @property
    def missed(self) -> tuple[str, ...]:
        """Products that it could not count."""
        return tuple(name for name in self.leaves.unknown if is_product(name))


@contextmanager
def counter_of(model: nn.Module) -> Iterator[Dispatched]:
    """Count what a model dispatches inside: torch's own counter, with the products that it lacks."""
    counter = FlopCounterMode(display=False, custom_mapping=dispatched())
    leaves = _Leaves(counter)
    # The counter takes composite operators apart and hands what is left to the mode around it.
    with taken_apart(model), leaves, counter:
        yield Dispatched(counter, leaves)


class _Flat(nn.Module):
    """The model with its output as a tuple of tensors: a trace takes no other."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_in(self.model(images)))


def _trace(model: nn.Module, inputs: Tensor) -> Any:
    """fvcore's analysis of one forward pass: by operator, `macs` and elements `written`."""
    with _without_tracing_warnings(), taken_apart(model), _functions_opened():
        from fvcore.nn.jit_analysis import JitModelAnalysis

        analysis = JitModelAnalysis(_Flat(model), inputs)
        for name, macs in PRODUCTS.items():
            analysis.set_op_handle(name, _both(macs))
        for name in LEFT_OUT:
            analysis.set_op_handle(f"aten::{name}", None)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings(
            "none"
        )
        analysis.total()
    return analysis


def _both(macs: Handle) -> Callable[[list[Any], list[Any]], Counter[str]]:
    """One product's multiply-adds and the elements that it writes."""
    return lambda inputs, outputs: Counter(
        macs=macs(inputs, outputs), written=math.prod(shape_of(outputs[0]))
    )


class _Context(torch.autograd.function.FunctionCtx):
    """What the forward of an autograd function is handed where nothing is kept for a backward pass."""

    needs_input_grad = (False,) * 64


@contextmanager
def _functions_opened() -> Iterator[None]:
    """Autograd functions run their forward where a trace sees it; it would note a single operator without insides."""
    closed = torch.autograd.Function.__dict__["apply"]
    older_style = torch.autograd.Function.setup_context

    def opened(function: Any, *inputs: Any) -> Any:
        if function.setup_context is older_style:
            return function.forward(_Context(), *inputs)
        return function.forward(*inputs)

    torch.autograd.Function.apply = classmethod(opened)
    try:
        yield
    finally:
        torch.autograd.Function.apply = closed


@contextmanager
def _without_tracing_warnings() -> Iterator[None]:
    """fvcore traces with `torch.jit`, which newer torch calls deprecated: that one warning, nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        yield
