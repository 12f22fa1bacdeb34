"""What makes a model the one that was measured: what its code builds, for models that are not this release's own.

Parameters and buffers by name, shape and type, and every operator that a forward pass calls, with where its inputs come
from, their shapes and its constants; for training arms those of a training step too, and where the initial values lie.
A comment, another layout or a function that moved changes nothing of it. Where a model can't be built or run, the sources
of all modules that were imported with it stand in for that.

This release's own models have no identity beyond their name, as long as their files say what they said at release.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakIdKeyDictionary

from bench.count import building, process_guard
from bench.count.outputs import heads
from bench.errors import UsageError
from bench.plugins import Model, models, sources
from bench.plugins.registry import ROOT

Use = Literal["inference", "training"]
SEED = 0
BATCH = 2
"""Images of the pass that is looked at; batch norm needs two to train."""
CONSTANT = 4096
"""Elements up to which a constant of floats counts by its values; of larger ones it is told where they lie."""
PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    torch.dtype,
    torch.layout,
    torch.memory_format,
    torch.device,
)
"""Constants of an operator that say themselves what they are."""
RELEASED = ROOT / "models" / "released.json"


@cache
def released() -> dict[str, str]:
    """Digest by name of every file of `models/` as this release has them; `tests.by_hand.released` writes them.

    `user.py` is not among them: it holds no model, and what it finds is looked at in any case.
    """
    found: dict[str, str] = json.loads(RELEASED.read_text(encoding="utf-8"))
    return found


@cache
def is_released(file: Path) -> bool:
    """Whether a file is one of this release's models, and says what it said then, as do the helpers beside it."""
    if file.parent != RELEASED.parent or file.name not in released():
        return False
    helpers = [name for name in released() if name.startswith("_")]
    return all(_unchanged(RELEASED.parent / name) for name in (file.name, *helpers))


def _unchanged(file: Path) -> bool:
    return file.is_file() and sources.digest(file) == released()[file.name]


def needed(entry: Model) -> bool:
    """Whether a model is somebody's own, whose name alone does not say what it is."""
    return entry.users or not is_released(models.origin(entry.name).resolve())


def identify(name: str, *, image_size: int, num_classes: int, use: Use) -> str:
    """Sixteen hex digits over what a model is. It runs the model's code: call it in a process of its own.

    Raises UsageError for a wrong name.

    Begins with `s` where sources had to stand in for what was built.
    """
    before = set(sys.modules)
    seed()
    try:
        with process_guard.kept({}):
            entry = models.get(name)
            entry.load()
        with process_guard.kept({}):
            seed()
            model = building.build(entry, image_size=image_size, num_classes=num_classes)
        return _digest(built(model, image_size, num_classes, use))
    except UsageError:
        raise
    except BaseException:
        new = [module for name, module in list(sys.modules.items()) if name not in before]
        return "s" + sources.of_modules(module for module in new if not _ours(module))[:11]


def _ours(module: ModuleType) -> bool:
    """Whether a module is the bench's own, or a model of this release."""
    file = getattr(module, "__file__", None)
    if file is None:
        return True
    path = Path(file)
    return ROOT / "bench" in path.parents or (
        path.parent == RELEASED.parent and (path.name == "user.py" or is_released(path))
    )


def seed() -> None:
    """Seed whatever builders draw from."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def built(model: nn.Module, image_size: int, num_classes: int, use: Use) -> list[str]:
    """Lines that say what a model is."""
    tensors = (
        dict(model.state_dict(keep_vars=True))
        | dict(model.named_parameters())
        | dict(model.named_buffers())
    )
    lines = [f"{name} {_stated(tensor)}" for name, tensor in sorted(tensors.items())]
    if use == "training":
        lines += [
            f"{name} {_values(tensor)}"
            for name, tensor in sorted(tensors.items())
            if isinstance(tensor, Tensor)
        ]
    images = torch.randn(
        BATCH, 3, image_size, image_size, generator=torch.Generator().manual_seed(SEED)
    )
    with _uncompiled(), torch.no_grad(), Trace(tensors, images) as trace:
        model.eval()(images)
    lines += trace.lines
    if use == "training":
        seed()
        labels = torch.zeros(BATCH, dtype=torch.long)
        with _uncompiled(), Trace(tensors, images) as trace:
            found = heads(model.train()(images), BATCH, num_classes)
            torch.stack(
                [nn.functional.cross_entropy(one, labels) for one in found]
            ).sum().backward()
        lines += trace.lines
    return lines


def _uncompiled() -> AbstractContextManager[Any]:
    """Functions that the model's code compiles run as they are written."""
    return torch.compiler.set_stance("force_eager")


def _stated(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)} {value.dtype} {value.requires_grad}"


def _values(tensor: Tensor) -> str:
    """Where the values of a tensor lie: mean, spread and mean size, so coarsely that no processor's rounding shows."""
    if (
        tensor.device.type != "cpu"
        or tensor.layout != torch.strided
        or tensor.is_quantized
        or not tensor.numel()
    ):
        return "not read"
    if not tensor.is_floating_point():
        return _content(tensor)
    values = tensor.detach().double()
    spread = float(values.std(correction=0))
    return (
        f"{float(values.mean()) / (spread or 1):.2f} {spread:.4g} {float(values.abs().mean()):.4g}"
    )


def _content(tensor: Tensor) -> str:
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
        return "not read"
    if tensor.is_floating_point() and tensor.numel() > CONSTANT:
        return _values(tensor)
    return hashlib.sha256(repr(tensor.detach().tolist()).encode()).hexdigest()[:12]


class Trace(TorchDispatchMode):
    """Every operator that runs within, as a line: its name, its inputs by where they come from, its constants."""

    def __init__(self, tensors: dict[str, Any], images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[str] = []
        self._known: Any = WeakIdKeyDictionary()
        for name, tensor in tensors.items():
            if isinstance(tensor, Tensor):
                self._known[tensor] = name
        self._known[images] = "images"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        said = [self._said(value) for value in (*args, *sorted((kwargs or {}).items()))]
        self.lines.append(f"{func} {' '.join(said)}")
        result = func(*args, **(kwargs or {}))
        number = len(self.lines)
        tree_map(lambda value: self._note(value, number), result)
        return result

    def _note(self, value: Any, number: int) -> None:
        if isinstance(value, Tensor) and value not in self._known:
            self._known[value] = f"%{number}"

    def _said(self, value: Any) -> str:
        if isinstance(value, Tensor):
            where = self._known.get(value)
            return f"{where or _content(value)}:{tuple(value.shape)}:{value.dtype}"
        if isinstance(value, (list, tuple)):
            return f"[{' '.join(self._said(one) for one in value)}]"
        if value is None or isinstance(
            value,
            (
                bool,
                int,
                float,
                complex,
                str,
                torch.dtype,
                torch.layout,
                torch.memory_format,
                torch.device,
            ),
        ):
            return repr(value)
        return type(value).__name__
