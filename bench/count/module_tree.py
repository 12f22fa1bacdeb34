"""One model layer by layer: shapes, parameters, MACs and their share of the whole. Nothing is allocated if it can be helped."""

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
    """A module and what is inside it. Parameters and MACs include its children's.

    `shapes` are those of the tensors that it returned for one image, none where it was not called.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    params: int
    macs: int
    children: list[Layer] = field(default_factory=list)


@dataclass(frozen=True)
class Described:
    """The tree of a model; `missed` products that its MACs leave out, and why it was built on the CPU if it was."""

    root: Layer
    missed: tuple[str, ...]
    on_cpu: str | None


@dataclass
class _Seen:
    """What a forward pass showed of each module: shapes of its last output, and MACs of all its calls."""

    shapes: dict[nn.Module, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    macs: Counter[nn.Module] = field(default_factory=Counter)

    def whole(self, module: nn.Module) -> int:
        """MACs of a module: of its calls, or where it is never called itself, as a container, of its children's."""
        return (
            self.macs[module]
            if module in self.shapes
            else sum(self.whole(child) for child in module.children())
        )


def describe(entry: Model, *, image_size: int, num_classes: int) -> Described:
    """The tree of modules of a model for one image, counted by torch's own counter; UsageError where it cannot be had."""
    try:
        found, on_cpu = built(
            entry,
            lambda model, images: _tree(entry.name, model, images),
            image_size=image_size,
            num_classes=num_classes,
        )
    except Uncountable as error:
        raise UsageError(f"{entry.name}: MACs: {error}") from error
    return Described(*found, on_cpu)


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
    """One forward pass, with a look at torch's counter before and after each module's calls."""
    seen = _Seen()
    before: list[int] = []
    with counter_of(model) as counted:

        def enter(module: nn.Module, inputs: Any) -> None:
            before.append(counted.macs)

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            seen.shapes[module] = tuple(tuple(one.shape[1:]) for one in tensors_in(output))
            seen.macs[module] += counted.macs - before.pop()

        for module in model.modules():
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
        model(images)
    return seen, counted.missed
