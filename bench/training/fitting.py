"""Load weights into a model: match their names with the model's, and say in a line what differs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.errors import UsageError

COUNTER = "num_batches_tracked"
"""Batch norm's counter of training steps: evaluation does not read it, and older files lack it."""
COMPILED = re.compile(r"(?:(?<=\.)|^)_orig_mod\.")
"""What torch.compile inserts into the names of a compiled model, or of a compiled part of one."""
PARTS = ("backbone", "head")
"""The two parts of a classifier of mmpretrain."""
WRAPPERS = ("module", "model")
"""Prefixes that wrappers add to every name: DistributedDataParallel, Lightning."""
DEEPEST = 5
"""The most words in a prefix."""


@dataclass(frozen=True)
class Fitted:
    """Weights under the model's own names.

    `removed` has the prefixes that were cut off, `left_out` the file's names that were not used.
    """

    tensors: dict[str, Tensor]
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def load_weights(
    model: nn.Module, weights: Mapping[str, Tensor], *, where: str, prefix: str | None = None
) -> Fitted:
    """Load weights into a model, after cutting `prefix` off their names (None: find it out).

    Raises UsageError if they do not fit or are not finite; `where` is the file that it names.
    """
    needed = model.state_dict()
    found = fitted(weights, needed, where=where, prefix=prefix)
    refuse_misfits(found.tensors, needed, where=where)
    model.load_state_dict(found.tensors, strict=False)
    refuse_infinite(model, where=where)
    return found


def fitted(
    weights: Mapping[str, Tensor],
    needed: Mapping[str, Tensor],
    *,
    where: str,
    prefix: str | None = None,
) -> Fitted:
    """Return weights under the names of the model's state dict `needed`.

    Weights that fit in part are returned as well, for `refuse_misfits` to name the difference.
    Raises UsageError if several parts of the file fit and no prefix chooses one.
    """
    plain = _without_compiled(weights, where)
    removed = () if plain.keys() == weights.keys() else ("_orig_mod.",)
    if prefix is None:
        by_start = by_prefix(plain, needed)
    else:
        prefix = COMPILED.sub("", prefix)
        by_start = {prefix: set(_below(prefix, plain))}
    whole = _whole(by_start, needed)
    if len(whole) > 1:
        raise UsageError(
            f"--checkpoint: {where} has weights of the model under {', '.join(map(repr, whole))}; "
            f"choose with --checkpoint-key /{max(whole, key=len)}"
        )
    if not whole and prefix is None:
        joined = _joined(plain)
        if _whole({"": joined.keys()}, needed):
            return Fitted(joined, (*removed, *(f"{part}." for part in PARTS)))
    best = whole[0] if whole else _most(by_start)
    mine = {name: plain[best + name] for name in _below(best, plain)}
    left_out = tuple(name for name in plain if not name.startswith(best))
    return Fitted(mine, (*removed, best) if best else removed, left_out)


def _without_compiled(weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    plain = {COMPILED.sub("", name): tensor for name, tensor in weights.items()}
    if len(plain) < len(weights):
        raise UsageError(
            f"--checkpoint: {where} has weights both with and without '_orig_mod.' in their names; "
            "save only one of the two"
        )
    return plain


def _whole(by_start: Mapping[str, Iterable[str]], needed: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes under which every needed name is present."""
    names = set(_without_counters(needed))
    return [start for start, present in by_start.items() if names <= set(present)]


def _most(by_start: Mapping[str, set[str]]) -> str:
    """Return the prefix with the most names of the model; among equals, preferably none."""
    return max(by_start, key=lambda start: (len(by_start[start]), start == ""), default="")


def _without_counters(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith(COUNTER)]


def by_prefix(names: Iterable[str], needed: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """Return the model's names in a file by their prefix: "", "module.", "model._orig_mod." etc."""
    found: dict[str, set[str]] = {}
    for name in names:
        words = name.split(".")
        for at in range(min(DEEPEST + 1, len(words))):
            rest = ".".join(words[at:])
            if rest in needed:
                found.setdefault(name[: len(name) - len(rest)], set()).add(rest)
    return found


def _below(prefix: str, names: Iterable[str]) -> list[str]:
    return [name[len(prefix) :] for name in names if name.startswith(prefix)]


def _joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return backbone and head put together; nothing if a name is of neither, or would recur."""
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        words = name.split(".")
        while words[0] in WRAPPERS:
            words.pop(0)
        rest = ".".join(words[1:])
        if words[0] not in PARTS or rest in found:
            return {}
        found[rest] = tensor
    return found


def refuse_misfits(
    weights: Mapping[str, Tensor], needed: Mapping[str, Tensor], *, where: str
) -> None:
    """Raise UsageError if names are missing or superfluous, or a shape or number type differs."""
    start = f"--checkpoint: {where} does not fit the model: "
    names = _without_counters(needed)
    missing = [name for name in names if name not in weights]
    if len(missing) == len(names):
        raise UsageError(
            f"{start}no name in it is the model's ({_few(weights)} are not {_few(needed)}); "
            "is --model right?"
        )
    if missing:
        raise UsageError(f"{start}it lacks {_few(sorted(missing))}")
    if superfluous := weights.keys() - needed.keys():
        raise UsageError(f"{start}it also has {_few(sorted(superfluous))}")
    _refuse_shapes(weights, needed, start)
    _refuse_kinds(weights, needed, start)


def _refuse_shapes(weights: Mapping[str, Tensor], needed: Mapping[str, Tensor], start: str) -> None:
    common = filter(weights.__contains__, needed)
    misshapen = [name for name in common if needed[name].shape != weights[name].shape]
    if not misshapen:
        return
    first = misshapen[0]
    raise UsageError(
        f"{start}the shape differs for {_few(misshapen)}: {first} is {_shape(weights[first])}, "
        f"the model's {_shape(needed[first])}{_classes(misshapen, weights, needed)}"
    )


def _refuse_kinds(weights: Mapping[str, Tensor], needed: Mapping[str, Tensor], start: str) -> None:
    odd = []
    for name, tensor in weights.items():
        if needed[name].is_floating_point() != tensor.is_floating_point():
            odd.append(name)
    if odd:
        raise UsageError(
            f"{start}{_few(odd)} of type {weights[odd[0]].dtype} cannot stand for "
            f"{needed[odd[0]].dtype}"
        )


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _few(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + more


def _classes(
    misshapen: list[str], weights: Mapping[str, Tensor], needed: Mapping[str, Tensor]
) -> str:
    """Return a remark on the number of classes if that alone explains every difference in shape."""
    numbers = set()
    for name in misshapen:
        if weights[name].shape[1:] != needed[name].shape[1:]:
            return ""
        numbers.add((weights[name].shape[:1], needed[name].shape[:1]))
    if len(numbers) != 1:
        return ""
    [((mine,), (other,))] = numbers
    return f": weights for {mine} classes, and the data has {other}"


def refuse_infinite(model: nn.Module, *, where: str) -> None:
    """Raise UsageError for a NaN, or for an infinite parameter (masks may have infinities)."""
    bad = [name for name, tensor in model.named_parameters() if not tensor.isfinite().all()]
    bad += [name for name, tensor in model.named_buffers() if torch.isnan(tensor).any()]
    if bad:
        raise UsageError(
            f"--checkpoint: {where} has values that are NaN or infinite in {_few(bad)}, so a top-1 "
            "would mean nothing; use another checkpoint"
        )
