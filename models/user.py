"""A user's own model: `./net.py:build` or `package.module:build`.

The function is called as `build(image_size=..., num_classes=...)` with those of the two arguments that it takes, and
returns a torch module. Naming a file or module this way runs its code: that is what it is for. A name runs code only where
the user typed it; one that a suite, a file of weights or a record brought along is refused.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from bench.errors import UsageError
from bench.plugins import Model, models

SPELLING = re.compile(r"(?P<where>.+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")


def build(name: str, function: Callable[..., Any], *, image_size: int, num_classes: int) -> nn.Module:
    """Call the user's function; UsageError where it returns something else than a torch module."""
    model = function(**_accepted(name, function, {"image_size": image_size, "num_classes": num_classes}))
    if not isinstance(model, nn.Module):
        raise UsageError(f"--models: {name} returned a {type(model).__name__}; it has to return a torch.nn.Module")
    return model


def _accepted(name: str, function: Callable[..., Any], offered: dict[str, int]) -> dict[str, int]:
    """Those of the offered arguments that the function takes; UsageError where it wants others."""
    try:
        signature = inspect.signature(function)
        takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
        accepted = {key: value for key, value in offered.items() if takes_all or key in signature.parameters}
        signature.bind(**accepted)
    except (TypeError, ValueError) as error:
        raise UsageError(f"--models: {name} cannot be called with image_size and num_classes alone ({error})") from error
    return accepted


def module_of(name: str, where: str) -> ModuleType:
    """Import the user's file or module. The folder of the command comes first, as in `python -m`."""
    if not where.endswith(".py"):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name and where.startswith(error.name):
                raise UsageError(f"--models: {name}: there is no module {error.name!r}") from error
            raise
    path = Path(where)
    if not path.is_file():
        raise UsageError(f"--models: {name}: there is no file {where}")
    if str(path.resolve().parent) not in sys.path:
        sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(f"convmixer_bench_user_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@models.resolver
def user_model(name: str) -> Model | None:
    """`./net.py:build` or `package.module:build`."""
    if name.startswith("timm:") or not (match := SPELLING.fullmatch(name)):
        return None
    if name not in models.typed:
        raise UsageError(
            f"--models: {name} came out of a file and stands for code, of which nothing was run; "
            "only a name typed on the command line runs code"
        )
    module = module_of(name, match["where"])
    function = getattr(module, match["function"], None)
    if not callable(function):
        found = "nothing" if function is None else f"a {type(function).__name__}"
        raise UsageError(f"--models: {name}: {match['where']} has {found} called {match['function']!r}; a function is needed")
    _accepted(name, function, {"image_size": 224, "num_classes": 1000})
    file = getattr(module, "__file__", None)
    source = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] if file else None
    return Model(name=name, family="user", build=partial(build, name, function), source=source, summary="your own")
