"""Find the token grid of a model whose blocks all work on one, such as ViT, Mixer or ConvMixer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from bench.count.outputs import tensors_in

OTHER_TOKENS = 8
"""Most tokens in addition to the grid: class token, distillation token, registers."""


@dataclass(frozen=True)
class Grid:
    """The number of tokens on a square grid, and the width and number of the blocks on it."""

    tokens: int
    width: int
    depth: int


@dataclass
class Blocks:
    """Watches the blocks of a model during a forward pass of one image.

    Blocks are the children of `model.blocks`, timm's name for them. Entering the context returns a
    function that gives the grid after the pass.
    """

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
        tensors = list(tensors_in(output))
        self.shapes.append(tuple(tensors[0].shape) if len(tensors) == 1 else ())

    def _grid(self, depth: int) -> Grid | None:
        """Return the grid.

        None if the blocks differ in shape, were not all called, or do not work on a square of
        tokens.
        """
        if len(self.shapes) != depth or len(set(self.shapes)) != 1:
            return None
        shape = self.shapes[0]
        if not shape or shape[0] != 1:
            return None
        if len(shape) == 4 and shape[2] == shape[3]:
            return Grid(shape[2] ** 2, shape[1], depth)
        if len(shape) == 4 and shape[1] == shape[2]:  # channels last
            return Grid(shape[1] ** 2, shape[3], depth)
        if len(shape) == 3 and shape[1] - math.isqrt(shape[1]) ** 2 <= OTHER_TOKENS:
            return Grid(math.isqrt(shape[1]) ** 2, shape[2], depth)
        return None
