"""Count the smallest model of each of timm's modules by both counters.

    python -m tests.by_hand.counts_of_timm [MOST_PARAMETERS]

A line per model: parameters, MACs and activations for one image of its own size, or the reason why
there are none. At the end the totals: how many agree, and why the others do not. Models above 100
million parameters are named and left out unless MOST_PARAMETERS says otherwise. Expect a quarter of
an hour on one core: a third of it builds every model once on the meta device to find the smallest.
"""

from __future__ import annotations

import gc
import sys
import warnings

import timm
import torch

from bench.count.macs import count
from bench.errors import one_line
from bench.plugins import models


def smallest() -> dict[str, tuple[int, str]]:
    """Return, by timm's module, parameters and name of the smallest model.

    Only models that can be built on the meta device count.
    """
    found: dict[str, tuple[int, str]] = {}
    for name in timm.list_models():
        module = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
        try:
            with torch.device("meta"):
                params = sum(
                    parameter.numel() for parameter in timm.create_model(name).parameters()
                )
        except Exception as error:
            print(f"{name}: not built on the meta device: {one_line(error)}")
            continue
        found[module] = min(found.get(module, (params, name)), (params, name))
    return found


def main(most: float) -> None:
    """Count them all."""
    refused: dict[str, str] = {}
    counted = 0
    for params, name in smallest().values():
        if params > most:
            refused[name] = f"{params:,} parameters, left out here"
            continue
        entry = models.get(f"timm:{name}")
        try:
            model = entry.build(image_size=entry.image_size, num_classes=entry.num_classes).eval()
            found = count(model, torch.randn(1, 3, entry.image_size, entry.image_size))
            print(
                f"{name} {entry.image_size} px: {params:,} parameters, {found.macs:,} MACs, "
                f"{found.activations:,} activations",
                flush=True,
            )
            counted += 1
        except Exception as error:
            refused[name] = f"{type(error).__name__}: {one_line(error, 200)}"
        gc.collect()
    for name, reason in refused.items():
        print(f"{name}: {reason}")
    print(f"{counted} counted, {len(refused)} not")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1e8)
