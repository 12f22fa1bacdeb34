"""MAC counts: one-operator networks counted by hand, the golden values, and what happens when something is missed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.counting import MacCount, count_macs
from bench.plugins import models

# parameters and GMACs at 224 x 224, 1000 classes (shared reference, computed by closed form).
GOLDEN = {
    "convmixer_1536_20": (51_625_960, 51.099),
    "convmixer_768_32": (21_110_248, 20.677),
    "convmixer_1024_20": (24_383_464, 5.949),
    "vit_s16": (22_050_664, 4.599),
    "mixer_b16": (59_880_472, 12.602),
    "resnet50": (25_557_032, 4.089),
    "timm:swin_tiny_patch4_window7_224": (None, 4.491),
    "timm:convnext_tiny": (None, 4.456),
}


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


BY_HAND = [
    (nn.Conv2d(3, 8, 3, padding=1, bias=False), 8 * 8 * 8 * 3 * 9),
    (nn.Conv2d(3, 6, 3, padding="same", groups=3), 8 * 8 * 6 * 9),
    (nn.Conv2d(3, 5, 2, stride=2), 4 * 4 * 5 * 3 * 4),
    (nn.Sequential(nn.Flatten(), nn.Linear(192, 7)), 192 * 7),
    (Attention(), 64 * 64 * 3 * 2),
    (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GELU(), nn.AdaptiveAvgPool2d(1)), 64 * 12),
    (nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4)), 64 * 12),
]


@pytest.mark.parametrize(("network", "macs"), BY_HAND, ids=[str(n) for n in range(len(BY_HAND))])
@pytest.mark.parametrize("batch", [1, 2])
def test_networks_that_can_be_counted_by_hand(network: nn.Module, macs: int, batch: int) -> None:
    counted = count_macs(network.eval(), torch.randn(batch, 3, 8, 8))
    assert counted.macs == macs * batch
    assert counted.missed == []


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_counts(name: str) -> None:
    parameters, gmacs = GOLDEN[name]
    entry = models.get(name)
    model = entry.build(image_size=224, num_classes=1000)
    if parameters is not None:
        assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    counted = count_macs(model.eval(), torch.randn(1, 3, 224, 224))
    assert counted.macs / 1e9 == pytest.approx(gmacs, abs=6e-4)
    assert counted.missed == []


def test_an_uncounted_matrix_product_is_an_error_not_a_footnote() -> None:
    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.conv1d(x.flatten(2), torch.ones(3, 3, 3)).mean() + torch.mv(torch.ones(3, 3), torch.ones(3))

    with pytest.raises(RuntimeError, match=r"mv.*went uncounted"):
        count_macs(Hidden(), torch.randn(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["aten::_convolution_mode", "aten::baddbmm", "aten::addmv", "aten::_scaled_dot_product_flash_attention"])
def test_names_that_have_to_be_counted(name: str) -> None:
    assert MacCount(0, 0, {name: 1}).missed == [name]


@pytest.mark.parametrize("name", ["aten::add", "aten::gelu", "aten::mul", "aten::mean", "aten::softmax", "aten::adaptive_avg_pool1d"])
def test_names_that_need_not_be_counted(name: str) -> None:
    assert MacCount(0, 0, {name: 1}).missed == []
