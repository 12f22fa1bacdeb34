"""The logits among what a model returns: a tensor, or a tuple, list, dict or dataclass with them in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from bench.errors import ModelFault

KEYS = ("logits", "out", "output", "outputs", "pred", "predictions")
"""Names by which the logits are known, the likeliest first."""
AUXILIARY_WEIGHT = 0.3
"""Weight of the loss of every head beside the first one, as GoogLeNet was trained (arXiv 1409.4842, section 5)."""


def heads(output: Any, batch: int, classes: int | None = None) -> list[Tensor]:
    """Every tensor of logits (batch, classes) in a model's output, the one that is evaluated first.

    `classes` None: as many as the output has. Raises ModelFault where there is none; the message says what came.
    """
    if isinstance(output, Tensor):
        return [output]
    parts = list(_parts(output))
    fitting = [(name, tensor) for name, tensor in parts if _fits(tensor, batch, classes)]
    if not fitting:
        raise ModelFault(
            f"the model returned {described(output)}, and no tensor in it has the shape ({batch}, {classes or 'classes'}) of logits; "
            "return the logits, alone or first in a tuple"
        )
    named = [tensor for key in KEYS for name, tensor in fitting if name == key]
    first = named[0] if named else fitting[0][1]
    width = first.shape[1]
    return [
        first,
        *(tensor for _, tensor in fitting if tensor is not first and tensor.shape[1] == width),
    ]


def logits_of(output: Any, batch: int, classes: int | None = None) -> Tensor:
    """The logits that a model is evaluated by; see `heads`."""
    return output if isinstance(output, Tensor) else heads(output, batch, classes)[0]


def described(output: Any) -> str:
    """What a model returned, in a few words."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    parts = [
        f"{name} {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        for name, value in _items(output)
    ]
    return f"a {type(output).__name__}" + (f" with {', '.join(parts[:6])}" if parts else "")


def tensors_in(output: Any) -> Iterator[Tensor]:
    """The tensors of an output in their order: of tuples, lists, dicts and dataclasses, however deep."""
    if isinstance(output, Tensor):
        yield output
    else:
        yield from (tensor for _, tensor in _parts(output))


def _parts(output: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an output with their names, those of nested ones too."""
    for name, value in _items(output):
        if isinstance(value, Tensor):
            yield name, value
        elif not isinstance(value, str):
            yield from _parts(value)


def _items(output: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(output, Mapping):
        yield from ((str(name), value) for name, value in output.items())
    elif is_dataclass(output) and not isinstance(output, type):
        yield from ((field.name, getattr(output, field.name)) for field in fields(output))
    elif isinstance(output, (tuple, list)):
        names = getattr(output, "_fields", None) or [str(number) for number in range(len(output))]
        yield from zip(names, output, strict=True)


def _fits(tensor: Tensor, batch: int, classes: int | None) -> bool:
    return (
        tensor.ndim == 2
        and tensor.shape[0] == batch
        and classes in (None, tensor.shape[1])
        and tensor.is_floating_point()
    )
