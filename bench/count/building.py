"""A model built as the bench needs it: in float32, uncompiled, on one device, its lazy layers with their shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.errors import ModelFault, UsageError
from bench.plugins import Model


def build(entry: Model, *, image_size: int, num_classes: int) -> nn.Module:
    """Build a model and undo what is the bench's to decide: how it is compiled, spread and stored.

    Raises ModelFault with what to do where the model's code does not give a module or ends the program; whatever else
    its code raises passes through.
    """
    try:
        entry.load()
        model = entry.build(image_size=image_size, num_classes=num_classes)
    except SystemExit as end:
        raise ModelFault(
            f"the model's code ended the program while it was built: {ended(end)}"
        ) from end
    if not isinstance(model, nn.Module):
        raise ModelFault(
            f"{entry.name} returned a {type(model).__name__}; it has to return a torch.nn.Module"
        )
    model = unwrapped(model)
    if any(
        tensor.dtype == torch.float64
        for tensor in model.state_dict(keep_vars=True).values()
        if isinstance(tensor, torch.Tensor)
    ):
        model.float()  # a policy says what is computed in, and none says float64
    if any(
        nn.parameter.is_lazy(parameter) for parameter in (*model.parameters(), *model.buffers())
    ):
        _fill_lazy(model, image_size)
    return model


def ended(end: BaseException) -> str:
    """How code ended the program it runs in."""
    return f"sys.exit({end.code!r})" if isinstance(end, SystemExit) else type(end).__name__


def unwrapped(model: nn.Module) -> nn.Module:
    """The model without `torch.compile` and DataParallel around it or a part of it: policies say how it runs."""
    while isinstance(inner := _inside(model), nn.Module):
        model = inner
    for module in list(model.modules()):
        module.__dict__.pop("_compiled_call_impl", None)  # what nn.Module.compile() leaves
        for name, child in module.named_children():
            if _inside(child) is not None:
                setattr(module, name, unwrapped(child))
    return model


def _inside(model: nn.Module) -> Any:
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return model.module
    return (
        model._orig_mod if type(model).__name__ == "OptimizedModule" else None
    )  # its class is slow to import


def _fill_lazy(model: nn.Module, image_size: int) -> None:
    """One forward pass, which gives lazy layers their shapes."""
    was = model.training
    device = next(iter(model.parameters()), torch.empty(0)).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(2, 3, image_size, image_size, device=device))
    except UsageError:
        raise
    except Exception as error:
        raise ModelFault(
            f"its lazy layers could not be given shapes by an image of {image_size} pixels ({error})"
        ) from error
    model.train(was)
