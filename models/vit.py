"""Vision transformers (arXiv 2010.11929) and DeiT (arXiv 2012.12877), built by timm.

`deit_s16` is the same graph as `vit_s16` under its own name; only the published weights differ.
"""

from __future__ import annotations

from functools import partial

import timm
from timm.models.vision_transformer import VisionTransformer

from bench.plugins import Model, models

from ._shape import grid


def build(name: str, *, image_size: int, num_classes: int, patch: int = 16) -> VisionTransformer:
    """timm's transformer `name` with random weights."""
    grid(image_size, patch, name=name)
    return timm.create_model(name, img_size=image_size, num_classes=num_classes)


for _name, _timm in {
    "vit_ti16": "vit_tiny_patch16_224",
    "vit_s16": "vit_small_patch16_224",
    "vit_b16": "vit_base_patch16_224",
    "deit_s16": "deit_small_patch16_224",
}.items():
    models.add(Model(name=_name, family="vit", build=partial(build, _timm), timm_name=_timm, summary=f"timm's {_timm}"))


def build_digits(*, image_size: int, num_classes: int) -> VisionTransformer:
    """Width 48, depth 3, patch 8: the quartet's transformer."""
    grid(image_size, 8, name="vit_digits")
    return VisionTransformer(img_size=image_size, patch_size=8, embed_dim=48, depth=3, num_heads=3, mlp_ratio=4.25, num_classes=num_classes)


models.add(
    Model(
        name="vit_digits",
        family="vit",
        build=build_digits,
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters on a 4 x 4 grid",
    )
)
