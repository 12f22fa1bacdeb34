"""MLP-Mixer (arXiv 2105.01601), built by timm."""

from __future__ import annotations

from functools import partial

import timm
from timm.models.mlp_mixer import MlpMixer

from bench.plugins import Model, models

from ._shape import grid


def build(name: str, *, image_size: int, num_classes: int, patch: int = 16) -> MlpMixer:
    """timm's mixer `name` with random weights."""
    grid(image_size, patch, name=name)
    return timm.create_model(name, img_size=image_size, num_classes=num_classes)


for _name, _timm in {"mixer_s16": "mixer_s16_224", "mixer_b16": "mixer_b16_224"}.items():
    models.add(Model(name=_name, family="mixer", build=partial(build, _timm), timm_name=_timm, summary=f"timm's {_timm}"))


def build_digits(*, image_size: int, num_classes: int) -> MlpMixer:
    """Width 64, depth 3, patch 8: the quartet's mixer."""
    grid(image_size, 8, name="mixer_digits")
    return MlpMixer(img_size=image_size, patch_size=8, embed_dim=64, num_blocks=3, mlp_ratio=(0.5, 3.25), num_classes=num_classes)


models.add(
    Model(
        name="mixer_digits",
        family="mixer",
        build=build_digits,
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters on a 4 x 4 grid",
    )
)
