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

MIXERS = [
    "attention",
    "relative",
    "impulse",
    "mlp",
    "depthwise",
    "pooling",
    "random",
    "none",
]
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


@pytest.mark.parametrize("ends", ["_h4", "_nopos", "_within", "_across", "_h16_nopos_within"])
def test_every_end_of_a_name_is_counted_in_closed_form_and_runs(ends: str) -> None:
    entry = models.get(f"skeleton_64_2_impulse_patch_iso_ln_p4_m100{ends}")
    assert entry.shape.name == entry.name
    cost, closed = cost_of(entry, image_size=32, num_classes=10), entry.shape.counts(32, 10)
    assert (closed.params, closed.macs) == (cost.params, cost.macs)
    built(entry.name)(torch.randn(2, 3, 32, 32)).square().sum().backward()


def built(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = models.get(name).build(image_size=32, num_classes=10)
    return model


@pytest.mark.parametrize(("pixels", "window"), [("within", 4), ("across", 32)])
def test_pixels_change_places_within_their_window_and_alike_for_all_seeds(
    pixels: str, window: int
) -> None:
    images = torch.arange(2 * 3 * 32 * 32.0).reshape(2, 3, 32, 32)
    name = f"skeleton_32_1_none_p4_m8_{pixels}"
    shuffled = built(name).shuffle(images)  # type: ignore[operator]
    torch.manual_seed(1)
    again = models.get(name).build(image_size=32, num_classes=10).shuffle(images)
    assert torch.equal(shuffled, again)

    def windows(maps: torch.Tensor) -> torch.Tensor:
        found = maps.unfold(2, window, window).unfold(3, window, window)
        return found.reshape(2, 3, -1, window * window)

    before, after = windows(images), windows(shuffled)
    assert torch.equal(after.sort().values, before.sort().values)
    moved = (before != after).float().mean()
    assert moved > 0.9
    places = after[0, 0].argsort().argsort()
    distinct = {tuple(place) for place in places.tolist()}
    assert len(distinct) == len(places), "each window has its own permutation"


def test_permuted_images_are_a_permutation_of_the_first_layer() -> None:
    """Within patches the stem sees the same values, and a matching stem gives the same map."""
    plain, within = built("skeleton_32_1_none_p32_m8"), built("skeleton_32_1_none_p32_m8_within")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        weight = plain.stem.weight.flatten(2)[:, :, within.shuffle.places]  # type: ignore[union-attr,index,operator]
        within.stem.weight.copy_(weight.reshape(plain.stem.weight.shape))  # type: ignore[union-attr,operator,arg-type]
    torch.testing.assert_close(within(images), plain(images), atol=1e-5, rtol=1e-4)


def test_without_a_bias_relative_attention_is_attention() -> None:
    torch.manual_seed(0)
    plain, relative = module("Attention")(32, 4, 8), module("RelativeAttention")(32, 4, 8)  # type: ignore[call-arg]
    relative.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(2, 32, 4, 4)
    torch.testing.assert_close(relative(x), plain(x), atol=1e-6, rtol=1e-5)


def test_an_impulse_is_a_tap_of_a_convolution() -> None:
    """With contents ignored, each head shifts its map by its own tap of nine."""
    torch.manual_seed(0)
    mixer = module("ImpulseAttention")(18, 6, 9)  # type: ignore[call-arg]
    with torch.no_grad():
        mixer.qkv.weight.zero_()  # type: ignore[union-attr,operator]
        mixer.qkv.bias.zero_()  # type: ignore[union-attr,operator]
        mixer.qkv.weight[36:].copy_(torch.eye(18))  # type: ignore[index,operator]
        mixer.proj.weight.copy_(torch.eye(18))  # type: ignore[union-attr,operator]
        mixer.proj.bias.zero_()  # type: ignore[union-attr,operator]
    x = torch.randn(1, 18, 6, 6)
    found, taps = mixer(x)[..., 1:-1, 1:-1], set()
    for head in range(9):
        channel = slice(2 * head, 2 * head + 2)
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            shifted = x[:, channel].roll((-down, -right), dims=(2, 3))[..., 1:-1, 1:-1]
            if torch.allclose(found[:, channel], shifted, atol=0.02):
                taps.add((down, right))
    assert len(taps) == 9


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
    found: type[torch.nn.Module] = getattr(sys.modules["convmixer_bench_models._mixers"], name)
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
        ("skeleton_100_12_attention_h8", "cannot be divided into 8 heads"),
        ("skeleton_64_6_attention_staged_p8_h32", "cannot be divided into 32 heads"),
        ("skeleton_64_6_attention_h0", "cannot be divided into 0 heads"),
        ("skeleton_64_6_mlp_h8", "means nothing with mlp"),
        ("skeleton_384_0_mlp", "depth must be at least 1, got 0"),
    ],
)
def test_impossible_combinations(name: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        models.get(name)
