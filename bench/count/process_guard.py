"""Guard the settings of a process that are the bench's to make and that a user's code may change.

Otherwise a model file that calls `torch.set_num_threads(1)` would be measured on one thread, next
to a model on all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bench.errors import ModelFault
from bench.record.schema import Scalar

Values = dict[str, Scalar]


@dataclass(frozen=True)
class Setting:
    """A setting of this process. `write` restores a value from `read`; None if nothing can."""

    read: Callable[[], Scalar]
    write: Callable[[Any], object] | None


def _attribute(path: str) -> Setting | None:
    """Return a flag below torch, such as `backends.cudnn.benchmark`; None if there is none."""
    *steps, name = path.split(".")
    where: Any = torch
    for step in steps:
        where = getattr(where, step, None)
    if where is None or not hasattr(where, name):
        return None
    return Setting(lambda: getattr(where, name), lambda value: setattr(where, name, value))


def _flushes_denormals() -> bool:
    """True if this thread rounds the smallest floats to zero; torch can set but not read that."""
    smallest = sys.float_info.min
    return smallest / 2 == 0.0


def _set_default_device(name: str) -> None:
    torch.set_default_device(None if name == "cpu" else name)


def _autocast(device: str) -> Setting:
    return Setting(
        lambda: torch.is_autocast_enabled(device), lambda on: torch.set_autocast_enabled(device, on)
    )


# In the order of restoring: torch's older names for TF32 first, since they change the newer ones.
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
    """Return the current settings of this process and thread."""
    return {name: _read(setting) for name, setting in SETTINGS.items()}


def _read(setting: Setting) -> Scalar:
    try:
        return setting.read()
    except RuntimeError:
        # torch refuses to read TF32 settings after both the older and the newer names were used.
        return "mixed"


def differing(before: Values) -> dict[str, str]:
    """Return the settings that have changed since `before`, each as "2, now 1"."""
    differences = {}
    for name, value in now().items():
        if value != before[name]:
            differences[name] = f"{before[name]}, now {value}"
    return differences


def set_back(before: Values) -> dict[str, str]:
    """Restore all settings to `before` and return those that had changed.

    Raises ModelFault if one cannot be restored.
    """
    changed = differing(before)
    _restore(changed, before)
    # Some names for TF32 change others, so restore again what differs now.
    _restore(differing(before), before)
    if left := differing(before):
        raise ModelFault(
            f"{_words(left)}: the model's code changed a setting of the bench that cannot be "
            "restored; remove that from the code"
        )
    return changed


def _restore(names: Iterable[str], before: Values) -> None:
    for name in names:
        write = SETTINGS[name].write
        if write is not None:
            write(before[name])


@contextmanager
def kept(changed: dict[str, str]) -> Iterator[None]:
    """Run a user's code inside, then restore all settings; `changed` collects what it changed."""
    before = now()
    try:
        yield
    finally:
        changed |= set_back(before)


def check(before: Values, when: str) -> None:
    """Raise ModelFault if a setting has changed since `before`."""
    if changed := differing(before):
        raise ModelFault(
            f"{_words(changed)}: the model changed this {when}, but the bench sets it; "
            "remove that from the code"
        )


def _words(changed: dict[str, str]) -> str:
    return ", ".join(f"{name} {values}" for name, values in changed.items())
