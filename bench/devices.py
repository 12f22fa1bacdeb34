"""The kinds of device that can be measured, each with its defaults: one entry per kind.

Records, plug-ins and messages name a kind by a word such as "cuda"; `kind_of` returns the kind of
any device string. Adding a kind takes an entry here, and code at the places that
tests/test_devices.py lists. Free of torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DeviceKind:
    """A kind of device, and what is done on it unless the user asks for something else."""

    name: str
    """The word in PyTorch's device strings, `--device` and records."""
    is_numbered: bool = False
    """True if a machine may have several, which are told apart as in cuda:1."""
    has_own_memory: bool = False
    """True if models take memory of the device; they take memory of the system otherwise."""

    policy: str
    """The policy of speeds unless others are asked for; studies and the report compare under it."""
    best_policies: tuple[str, ...]
    """The policies that `--policies best` chooses from, where their packages are installed."""
    training_policy: str
    """The policy of training runs without `--train-policy`."""

    batch_sizes: tuple[int, ...]
    """Images per call without `--batch-sizes`."""
    study_batch_size: int
    """Images per call in studies of speed."""
    evaluation_batch_size: int
    """Images per call when a model is evaluated on a data set."""
    selfcheck_batch_size: int
    """Images per call of `bench selfcheck`: enough to keep a GPU busy for longer than the host
    takes to launch the call. Otherwise the host would be measured, whose speed varied by a factor
    of two next to an idle H200."""

    study_scale: str = "small"
    """The scale of studies that train, without `--scale`, on data sets that have this scale."""
    noise_side: int
    """Side of the square matrices whose product `bench doctor` repeats to read the noise."""
    rate_side: int
    """Side of the square matrices whose product gives a forecast its rate, in `rate_precision`."""
    rate_precision: str = "float32"
    """A dtype of torch, by name."""


CPU = DeviceKind(
    name="cpu",
    policy="fp32",
    best_policies=(
        *("fp32", "channels_last", "compile", "channels_last+compile", "compile_frozen"),
        *("ort", "openvino"),
    ),
    training_policy="fp32",
    batch_sizes=(2,),
    study_batch_size=2,
    evaluation_batch_size=16,  # a larger one gains nothing, and the first call would take longer
    selfcheck_batch_size=16,
    noise_side=384,
    rate_side=768,
)
CUDA = DeviceKind(
    name="cuda",
    is_numbered=True,
    has_own_memory=True,
    policy="bf16",
    best_policies=(
        *("bf16", "bf16+channels_last", "bf16+compile", "bf16+channels_last+compile", "bf16+graph"),
        *("bf16+channels_last+compile+graph", "bf16+compile_max+graph"),
    ),
    training_policy="bf16+channels_last",
    batch_sizes=(1, 8, 64, 256),
    study_batch_size=64,
    evaluation_batch_size=128,
    selfcheck_batch_size=16384,
    study_scale="authors",
    noise_side=4096,
    rate_side=4096,
    rate_precision="bfloat16",
)
MPS = DeviceKind(
    name="mps",
    policy="fp32",
    best_policies=("fp32", "channels_last", "fp16"),
    training_policy="fp32",
    batch_sizes=(16,),
    study_batch_size=16,
    evaluation_batch_size=64,
    selfcheck_batch_size=64,
    noise_side=2048,
    rate_side=768,
)
KINDS = {kind.name: kind for kind in (CPU, CUDA, MPS)}
"""Every kind by its name."""


def kind_of(device: str) -> DeviceKind:
    """Return the kind of a device, such as `CUDA` of "cuda:1" and of "cuda".

    Raises ValueError if there is no such kind; `checked` is for what a user wrote.
    """
    name = device.partition(":")[0]
    if name not in KINDS:
        raise ValueError(f"no kind of device named {name!r}; there are {', '.join(KINDS)}")
    return KINDS[name]


def checked(device: str) -> str:
    """Return the value of `--device`. Raises UsageError if it names no kind of device."""
    if not is_flag(device):
        raise UsageError(f"--device: must be {choices()}, got {device!r}")
    return device


def is_flag(device: str) -> bool:
    """True if `--device` accepts the value; this machine need not have the device."""
    accepted = ["auto"]
    for kind in KINDS.values():
        accepted.append(rf"{kind.name}(:\d+)?" if kind.is_numbered else kind.name)
    return re.fullmatch("|".join(accepted), device, re.ASCII) is not None


def choices() -> str:
    """Return the values of `--device` in words: auto, cpu, cuda, cuda:N or mps."""
    words = ["auto"]
    for kind in KINDS.values():
        words += [kind.name, f"{kind.name}:N"] if kind.is_numbered else [kind.name]
    return f"{', '.join(words[:-1])} or {words[-1]}"


def pattern() -> str:
    """Return the regular expression that devices in records match."""
    return rf"^({'|'.join(KINDS)})(:[0-9]{{1,4}})?$"
