"""The controlled skeleton: factors change one at a time; mixers agree with timm and torch."""

from __future__ import annotations

import itertools

import pytest
import torch
from timm.models.metaformer import Pooling as TimmPooling
from timm.models.vision_transformer import Attention as TimmAttention

from bench.count.cost import cost_of
from bench.errors import UsageError
from bench.match.search import match
from bench.plugins import families, models
from bench.plugins.registry import import_room

MIXERS = ["attention", "mlp", "depthwise", "pooling", "random", "none"]
FACTORS = list(itertools.product(MIXERS, ["patch", "pyramid"], ["iso", "staged"], ["bn", "ln"]))


@pytest.mark.parametrize(("mixer", "stem", "stages", "norm"), FACTORS)
def test_every_combination_is_counted_in_closed_form_and_runs(
    mixer: str, stem: str, stages: str, norm: str
) -> None:
    entry = models.get(f"skeleton_128_6_{mixer}_{stem}_{stages}_{norm}_p8_m300")
    assert entry.shape.name == entry.name
    cost, closed = cost_of(entry, image_size=32, num_classes=10), entry.shape.counts(32, 10)
    assert (closed.params, closed.macs) == (cost.params, cost.macs)
    model = entry.build(image_size=32, num_classes=10)
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_twins_share_all_but_the_mixer_and_the_budget_is_closed_by_the_mlp() -> None:
    reference = models.get("skeleton_384_12_depthwise")
    for mixer in MIXERS:
        found = match(
            reference,
            families.get(f"skeleton_{mixer}"),
            budget="params",
            image_size=224,
            tolerance=0.02,
            hold="shape",
        )
        shape = models.get(found.name).shape
        assert found.within
        assert found.miss < 0.002
        assert (shape.width, shape.depth, shape.patch, shape.mixer) == (384, 12, 16, mixer)
        assert found.cost.tokens == 196


def module(name: str) -> type[torch.nn.Module]:
    import sys

    import_room("models")
    models.names()
    found: type[torch.nn.Module] = getattr(sys.modules["convmixer_bench_models.skeleton"], name)
    return found


def test_attention_is_timms() -> None:
    torch.manual_seed(0)
    ours, theirs = module("Attention")(64, 4), TimmAttention(64, num_heads=2, qkv_bias=True)  # type: ignore[call-arg]
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 64, 4, 4)
    expected = theirs(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


def test_pooling_is_timms() -> None:
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(module("Pooling")(8, 6)(x), TimmPooling(3)(x))  # type: ignore[call-arg]


def test_random_mixing_is_fixed_and_averages() -> None:
    torch.manual_seed(3)
    mixer = module("RandomMixing")(8, 4)  # type: ignore[call-arg]
    assert list(mixer.parameters()) == []
    torch.testing.assert_close(mixer(torch.ones(1, 8, 4, 4)), torch.ones(1, 8, 4, 4))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("skeleton_384_12_depthwise_pyramid_p14", "power of two"),
        ("skeleton_100_12_depthwise_staged", "four stages need"),
        ("skeleton_100_12_attention", "heads are 32 wide"),
        ("skeleton_384_0_mlp", "depth must be at least 1, got 0"),
    ],
)
def test_impossible_combinations(name: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        models.get(name)
