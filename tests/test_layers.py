"""Time and multiply-adds by layer: parts sum to the whole, and layers are named by their work."""

from __future__ import annotations

import torch
from torch import nn

from bench.metrics._layers import costs, kind_of, macs, times
from bench.plugins import models

from .conftest import FakeClock


class Inner(nn.Module):
    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clock.spend(self.seconds)
        return x


class Outer(nn.Module):
    """Two layers inside, and work of its own."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.first, self.second, self.clock = Inner(clock, 2.0), Inner(clock, 3.0), clock

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clock.spend(0.5)
        return self.second(self.first(x))


def test_a_modules_own_time_is_without_its_childrens() -> None:
    clock = FakeClock()
    model = Outer(clock)
    found = times(model, lambda: model(torch.zeros(1)), clock, 4)
    assert found == {"": 0.5, "first": 2.0, "second": 3.0}
    assert list(found) == ["", "first", "second"]
    assert not model._forward_hooks
    assert not model.first._forward_pre_hooks


def test_kinds() -> None:
    assert kind_of(nn.Conv2d(8, 8, 9, groups=8)) == "depthwise convolution"
    assert kind_of(nn.Conv2d(8, 16, 1)) == "pointwise convolution"
    assert kind_of(nn.Conv2d(3, 16, 7, stride=7)) == "convolution"
    assert kind_of(nn.Linear(3, 3)) == "linear"
    assert kind_of(nn.BatchNorm2d(3)) == kind_of(nn.LayerNorm(3)) == "normalisation"
    assert kind_of(nn.GELU()) == "activation"
    assert kind_of(nn.MaxPool2d(2)) == "pooling"
    assert kind_of(nn.Identity()) == "rest"


def test_layers_sum_to_the_model() -> None:
    for name in ("convmixer_16_2_k3_p8", "vit_64_2_p8_h1_m128", "resnet_16_1-1-1-1_basic_s3"):
        entry = models.get(name)
        model = entry.build(image_size=32, num_classes=10).eval()
        counted = macs(model, lambda model=model: model(torch.zeros(1, 3, 32, 32)))  # type: ignore[misc]
        assert sum(counted.values()) == entry.shape.counts(32, 10).macs
        with torch.inference_mode():
            found = costs(
                model,
                times(model, lambda model=model: model(torch.zeros(1, 3, 32, 32)), FakeClock(), 1),
                counted,
            )  # type: ignore[misc]
        kinds = {one.kind for one in found if one.macs}
        assert "rest" not in kinds, [one for one in found if one.macs and one.kind == "rest"]
