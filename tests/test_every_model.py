"""Every registered model: three counts agree, it trains, and it compiles without a graph break.

Weights are not initialised where only counts or traces matter; sizes are small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from timm.layers import set_fused_attn
from torch import nn

from bench.count.macs import count, torch_macs
from bench.plugins import Model, models

NAMES = models.names()
SKELETONS = [name for name in NAMES if models.get(name).family == "skeleton"]
SMALLEST = (
    "convmixer_512_12",
    "convmixer_768_32",
    "convmixer_digits",
    "mixer_s32",
    "mixer_digits",
    "resmlp_s12",
    "resnet18",
    "resnet50",
    "resnet_digits",
    "vit_ti32",
    "deit_ti16",
    "vit_digits",
)
"""A model of every kind of block. The others are more of these blocks, or wider ones."""


def always(names: Iterable[str]) -> list[Any]:
    """Return all models, those not named for the exhaustive mode alone."""
    often = set(names)
    return [
        name if name in often else pytest.param(name, marks=pytest.mark.exhaustive)
        for name in NAMES
    ]


def sizes(entry: Model) -> tuple[int, int]:
    """Return two small image sizes that are multiples of its patches and its coarsest cells."""
    if entry.image_size <= 32:
        return 32, 64
    for unit in (7, 8, 14, 16, 32):
        try:
            with torch.device("meta"):
                entry.build(image_size=4 * unit, num_classes=10)(
                    torch.empty(2, 3, 4 * unit, 4 * unit)
                )
                entry.build(image_size=6 * unit, num_classes=10)
        except (ValueError, RuntimeError, AssertionError):
            continue
        return 4 * unit, 6 * unit
    return entry.image_size, 2 * entry.image_size


def uninitialised(entry: Model, size: int) -> nn.Module:
    with torch.device("meta"):
        model = entry.build(image_size=size, num_classes=10)
    return model.to_empty(device="cpu").eval()


def closed_form(entry: Model, size: int) -> int | None:
    return None if entry.shape is None else entry.shape.counts(size, 10).macs


@pytest.mark.parametrize("name", always(SMALLEST))
def test_counts_agree(name: str) -> None:
    """fvcore against torch at batch 2; torch against the closed form at two sizes and batches."""
    entry = models.get(name)
    first, second = sizes(entry)
    counted = count(
        uninitialised(entry, first), torch.zeros(2, 3, first, first)
    )  # raises where the two differ
    assert counted.missed == []
    for size in (first, second):
        with torch.device("meta"):
            model = entry.build(image_size=size, num_classes=10).eval()
            one, two = (torch_macs(model, torch.empty(batch, 3, size, size)) for batch in (1, 2))
        assert two == 2 * one
        assert closed_form(entry, size) in (None, one)
        if size == first:
            assert counted.macs == two


@pytest.fixture
def unfused() -> Iterator[None]:
    set_fused_attn(False)
    yield
    set_fused_attn(True)


@pytest.mark.parametrize("name", ["vit_ti16", "deit_ti16", "vit_digits"])
def test_counts_do_not_depend_on_fused_attention(name: str, unfused: None) -> None:
    entry = models.get(name)
    size = sizes(entry)[0]
    counted = count(uninitialised(entry, size), torch.zeros(1, 3, size, size))
    assert counted.macs == closed_form(entry, size)


@pytest.mark.exhaustive
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_three_counts_agree_everywhere(name: str, fused: bool) -> None:
    """Count every model at two batches and sizes, with and without fused attention (15 minutes)."""
    entry = models.get(name)
    set_fused_attn(fused)
    try:
        for size in sizes(entry):
            model = uninitialised(entry, size)
            for batch in (1, 2):
                counted = count(model, torch.zeros(batch, 3, size, size))
                assert counted.missed == []
                if (closed := closed_form(entry, size)) is not None:
                    assert counted.macs == batch * closed
    finally:
        set_fused_attn(True)


@pytest.mark.parametrize("name", always({*SMALLEST, *SKELETONS}))
def test_it_trains_and_traces_without_a_break(name: str) -> None:
    """Forward and backward at batch 2 through dynamo with `fullgraph`, which refuses any break."""
    entry = models.get(name)
    size = sizes(entry)[0]
    with torch.device("meta"):
        model = entry.build(image_size=size, num_classes=10)
        images = torch.empty(2, 3, size, size)
    torch._dynamo.reset()
    logits = torch.compile(model, fullgraph=True, backend="eager")(images)
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all(
        parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad
    )
