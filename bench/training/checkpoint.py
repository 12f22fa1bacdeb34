"""Checkpoints: one safetensors file with every tensor of a training and its other state as JSON. No pickles.

A file is written whole under another name, synced and renamed: a reader sees the old one or the new one. It carries a
checksum of its tensors, since safetensors has none: a flipped bit in a weight would go unseen otherwise.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.files import files
from bench.files.foreign_errors import refusing

STATE = "convmixer_bench"
"""The entry of a file's metadata that holds what is no tensor."""
CHECKSUM = "crc"
"""Field of the state; files of before it have none."""
FORMAT = 1


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write tensors by name and JSON state beside them, whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    files.sweep(path)
    mine = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    says = {**state, "format": FORMAT, CHECKSUM: checksum(mine)}
    with files.whole(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(mine, temporary, metadata={STATE: json.dumps(says)})
        except SafetensorError as error:
            if number := re.search(
                r"os error (\d+)", str(error)
            ):  # the library's own error has no errno
                raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
            raise


def checksum(tensors: dict[str, Tensor]) -> str:
    """Eight hex digits over names and bytes of tensors."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(
            tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data,
            zlib.crc32(name.encode(), found),
        )
    return f"{found:08x}"


def load(
    path: Path, *, remedy: str = "move it away to start anew"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a safetensors file; UsageError with the remedy where it is damaged or of another format."""
    tensors, state = _opened(path, remedy, tensors=True)
    if state.get(CHECKSUM) not in (None, checksum(tensors)):
        raise UsageError(f"{path}: a byte of it was changed (its checksum is another); {remedy}")
    return tensors, state


def metadata(path: Path) -> dict[str, Any]:
    """The state of a safetensors file alone; as `load`, but its tensors are neither read nor checked."""
    return _opened(path, "save it again", tensors=False)[1]


def _opened(path: Path, remedy: str, *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import safe_open

    def refuse(words: str) -> UsageError:
        return UsageError(f"{path}: not a whole safetensors file ({words}); {remedy}")

    with refusing(refuse), safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118 - no mapping
        state = json.loads((file.metadata() or {}).get(STATE, "{}"))
    if not isinstance(state, dict):
        raise UsageError(f"{path}: what it says of itself is no object; {remedy}")
    if state and state.get("format") != FORMAT:
        raise UsageError(
            f"{path}: checkpoint format {state.get('format')}, this version reads {FORMAT}; {remedy}"
        )
    return found, state


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
    groups = [
        {name: value for name, value in group.items() if _is_plain(value)}
        for group in content["param_groups"]
    ]
    return tensors, {"plain": plain, "groups": groups}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], state: dict[str, Any]
) -> None:
    """Put back what `optimizer_state` gave."""
    present = optimizer.state_dict()
    by_number: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *state["plain"].items()]:
        number, _, name = key.partition(".")
        by_number.setdefault(int(number), {})[name] = value
    groups = [
        group | saved for group, saved in zip(present["param_groups"], state["groups"], strict=True)
    ]
    for group in groups:  # JSON knows no tuples
        group.update({name: tuple(value) for name, value in group.items() if name == "betas"})
    optimizer.load_state_dict({"state": by_number, "param_groups": groups})


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)
