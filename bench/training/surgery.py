"""Changes to a model around its training: stochastic depth, and another image size.

timm's residual blocks, and ours, keep the module that drops a branch in an attribute `drop_path`
(transformers: `drop_path1` and `drop_path2`), which is None or an identity if nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from bench.errors import UsageError
from bench.plugins.recipe import Recipe
from bench.record.arms import AccuracyArm

DROP_PATH_NAMES = ("drop_path", "drop_path1", "drop_path2")


def drop_paths(model: nn.Module, rate: float, *, name: str) -> None:
    """Let residual branches be dropped during training (stochastic depth, arXiv 1603.09382).

    The probability grows linearly from 0 at the first block to `rate` at the last; a `rate` of 0
    leaves the model as it is. Raises UsageError if no block has such a branch.
    """
    if not rate:
        return
    from timm.layers import DropPath

    blocks = list(filter(_drop_path_names, model.modules()))
    if not blocks:
        raise UsageError(
            f"--recipe: {name} has no block with a drop_path, so it cannot train with stochastic "
            "depth; use the recipe with :drop_path=0, for all models alike"
        )
    for number, block in enumerate(blocks):
        for place in _drop_path_names(block):
            setattr(block, place, DropPath(rate * number / max(1, len(blocks) - 1)))


def _drop_path_names(block: nn.Module) -> list[str]:
    return [name for name in DROP_PATH_NAMES if hasattr(block, name)]


def at_test_size(
    arm: AccuracyArm, model: nn.Module, recipe: Recipe, build: Callable[[int], nn.Module]
) -> nn.Module:
    """Return the trained model at the arm's image size.

    This is the model itself if it was trained at that size, otherwise see `in_size`.
    """
    if recipe.image_size in (None, arm.image_size):
        return model
    return in_size(model.state_dict(), build, arm.image_size, name=arm.model)


def in_size(
    weights: Mapping[str, Tensor], build: Callable[[int], nn.Module], size: int, *, name: str
) -> nn.Module:
    """Return `build(size)` with weights that were trained at another image size.

    Positional embeddings are resampled by timm's function. Raises NotImplementedError if the model
    depends on its image size in any other way.
    """
    other, trained = build(size), dict(weights)
    for key, needed in other.state_dict().items():
        if key.endswith("pos_embed") and key in trained:
            trained[key] = _resampled(trained[key], needed)
    try:
        other.load_state_dict(trained)
    except RuntimeError as error:
        raise NotImplementedError(
            f"{name} is tied to the image size it was trained at and cannot run at {size}"
        ) from error
    return other


def _resampled(positions: Tensor, needed: Tensor) -> Tensor:
    """Return positional embeddings (1, tokens, width) for the token grid that `needed` has."""
    if needed.shape == positions.shape or needed.ndim != 3:
        return positions
    side = int(needed.shape[1] ** 0.5)
    prefix_tokens = needed.shape[1] - side * side
    from timm.layers import resample_abs_pos_embed

    return resample_abs_pos_embed(positions, [side, side], num_prefix_tokens=prefix_tokens)
