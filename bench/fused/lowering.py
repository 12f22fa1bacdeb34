"""From a model to fused steps: its graph is traced, and every convolution taken together with what follows it.

What is left (layer norm, the mean over positions, the classifier) runs on PyTorch's own kernels and is listed below.
Anything else is refused: a model that runs under this name has none of its convolutions outside the kernels.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from timm.layers import LayerNorm2d, SelectAdaptivePool2d
from torch import fx, nn
from torch.nn import functional as F

from bench.fused.modules import Depthwise, Fused, Patches, Pointwise

KEPT_MODULES = (
    LayerNorm2d,
    nn.BatchNorm2d,
    nn.Linear,
    nn.AdaptiveAvgPool2d,
    SelectAdaptivePool2d,
    nn.Flatten,
    nn.Identity,
    nn.Dropout,
)
KEPT_CALLS: tuple[object, ...] = (operator.add, torch.flatten, "mean", "flatten")
ADDITIONS: tuple[object, ...] = (operator.add, torch.add)


class Tracer(fx.Tracer):
    """Modules of timm's are taken whole, like torch's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m).__module__.startswith("timm.layers") or super().is_leaf_module(
            m, module_qualified_name
        )


@dataclass(frozen=True)
class Step:
    """A convolution and what is taken together with it; `last` is the node whose value the step makes."""

    node: fx.Node
    last: fx.Node
    kind: type[Fused]
    convolution: nn.Conv2d
    activation: str
    norm: nn.BatchNorm2d | None
    residual: fx.Node | None


def recognise(model: nn.Module) -> tuple[fx.GraphModule, list[Step]]:
    """A model's graph and its steps; NotImplementedError names what cannot be fused."""
    try:
        graph = Tracer().trace(model)
    except Exception as error:
        raise NotImplementedError(
            f"fused: the model cannot be traced ({type(error).__name__}: {str(error)[:100]})"
        ) from error
    traced = fx.GraphModule(model, graph)
    modules = dict(traced.named_modules())
    left = [node for node in graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
    steps = []
    for node in list(left):
        if isinstance(_module(modules, node), nn.Conv2d):
            step, taken = _step(modules, node)
            steps.append(step)
            left = [one for one in left if one not in taken]
    for node in left:
        _keep(modules, node)
    return traced, steps


def on_kernels(model: nn.Module) -> fx.GraphModule:
    """The same function of images on the handwritten kernels, on the device and in the precision of the model."""
    traced, steps = recognise(model)
    made_of: dict[fx.Node, fx.Node] = {}
    for number, step in enumerate(steps):
        traced.add_module(
            f"fused_{number}", step.kind(step.convolution, step.activation, step.norm)
        )
        residual = () if step.residual is None else (made_of.get(step.residual, step.residual),)
        with traced.graph.inserting_after(step.last):
            made = traced.graph.call_module(f"fused_{number}", (*step.node.args, *residual))
        step.last.replace_all_uses_with(made)
        made_of[step.last] = made
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    # Positions that are added to a map: in its own order, else every addition would run through memory in strides.
    return traced.to(memory_format=torch.channels_last)


def _module(modules: dict[str, nn.Module], node: fx.Node) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _step(modules: dict[str, nn.Module], node: fx.Node) -> tuple[Step, list[fx.Node]]:
    """A convolution with the activation, norm and addition after it that nothing else reads, and all nodes of these."""
    convolution = modules[str(node.target)]
    assert isinstance(convolution, nn.Conv2d)
    kind = _kind(convolution, str(node.target))
    taken, activation, norm, residual = [node], "", None, None
    if (after := _only_reader(taken[-1])) is not None and (found := _activation(modules, after)):
        taken.append(after)
        activation = found
    if (after := _only_reader(taken[-1])) is not None and isinstance(
        batch_norm := _module(modules, after), nn.BatchNorm2d
    ):
        taken.append(after)
        norm = batch_norm
    if (
        (after := _only_reader(taken[-1])) is not None
        and after.op == "call_function"
        and after.target in ADDITIONS
        and not after.kwargs
    ):
        others = [one for one in after.args if one is not taken[-1]]
        # Of one size with the map: parameters (positions) are the same for a whole batch, and are left to an addition.
        if len(others) == 1 and isinstance(others[0], fx.Node) and others[0].op != "get_attr":
            taken.append(after)
            residual = others[0]
    return Step(node, taken[-1], kind, convolution, activation, norm, residual), taken


def _kind(convolution: nn.Conv2d, name: str) -> type[Fused]:
    """Which fused step a convolution is."""
    (height, width), (down, across) = convolution.kernel_size, convolution.stride
    square, steps = height == width and down == across, down
    same = convolution.padding == "same" or (
        height % 2 == 1 and convolution.padding == (height // 2, height // 2)
    )
    if square and convolution.dilation == (1, 1) and convolution.padding_mode == "zeros":
        if (
            steps == 1
            and same
            and 1 < convolution.groups == convolution.in_channels == convolution.out_channels
        ):
            return Depthwise
        unpadded = convolution.padding in ("valid", (0, 0)) or height == 1
        if convolution.groups == 1 and unpadded and height == steps:
            return Pointwise if height == 1 else Patches
    raise NotImplementedError(f"fused: no kernel for {name}, {convolution}")


def _only_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation(modules: dict[str, nn.Module], node: fx.Node) -> str:
    """relu or gelu, or nothing where a node is neither."""
    module = _module(modules, node)
    if isinstance(module, nn.ReLU) or (
        node.op == "call_function" and node.target in (F.relu, torch.relu)
    ):
        return "relu"
    if isinstance(module, nn.GELU) and module.approximate == "none":
        return "gelu"
    return (
        "gelu" if node.op == "call_function" and node.target is F.gelu and not node.kwargs else ""
    )


def _keep(modules: dict[str, nn.Module], node: fx.Node) -> None:
    """NotImplementedError unless a node may run on PyTorch's kernels."""
    module = _module(modules, node)
    if isinstance(module, KEPT_MODULES) or (module is None and node.target in KEPT_CALLS):
        return
    what = (
        type(module).__name__
        if module is not None
        else getattr(node.target, "__name__", str(node.target))
    )
    raise NotImplementedError(
        f"fused: no kernel for {what} ({node.target if module is not None else node.name}); it runs ConvMixers"
    )
