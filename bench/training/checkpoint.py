"""Checkpoints: one safetensors file with every tensor of a training and its other state as JSON. No pickles.

A file is written whole under another name, synced and renamed: a reader sees the old one or the new one. It carries a
checksum of its tensors, since safetensors has none: a flipped bit in a weight would go unseen otherwise. Foreign
checkpoints are read with torch's weights-only loader, which builds tensors and plain containers and calls nothing.
"""

from __future__ import annotations

import json
import os
import re
import warnings
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import disk
from bench.errors import UsageError
from bench.refusing import refusing

STATE = "convmixer_bench"
"""The entry of a file's metadata that holds what is no tensor."""
CHECKSUM = "crc"
"""Field of the state; files of before it have none."""
FORMAT = 1


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors by name and JSON state beside them, whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    disk.sweep(path)
    mine = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    says = {**state, "format": FORMAT, CHECKSUM: checksum(mine)}
    with disk.whole(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(mine, temporary, metadata={STATE: json.dumps(says)})
        except SafetensorError as error:
            if number := re.search(r"os error (\d+)", str(error)):  # the library's own error has no errno
                raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
            raise


def checksum(tensors: dict[str, Tensor]) -> str:
    """Eight hex digits over names and bytes of tensors."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data, zlib.crc32(name.encode(), found))
    return f"{found:08x}"


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a file of ours; UsageError where it is damaged or of another format."""
    from safetensors import safe_open

    def refuse(words: str) -> UsageError:
        return UsageError(f"{path}: not a whole safetensors file ({words}); move it away to start anew")

    with refusing(refuse), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        state = json.loads((file.metadata() or {}).get(STATE, "{}"))
    if not isinstance(state, dict):
        raise UsageError(f"{path}: what it says of itself is no object; move it away to start anew")
    if state.get(CHECKSUM) not in (None, checksum(tensors)):
        raise UsageError(f"{path}: a byte of it was changed (its checksum is another); move it away to start anew")
    if state and state.get("format") != FORMAT:
        raise UsageError(f"{path}: checkpoint format {state.get('format')}, this version reads {FORMAT}; move it away to start anew")
    return tensors, state


def weights_from(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in a checkpoint, ours or anybody's, and what ours says of them; UsageError where it holds none.

    Takes safetensors, and torch files that hold tensors in plain containers: a state dict, or one under `state_dict_ema`,
    `state_dict`, `model_ema` or `model`, as timm, DeiT and others save it.
    """
    if not path.is_file():
        raise UsageError(f"--checkpoint: {path} is no file")
    if path.suffix == ".safetensors":
        return load(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is none makes the reader raise
        raise UsageError(
            f"--checkpoint: {path} is refused: only tensors in plain containers are read, no pickled code ({type(error).__name__}); "
            "save its state dict alone, or as safetensors"
        ) from None
    for key in ("state_dict_ema", "state_dict", "model_ema", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not (isinstance(content, dict) and content and all(isinstance(value, Tensor) for value in content.values())):
        raise UsageError(f"--checkpoint: {path} holds no state dict: names with tensors were expected")
    return {str(name).removeprefix("module."): value for name, value in content.items()}, {}


def fill(model: nn.Module, weights: dict[str, Tensor], *, where: str) -> None:
    """Load weights into a model; UsageError that names what is missing, left over or of another shape."""
    there = model.state_dict()
    missing, extra = sorted(there.keys() - weights.keys()), sorted(weights.keys() - there.keys())
    shaped = [name for name in there.keys() & weights.keys() if there[name].shape != weights[name].shape]
    for words, names in (("lacks", missing), ("has besides", extra), ("has in another shape", sorted(shaped))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UsageError(f"--checkpoint: {where} does not fit the model: it {words} {', '.join(names[:3])}{more}")
    model.load_state_dict(weights)


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as named tensors, and as JSON what is none."""
    content = optimizer.state_dict()
    tensors, plain = {}, {}
    for number, state in content["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{number}.{name}"] = value
            else:
                plain[f"{number}.{name}"] = value
    groups = [{name: value for name, value in group.items() if _is_plain(value)} for group in content["param_groups"]]
    return tensors, {"plain": plain, "groups": groups}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Put back what `optimizer_state` gave."""
    present = optimizer.state_dict()
    by_number: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *state["plain"].items()]:
        number, _, name = key.partition(".")
        by_number.setdefault(int(number), {})[name] = value
    groups = [group | saved for group, saved in zip(present["param_groups"], state["groups"], strict=True)]
    for group in groups:  # JSON knows no tuples
        group.update({name: tuple(value) for name, value in group.items() if name == "betas"})
    optimizer.load_state_dict({"state": by_number, "param_groups": groups})


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)
