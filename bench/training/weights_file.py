"""Files of weights: ours, timm's, Lightning's and others', read without running any code in them.

A torch file is a pickle, which may name any function there is. It is read by torch's weights-only
loader, which builds tensors and plain containers and refuses every other name. Training programs
save more with the weights: command-line arguments, paths, numpy scalars, configurations. Such names
are let through to stand-ins that accept and drop any content; the real types are never touched.
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
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta
from torch import Tensor
from torch._weights_only_unpickler import Unpickler

from bench.errors import UsageError
from bench.files.foreign_errors import refusing
from bench.training import checkpoint

DROPPED = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|pathlib\.(_local\.)?\w*Path|datetime\.\w+"
    r"|decimal\.Decimal|fractions\.Fraction|uuid\.UUID"
    r"|builtins\.(int|float|str|bool|bytes|tuple|slice|range|frozenset|object)"
    r"|typing\.\w+|copyreg\._reconstructor"
    r"|numpy\.(ndarray|dtype|dtypes\.\w+|(float|int|uint)\d+|bool_?"
    r"|_?core\.multiarray\.(scalar|_reconstruct))"
    r"|torch\.torch_version\.TorchVersion|omegaconf\.\w+\.(\w+)|omegaconf\.\w+"
    r"|mmengine\.logging\.history_buffer\.HistoryBuffer"
)
"""Types of values that are found next to weights and dropped."""
MAPPINGS = re.compile(
    r"builtins\.dict|collections\.defaultdict|(\w+\.)+AttributeDict|addict\.addict\.Dict"
    r"|mmengine\.config\.config\.ConfigDict"
    r"|easydict\.EasyDict|munch\.Munch|(yacs|fvcore\.common)\.config\.CfgNode"
)
"""Types of mappings that may contain such values, or weights; their content is kept."""
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
"""Entries in the order of preference: a moving average first, as timm has it."""
GROWTH = 2
"""How much larger an archive's content may be than the file; torch does not compress tensors."""
TRIES = 60
"""The most names that are let through in one file."""
MESSAGE = 1000
"""The most characters of an error of torch's unpickler."""


class StoredView(msgspec.Struct, frozen=True):
    """How the weights in a file of ours want images shown."""

    crop: Annotated[float, Meta(gt=0, le=1)]
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[
        Annotated[float, Meta(gt=0)], Annotated[float, Meta(gt=0)], Annotated[float, Meta(gt=0)]
    ]


class WeightsMetadata(msgspec.Struct, frozen=True):
    """What a file of ours says about its weights; in other files every field is None."""

    model: str | None = None
    image_size: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    view: StoredView | None = None


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and the file's `entry` that they were; None if they were the file itself.

    `others` are further entries that have weights.
    """

    tensors: dict[str, Tensor]
    entry: str | None = None
    others: tuple[str, ...] = ()
    says: WeightsMetadata = field(default_factory=WeightsMetadata)


def metadata_of(path: Path) -> WeightsMetadata:
    """Return what a file says about its weights, without reading them.

    Raises UsageError if there is no file or its metadata is damaged.
    """
    _must_be_there(path)
    if path.suffix != ".safetensors":
        return WeightsMetadata()
    return _metadata(path, checkpoint.metadata(path))


def _metadata(path: Path, state: dict[str, Any]) -> WeightsMetadata:
    def refuse(words: str) -> UsageError:
        return UsageError(
            f"--checkpoint: the metadata of {path} is damaged ({words}); save it again"
        )

    with refusing(refuse):
        return msgspec.convert(state, WeightsMetadata)


def weights_from(path: Path, key: str | None = None) -> Weights:
    """Return the weights in a file, ours or another's; `key` names the entry to take.

    Reads safetensors, and torch files that are a state dict or have one among their entries. No
    code in the file is run. Raises UsageError if there are no weights, or several to choose from.
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
            f"--checkpoint: {path} contains no state dict; names with tensors are needed, and it "
            f"has {_there(content)}"
        )
    named = [name for name in found if name is not None]
    taken = _chosen(path, named, key)
    others = tuple(name for name in named if name != taken)
    return Weights(found[taken], taken, others, _metadata(path, state))


def _chosen(path: Path, named: list[str], key: str | None) -> str | None:
    """Return the entry to take: the `key`, the preferred one or the only one; None without any."""
    if key is not None and key not in named:
        works = (
            f"it has {', '.join(named)}" if named else "its weights are in no entry; drop the flag"
        )
        raise UsageError(f"--checkpoint-key: {path} has no weights in an entry {key!r}; {works}")
    if key is not None or not named:
        return key
    for name in PREFERRED:
        if name in named:
            return name
    if len(named) > 1:
        raise UsageError(
            f"--checkpoint: {path} has weights in {', '.join(named)}; choose with --checkpoint-key "
            f"{named[0]}"
        )
    return named[0]


def _must_be_there(path: Path) -> None:
    if not path.is_file():  # a pipe would be waited for
        raise UsageError(f"--checkpoint: {path} is not a file; give a .safetensors or torch file")


def entries(content: Any) -> dict[str | None, dict[str, Tensor]]:
    """Return the state dicts in a file by their entry; under None if the file is one itself."""
    if is_state_dict(content):
        return {None: content}
    found: dict[str | None, dict[str, Tensor]] = {}
    if isinstance(content, dict):
        for name, value in content.items():
            if isinstance(name, str) and is_state_dict(value):
                found[name] = value
    return found


def is_state_dict(value: Any) -> bool:
    """True for a mapping from names to ordinary tensors with values in them."""
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(name, str) and _ordinary(tensor) for name, tensor in value.items())


def _ordinary(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    return value.device.type == "cpu" and not value.is_quantized and not value.is_nested


def _there(content: Any) -> str:
    """Describe in a few words the content of a file that has no state dict."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    if not content:
        return "none"
    shown = []
    for name, value in islice(content.items(), 6):
        shown.append(f"{str(name)[:40]} ({type(value).__name__})")
    more = f" and {len(content) - 6} more" if len(content) > 6 else ""
    return ", ".join(shown) + more


def unpickled(path: Path) -> Any:
    """Return the content of a torch file, with stand-ins for plain values.

    Raises UsageError if it contains anything else.
    """
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
        except Exception as error:  # a file that is none may cause any
            name = _refused(error)
            harmless = None if name is None or name in let_through else stand_in(name)
            if harmless is None or len(let_through) == TRIES:
                raise _refusal(path, name, error) from None
            let_through[str(name)] = harmless


@contextmanager
def short_messages() -> Iterator[None]:
    """Truncate the errors of torch's unpickler within the `with` block.

    torch searches them with patterns that take quadratic time: 100 kB without a space kept it busy
    for minutes (torch 2.14).
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
    """Raise UsageError for a compressed archive, which could grow without limit when it is read.

    A damaged archive raises the errors of zipfile.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > GROWTH * path.stat().st_size:
        raise UsageError(
            f"--checkpoint: {path} is compressed, which torch never does; unpack it and save the "
            "weights again"
        )


def _refused(error: Exception) -> str | None:
    """Return the name that torch's loader refused to look up; None if that is not the error."""
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
            f"{start}: only tensors in plain containers are read, no pickled code, and it contains "
            f"{name[:80]}; save model.state_dict() alone, or safetensors"
        )
    if "TorchScript" in str(error):
        return UsageError(
            f"{start}: a TorchScript archive is a program; save model.state_dict(), or safetensors"
        )
    if "tar" in str(error) and "legacy" in str(error):
        return UsageError(
            f"{start}: torch's .tar format of before 2017 cannot be read safely; load it with "
            "torch and save its state dict"
        )
    return UsageError(
        f"{start}: only tensors in plain containers are read, and this is not such a torch file "
        f"({type(error).__name__}); save a state dict, or safetensors"
    )


@functools.cache
def stand_in(name: str) -> type | None:
    """Return the type that torch's loader may build in place of a name; None if it may be code."""
    kinds = ((DROPPED, DroppedStandIn), (MAPPINGS, MappingStandIn), (LISTS, ListStandIn))
    for names, kind in kinds:
        if names.fullmatch(name):
            module, _, own = name.rpartition(".")
            # By this name the loader finds it, in every version of torch.
            return type(own, (kind,), {"__module__": module, "__qualname__": own})
    return None


class DroppedStandIn:
    """Accepts any content that a pickle gives a value, and drops it."""

    def __init__(self, *_: Any) -> None: ...

    def __new__(cls, *_: Any) -> Any:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None: ...


class MappingStandIn:
    """Becomes an ordered dictionary, which the loader fills itself."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


class ListStandIn:
    """Becomes a list, which the loader fills itself."""

    def __new__(cls, *_: Any) -> Any:
        return []
