"""Settings that every measured process makes explicitly instead of inheriting them."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from bench.devices import CUDA, kind_of
from bench.measure import allocator, cpu_placement, memory
from bench.record.schema import Scalar

SPINS = "10000"
"""How often a thread of GNU OpenMP polls for work before it sleeps.

By default it polls for milliseconds. Next to other programs that took up to half of a core from the
thread that had work: ViT-S/16 at batch 4 on two cores, next to two busy processes, was 1.6 times
slower than with this value. Sleeping at once (OMP_WAIT_POLICY=passive) cost up to 60 % on small
models on an idle machine; this value cost 0 to 5 %. Smaller values have the same cost: with 300, an
idle machine ran MobileNetV3-Small at batch 1 at 0.40 of the speed with this value and ResNet-50 at
batch 4 at 0.90, although next to two busy processes they were 3.5 and 1.2 times as fast. The idle
machine decides.
"""
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def waiting(environment: MutableMapping[str, str] | None = None) -> dict[str, Scalar]:
    """Set how OpenMP waits, unless the user did; return the settings.

    Call it before the server of the workers starts.
    """
    environment = os.environ if environment is None else environment
    if not any(name in environment for name in WAITING):
        environment["GOMP_SPINCOUNT"] = SPINS
    return {name.lower(): environment[name] for name in WAITING if name in environment}


def fix(threads: int) -> None:
    """Set the number of threads, TF32 off, cuDNN's kernel search on, and freed memory kept.

    PyTorch's default is TF32 for convolutions but not for matrix products, which favours CNNs in
    "float32".
    """
    import torch

    allocator.keep_freed()
    torch.set_num_threads(threads)
    tf32(False)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = False


def use_device(device: str) -> None:
    """Make a CUDA device the current one, which events, captures and handwritten kernels use."""
    if kind_of(device) is CUDA:
        import torch

        torch.cuda.set_device(device)


def tf32(on: bool) -> None:
    """Allow or forbid TF32, for matrix products and convolutions alike."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def current() -> dict[str, Scalar]:
    """Return the settings of this process, for the record."""
    import torch

    return {
        "threads": torch.get_num_threads(),
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "niceness": cpu_placement.niceness(),
        "cores_of_main_thread": cpu_placement.cores(),
    }


def limit_memory(size: int, device: str) -> None:
    """Let this process allocate at most `size` more bytes: of GPU memory, or of its own."""
    import torch

    if kind_of(device).has_own_memory:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), device)
        return
    import resource

    # Start OpenMP's threads first: their stacks count, and the process dies if they do not fit.
    torch.ones(1 << 20).sum()
    used = memory.of_process("VmData") if memory.STATUS.exists() else 0
    _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + size, hard_limit))
