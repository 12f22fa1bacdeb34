"""Find the logits in a model's output: a tensor, or one in a tuple, list, dict or dataclass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from bench.errors import ModelFault

KEYS = ("logits", "out", "output", "outputs", "pred", "predictions")
"""Common names of the logits, the likeliest first."""
AUXILIARY_WEIGHT = 0.3
"""Weight of the loss of every auxiliary head, as for GoogLeNet (arXiv 1409.4842, section 5)."""


def heads(output: Any, batch: int, classes: int | None = None) -> list[Tensor]:
    """Return every tensor of logits (batch, classes) in a model's output; the first is evaluated.

    With `classes` None, any number of classes fits. Raises ModelFault if there are no logits; the
    message describes the output.
    """
    if isinstance(output, Tensor):
        return [output]
    parts = list(_parts(output))
    fitting = [(name, tensor) for name, tensor in parts if _fits(tensor, batch, classes)]
    if not fitting:
        raise ModelFault(
            f"the model returned {described(output)}, and no tensor in it has the shape of logits, "
            f"({batch}, {classes or 'classes'}); return the logits, alone or first in a tuple"
        )
    first = min(fitting, key=_likelihood)[1]
    others = []
    for _, tensor in fitting:
        if tensor is not first and tensor.shape[1] == first.shape[1]:
            others.append(tensor)
    return [first, *others]


def _likelihood(part: tuple[str, Tensor]) -> int:
    """Return the place of a named tensor in `KEYS`; behind the last one if it is not there."""
    return KEYS.index(part[0]) if part[0] in KEYS else len(KEYS)


def logits_of(output: Any, batch: int, classes: int | None = None) -> Tensor:
    """Return the logits (batch, classes) by which a model is evaluated; see `heads`."""
    return output if isinstance(output, Tensor) else heads(output, batch, classes)[0]


def described(output: Any) -> str:
    """Describe a model's output in a few words."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    parts = []
    for name, value in _items(output):
        form = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        parts.append(f"{name} {form}")
    return f"a {type(output).__name__}" + (f" with {', '.join(parts[:6])}" if parts else "")


def tensors_in(output: Any) -> Iterator[Tensor]:
    """Yield the tensors of an output in order, from tuples, lists, dicts and dataclasses."""
    if isinstance(output, Tensor):
        yield output
        return
    for _, tensor in _parts(output):
        yield tensor


def _parts(output: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an output with their names, nested ones too."""
    for name, value in _items(output):
        if isinstance(value, Tensor):
            yield name, value
        elif not isinstance(value, str):
            yield from _parts(value)


def _items(output: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of an output that has parts; nothing for any other."""
    if isinstance(output, Mapping):
        for name, value in output.items():
            yield str(name), value
    elif is_dataclass(output) and not isinstance(output, type):
        for field in fields(output):
            yield field.name, getattr(output, field.name)
    elif isinstance(output, (tuple, list)):
        names = getattr(output, "_fields", None) or map(str, range(len(output)))
        yield from zip(names, output, strict=True)


def _fits(tensor: Tensor, batch: int, classes: int | None) -> bool:
    return (
        tensor.ndim == 2
        and tensor.shape[0] == batch
        and classes in (None, tensor.shape[1])
        and tensor.is_floating_point()
    )
