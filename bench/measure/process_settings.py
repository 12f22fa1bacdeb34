"""What every measured process sets for itself, so that nothing is inherited in silence."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from bench.measure import allocator, cpu_placement, memory
from bench.record.schema import Scalar

SPINS = "10000"
"""How often a thread of GNU's OpenMP looks for work before it sleeps.

Its default spins for milliseconds: beside other load that stole up to half of the processor from the thread that had
work (ViT-S/16 at batch 4 on two cores beside two busy processes: 1.6 times slower than with this value). Sleeping at
once (OMP_WAIT_POLICY=passive) cost a quiet machine up to 60 % on small models; this value cost 0 to 5 %. Fewer cost the
same way: with 300 a quiet machine ran MobileNetV3-Small at batch 1 at 0.40 of the speed of this value, ResNet-50 at batch 4
at 0.90, while beside two busy processes it was 3.5 and 1.2 times as fast. The quiet machine decides.
"""
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def waiting(environment: MutableMapping[str, str] | None = None) -> dict[str, Scalar]:
    """Set how OpenMP waits, unless the user has; returns what holds. Has to come before the workers' server starts."""
    environment = os.environ if environment is None else environment
    if not any(name in environment for name in WAITING):
        environment["GOMP_SPINCOUNT"] = SPINS
    return {name.lower(): environment[name] for name in WAITING if name in environment}


def fix(threads: int) -> None:
    """Set in this process what PyTorch and libc would otherwise decide: threads, TF32 off everywhere, cuDNN's search on,
    freed memory kept.

    PyTorch's default has TF32 on for convolutions and off for matrix products, which favours CNNs in "float32".
    """
    import torch

    allocator.keep_freed()
    torch.set_num_threads(threads)
    tf32(False)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = False


def use_device(device: str) -> None:
    """Make a CUDA device the current one of this process: events, captures and handwritten kernels go to whichever that is."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(device)


def tf32(on: bool) -> None:
    """Allow or forbid TF32, for matrix products and convolutions alike."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def current() -> dict[str, Scalar]:
    """The flags of this process, for the record."""
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
    """From now on this process may have at most `size` bytes more than it has: of its GPU's memory, or of its own."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(
            min(1.0, size / torch.cuda.get_device_properties(device).total_memory), device
        )
        return
    import resource

    torch.ones(
        1 << 20
    ).sum()  # starts OpenMP's threads: their stacks would count, and without them the process dies
    resource.setrlimit(
        resource.RLIMIT_DATA,
        (
            (memory.of_process("VmData") if memory.STATUS.exists() else 0) + size,
            resource.getrlimit(resource.RLIMIT_DATA)[1],
        ),
    )
