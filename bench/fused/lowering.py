"""Lowering of a model to fused steps: each convolution with the operations that follow it.

The model's graph is traced first. The other operations (layer norm, the mean over positions, the
classifier) run on PyTorch's own kernels and are listed below. Anything else is refused, so that
every convolution of a model that runs as "fused" runs on these kernels.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from timm.layers import LayerNorm2d, SelectAdaptivePool2d
from torch import fx, nn
from torch.nn import functional as F

from bench.fused import launch
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
    """Does not look into timm's modules, nor into PyTorch's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if type(m).__module__.startswith("timm.layers"):
            return True
        return super().is_leaf_module(m, module_qualified_name)


@dataclass(frozen=True)
class Step:
    """A convolution and the operations fused with it; the step replaces the value of `last`."""

    node: fx.Node
    last: fx.Node
    kind: type[Fused]
    convolution: nn.Conv2d
    activation: str
    norm: nn.BatchNorm2d | None
    residual: fx.Node | None


def recognise(model: nn.Module) -> tuple[fx.GraphModule, list[Step]]:
    """Return a model's graph and its steps.

    Raises:
        NotImplementedError: naming the operation that cannot be fused.
    """
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
            left = [other for other in left if other not in taken]
    for node in left:
        _keep(modules, node)
    return traced, steps


def on_kernels(model: nn.Module) -> fx.GraphModule:
    """Return the same model on the handwritten kernels, with its device and precision."""
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
    # Convert position embeddings too: adding them in another memory format would be strided.
    if next(traced.parameters()).dtype in launch.HALF:
        return traced
    return traced.to(memory_format=torch.channels_last)


def _module(modules: dict[str, nn.Module], node: fx.Node) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _step(modules: dict[str, nn.Module], node: fx.Node) -> tuple[Step, list[fx.Node]]:
    """Return the step that starts at a convolution, and all of its nodes.

    It takes the activation, batch norm and addition that follow, if no other node reads the values
    in between.
    """
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
        others = [added for added in after.args if added is not taken[-1]]
        # A residual has the size of the feature map. Parameters (position embeddings) have no batch
        # axis and stay a separate addition.
        if len(others) == 1 and isinstance(others[0], fx.Node) and others[0].op != "get_attr":
            taken.append(after)
            residual = others[0]
    return Step(node, taken[-1], kind, convolution, activation, norm, residual), taken


def _kind(convolution: nn.Conv2d, name: str) -> type[Fused]:
    """Return the class of the fused step for a convolution."""
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
    """Return "relu", "gelu", or "" for any other node."""
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
    """Raise NotImplementedError unless a node may run on PyTorch's kernels."""
    module = _module(modules, node)
    if isinstance(module, KEPT_MODULES) or (module is None and node.target in KEPT_CALLS):
        return
    what = (
        type(module).__name__
        if module is not None
        else getattr(node.target, "__name__", str(node.target))
    )
    raise NotImplementedError(
        f"fused: no kernel for {what} ({node.target if module is not None else node.name}); "
        "this policy runs ConvMixers only"
    )
