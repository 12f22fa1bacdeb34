"""Weights into a model: names without what others put in front of them, and in one line what does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.errors import UsageError

COUNTER = "num_batches_tracked"
"""Batch norm's counter of training steps, which evaluation does not look at and older files do not have."""
COMPILED = re.compile(r"(?:(?<=\.)|^)_orig_mod\.")
"""What torch.compile puts into the names of what it compiled: the whole model, or parts of it."""
PARTS = ("backbone", "head")
"""Where mmpretrain splits a classifier."""
WRAPPERS = ("module", "model")
"""What a wrapper puts in front of all names: DistributedDataParallel, Lightning."""
DEEPEST = 5
"""Words that may stand in front of a name."""


@dataclass(frozen=True)
class Fitted:
    """Weights under the model's own names, with what stood in front of them and which of the file's names were left out."""

    tensors: dict[str, Tensor]
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def fill(
    model: nn.Module, weights: Mapping[str, Tensor], *, where: str, prefix: str | None = None
) -> Fitted:
    """Load weights into a model; UsageError that names the file and what differs, or where a weight is not finite.

    `prefix` is what stands in front of the names; found out unless given.
    """
    there = model.state_dict()
    found = fitted(weights, there, where=where, prefix=prefix)
    refuse_misfits(found.tensors, there, where=where)
    model.load_state_dict(found.tensors, strict=False)
    refuse_infinite(model, where=where)
    return found


def fitted(
    weights: Mapping[str, Tensor],
    there: Mapping[str, Tensor],
    *,
    where: str,
    prefix: str | None = None,
) -> Fitted:
    """Weights by the model's names `there`. UsageError where several parts of the file would do and none was named."""
    plain = {COMPILED.sub("", name): tensor for name, tensor in weights.items()}
    if len(plain) < len(weights):
        raise UsageError(
            f"--checkpoint: {where} has weights with and without '_orig_mod.' in their names; save one of the two"
        )
    removed = () if plain.keys() == weights.keys() else ("_orig_mod.",)
    needed = {name for name in there if not name.endswith(COUNTER)}
    if prefix is None:
        inner = by_prefix(plain, there)
    else:
        prefix = COMPILED.sub("", prefix)
        inner = {prefix: set(_below(prefix, plain))}
    whole = [one for one, names in inner.items() if needed <= names]
    if len(whole) > 1:
        shown, one = ", ".join(map(repr, whole)), max(whole, key=len)
        raise UsageError(
            f"--checkpoint: {where} has weights of the model under {shown}; choose with --checkpoint-key /{one}"
        )
    if not whole and prefix is None and needed <= (joined := _joined(plain)).keys():
        return Fitted(joined, (*removed, *(f"{part}." for part in PARTS)))
    best = (
        whole[0] if whole else max(inner, key=lambda one: (len(inner[one]), one == ""), default="")
    )
    mine = {name: plain[best + name] for name in _below(best, plain)}
    return Fitted(
        mine,
        (*removed, best) if best else removed,
        tuple(name for name in plain if not name.startswith(best)),
    )


def by_prefix(names: Iterable[str], there: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """The model's names that a file has, by what stands in front of them: "", "module.", "model._orig_mod." ..."""
    found: dict[str, set[str]] = {}
    for name in names:
        words = name.split(".")
        for at in range(min(DEEPEST + 1, len(words))):
            if (rest := ".".join(words[at:])) in there:
                found.setdefault(name[: len(name) - len(rest)], set()).add(rest)
    return found


def _below(prefix: str, names: Iterable[str]) -> list[str]:
    return [name[len(prefix) :] for name in names if name.startswith(prefix)]


def _joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Backbone and head put together, where every name is of one of them and no two become the same."""
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        words = name.split(".")
        while words[0] in WRAPPERS:
            words.pop(0)
        if words[0] not in PARTS or (rest := ".".join(words[1:])) in found:
            return {}
        found[rest] = tensor
    return found


def refuse_misfits(
    weights: Mapping[str, Tensor], there: Mapping[str, Tensor], *, where: str
) -> None:
    """UsageError where names are missing or left over, or a tensor has another shape or is no number of its kind."""
    start = f"--checkpoint: {where} does not fit the model: "
    missing = [name for name in there if name not in weights and not name.endswith(COUNTER)]
    if len(missing) == sum(not name.endswith(COUNTER) for name in there):
        raise UsageError(
            f"{start}none of its names is the model's ({_few(weights)} are not {_few(there)}); is --model right?"
        )
    for words, names in (
        ("lacks", missing),
        ("has besides", [name for name in weights if name not in there]),
    ):
        if names:
            raise UsageError(f"{start}it {words} {_few(sorted(names))}")
    shaped = [
        name for name in there if name in weights and there[name].shape != weights[name].shape
    ]
    if shaped:
        first = shaped[0]
        mine, other = (
            " x ".join(map(str, one[first].shape)) or "a number" for one in (weights, there)
        )
        raise UsageError(
            f"{start}it has in another shape {_few(shaped)}: {first} is {mine}, the model's {other}{_classes(shaped, weights, there)}"
        )
    kinds = [
        name
        for name in weights
        if there[name].is_floating_point() != weights[name].is_floating_point()
    ]
    if kinds:
        raise UsageError(
            f"{start}{_few(kinds)} of type {weights[kinds[0]].dtype} cannot stand for {there[kinds[0]].dtype}"
        )


def _few(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _classes(shaped: list[str], weights: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> str:
    """The number of classes, where the last layers alone differ and by nothing else."""
    pairs = {(weights[name].shape[:1], there[name].shape[:1]) for name in shaped}
    if len(pairs) != 1 or any(weights[name].shape[1:] != there[name].shape[1:] for name in shaped):
        return ""
    [((mine,), (other,))] = pairs
    return f": weights for {mine} classes, and the data has {other}"


def refuse_infinite(model: nn.Module, *, where: str) -> None:
    """UsageError where a parameter is NaN or infinite, or a buffer NaN (masks hold infinities)."""
    bad = [name for name, one in model.named_parameters() if not torch.isfinite(one).all()]
    bad += [name for name, one in model.named_buffers() if torch.isnan(one).any()]
    if bad:
        raise UsageError(
            f"--checkpoint: {where} has values that are no numbers (NaN or infinite) in {_few(bad)}; a top-1 of it means nothing"
        )
