"""The effective receptive field on networks whose field is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.analysis.record_rows import accuracies_of
from bench.cli.app import main
from bench.count.effective_field import field_of, gradient_map
from bench.plugins import models
from bench.record.arms import AccuracyArm
from bench.record.arrays import read_arrays
from bench.record.store import load_folder


class Mean(nn.Module):
    """Every position of its map is the mean of the k x k pixels around it."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.mean = nn.Conv2d(3, 1, kernel, padding=kernel // 2, bias=False)
        nn.init.ones_(self.mean.weight)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.mean(x)


def test_the_field_of_a_box_is_the_box() -> None:
    gradients = gradient_map(Mean(5), torch.randn(4, 3, 33, 33))
    assert int((gradients > 0).sum()) == 25
    assert (
        gradients.max() == gradients[gradients > 0].min() == pytest.approx(3.0)
    )  # three colours, weight one
    field = field_of(gradients)
    assert (field.row, field.column) == (16.5, 16.5)
    assert field.r50 == pytest.approx(math.sqrt(2) if field.r50 < 2 else 2.0)
    assert field.r90 == pytest.approx(math.sqrt(5), abs=0.7)
    assert not field.saturated


def test_an_even_field_is_all_of_the_canvas() -> None:
    field = field_of(torch.ones(32, 32))
    assert field.share50 == field.share90 == pytest.approx(1.0)
    assert field.saturated


def test_images_with_larger_gradients_count_for_more() -> None:
    """The mean is taken before anything is normalised."""

    class Weighted(nn.Module):
        def forward_features(self, x: Tensor) -> Tensor:
            return x.square()

    images = torch.cat([torch.full((1, 3, 3, 3), 1.0), torch.full((1, 3, 3, 3), 3.0)])
    gradients = gradient_map(Weighted(), images)
    assert gradients[1, 1] == pytest.approx(3 * (2 + 6) / 2)


@pytest.mark.parametrize(
    "name",
    [
        "convmixer_digits",
        "vit_digits",
        "mixer_digits",
        "resnet_digits",
        "skeleton_64_6_attention_pyramid_p8_m64",
    ],
)
def test_every_family_can_be_asked(name: str) -> None:
    gradients = gradient_map(
        models.get(name).build(image_size=32, num_classes=10), torch.randn(2, 3, 32, 32)
    )
    assert gradients.shape == (32, 32) and gradients.sum() > 0
    field = field_of(gradients)
    assert 0 < field.row < 32 and 0 < field.r50 <= field.r90


def test_a_convmixer_sees_no_further_than_its_theory() -> None:
    entry = models.get("convmixer_16_2_k3_p2")
    assert entry.shape.field == 2 * (1 + 2 * 2)
    model = entry.build(image_size=64, num_classes=10)
    gradients = gradient_map(model, torch.randn(4, 3, 64, 64))
    rows = (gradients.sum(dim=1) > 0).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == entry.shape.field
    assert float(rows.double().mean()) + 0.5 == pytest.approx(33.0)  # the cell of position 16 of 32


def test_a_model_without_a_map_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="has no forward_features"):
        gradient_map(nn.Sequential(nn.Conv2d(3, 4, 3)), torch.randn(1, 3, 8, 8))


def test_it_is_measured_before_and_after_a_training(tmp_path: Path) -> None:
    arguments = [
        "--models",
        "convmixer_digits,vit_digits",
        "--data",
        "digits",
        "--recipe",
        "digits:epochs=1",
        "--results",
        str(tmp_path),
    ]
    assert main(["run", *arguments, "--metrics", "top1,receptive_field", "--device", "cpu"]) == 0
    records, _ = load_folder(next(tmp_path.glob("*/records")))
    found = {
        one.model: one
        for one in accuracies_of(records)
        if isinstance(one.arm, AccuracyArm) and one.arm.recipe
    }
    for one in found.values():
        assert {f"{when}_{canvas}" for when in ("before", "after") for canvas in (32, 64)} <= set(
            one.fields
        )
        maps = read_arrays(one.path, one.fields_file or "")
        assert maps["field_after_64"].shape == (64, 64)
        assert (maps["field_after_32"] != maps["field_before_32"]).any()
        assert len(one.arrays["select_top1"])  # the curves are still there
    assert (
        found["convmixer_digits"].fields["theoretical"]
        == models.get("convmixer_digits").shape.field
        == 72
    )
