"""Policies that compute something else than the model, as a package of somebody's own has them.

`install` writes the package into a folder for PYTHONPATH. Where a policy breaks a model follows
from the seed in `BREAK`, so that many runs break many places.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("drops_block", "skips_norm", "permutes_channels", "returns_last", "half_as_float")
SOURCE = '''
import os
import random

import torch
from torch import nn

from bench.measure.subject import module_of
from bench.plugins import Policy, policies

NORMS = (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm)
draw = random.Random(int(os.environ.get("BREAK", "0")))


def hooked(model, chosen, hook):
    """Put a hook on one of the chosen modules that runs and keeps the shape of its input."""
    order = draw.sample(chosen, len(chosen))
    shapes = {}

    def note(module, inputs, output):
        shapes[module] = (inputs[0].shape, output.shape)

    notes = [module.register_forward_hook(note) for module in order]
    with torch.no_grad():
        model(torch.zeros(2, 3, model.size, model.size))
    for handle in notes:
        handle.remove()
    for module in order:
        if module in shapes and shapes[module][0] == shapes[module][1]:
            module.register_forward_hook(hook)
            return
    raise AssertionError("nothing to break")


def drop_block(execution):
    model = sized(execution)
    blocks = []
    for parent in model.modules():
        if isinstance(parent, (nn.Sequential, nn.ModuleList)):
            blocks += [child for child in parent.children() if len(list(child.modules())) > 3]
    hooked(model, blocks, lambda module, inputs, output: inputs[0])


def skip_norm(execution):
    model = sized(execution)
    norms = [module for module in model.modules() if isinstance(module, NORMS)]
    hooked(model, norms, lambda module, inputs, output: inputs[0])


def permute(execution):
    model = sized(execution)
    layers = [module for module in model.modules() if isinstance(module, NORMS)]

    def roll(module, inputs, output):
        return output.roll(1, 1 if output.ndim == 4 else -1)

    hooked(model, layers, roll)


def return_last(execution):
    def stale(call):
        kept = [call()]

        def one_behind():
            kept.append(call().clone())
            return kept.pop(0)

        return one_behind

    execution.finish.append(stale)


def half(execution):
    model = module_of(execution).half()
    execution.model = lambda images: model(images.half()).float()


def sized(execution):
    model = module_of(execution)
    model.size = execution.inputs.shape[-1]
    return model


FUNCTIONS = (drop_block, skip_norm, permute, return_last, half)
for name, apply in zip(NAMES, FUNCTIONS):
    policies.add(Policy(name=name, apply=apply, order=30, slot="compiler", inference_only=True))
'''


def install(folder: Path) -> Path:
    """Write the package into a folder and return it."""
    about = folder / "wrong_policies-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "wrong_policies.py").write_text(f"NAMES = {NAMES}\n{SOURCE}")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-policies\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[convmixer_bench.policies]\nwrong_policies = wrong_policies\n"
    )
    return folder
