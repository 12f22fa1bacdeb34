"""Build a model as the bench needs it: float32, uncompiled, on one device, without lazy layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.errors import ModelFault, UsageError
from bench.plugins import Model


def build(entry: Model, *, image_size: int, num_classes: int) -> nn.Module:
    """Build a model, and undo what the bench decides: compilation, parallelism and precision.

    Images have 3 x `image_size` x `image_size` values. Raises ModelFault, with advice, if the
    model's code does not return a module or ends the program; its other exceptions pass through.
    """
    try:
        entry.load()
        model = entry.build(image_size=image_size, num_classes=num_classes)
    except SystemExit as end:
        raise ModelFault(
            f"the model's code ended the program while building it: {ended(end)}"
        ) from end
    if not isinstance(model, nn.Module):
        raise ModelFault(
            f"{entry.name} returned a {type(model).__name__}; it must return a torch.nn.Module"
        )
    model = unwrapped(model)
    if _has_float64(model):
        model.float()  # the policy decides the precision, and no policy is float64
    if any(map(nn.parameter.is_lazy, (*model.parameters(), *model.buffers()))):
        _fill_lazy(model, image_size)
    return model


def ended(end: BaseException) -> str:
    """Say how code ended the program that it runs in."""
    return f"sys.exit({end.code!r})" if isinstance(end, SystemExit) else type(end).__name__


def _has_float64(model: nn.Module) -> bool:
    for tensor in model.state_dict(keep_vars=True).values():
        if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
            return True
    return False


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model without `torch.compile` and DataParallel around it or any part of it.

    Policies decide how a model runs. The model is changed in place.
    """
    while isinstance(inner := _inside(model), nn.Module):
        model = inner
    for module in list(model.modules()):
        module.__dict__.pop("_compiled_call_impl", None)  # left by nn.Module.compile()
        for name, child in module.named_children():
            if _inside(child) is not None:
                setattr(module, name, unwrapped(child))
    return model


def _inside(model: nn.Module) -> Any:
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return model.module
    # Compare the name: the class is slow to import.
    return model._orig_mod if type(model).__name__ == "OptimizedModule" else None


def _fill_lazy(model: nn.Module, image_size: int) -> None:
    """Run one forward pass, which gives lazy layers their shapes."""
    was = model.training
    device = next(iter(model.parameters()), torch.empty(0)).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(2, 3, image_size, image_size, device=device))
    except UsageError:
        raise
    except Exception as error:
        raise ModelFault(
            f"an image of {image_size} pixels could not give its lazy layers their shapes ({error})"
        ) from error
    model.train(was)
