"""Batch norms folded into the convolution or linear layer before them, by PyTorch's own fusion."""

from __future__ import annotations

from torch import nn
from torch.fx import GraphModule

from bench.measure.subject import Execution, module_of
from bench.plugins import Policy, policies

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def apply(execution: Execution) -> None:
    """Fold batch norms; raises NotImplementedError if none can be folded."""
    from torch.fx import symbolic_trace
    from torch.fx.experimental.optimization import fuse

    model = module_of(execution)
    try:
        had, folded = norms(symbolic_trace(model)), fuse(model)
    except Exception as error:
        raise NotImplementedError(
            f"fold_bn: the model cannot be traced ({type(error).__name__}: {str(error)[:100]})"
        ) from error
    if norms(folded) == had:
        raise NotImplementedError(
            f"fold_bn: none of its {had} batch norms directly follows a convolution or linear layer"
        )
    execution.model = folded


def norms(traced: nn.Module) -> int:
    """Return how many batch norms a traced model runs, as modules or as functions."""
    assert isinstance(traced, GraphModule)
    modules = dict(traced.named_modules())
    number = 0
    for node in traced.graph.nodes:
        if node.op == "call_module":
            number += isinstance(modules.get(str(node.target)), NORMS)
        else:
            number += node.target is nn.functional.batch_norm
    return number


policies.add(
    Policy(
        name="fold_bn",
        apply=apply,
        order=5,  # before the cast, because folding in half precision would round the weights
        slot="batch norm",
        inference_only=True,
        summary="batch norms folded into the layer before them",
    )
)
