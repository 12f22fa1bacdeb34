"""Describe a model layer by layer: output shapes, parameters and MACs.

Built on the meta device if possible, so that nothing is allocated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from bench.count.macs import counter_of, plain
from bench.count.outputs import tensors_in
from bench.count.without_memory import built
from bench.errors import Uncountable, UsageError
from bench.plugins import Model


@dataclass
class Layer:
    """A module and its children. Parameters and MACs include those of the children.

    `shapes` are those of the tensors that it returned for one image, without the batch dimension;
    empty if it was not called.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    params: int
    macs: int
    children: list[Layer] = field(default_factory=list)


@dataclass(frozen=True)
class Described:
    """The tree of a model.

    `missed` are the products that its MACs leave out; `on_cpu` says why it was built on the CPU,
    None if it was not.
    """

    root: Layer
    missed: tuple[str, ...]
    on_cpu: str | None


@dataclass
class _Seen:
    """By module, the shapes of its last output and the MACs of all its calls in a forward pass."""

    shapes: dict[nn.Module, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    macs: Counter[nn.Module] = field(default_factory=Counter)

    def whole(self, module: nn.Module) -> int:
        """Return the MACs of a module's calls; of its children if it is never called itself."""
        if module in self.shapes:
            return self.macs[module]
        return sum(map(self.whole, module.children()))


def describe(entry: Model, *, image_size: int, num_classes: int) -> Described:
    """Return the module tree of a model for one image, with MACs by torch's own counter.

    Raises UsageError if the model cannot be built, run or counted.
    """
    try:
        (root, missed), on_cpu = built(
            entry,
            lambda model, images: _tree(entry.name, model, images),
            image_size=image_size,
            num_classes=num_classes,
        )
    except Uncountable as error:
        raise UsageError(f"{entry.name}: MACs: {error}") from error
    return Described(root, missed, on_cpu)


def _tree(name: str, model: nn.Module, images: Tensor) -> tuple[Layer, tuple[str, ...]]:
    model = plain(model)
    seen, missed = _watched(model, images)

    def layer(name: str, module: nn.Module) -> Layer:
        return Layer(
            name=name,
            kind=type(module).__name__,
            shapes=seen.shapes.get(module, ()),
            params=sum(parameter.numel() for parameter in module.parameters()),
            macs=seen.whole(module),
            children=[layer(child, inner) for child, inner in module.named_children()],
        )

    return layer(name, model), missed


def _watched(model: nn.Module, images: Tensor) -> tuple[_Seen, tuple[str, ...]]:
    """Run one forward pass, reading torch's counter before and after each call of a module."""
    seen = _Seen()
    before: list[int] = []
    with counter_of(model) as counted:

        def enter(module: nn.Module, inputs: Any) -> None:
            before.append(counted.macs)

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            seen.shapes[module] = tuple(tuple(tensor.shape[1:]) for tensor in tensors_in(output))
            seen.macs[module] += counted.macs - before.pop()

        for module in model.modules():
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
        model(images)
    return seen, counted.missed
