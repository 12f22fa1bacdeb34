"""Set the weights that are timed: values like those of a trained model, if they are constants.

Many models start shallower than they are: the last norm of every block of a ResNet, the layer
scales of a ConvNeXt and the head of an MLP-Mixer start at or near zero, and batch norms start with
the statistics of no data. A block that adds zeros draws less power than a trained one, which on a
GPU means another clock, and it agrees with anything in any precision. Before a policy is applied,
therefore:

- Scales of norms, layers and blocks that are one constant are drawn around that constant, or around
  0.3 if it is zero or nearly so; shifts of norms are drawn around 0.
- Matrices and filters of zeros are drawn as PyTorch draws those of a linear layer.
- Batch norms that have seen no data get the statistics of what reaches them from two standard
  normal images.

Everything else stays: a user's own trained weights are timed as they are. This applies to timing
only; it changes neither the start of training nor published weights under evaluation.
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
"""Standard deviation of shifts around 0, and of scales, relative to their initial value.

A small ResNet after 21 epochs on the digits: scales that started at 1 were 0.99 ± 0.07 (0.03 to
0.10 by norm), shifts had a root mean square of 0.1 (0.04 to 0.25), and the last norms of its
blocks, which started at 0, were 0.11, 0.17, 0.36 and 0.50.
"""
GROWN, NEARLY_ZERO = 0.3, 0.5
"""A scale that starts below NEARLY_ZERO is drawn around GROWN.

Its standard deviation is a third of GROWN, and it is never below a sixth of it.
"""
IMAGES = 2
"""The number used for identities of models, so that a model that refuses two was refused before."""
TABLE = 0.02
"""Standard deviation of tables (positions, attention biases) that start at zero: the usual one."""
ENOUGH = 32
"""Values per channel for statistics of its own; with fewer, those of the whole layer are used."""
SILENT = 0.01
"""Smallest variance of a channel, as a share of the layer's mean variance.

A channel that is silent for these images would otherwise be amplified without bound for the next.
"""
SHIFTS = re.compile(r"bias|beta|shift")
CURVES = (nn.PReLU,)
"""Modules whose constants shape an activation function and are not scales."""


def as_trained(model: nn.Module, *, image_size: int, seed: int) -> dict[str, Scalar]:
    """Change a model in place; return how many tensors of each kind were set, for the record.

    `weights_scales` and `weights_shifts` count vectors, `weights_zeros` matrices, filters and
    tables that were zero, and `weights_statistics` batch norms that were given statistics. Images
    have 3 x `image_size` x `image_size` values. A seed gives the same values on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = dict.fromkeys(("weights_scales", "weights_shifts", "weights_zeros"), 0)
    with torch.no_grad():
        for module, name, parameter in _constants(model):
            kind, values = _drawn(module, name, parameter, generator)
            if kind:
                parameter.copy_(values)
                counts[kind] += 1
    images = torch.randn(IMAGES, 3, image_size, image_size, generator=generator)
    return {**counts, "weights_statistics": _take_statistics(model, images)}


def _constants(model: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield every trainable tensor that is a single repeated number, once, with its module."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_new = id(parameter) not in seen
            seen.add(id(parameter))
            if is_new and not isinstance(module, CURVES) and _is_constant(parameter):
                yield module, name, parameter


def _is_constant(parameter: Tensor) -> bool:
    if not (parameter.requires_grad and parameter.is_floating_point() and parameter.numel()):
        return False
    return bool((parameter == parameter.flatten()[0]).all())


def _drawn(
    module: nn.Module, name: str, parameter: Tensor, generator: torch.Generator
) -> tuple[str, Tensor]:
    """Return the name under which a constant tensor is counted ("" if it stays), and new values."""
    normal = torch.randn(parameter.shape, generator=generator)
    constant = float(parameter.flatten()[0])
    if _is_vector(parameter):
        if SHIFTS.search(name):
            return ("weights_shifts", SPREAD * normal) if _has_scales(module) else ("", normal)
        if parameter.numel() == 1 and constant:
            return "", normal  # a temperature or another single number of a model
        return "weights_scales", _scales_like(constant, normal)
    if constant:
        return "", normal
    layer = isinstance(module, nn.Linear) or hasattr(module, "kernel_size")
    return "weights_zeros", normal * (parameter[0].numel() ** -0.5 if layer else TABLE)


def _scales_like(constant: float, normal: Tensor) -> Tensor:
    """Return scales for a layer that started at one constant, from standard normal values."""
    if abs(constant) >= NEARLY_ZERO:
        return constant * (1 + SPREAD * normal)
    return GROWN * (1 + normal / 3).clamp(min=1 / 6)


def _is_vector(parameter: Tensor) -> bool:
    """True for (channels,), (channels, 1, 1) or a single number: at most one side exceeds 1."""
    return sum(side > 1 for side in parameter.shape) <= 1


def _has_scales(module: nn.Module) -> bool:
    """True if a module has scales and shifts, as a norm, rather than a matrix and a bias."""
    parameters = list(module.parameters(recurse=False))
    return len(parameters) > 1 and all(map(_is_vector, parameters))


def _take_statistics(model: nn.Module, images: Tensor) -> int:
    """Give every fresh batch norm the statistics of its input for `images`; return their number.

    `images` has the shape (n, 3, side, side). Norms are set in the order of the forward pass: later
    ones see the output of earlier ones with their new statistics, as in a trained model.
    """
    fresh = []
    for module in model.modules():
        if isinstance(module, _BatchNorm) and _is_fresh(module):
            fresh.append(module)
    if not fresh:
        return 0
    parameter = next(model.parameters())
    with _in_evaluation(model), torch.no_grad():
        hooks = [module.register_forward_pre_hook(_observe) for module in fresh]
        try:
            model(images.to(parameter.device, parameter.dtype))
        finally:
            for hook in hooks:
                hook.remove()
    return len(fresh)


def _is_fresh(module: Any) -> bool:
    """True if the statistics of a norm are the initial ones."""
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        return False
    return not bool(mean.any()) and bool((variance == 1).all())


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
    """Switch dropout and the like off; afterwards every module is back in its former mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
