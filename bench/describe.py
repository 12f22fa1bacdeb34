"""One model layer by layer: shape, parameters, MACs and their share of the whole. Nothing is allocated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.plugins import Model


@dataclass
class Layer:
    """A module and what is inside it. `shape` is its output's; parameters and MACs include its children's."""

    name: str
    kind: str
    shape: tuple[int, ...] | None
    params: int
    macs: int
    children: list[Layer] = field(default_factory=list)


def describe(entry: Model, *, image_size: int, num_classes: int) -> Layer:
    """The tree of modules of a model for one image, counted on the meta device by torch's own counter."""
    with torch.device("meta"):
        model = entry.build(image_size=image_size, num_classes=num_classes).eval()
        images = torch.empty(1, 3, image_size, image_size)
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[module] = tuple(output.shape[1:])

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(images)
    for hook in hooks:
        hook.remove()
    root = type(model).__name__
    macs = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}

    def layer(name: str, module: nn.Module, path: str) -> Layer:
        return Layer(
            name=name,
            kind=type(module).__name__,
            shape=shapes.get(module),
            params=sum(parameter.numel() for parameter in module.parameters()),
            macs=macs.get(path, 0),
            children=[layer(child, inner, f"{path}.{child}") for child, inner in module.named_children()],
        )

    return layer(entry.name, model, root)
