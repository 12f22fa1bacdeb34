"""Equal budgets: closed forms against real counts, and the solver against references it was not made for."""

from __future__ import annotations

import json
import random

import pytest

from bench.cli import main
from bench.errors import UsageError
from bench.matching import cost_of, match
from bench.matching_latency import match_latency
from bench.plugins import Model, families, models
from bench.worker import Job, Window

from .conftest import FakeWorkers


def shapes(family: str, number: int) -> list[tuple[Model, int]]:
    """Some of a family's small shapes, drawn at random, with an image size that fits."""
    rng = random.Random(family)
    size, patches = rng.choice([(64, [8]), (32, [4]), (96, [16])])
    listed = [
        shape
        for shape, _ in families.get(family).candidates(size, patches, free_mlp=False, reachable=lambda *shapes: True)
        if shape.width <= 96
    ]
    return [(models.get(shape.name), size) for shape in rng.sample(listed, number)]


SPELLED = [pair for family in families.names() if families.get(family).candidates for pair in shapes(family, 4)]
NAMED = [(entry, 224) for entry in models.entries() if entry.shape is not None and entry.image_size == 224]


@pytest.mark.parametrize(("entry", "size"), SPELLED + NAMED, ids=lambda value: getattr(value, "name", value))
def test_closed_forms_are_exact(entry: Model, size: int) -> None:
    cost, closed = cost_of(entry, image_size=size, num_classes=10), entry.shape.counts(size, 10)
    assert (closed.params, closed.macs) == (cost.params, cost.macs)


@pytest.mark.parametrize("entry", [entry for entry, _ in SPELLED], ids=lambda entry: entry.name)
def test_names_round_trip(entry: Model) -> None:
    assert entry.shape.name == entry.name
    assert models.get(entry.shape.name).shape == entry.shape


REFERENCES = ["convmixer_768_32", "convmixer_1024_20", "convmixer_256_8", "timm:regnety_032"]


@pytest.mark.parametrize("family", ["vit", "mixer", "resnet"])
@pytest.mark.parametrize("budget", ["params", "macs"])
@pytest.mark.parametrize("name", REFERENCES)
def test_siblings_lie_within_two_percent(name: str, budget: str, family: str) -> None:
    reference = models.get(name)
    size = reference.image_size
    found = match(reference, families.get(family), budget=budget, image_size=size, tolerance=0.02)  # type: ignore[arg-type]
    assert found.within
    target = cost_of(reference, image_size=size, num_classes=reference.num_classes)
    assert getattr(found.cost, budget) == pytest.approx(getattr(target, budget), rel=0.02)


@pytest.mark.parametrize("family", ["vit", "mixer"])
def test_holding_the_tokens_keeps_the_grid(family: str) -> None:
    reference = models.get("convmixer_1024_20")
    found = match(reference, families.get(family), budget="params", image_size=224, tolerance=0.02, hold="tokens")
    assert found.within
    assert found.cost.tokens == 256


def test_the_published_shape_is_found_again() -> None:
    """Asked for ViT-S's budget among transformers the solver answers with ViT-S."""
    found = match(models.get("vit_s16"), families.get("vit"), budget="params", image_size=224, tolerance=0.02)
    assert found.name == "vit_384_12_p16_h6_m1536"
    assert found.miss == 0


def test_what_cannot_be_met_is_said_with_the_nearest() -> None:
    reference = models.get("convmixer_256_8")
    found = match(reference, families.get("vit"), budget="params+macs", image_size=32, tolerance=0.05)
    assert not found.within
    assert 0.05 < found.miss < 0.5


def test_references_that_have_no_sibling() -> None:
    with pytest.raises(UsageError, match="--hold: the reference has no token grid"):
        match(models.get("resnet18"), families.get("vit"), budget="params", image_size=224, tolerance=0.02, hold="tokens")
    with pytest.raises(UsageError, match=r"--reference: timm:vit_7b.* times as large as the largest"):
        match(models.get("timm:vit_7b_patch16_dinov3"), families.get("resnet"), budget="params", image_size=256, tolerance=0.02)


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["match", "--reference", "convmixer_768_32", "--families", "vit", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"]["params"] == 21_110_248
    assert found["matches"][0]["within"] is True
    assert main(["match", "--reference", "convmixer_768_32", "--families", "vti"]) == 2
    assert "did you mean vit?" in capsys.readouterr().err
    assert main(["run", "--match", "vit", "--models", "vit_s16"]) == 2
    assert "add --reference" in capsys.readouterr().err


def test_equal_latency_is_searched_by_measuring() -> None:
    """On a machine whose latency is its MACs the answer lies within a step of the scaling of the reference's MACs."""

    def seconds(job: Job, window: Window) -> list[float]:
        return [models.get(job.arm.model).shape.counts(job.arm.image_size, job.arm.num_classes).macs * 1e-9]

    workers = FakeWorkers(seconds)
    reference = models.get("convmixer_1024_20")
    found = match_latency(
        reference,
        families.get("vit"),
        image_size=224,
        num_classes=1000,
        tolerance=0.1,
        device="cpu",
        policy="fp32",
        open_worker=workers.open,
    )
    assert found.within
    assert found.cost.macs == pytest.approx(5.949e9, rel=0.1)
    assert len(workers.opened) <= 9
    assert workers.alive == 0


def test_a_latency_budget_holds_no_grid(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["match", "--reference", "convmixer_digits", "--budget", "latency", "--hold", "tokens", "--device", "cpu"]
    assert main(arguments) == 2
    assert "--hold: tokens goes with a counted budget" in capsys.readouterr().err
