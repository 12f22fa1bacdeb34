"""Identify a model that is not part of this release by what its code builds.

The identity is a digest of the parameters and buffers by name, shape and type, and of every
operator in a forward pass with the origin of its inputs, their shapes and its constants. For
training it also covers a training step and the distribution of the initial values. Comments,
layout and functions that move do not change it. If a model cannot be built or run, the sources of
all modules that were imported with it take the place of that.

The models of this release need no identity beyond their names, as long as the code of their files
is that of the release.
"""

from __future__ import annotations

import hashlib
import itertools
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
"""Images in the traced pass; batch norm needs two to train."""
CONSTANT = 4096
"""Elements up to which a float constant counts by its values; a larger one by their statistics."""
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
"""Types of an operator's constants that count by their `repr`."""
RELEASED = ROOT / "models" / "released.json"


@cache
def released() -> dict[str, str]:
    """Return the digest of every file of `models/` in this release, by name.

    `tests.by_hand.released` writes them. `user.py` is not among them: it contains no model, and the
    models that it finds are always identified.
    """
    digests: dict[str, str] = json.loads(RELEASED.read_text(encoding="utf-8"))
    return digests


@cache
def is_released(file: Path) -> bool:
    """True if a file of `models/` and the helpers next to it have the code of this release."""
    if file.parent != RELEASED.parent or file.name not in released():
        return False
    helpers = [name for name in released() if name.startswith("_")]
    return all(_unchanged(RELEASED.parent / name) for name in (file.name, *helpers))


def _unchanged(file: Path) -> bool:
    return file.is_file() and sources.digest(file) == released()[file.name]


def needed(entry: Model) -> bool:
    """True if a model is a user's own, so that its name alone does not say what it is."""
    return entry.users or not is_released(models.origin(entry.name).resolve())


def identify(name: str, *, image_size: int, num_classes: int, use: Use) -> str:
    """Return the identity of a model, of 16 hexadecimal digits (12 characters from sources).

    Starts with `s` if it is made from sources, because the model cannot be built or run. Runs the
    model's code, so call it in a process of its own. Raises UsageError for an unknown name.
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
        imported = [module for name, module in list(sys.modules.items()) if name not in before]
        return "s" + sources.of_modules(itertools.filterfalse(_is_ours, imported))[:11]


def _is_ours(module: ModuleType) -> bool:
    """True for a module of the bench, and for a model of this release."""
    file = getattr(module, "__file__", None)
    if file is None:
        return True
    path = Path(file)
    if ROOT / "bench" in path.parents:
        return True
    return path.parent == RELEASED.parent and (path.name == "user.py" or is_released(path))


def seed() -> None:
    """Seed the generators of torch, NumPy and `random`, from which builders draw."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def built(model: nn.Module, image_size: int, num_classes: int, use: Use) -> list[str]:
    """Return the lines that describe a model, over which its identity is the digest."""
    tensors = dict(model.state_dict(keep_vars=True))
    tensors |= dict(model.named_parameters())
    tensors |= dict(model.named_buffers())
    lines = [f"{name} {_form(tensor)}" for name, tensor in sorted(tensors.items())]
    if use == "training":
        for name, tensor in sorted(tensors.items()):
            if isinstance(tensor, Tensor):
                lines.append(f"{name} {_statistics(tensor)}")
    generator = torch.Generator().manual_seed(SEED)
    images = torch.randn(BATCH, 3, image_size, image_size, generator=generator)
    with _uncompiled(), torch.no_grad(), Trace(tensors, images) as trace:
        model.eval()(images)
    lines += trace.lines
    if use == "training":
        seed()
        labels = torch.zeros(BATCH, dtype=torch.long)
        with _uncompiled(), Trace(tensors, images) as trace:
            outputs = heads(model.train()(images), BATCH, num_classes)
            losses = [nn.functional.cross_entropy(logits, labels) for logits in outputs]
            torch.stack(losses).sum().backward()
        lines += trace.lines
    return lines


def _uncompiled() -> AbstractContextManager[Any]:
    """Run functions that the model's code compiles without compiling them."""
    return torch.compiler.set_stance("force_eager")


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)} {value.dtype} {value.requires_grad}"


def _is_readable(tensor: Tensor) -> bool:
    in_memory = tensor.device.type == "cpu" and tensor.layout == torch.strided
    return in_memory and not tensor.is_quantized


def _statistics(tensor: Tensor) -> str:
    """Return mean, spread and mean size, rounded so that processors' rounding does not show."""
    if not _is_readable(tensor) or not tensor.numel():
        return "not read"
    if not tensor.is_floating_point():
        return _content(tensor)
    values = tensor.detach().double()
    spread = float(values.std(correction=0))
    mean, size = float(values.mean()), float(values.abs().mean())
    return f"{mean / (spread or 1):.2f} {spread:.4g} {size:.4g}"


def _content(tensor: Tensor) -> str:
    if not _is_readable(tensor):
        return "not read"
    if tensor.is_floating_point() and tensor.numel() > CONSTANT:
        return _statistics(tensor)
    return hashlib.sha256(repr(tensor.detach().tolist()).encode()).hexdigest()[:12]


class Trace(TorchDispatchMode):
    """Writes a line for every operator that runs inside: its name, inputs by origin, constants."""

    def __init__(self, tensors: dict[str, Any], images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[str] = []
        self._known: Any = WeakIdKeyDictionary()
        for name, tensor in tensors.items():
            if isinstance(tensor, Tensor):
                self._known[tensor] = name
        self._known[images] = "images"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        arguments = (*args, *sorted((kwargs or {}).items()))
        self.lines.append(f"{func} {' '.join(map(self._text, arguments))}")
        result = func(*args, **(kwargs or {}))
        number = len(self.lines)
        tree_map(lambda value: self._note(value, number), result)
        return result

    def _note(self, value: Any, number: int) -> None:
        if isinstance(value, Tensor) and value not in self._known:
            self._known[value] = f"%{number}"

    def _text(self, value: Any) -> str:
        if isinstance(value, Tensor):
            origin = self._known.get(value)
            return f"{origin or _content(value)}:{tuple(value.shape)}:{value.dtype}"
        if isinstance(value, (list, tuple)):
            return f"[{' '.join(map(self._text, value))}]"
        if value is None or isinstance(value, PLAIN):
            return repr(value)
        return type(value).__name__
