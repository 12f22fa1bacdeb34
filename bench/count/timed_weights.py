"""The weights that are timed: where a fresh model's are nobody's, values as a training leaves them.

Many models start as shallower ones than they are: the last norm of every block of a ResNet, the layer scales of a ConvNeXt and
the head of an MLP-Mixer begin at zero or close to it, and batch norms with the statistics of nothing. A block that adds zeros
takes another power than a trained one, which on a GPU means another clock, and agrees with anything in any precision. So before a
policy is applied:

- Scales of norms, layers and blocks that are one constant are drawn around it, and around 0.3 where it is zero or nearly so;
  shifts of norms around 0.
- Matrices and filters that are all zeros are drawn as PyTorch draws a linear layer's.
- Batch norms that have seen nothing get the statistics of what reaches them from two standard normal images.

What is not a constant stays as it is: a user's own trained weights are timed as they come. Only what is timed goes through here;
trainings start, and published weights are evaluated, as they always did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.record.schema import Scalar

SPREAD = 0.1
"""Standard deviation of shifts around 0, and relative to them of scales around what they began at.

A small ResNet had these after 21 epochs on the digits: scales that began at 1 were 0.99 ± 0.07 (0.03 to 0.10 by norm), shifts were
0.1 on root mean square (0.04 to 0.25), and the last norms of its blocks, which began at 0, were 0.11, 0.17, 0.36 and 0.50.
"""
GROWN, NEARLY_ZERO = 0.3, 0.5
"""A scale that begins below the second is drawn around the first, a third of it either way and never below a sixth."""
IMAGES = 2
"""As many as an own model's identity is found out with: a model that takes no two has been refused before."""
TABLE = 0.02
"""Standard deviation of tables (positions, attention biases) that begin at zero, as most begin otherwise."""
ENOUGH = 32
"""Values of a channel from which its own statistics are taken; with fewer, those of all channels of the layer."""
SILENT = 0.01
"""Share of a layer's mean variance that a channel has at least: one that these images leave silent would else shout at the next."""
SHIFTS = re.compile(r"bias|beta|shift")
CURVES = (nn.PReLU,)
"""Constants of these are shapes of an activation function, and no scales."""


def as_trained(model: nn.Module, *, image_size: int, seed: int) -> dict[str, Scalar]:
    """Change a model in place; returns how many tensors of each kind were set, for the record.

    `weights_scales` and `weights_shifts` count drawn vectors, `weights_zeros` matrices, filters and tables that were zero,
    `weights_statistics` batch norms that were given statistics. The same seed gives the same values on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    found = dict.fromkeys(("weights_scales", "weights_shifts", "weights_zeros"), 0)
    with torch.no_grad():
        for module, name, parameter in _constants(model):
            kind, values = _drawn(module, name, parameter, generator)
            if kind:
                parameter.copy_(values)
                found[kind] += 1
    images = torch.randn(IMAGES, 3, image_size, image_size, generator=generator)
    return {**found, "weights_statistics": _take_statistics(model, images)}


def _constants(model: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Every trainable tensor, with its module, all of whose elements are one number; each once."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            usable = (
                parameter.requires_grad
                and parameter.is_floating_point()
                and parameter.numel()
                and id(parameter) not in seen
            )
            seen.add(id(parameter))
            if (
                usable
                and not isinstance(module, CURVES)
                and bool((parameter == parameter.flatten()[0]).all())
            ):
                yield module, name, parameter


def _drawn(
    module: nn.Module, name: str, parameter: Tensor, generator: torch.Generator
) -> tuple[str, Tensor]:
    """What a constant tensor is, by the name it is counted under ("": it stays), and its values."""
    normal = torch.randn(parameter.shape, generator=generator)
    constant = float(parameter.flatten()[0])
    if _is_vector(parameter):
        if SHIFTS.search(name):
            return ("weights_shifts", SPREAD * normal) if _has_scales(module) else ("", normal)
        if parameter.numel() == 1 and constant:
            return "", normal  # a temperature, or whatever else a model has one of
        return "weights_scales", _scales_like(constant, normal)
    if constant:
        return "", normal
    layer = isinstance(module, nn.Linear) or hasattr(module, "kernel_size")
    return "weights_zeros", normal * (parameter[0].numel() ** -0.5 if layer else TABLE)


def _scales_like(constant: float, normal: Tensor) -> Tensor:
    """Scales that began at one number, from standard normal ones."""
    if abs(constant) >= NEARLY_ZERO:
        return constant * (1 + SPREAD * normal)
    return GROWN * (1 + normal / 3).clamp(min=1 / 6)


def _is_vector(parameter: Tensor) -> bool:
    """Whether at most one side is longer than 1: (channels,), (channels, 1, 1), or a single number."""
    return sum(side > 1 for side in parameter.shape) <= 1


def _has_scales(module: nn.Module) -> bool:
    """Whether a module's tensors are a vector of scales with its shifts, as a norm's are, and no layer with a bias."""
    return (
        all(_is_vector(parameter) for parameter in module.parameters(recurse=False))
        and len(list(module.parameters(recurse=False))) > 1
    )


def _take_statistics(model: nn.Module, images: Tensor) -> int:
    """Give every batch norm that has seen nothing the statistics of what reaches it from `images`, the first norms first.

    Norms behind others see what comes out of those with their new statistics, as in a trained model.
    """
    fresh = {
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and _has_seen_nothing(module)
    }
    if not fresh:
        return 0
    where = next(model.parameters())
    with _in_evaluation(model), torch.no_grad():
        hooks = [module.register_forward_pre_hook(_observe) for module in fresh]
        try:
            model(images.to(where.device, where.dtype))
        finally:
            for hook in hooks:
                hook.remove()
    return len(fresh)


def _has_seen_nothing(module: Any) -> bool:
    """Whether a norm's statistics are those that it was made with."""
    mean, variance = module.running_mean, module.running_var
    return (
        mean is not None
        and variance is not None
        and not bool(mean.any())
        and bool((variance == 1).all())
    )


def _observe(module: Any, inputs: tuple[Any, ...]) -> None:
    """Set the statistics of a norm to those of its input (n, channels, ...)."""
    values = inputs[0].float().transpose(0, 1).flatten(1)
    if values.shape[1] < ENOUGH:
        values = values.flatten().expand(len(values), -1)
    variance, mean = torch.var_mean(values, dim=1, correction=0)
    module.running_mean.copy_(mean)
    module.running_var.copy_(variance.clamp(min=SILENT * float(variance.mean())))


@contextmanager
def _in_evaluation(model: nn.Module) -> Iterator[None]:
    """Without dropout and what else belongs to training; afterwards each module is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
