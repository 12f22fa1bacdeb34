"""Settings of a process that a user's code may change, and that are the bench's: read, set back, and watched.

A model file that calls `torch.set_num_threads(1)` would otherwise be measured on one thread beside a twin on all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bench.errors import ModelFault
from bench.record.schema import Scalar

Values = dict[str, Scalar]


@dataclass(frozen=True)
class Setting:
    """One setting of this process. `write` sets a value that `read` gave; None: it can be set only once."""

    read: Callable[[], Scalar]
    write: Callable[[Any], object] | None


def _attribute(path: str) -> Setting | None:
    """A flag such as `backends.cudnn.benchmark` below torch; None where this torch has none of that name."""
    *steps, name = path.split(".")
    where: Any = torch
    for step in steps:
        where = getattr(where, step, None)
    if where is None or not hasattr(where, name):
        return None
    return Setting(lambda: getattr(where, name), lambda value: setattr(where, name, value))


def _flushes_denormals() -> bool:
    """Whether this thread rounds the smallest floats to zero: torch can set that, but not tell."""
    smallest = sys.float_info.min
    return smallest / 2 == 0.0


def _set_default_device(name: str) -> None:
    torch.set_default_device(None if name == "cpu" else name)


def _autocast(device: str) -> Setting:
    return Setting(
        lambda: torch.is_autocast_enabled(device), lambda on: torch.set_autocast_enabled(device, on)
    )


# In this order they are set back: torch's older words for TF32 before the newer ones, which they change too.
_ALL: dict[str, Setting | None] = {
    "threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "default_dtype": Setting(
        lambda: str(torch.get_default_dtype()).removeprefix("torch."),
        lambda name: torch.set_default_dtype(getattr(torch, name)),
    ),
    "default_device": Setting(lambda: str(torch.get_default_device()), _set_default_device),
    "gradients": Setting(torch.is_grad_enabled, lambda on: torch._C._set_grad_enabled(on)),
    "inference_mode": Setting(torch.is_inference_mode_enabled, None),
    "detect_anomaly": Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "deterministic_algorithms": Setting(
        torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    ),
    "flush_denormal": Setting(_flushes_denormals, torch.set_flush_denormal),
    "matmul_precision": Setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "matmul_tf32": _attribute("backends.cuda.matmul.allow_tf32"),
    "cudnn_tf32": _attribute("backends.cudnn.allow_tf32"),
    "fp32_precision": _attribute("backends.fp32_precision"),
    "cudnn_fp32_precision": _attribute("backends.cudnn.fp32_precision"),
    "matmul_fp32_precision": _attribute("backends.cuda.matmul.fp32_precision"),
    "conv_fp32_precision": _attribute("backends.cudnn.conv.fp32_precision"),
    "rnn_fp32_precision": _attribute("backends.cudnn.rnn.fp32_precision"),
    "mkldnn_matmul_precision": _attribute("backends.mkldnn.matmul.fp32_precision"),
    "mkldnn_conv_precision": _attribute("backends.mkldnn.conv.fp32_precision"),
    "mkldnn_rnn_precision": _attribute("backends.mkldnn.rnn.fp32_precision"),
    "bf16_reduction": _attribute("backends.cuda.matmul.allow_bf16_reduced_precision_reduction"),
    "fp16_reduction": _attribute("backends.cuda.matmul.allow_fp16_reduced_precision_reduction"),
    "cudnn": _attribute("backends.cudnn.enabled"),
    "cudnn_benchmark": _attribute("backends.cudnn.benchmark"),
    "cudnn_deterministic": _attribute("backends.cudnn.deterministic"),
    "mkldnn": Setting(torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    "mkldnn_deterministic": _attribute("backends.mkldnn.deterministic"),
    "nnpack": Setting(torch._C._get_nnpack_enabled, torch._C._set_nnpack_enabled),
    "flash_attention": Setting(
        torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp
    ),
    "memory_efficient_attention": Setting(
        torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp
    ),
    "math_attention": Setting(
        torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp
    ),
    "cudnn_attention": Setting(
        torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp
    ),
    "autocast_cpu": _autocast("cpu"),
    "autocast_cuda": _autocast("cuda"),
}
SETTINGS: dict[str, Setting] = {
    name: setting for name, setting in _ALL.items() if setting is not None
}


def now() -> Values:
    """The settings of this process and thread as they are."""
    return {name: _read(setting) for name, setting in SETTINGS.items()}


def _read(setting: Setting) -> Scalar:
    try:
        return setting.read()
    except (
        RuntimeError
    ):  # torch refuses to tell once its older and newer words for TF32 were both used
        return "mixed"


def differing(before: Values) -> dict[str, str]:
    """The settings that are no longer as they were, each as "2, now 1"."""
    return {
        name: f"{before[name]}, now {value}"
        for name, value in now().items()
        if value != before[name]
    }


def set_back(before: Values) -> dict[str, str]:
    """Set every setting to what it was; returns what had changed. Raises ModelFault where one can't be set back."""
    changed = differing(before)
    for name in changed:
        if (write := SETTINGS[name].write) is not None:
            write(before[name])
    # Some words for TF32 change others: once more, from the first to the last.
    for name in differing(before):
        if (write := SETTINGS[name].write) is not None:
            write(before[name])
    if left := differing(before):
        raise ModelFault(
            f"{_words(left)}: the model's code sets what is the bench's and can't be set back; take it out of the code"
        )
    return changed


@contextmanager
def kept(changed: dict[str, str]) -> Iterator[None]:
    """Somebody else's code runs inside; afterwards all settings are as before. What it changed is added to `changed`."""
    before = now()
    try:
        yield
    finally:
        changed |= set_back(before)


def check(before: Values, when: str) -> None:
    """Raise ModelFault where a setting is no longer as it was."""
    if changed := differing(before):
        raise ModelFault(
            f"{_words(changed)}: the model changed this {when}, and it is the bench's to set; take it out of the code"
        )


def _words(changed: dict[str, str]) -> str:
    return ", ".join(f"{name} {values}" for name, values in changed.items())
