"""Checkpoints: a safetensors file with the tensors of a training run and the other state as JSON.

No pickles. A file is written under another name, synced and renamed, so a reader sees the old one
or the new one. It has a checksum of its tensors, since safetensors has none and a flipped bit in a
weight would go unnoticed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.count.tensor_checksum import checksum
from bench.errors import UsageError
from bench.files import files
from bench.files.foreign_errors import refusing

STATE = "convmixer_bench"
"""The entry of a file's metadata with the state as JSON."""
CHECKSUM = "crc"
"""Field of the state with the checksum; older files lack it."""
FORMAT = 1


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors by name, with a state that JSON can hold, completely or not at all.

    Raises OSError if that fails.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    mine = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {**state, "format": FORMAT, CHECKSUM: checksum(mine)}
    with files.whole(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(mine, temporary, metadata={STATE: json.dumps(metadata)})
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))  # the error itself has no errno
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def load(
    path: Path, *, remedy: str = "move it away to start anew"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and state of a safetensors file.

    Raises UsageError, which ends with `remedy`, if it is damaged or of another format.
    """
    tensors, state = _opened(path, remedy, tensors=True)
    if state.get(CHECKSUM) not in (None, checksum(tensors)):
        raise UsageError(f"{path}: it is damaged (its checksum does not match); {remedy}")
    return tensors, state


def metadata(path: Path) -> dict[str, Any]:
    """Return only the state of a safetensors file, without reading or checking its tensors."""
    return _opened(path, "save it again", tensors=False)[1]


def _opened(path: Path, remedy: str, *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import safe_open

    def refuse(words: str) -> UsageError:
        return UsageError(f"{path}: not a complete safetensors file ({words}); {remedy}")

    with refusing(refuse), safe_open(path, framework="pt") as file:
        found = {}
        for name in file.keys() if tensors else ():
            found[name] = file.get_tensor(name)
        state = json.loads((file.metadata() or {}).get(STATE, "{}"))
    if not isinstance(state, dict):
        raise UsageError(f"{path}: its metadata is not a JSON object; {remedy}")
    if state and state.get("format") != FORMAT:
        raise UsageError(
            f"{path}: checkpoint format {state.get('format')}, and this version reads {FORMAT}; "
            f"{remedy}"
        )
    return found, state


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimizer's tensors by name, and the rest of its state for JSON."""
    content = optimizer.state_dict()
    tensors, plain = {}, {}
    for number, state in content["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{number}.{name}"] = value
            else:
                plain[f"{number}.{name}"] = value
    groups = list(map(_plain, content["param_groups"]))
    return tensors, {"plain": plain, "groups": groups}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], state: dict[str, Any]
) -> None:
    """Put back what `optimizer_state` returned."""
    by_number: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *state["plain"].items()]:
        number, _, name = key.partition(".")
        by_number.setdefault(int(number), {})[name] = value
    groups = []
    for present, saved in zip(optimizer.state_dict()["param_groups"], state["groups"], strict=True):
        group = present | saved
        if "betas" in group:
            group["betas"] = tuple(group["betas"])  # JSON turned it into a list
        groups.append(group)
    optimizer.load_state_dict({"state": by_number, "param_groups": groups})


def _plain(group: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a parameter group that JSON can hold."""
    return {name: value for name, value in group.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
