"""Stochastic depth (arXiv 1603.09382) for any model whose blocks keep timm's convention for it.

timm's residual blocks, and ours, hold what drops a branch in an attribute `drop_path` (transformers: `drop_path1` and
`drop_path2`), which is None or an identity where nothing is dropped.
"""

from __future__ import annotations

from timm.layers import DropPath
from torch import nn

from bench.errors import UsageError

PLACES = ("drop_path", "drop_path1", "drop_path2")


def drop_paths(model: nn.Module, rate: float, *, name: str) -> None:
    """Drop branches with a share that grows linearly from 0 at the first block to `rate` at the last."""
    if not rate:
        return
    blocks = [
        module for module in model.modules() if any(hasattr(module, place) for place in PLACES)
    ]
    if not blocks:
        raise UsageError(
            f"--recipe: {name} has no block whose branch can be dropped (stochastic depth, drop_path); take the recipe with :drop_path=0, "
            "for all models alike"
        )
    for number, block in enumerate(blocks):
        for place in PLACES:
            if hasattr(block, place):
                setattr(block, place, DropPath(rate * number / max(1, len(blocks) - 1)))
