"""What one process of an arm exported or quantised, for its next processes.

It lies in the arm's folder for compilers, so that every arm begins without it, and arms whose first
call is measured find it empty in every process. Outside of a worker nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.measure.serve import EXPORTS


def kept(key: str, make: Callable[[], bytes]) -> bytes:
    """Return what an earlier process of the arm kept under `key`, or make and keep it."""
    folder = os.environ.get(EXPORTS)
    if folder is None:
        return make()
    path = Path(folder) / f"engine-{key}"
    if path.exists():
        return path.read_bytes()
    content = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
    return content


def digest(*parts: object) -> str:
    """Return a key for bytes, tensors, models (by their weights) and plain values."""
    hashed = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            hashed.update(part)
        elif isinstance(part, nn.Module):
            for name, tensor in part.state_dict().items():
                hashed.update(name.encode() + _bytes(tensor))
        elif isinstance(part, Tensor):
            hashed.update(_bytes(part))
        else:
            hashed.update(repr(part).encode())
    return hashed.hexdigest()[:16]


def _bytes(tensor: Tensor) -> bytes:
    return bytes(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
