"""Where the time and the multiply-adds of a forward pass go: every module by itself, in the order of execution.

A module's own time is what its children do not take: of an attention block that is the attention itself, of a residual
block the addition, of a chain of blocks the freeing of what went between them. The device is waited for at the end of
every module, so small layers look a little dearer than they are; the metric keeps what the call takes unwatched beside it.
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
    """One module: its path, kind of work, seconds a call and multiply-adds a call, without those of its children."""

    path: str
    kind: str
    seconds: float
    macs: int


def kind_of(module: nn.Module) -> str:
    """What a module does, in the words of the figure."""
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
    """Inclusive seconds of nested modules, turned into their own."""

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
    """Seconds of every module's own work by path, the mean of `calls` calls."""
    watch = _Stopwatch(clock)
    with _watched(model, watch):
        for _ in range(calls):
            call()
    return {path: seconds / calls for path, seconds in watch.own.items()}


def macs(model: nn.Module, forward: Callable[[], object]) -> dict[str, int]:
    """Multiply-adds of every module's own work by path, by torch's counter."""
    with counter_of(model) as counted:
        forward()
    root = type(model).__name__
    whole = {
        name: sum(flops.values()) // 2 for name, flops in counted.counter.get_flop_counts().items()
    }

    def own(path: str, module: nn.Module) -> int:
        inclusive = whole.get(path, 0)
        return inclusive - sum(
            whole.get(f"{path}.{name}", 0) for name, _ in module.named_children()
        )

    return {
        path: own(f"{root}.{path}" if path else root, module)
        for path, module in model.named_modules()
    }


def costs(model: nn.Module, seconds: dict[str, float], counted: dict[str, int]) -> list[LayerCost]:
    """The modules that took part, in the order of execution."""
    modules = dict(model.named_modules())
    return [
        LayerCost(path, kind_of(modules[path]), taken, counted.get(path, 0))
        for path, taken in seconds.items()
    ]
