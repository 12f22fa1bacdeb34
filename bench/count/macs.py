"""Count multiply-adds and activations of one forward pass: fvcore's trace, checked by torch.

One multiply-add is one MAC. Which operators are products is defined in one place for all counts: by
name in `bench/record/product_names.py`, with formulas in `bench/count/operators.py`. The two
methods are independent: fvcore traces the model on the CPU and multiplies shapes; torch's counter
sees every operator that is dispatched, with attention and composite operators decomposed into
matrix products. They must give the same number.
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
"""Operators that fvcore counts by default and the convention excludes; not listed as uncounted."""


@dataclass(frozen=True, kw_only=True)
class MacCounts:
    """MACs by fvcore (`traced`) and by torch's counter (`check`), and elements written by products.

    `uncounted` are the traced operators without a formula, by name with their number of calls;
    `unseen` are the products that torch's counter could not count.
    """

    traced: int
    check: int
    written: int
    uncounted: dict[str, int]
    unseen: tuple[str, ...] = ()

    @property
    def missed(self) -> list[str]:
        """Products without a count."""
        # If the trace names any, torch's names are those of the parts of the same operators.
        return list(filter(is_product, self.uncounted)) or list(self.unseen)

    @property
    def macs(self) -> int:
        """Multiply-adds; Uncountable if a product was not counted or the two counts differ."""
        if self.missed:
            raise uncounted(self.missed)
        if self.traced != self.check:
            raise Uncountable(
                f"fvcore counts {self.traced:,}, torch {self.check:,}{self._hidden()}"
            )
        return self.traced

    @property
    def activations(self) -> int:
        """Elements written by products; Uncountable if one was not counted or may be hidden."""
        if self.missed:
            raise uncounted(self.missed)
        if self._opaque and self.traced != self.check:
            raise Uncountable(f"products may be missing{self._hidden()}")
        return self.written

    @property
    def _opaque(self) -> list[str]:
        return list(filter(is_opaque, self.uncounted))

    def _hidden(self) -> str:
        return f"; a trace cannot look into {', '.join(self._opaque)}" if self._opaque else ""


def uncounted(products: Sequence[str]) -> Uncountable:
    """Return the error for a count that would leave products out."""
    return Uncountable(f"{', '.join(products)} cannot be counted; the total would be too small")


def count(model: nn.Module, inputs: Tensor) -> MacCounts:
    """Count one forward pass of `model` (in eval mode, on the CPU).

    `inputs` has the shape (batch, 3, size, size). Raises Uncountable if the model is scripted or
    quantized, because neither counter can look into it.
    """
    model = plain(model)
    traced = _trace(model, inputs)
    totals = traced.by_operator()
    with counter_of(model) as counted:
        model(inputs)
    return MacCounts(
        traced=totals["macs"],
        check=counted.macs,
        written=totals["written"],
        uncounted=dict(traced.unsupported_ops()),
        unseen=counted.missed,
    )


def torch_macs(model: nn.Module, inputs: Tensor) -> int:
    """Return the MACs of one forward pass by torch's own counter; works on the meta device too.

    `inputs` has the shape (batch, 3, size, size). Raises Uncountable if a product was not counted.
    """
    model = plain(model)
    with counter_of(model) as counted:
        model(inputs)
    if counted.missed:
        raise uncounted(counted.missed)
    return counted.macs


def plain(model: nn.Module) -> nn.Module:
    """Return the model without the wrappers of torch.compile and DataParallel.

    Raises Uncountable if the model is scripted or quantized.
    """
    wrapped = getattr(model, "_orig_mod", None)
    if wrapped is None and isinstance(model, nn.DataParallel):
        wrapped = model.module
    if isinstance(wrapped, nn.Module):
        return plain(wrapped)
    for parent in list(model.modules()):
        if isinstance(parent, torch.jit.ScriptModule):
            raise Uncountable(
                "torch.jit.script hides the layers from counters; give the model before scripting"
            )
        if ".quantized." in type(parent).__module__:
            kind = f"{type(parent).__module__}.{type(parent).__name__}"
            raise Uncountable(f"{kind} hides its weights; give the model in float32")
        for name, child in parent.named_children():
            if isinstance(getattr(child, "_orig_mod", None), nn.Module):
                setattr(parent, name, plain(child))
    return model


@contextmanager
def taken_apart(model: nn.Module) -> Iterator[None]:
    """Run without gradients, and with attention decomposed into its matrix products."""
    fast = torch.backends.mha.get_fastpath_enabled()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Neither counter looks into the fused layers that torch.nn's transformers use in inference.
    torch.backends.mha.set_fastpath_enabled(False)
    # torch's counter needs gradients of the modules' inputs if they require any, as a class token.
    for parameter in trained:
        parameter.requires_grad = False
    try:
        # Before torch 2.15, fused attention counts as nothing on a CPU; unfused, it is products.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for parameter in trained:
            parameter.requires_grad = True


class _Leaves(TorchDispatchMode):
    """Collects the operators that torch's counter does not know, after decomposition."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known, self.unknown = counter.flop_registry, Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket not in self.known:
            self.unknown[func.name().partition(".")[0]] += 1
        return func(*args, **(kwargs or {}))


@dataclass
class Dispatched:
    """The state of torch's own counter so far."""

    counter: FlopCounterMode
    leaves: _Leaves

    @property
    def macs(self) -> int:
        """Multiply-adds, of two FLOPs each."""
        return self.counter.get_total_flops() // 2

    @property
    def missed(self) -> tuple[str, ...]:
        """Products that it could not count."""
        return tuple(filter(is_product, self.leaves.unknown))


@contextmanager
def counter_of(model: nn.Module) -> Iterator[Dispatched]:
    """Count what a model dispatches inside, by torch's own counter with the products it lacks."""
    counter = FlopCounterMode(display=False, custom_mapping=dispatched())
    leaves = _Leaves(counter)
    # The counter decomposes composite operators and passes the rest to the mode around it.
    with taken_apart(model), leaves, counter:
        yield Dispatched(counter, leaves)


class _Flat(nn.Module):
    """The model with its output as a tuple of tensors, as a trace needs it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_in(self.model(images)))


def _trace(model: nn.Module, inputs: Tensor) -> Any:
    """Return fvcore's analysis of one forward pass, with `macs` and elements `written`."""
    with _without_tracing_warnings(), taken_apart(model), _functions_opened():
        from fvcore.nn.jit_analysis import JitModelAnalysis

        analysis = JitModelAnalysis(_Flat(model), inputs)
        for name, macs in PRODUCTS.items():
            analysis.set_op_handle(name, _both(macs))
        for name in LEFT_OUT:
            analysis.set_op_handle(f"aten::{name}", None)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        analysis.total()
    return analysis


def _both(macs: Handle) -> Callable[[list[Any], list[Any]], Counter[str]]:
    """Return a handle for a product's multiply-adds and the elements that it writes."""

    def handle(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        written = math.prod(shape_of(outputs[0]))
        return Counter(macs=macs(inputs, outputs), written=written)

    return handle


class _Context(torch.autograd.function.FunctionCtx):
    """The context passed to an autograd function's forward if no backward pass follows."""

    needs_input_grad = (False,) * 64


@contextmanager
def _functions_opened() -> Iterator[None]:
    """Call the forward of autograd functions directly.

    Otherwise a trace would record each as a single operator without its parts.
    """
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
    """Silence the warning, and no other, that torch.jit is deprecated: fvcore traces with it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        yield
