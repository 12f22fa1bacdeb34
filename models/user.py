"""A user's own model: `./net.py:build` or `package.module:build`.

The name is that of a function, a class or a ready module. A function or class is called as
`build(image_size=..., num_classes=...)`, with those of the two arguments that it accepts, and
returns a torch module. Measuring such a model runs its code; looking the name up does not. Only a
name typed by the user runs code: one from a suite, a file of weights or a record is refused.
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
    """Call the user's function; copy a module that is named itself.

    Raises ModelFault or UsageError as `named` does.
    """
    function = named(name)
    if isinstance(function, nn.Module):
        return copy.deepcopy(function)
    accepted = _accepted(name, function, {"image_size": image_size, "num_classes": num_classes})
    while True:
        try:
            return function(**accepted)
        except TypeError as error:
            # `**kwargs` may be passed to something that accepts less, as torchvision's builders do.
            passed_on = accepted.keys() - inspect.signature(function).parameters.keys()
            refused = [key for key in passed_on if _refuses(error, key)]
            if not refused:
                raise
            for key in refused:
                del accepted[key]


def _refuses(error: TypeError, key: str) -> bool:
    reasons = ("unexpected keyword argument", "multiple values for keyword argument")
    return any(f"{reason} '{key}'" in str(error) for reason in reasons)


def _accepted(name: str, function: Callable[..., Any], offered: dict[str, int]) -> dict[str, int]:
    """Return the offered arguments that a function accepts; UsageError if it needs others."""
    try:
        signature = inspect.signature(function)
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        accepted = dict(offered)
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            for key in offered.keys() - signature.parameters.keys():
                del accepted[key]
        signature.bind(**accepted)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"--models: {name} cannot be called with image_size and num_classes alone ({error})"
        ) from error
    return accepted


def named(name: str) -> Any:
    """Return the function, class or module that a name stands for. Runs the user's file.

    Raises UsageError if there is none, and ModelFault if the file ends the program.
    """
    match = SPELLING.fullmatch(name)
    assert match is not None
    try:
        module = module_of(name, match["where"])
    except SystemExit as end:
        raise ModelFault(
            f"{match['where']} ended the program on import: sys.exit({end.code!r}); "
            "remove that from the file"
        ) from end
    function = getattr(module, match["function"], None)
    if not callable(function):
        kind = "nothing" if function is None else f"a {type(function).__name__}"
        raise UsageError(
            f"--models: {name}: {match['where']} has {kind} called {match['function']!r}; "
            "name a function, a class or a module"
        )
    if not isinstance(function, nn.Module):
        _accepted(name, function, dict.fromkeys(OFFERED, 1))
    return function


def module_of(name: str, where: str) -> ModuleType:
    """Import the user's file or module; the current folder is searched first, as by `python -m`."""
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
    # The content is part of the module's name, so that an edited file is imported again.
    digest = hashlib.sha256(str(path).encode() + b"\0" + path.read_bytes()).hexdigest()[:12]
    alias = f"convmixer_bench_user_{path.stem}_{digest}"
    if alias in sys.modules:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses, pickle and torch.jit.script look up the module of a class there.
    sys.modules[alias] = module
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
    """Return the model of a name such as `./net.py:build` or `package.module:build`, else None.

    Raises UsageError if the name was not typed by the user, or if there is no such file.
    """
    match = SPELLING.fullmatch(name)
    if match is None or name.startswith("timm:"):
        return None
    if name not in models.typed:
        raise UsageError(
            f"--models: {name} is from a file and would run code, so nothing was run; "
            "type the name on the command line to run it"
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
