"""The layer tree: parts add up to the whole."""

from __future__ import annotations

import pytest

from bench.describe import Layer, describe
from bench.matching import cost_of
from bench.plugins import models


def leaves(layer: Layer) -> list[Layer]:
    return [leaf for child in layer.children for leaf in leaves(child)] if layer.children else [layer]


@pytest.mark.parametrize("name", ["convmixer_digits", "resnet_digits", "mixer_digits", "vit_digits", "skeleton_64_6_depthwise_p8"])
def test_the_root_is_the_whole_and_convolutions_are_not_lost(name: str) -> None:
    entry = models.get(name)
    tree, cost = describe(entry, image_size=32, num_classes=10).root, cost_of(entry, image_size=32, num_classes=10)
    assert (tree.params, tree.macs) == (cost.params, cost.macs)
    inside = sum(child.macs for child in tree.children)
    assert 0.99 * cost.macs <= inside <= cost.macs
    assert sum(leaf.macs for leaf in leaves(tree)) <= cost.macs


def test_a_depthwise_layer_by_hand() -> None:
    tree = describe(models.get("convmixer_digits"), image_size=32, num_classes=10).root
    depthwise = next(leaf for leaf in leaves(tree) if leaf.kind == "Conv2d" and leaf.params == 128 * 9 + 128)
    assert depthwise.macs == 128 * 9 * 16
    assert depthwise.shapes == ((128, 4, 4),)
