"""ResNet (arXiv 1512.03385), built by timm."""

from __future__ import annotations

from functools import partial

import timm
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from bench.plugins import Model, models


def build(name: str, *, image_size: int, num_classes: int) -> ResNet:
    """timm's residual network `name` with random weights; it takes any image size."""
    return timm.create_model(name, num_classes=num_classes)


for _name in ("resnet18", "resnet50", "resnet152"):
    models.add(Model(name=_name, family="resnet", build=partial(build, _name), timm_name=_name, summary=f"timm's {_name}"))


def build_digits(*, image_size: int, num_classes: int) -> ResNet:
    """Stages of one basic block each behind a 3 x 3 stem of stride 1 without pooling, as small images need it."""
    channels = (8, 16, 48, 62)
    # timm's plain stem is 64 wide whatever the stages are; its deep one is 2 x stem_width, and makes room for ours.
    model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=num_classes, stem_type="deep", stem_width=4, channels=channels)
    model.conv1 = nn.Conv2d(3, channels[0], 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


models.add(
    Model(
        name="resnet_digits",
        family="resnet",
        build=build_digits,
        image_size=32,
        num_classes=10,
        summary="the digits quartet: about 100 k parameters",
    )
)
