"""ResMLP (arXiv 2105.03404), built by timm: a mixer with a single linear layer over tokens."""

from __future__ import annotations

from functools import partial

from torch import nn

from bench.plugins import Model, models

from ._shape import grid


def build(name: str, *, image_size: int, num_classes: int, patch: int) -> nn.Module:
    """Return timm's network `name` with random weights; UsageError if the patch does not fit."""
    import timm

    grid(image_size, patch, name=name)
    return timm.create_model(name, img_size=image_size, num_classes=num_classes)


for _name, _timm, _patch in (
    ("resmlp_s12", "resmlp_12_224", 16),
    ("resmlp_s24", "resmlp_24_224", 16),
    ("resmlp_s36", "resmlp_36_224", 16),
    ("resmlp_b24", "resmlp_big_24_224", 8),
):
    models.add(
        Model(
            name=_name,
            family="mixer",
            build=partial(build, _timm, patch=_patch),
            timm_name=_timm,
            summary=f"timm's {_timm}",
        )
    )
