"""The token grid of a model whose blocks all work on one: ViT, Mixer, ConvMixer and the like, whoever wrote them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from bench.count.outputs import tensors_in

OTHER_TOKENS = 8
"""Tokens beside the grid at most: of the class, of a teacher, registers."""


@dataclass(frozen=True)
class Grid:
    """Tokens on a square grid, and the width and number of the blocks that work on it."""

    tokens: int
    width: int
    depth: int


@dataclass
class Blocks:
    """Watches the blocks of a model during a forward pass of one image: the children of `blocks`, as timm calls them."""

    model: nn.Module
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    _hooks: list[Any] = field(default_factory=list)

    def __enter__(self) -> Callable[[], Grid | None]:
        blocks = getattr(self.model, "blocks", None)
        children = list(blocks) if isinstance(blocks, nn.Sequential | nn.ModuleList) else []
        self._hooks = [child.register_forward_hook(self._note) for child in children]
        return lambda: self._grid(len(children))

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        found = list(tensors_in(output))
        self.shapes.append(tuple(found[0].shape) if len(found) == 1 else ())

    def _grid(self, depth: int) -> Grid | None:
        """None where the blocks differ in their shapes, were not all called, or do not work on a square of tokens."""
        if (
            len(self.shapes) != depth
            or len(set(self.shapes)) != 1
            or not self.shapes[0]
            or self.shapes[0][0] != 1
        ):
            return None
        shape = self.shapes[0]
        if len(shape) == 4 and shape[2] == shape[3]:
            return Grid(shape[2] ** 2, shape[1], depth)
        if len(shape) == 4 and shape[1] == shape[2]:  # channels last
            return Grid(shape[1] ** 2, shape[3], depth)
        if len(shape) == 3 and shape[1] - math.isqrt(shape[1]) ** 2 <= OTHER_TOKENS:
            return Grid(math.isqrt(shape[1]) ** 2, shape[2], depth)
        return None
