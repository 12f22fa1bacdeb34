"""Time and multiply-adds of every module in a forward pass, in the order of execution.

A module's own time excludes its children: it is the attention itself for an attention block, the
addition for a residual block, and the freeing of intermediate results for a chain of blocks. The
device is synchronised after every module, so small layers look slightly slower than they are; the
metric also stores the time of the unobserved call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from bench.count.macs import counter_of
from bench.measure.timing import Clock

ACTIVATIONS = (nn.GELU, nn.ReLU, nn.SiLU, nn.Hardswish, nn.Softmax, nn.Sigmoid)


@dataclass(frozen=True)
class LayerCost:
    """One module: path, kind of work, seconds and multiply-adds per call, without its children."""

    path: str
    kind: str
    seconds: float
    macs: int


def kind_of(module: nn.Module) -> str:
    """Return what a module computes, in the terms of the figure."""
    name = type(module).__name__
    if isinstance(module, nn.Conv2d):
        if module.groups == module.in_channels and module.groups > 1:
            return "depthwise convolution"
        return "pointwise convolution" if module.kernel_size == (1, 1) else "convolution"
    if isinstance(module, nn.Linear):
        return "linear"
    if "Norm" in name:
        return "normalisation"
    if "Attention" in name:
        return "attention"
    if "Pool" in name:
        return "pooling"
    if isinstance(module, ACTIVATIONS) or name in ("GELUTanh", "QuickGELU", "Swish"):
        return "activation"
    return "rest"


class _Stopwatch:
    """Turns the inclusive times of nested modules into each module's own time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.own: dict[str, float] = {}
        self._open: list[tuple[float, float]] = []

    def enter(self, path: str) -> None:
        self.own.setdefault(path, 0.0)  # in the order of execution
        self.clock.synchronize()
        self._open.append((self.clock.now(), 0.0))

    def leave(self, path: str) -> None:
        self.clock.synchronize()
        start, inside = self._open.pop()
        total = self.clock.now() - start
        self.own[path] += total - inside
        if self._open:
            before, others = self._open[-1]
            self._open[-1] = (before, others + total)


@contextmanager
def _watched(model: nn.Module, watch: _Stopwatch) -> Iterator[None]:
    handles: list[Any] = []
    for path, module in model.named_modules():
        handles.append(
            module.register_forward_pre_hook(lambda module, inputs, path=path: watch.enter(path))
        )
        handles.append(
            module.register_forward_hook(
                lambda module, inputs, output, path=path: watch.leave(path)
            )
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def times(
    model: nn.Module, call: Callable[[], object], clock: Clock, calls: int
) -> dict[str, float]:
    """Return the own seconds of every module by path, the mean of `calls` calls."""
    watch = _Stopwatch(clock)
    with _watched(model, watch):
        for _ in range(calls):
            call()
    return {path: seconds / calls for path, seconds in watch.own.items()}


def macs(model: nn.Module, forward: Callable[[], object]) -> dict[str, int]:
    """Return the own multiply-adds of every module by path, from PyTorch's counter."""
    with counter_of(model) as counted:
        forward()
    root = type(model).__name__
    inclusive: dict[str, int] = {}
    for name, flops in counted.counter.get_flop_counts().items():
        inclusive[name] = sum(flops.values()) // 2
    own: dict[str, int] = {}
    for path, module in model.named_modules():
        name = f"{root}.{path}" if path else root
        own[path] = inclusive.get(name, 0)
        for child, _ in module.named_children():
            own[path] -= inclusive.get(f"{name}.{child}", 0)
    return own


def costs(model: nn.Module, seconds: dict[str, float], counted: dict[str, int]) -> list[LayerCost]:
    """Return the cost of every module that was executed, in the order of execution."""
    modules = dict(model.named_modules())
    return [
        LayerCost(path, kind_of(modules[path]), taken, counted.get(path, 0))
        for path, taken in seconds.items()
    ]
