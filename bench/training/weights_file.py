"""Files of weights as they come: ours, timm's, Lightning's and others', read without running anything of them.

A torch file is a pickle, which may name any function there is. It is read by torch's weights-only loader, which builds
tensors and plain containers and refuses every other name. Trainings keep more beside the weights: command-line arguments,
paths, numpy's scalars, configurations. The names of such are let through to stand-ins that take what comes and hold nothing;
the real types are never touched.
"""

from __future__ import annotations

import functools
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta
from torch import Tensor
from torch._weights_only_unpickler import Unpickler

from bench.errors import UsageError, one_line
from bench.training import checkpoint

THINGS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|pathlib\.(_local\.)?\w*Path|datetime\.\w+|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
    r"|builtins\.(int|float|str|bool|bytes|tuple|slice|range|frozenset|object)|typing\.\w+|copyreg\._reconstructor"
    r"|numpy\.(ndarray|dtype|dtypes\.\w+|(float|int|uint)\d+|bool_?|_?core\.multiarray\.(scalar|_reconstruct))"
    r"|torch\.torch_version\.TorchVersion|omegaconf\.\w+\.(\w+)|omegaconf\.\w+|mmengine\.logging\.history_buffer\.HistoryBuffer"
)
"""Values that stand beside weights and are let go."""
MAPPINGS = re.compile(
    r"builtins\.dict|collections\.defaultdict|(\w+\.)+AttributeDict|addict\.addict\.Dict|mmengine\.config\.config\.ConfigDict"
    r"|easydict\.EasyDict|munch\.Munch|(yacs|fvcore\.common)\.config\.CfgNode"
)
"""Mappings that may hold such values, or weights; what they hold is kept."""
LISTS = re.compile(r"builtins\.list|collections\.deque")
PREFERRED = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
)
"""Entries in the order in which they are taken where there are several: a moving average first, as timm does."""
GROWTH = 2
"""How much larger the content of an archive may be than the file; torch stores tensors as they are."""
TRIES = 60
"""Names of one file that may be let through."""
MESSAGE = 1000
"""Characters of what torch's unpickler says that are looked at."""


class View(msgspec.Struct, frozen=True):
    """How a file of ours wants images shown."""

    crop: Annotated[float, Meta(gt=0, le=1)]
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[
        Annotated[float, Meta(gt=0)], Annotated[float, Meta(gt=0)], Annotated[float, Meta(gt=0)]
    ]


class Says(msgspec.Struct, frozen=True):
    """What a file of ours says of itself; nothing in anybody else's."""

    model: str | None = None
    image_size: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    view: View | None = None


@dataclass(frozen=True)
class Weights:
    """Tensors by name, with the entry of the file that they were (None: the file itself) and the other entries that have some."""

    tensors: dict[str, Tensor]
    entry: str | None = None
    others: tuple[str, ...] = ()
    says: Says = field(default_factory=Says)


def says_of(path: Path) -> Says:
    """What a file says of itself, without its tensors; UsageError where that makes no sense or there is no file."""
    _must_be_there(path)
    return Says() if path.suffix != ".safetensors" else _says(path, checkpoint.metadata(path))


def _says(path: Path, state: dict[str, Any]) -> Says:
    try:
        return msgspec.convert(state, Says)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"--checkpoint: what {path} says of itself is damaged ({one_line(error)})"
        ) from None


def weights_from(path: Path, key: str | None = None) -> Weights:
    """The weights in a file, ours or anybody's: `key` names the entry that is taken; UsageError where there are none.

    Takes safetensors, and torch files that hold a state dict or have one among their entries. Nothing in it is executed.
    """
    _must_be_there(path)
    if path.suffix == ".safetensors":
        tensors, state = checkpoint.load(path, remedy="save it again")
        content: Any = tensors
    else:
        content, state = unpickled(path), {}
    found = entries(content)
    if not found:
        raise UsageError(
            f"--checkpoint: {path} holds no state dict: names with tensors were expected, and there are {_there(content)}"
        )
    named = [name for name in found if name is not None]
    if key is not None and key not in named:
        works = (
            f"there are {', '.join(named)}"
            if named
            else "its weights lie in no entry; drop --checkpoint-key"
        )
        raise UsageError(f"--checkpoint-key: {path} has no weights in an entry {key!r}; {works}")
    taken = key or next(
        (name for name in PREFERRED if name in found), named[0] if len(named) == 1 else None
    )
    if taken is None and named:
        raise UsageError(
            f"--checkpoint: {path} has weights in {', '.join(named)}; choose with --checkpoint-key {named[0]}"
        )
    return Weights(
        found[taken], taken, tuple(name for name in named if name != taken), _says(path, state)
    )


def _must_be_there(path: Path) -> None:
    if not path.is_file():  # a pipe would be waited for
        raise UsageError(f"--checkpoint: {path} is no file")


def entries(content: Any) -> dict[str | None, dict[str, Tensor]]:
    """The state dicts in a file by the name of their entry; under None where it is one itself."""
    if is_state_dict(content):
        return {None: content}
    if not isinstance(content, dict):
        return {}
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and is_state_dict(value)
    }


def is_state_dict(value: Any) -> bool:
    """True for a mapping from names to ordinary tensors with values in them."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) and _ordinary(one) for name, one in value.items())
    )


def _ordinary(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    return value.device.type == "cpu" and not value.is_quantized and not value.is_nested


def _there(content: Any) -> str:
    """The entries of a file that is no state dict, in words."""
    if not isinstance(content, dict) or not content:
        return f"a {type(content).__name__}" if not isinstance(content, dict) else "none"
    shown = [
        f"{str(name)[:40]} ({type(value).__name__})" for name, value in list(content.items())[:6]
    ]
    return ", ".join(shown) + (f" and {len(content) - 6} more" if len(content) > 6 else "")


def unpickled(path: Path) -> Any:
    """The content of a torch file, with stand-ins for plain values; UsageError where it holds anything else."""
    let_through: dict[str, type] = {}
    while True:
        try:
            refuse_compressed(path)
            with (
                warnings.catch_warnings(),
                torch.serialization.safe_globals(list(let_through.values())),
                short_messages(),
            ):
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True)
        except UsageError:
            raise
        except Exception as error:  # whatever a file that is none makes the reader raise
            name = _refused(error)
            harmless = None if name is None or name in let_through else stand_in(name)
            if harmless is None or len(let_through) == TRIES:
                raise _refusal(path, name, error) from None
            let_through[str(name)] = harmless


@contextmanager
def short_messages() -> Iterator[None]:
    """Cut what torch's unpickler says of a bad file: torch then looks through it with patterns that take quadratic time.

    100 kB without a space kept it busy for minutes (torch 2.14).
    """
    load: Any = Unpickler.load

    def short(self: Any) -> Any:
        try:
            return load(self)
        except pickle.UnpicklingError as error:
            raise pickle.UnpicklingError(str(error)[:MESSAGE]) from None

    Unpickler.load = short  # type: ignore[method-assign]
    try:
        yield
    finally:
        Unpickler.load = load  # type: ignore[method-assign]


def refuse_compressed(path: Path) -> None:
    """UsageError for an archive that grows when it is read, beyond any limit; whatever zipfile raises for a damaged one."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
    with zipfile.ZipFile(path) as archive:
        if sum(one.file_size for one in archive.infolist()) > GROWTH * path.stat().st_size:
            raise UsageError(
                f"--checkpoint: {path} is compressed, which torch does to no weights; unpack it and save it again"
            )


def _refused(error: Exception) -> str | None:
    """The name that torch's loader refused to look up."""
    text = str(error)
    found = re.search(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL) ([\w.]+)", text)
    if found is None:
        return None
    # torch leaves `builtins.` out of its message.
    return found[1] if "." in found[1] else f"builtins.{found[1]}"


def _refusal(path: Path, name: str | None, error: Exception) -> UsageError:
    start = f"--checkpoint: {path} is refused"
    if name is not None:
        return UsageError(
            f"{start}: only tensors in plain containers are read, no pickled code, and it holds {name[:80]}; "
            "save model.state_dict() alone, or safetensors"
        )
    if "TorchScript" in str(error):
        return UsageError(
            f"{start}: a TorchScript archive is a program; save model.state_dict(), or safetensors"
        )
    if "tar" in str(error) and "legacy" in str(error):
        return UsageError(
            f"{start}: torch's .tar format of before 2017 cannot be read safely; load it with torch and save its state dict"
        )
    return UsageError(
        f"{start}: only tensors in plain containers are read, and this is no such torch file ({type(error).__name__}); "
        "save a state dict, or safetensors"
    )


@functools.cache
def stand_in(name: str) -> type | None:
    """What torch's loader may build in the place of a plain value; None for a name that may stand for more."""
    kinds = ((THINGS, Nothing), (MAPPINGS, Mapping), (LISTS, Sequence))
    kind = next((kind for names, kind in kinds if names.fullmatch(name)), None)
    if kind is None:
        return None
    module, _, own = name.rpartition(".")
    # By this name the loader finds it, in every version of torch.
    return type(own, (kind,), {"__module__": module, "__qualname__": own})


class Nothing:
    """Takes whatever a pickle gives a value, and keeps none of it."""

    def __init__(self, *_: Any) -> None: ...

    def __new__(cls, *_: Any) -> Any:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None: ...


class Mapping:
    """Is built as an ordered dictionary, which the loader fills itself."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


class Sequence:
    """Is built as a list, which the loader fills itself."""

    def __new__(cls, *_: Any) -> Any:
        return []
