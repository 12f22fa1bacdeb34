"""A user's own model: `./net.py:build` or `package.module:build`.

What is named is a function, a class or a ready module. A function or class is called as `build(image_size=...,
num_classes=...)` with those of the two arguments that it takes, and gives a torch module. Measuring a name like this
runs its code: that is what it is for. Looking the name up does not. A name runs code only where the user typed it; one
that a suite, a file of weights or a record brought along is refused.
"""

from __future__ import annotations

import copy
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

from bench.errors import ModelFault, UsageError
from bench.plugins import Model, models

SPELLING = re.compile(
    r"(?P<where>.+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)"
)
OFFERED = ("image_size", "num_classes")


def build(name: str, *, image_size: int, num_classes: int) -> Any:
    """What the user's function gives; a module that is named itself is copied."""
    function = named(name)
    if isinstance(function, nn.Module):
        return copy.deepcopy(function)
    accepted = _accepted(name, function, {"image_size": image_size, "num_classes": num_classes})
    while True:
        try:
            return function(**accepted)
        except TypeError as error:
            # `**kwargs` may be handed on to something that takes less, as torchvision's builders do.
            refused = [
                key
                for key in accepted
                if _refuses(error, key) and key not in inspect.signature(function).parameters
            ]
            if not refused:
                raise
            accepted = {key: value for key, value in accepted.items() if key not in refused}


def _refuses(error: TypeError, key: str) -> bool:
    return f"unexpected keyword argument '{key}'" in str(
        error
    ) or f"multiple values for keyword argument '{key}'" in str(error)


def _accepted(name: str, function: Callable[..., Any], offered: dict[str, int]) -> dict[str, int]:
    """Those of the offered arguments that the function takes; UsageError where it wants others."""
    try:
        signature = inspect.signature(function)
        takes_all = any(
            p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values()
        )
        accepted = {
            key: value for key, value in offered.items() if takes_all or key in signature.parameters
        }
        signature.bind(**accepted)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"--models: {name} cannot be called with image_size and num_classes alone ({error})"
        ) from error
    return accepted


def named(name: str) -> Any:
    """The function, class or module that a name stands for; runs the user's file. UsageError where there is none."""
    match = SPELLING.fullmatch(name)
    assert match is not None
    try:
        module = module_of(name, match["where"])
    except SystemExit as end:
        raise ModelFault(
            f"{match['where']} ended the program while it was imported: sys.exit({end.code!r}); take that out of it"
        ) from end
    function = getattr(module, match["function"], None)
    if not callable(function):
        found = "nothing" if function is None else f"a {type(function).__name__}"
        raise UsageError(
            f"--models: {name}: {match['where']} has {found} called {match['function']!r}; a function is needed"
        )
    if not isinstance(function, nn.Module):
        _accepted(name, function, dict.fromkeys(OFFERED, 1))
    return function


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
    path = _file(name, where)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    # Its content is part of the name: a file that was edited is imported anew.
    digest = hashlib.sha256(str(path).encode() + b"\0" + path.read_bytes()).hexdigest()[:12]
    alias = f"convmixer_bench_user_{path.stem}_{digest}"
    if alias in sys.modules:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = (
        module  # dataclasses, pickle and torch.jit.script look a class's module up there
    )
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def _file(name: str, where: str) -> Path:
    path = Path(where)
    if not path.is_file():
        raise UsageError(f"--models: {name}: there is no file {where}")
    return path.resolve()


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
    if match["where"].endswith(".py"):
        _file(name, match["where"])
    load = partial(named, name)
    return Model(
        name=name,
        family="user",
        build=partial(build, name),
        load=load,
        users=True,
        summary="your own",
    )
