"""Equal budgets: closed forms against counts, and the search on references of all kinds."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.count.cost import Cost, cost_of
from bench.errors import UsageError
from bench.match.freedom import find_remedy
from bench.match.latency import match_latency
from bench.match.search import match
from bench.match.siblings import siblings
from bench.match.target import Target
from bench.measure.messages import Job, Window
from bench.plugins import Model, families, models
from bench.record.store import load

from .conftest import FakeWorkers
from .program import bench, called


def shapes(family: str, number: int) -> list[tuple[Model, int]]:
    """Some of a family's small shapes, drawn at random, with an image size that fits."""
    rng = random.Random(family)
    size, patches = rng.choice([(64, [8]), (32, [4]), (96, [16])])
    listed = [
        shape
        for shape, _ in families.get(family).candidates(
            size, patches, free_mlp=False, reachable=lambda *shapes: True
        )
        if shape.width <= 96
    ]
    return [(models.get(shape.name), size) for shape in rng.sample(listed, number)]


SPELLED = [
    pair
    for family in families.names()
    if families.get(family).candidates
    for pair in shapes(family, 4)
]
NAMED = [
    (entry, 224)
    for entry in models.entries()
    if entry.shape is not None and entry.image_size == 224
]


@pytest.mark.parametrize(
    ("entry", "size"), SPELLED + NAMED, ids=lambda value: getattr(value, "name", value)
)
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
    found = match(
        reference,
        families.get(family),
        budget=budget,  # type: ignore[arg-type]
        image_size=size,
        tolerance=0.02,
    )
    assert found.within
    target = cost_of(reference, image_size=size, num_classes=reference.num_classes)
    assert getattr(found.cost, budget) == pytest.approx(getattr(target, budget), rel=0.02)


@pytest.mark.parametrize("family", ["vit", "mixer"])
def test_holding_the_tokens_keeps_the_grid(family: str) -> None:
    reference = models.get("convmixer_1024_20")
    found = match(
        reference,
        families.get(family),
        budget="params",
        image_size=224,
        tolerance=0.02,
        hold="tokens",
    )
    assert found.within
    assert found.cost.tokens == 256


def test_the_published_shape_is_found_again() -> None:
    """Asked for ViT-S's budget among transformers the solver answers with ViT-S."""
    found = match(
        models.get("vit_s16"), families.get("vit"), budget="params", image_size=224, tolerance=0.02
    )
    assert found.name == "vit_384_12_p16_h6_m1536"
    assert found.miss == 0


def test_what_cannot_be_met_is_said_with_the_nearest() -> None:
    reference = models.get("convmixer_256_8")
    found = match(
        reference, families.get("vit"), budget="params+macs", image_size=32, tolerance=0.05
    )
    assert not found.within
    assert 0.05 < found.miss < 0.5


def test_references_that_have_no_sibling() -> None:
    with pytest.raises(UsageError, match="--hold: resnet18 has no token grid; drop --hold"):
        match(
            models.get("resnet18"),
            families.get("vit"),
            budget="params",
            image_size=224,
            tolerance=0.02,
            hold="tokens",
        )
    with pytest.raises(
        UsageError, match=r"--reference: timm:vit_7b.* times as large as the largest"
    ):
        match(
            models.get("timm:vit_7b_patch16_dinov3"),
            families.get("resnet"),
            budget="params",
            image_size=256,
            tolerance=0.02,
        )


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["match", "--reference", "convmixer_768_32", "--families", "vit", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"]["params"] == 21_110_248
    assert found["matches"][0]["within"] is True
    assert main(["match", "--reference", "convmixer_768_32", "--families", "vti"]) == 2
    assert "did you mean vit?" in capsys.readouterr().err
    assert main(["run", "--match", "vit", "--models", "vit_s16"]) == 2
    assert "add --reference" in capsys.readouterr().err


def test_a_size_that_a_family_cannot_serve_is_moved_or_the_family_left_out(tmp_path: Path) -> None:
    """300 is not a multiple of 16, and a family without a scaling cannot be searched."""
    ended = called(
        "match",
        "--reference",
        "timm:tf_efficientnetv2_s",
        "--families",
        "vit,resnet,skeleton_none",
        cwd=tmp_path,
    )
    assert ended.code == 0, ended
    assert "Equal params · 304 × 304 px" in ended.out
    assert (
        "matched at 304 pixels, the nearest size that the reference and all families accept: "
        "300 is not" in ended.out
    )
    assert (
        "skeleton_none is left out: --match: skeleton_none has no published scaling to search"
        in ended.out
    )
    assert "vit_384_12" in ended.out and "resnet_64_3-4-6-3" in ended.out


def test_a_size_that_was_asked_for_stands_and_families_that_cannot_serve_it_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["match", "--reference", "resnet18", "--image-size", "50", "--num-classes", "10"]
    assert main([*asked, "--families", "vit,resnet"]) == 0
    out = capsys.readouterr().out
    assert "Equal params · 50 × 50 px" in out
    assert "vit is left out: --image-size: 50 is not a multiple of vit's patch of 4" in out
    assert main([*asked, "--families", "vit"]) == 2
    assert (
        capsys.readouterr().err == "bench: --image-size: 50 is not a multiple of vit's patch of 4\n"
    )


GRIDS = {
    "timm:vit_tiny_patch16_224": (196, 192, 12),
    "timm:deit_tiny_distilled_patch16_224": (196, 192, 12),
    "timm:vit_little_patch16_reg1_gap_256": (256, 320, 14),
    "timm:mixer_s32_224": (49, 512, 8),
    "timm:cait_xxs24_224": (196, 192, 24),
    "timm:xcit_nano_12_p16_224": (196, 128, 12),
    "timm:convmixer_1024_20_ks9_p14": (256, 1024, 20),
    "timm:hiera_tiny_224": (None, None, None),
    "timm:tnt_s_legacy_patch16_224": (None, None, None),
    "timm:mobilenetv3_small_050": (None, None, None),
    "timm:resnet18": (None, None, None),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_of_models_that_others_wrote(name: str) -> None:
    entry = models.get(name)
    cost = cost_of(entry, image_size=entry.image_size, num_classes=10)
    assert (cost.tokens, cost.width, cost.depth) == GRIDS[name]


@pytest.mark.parametrize("hold", ["tokens", "shape"])
def test_the_same_graph_has_the_same_siblings_whoever_named_it(hold: str) -> None:
    """timm's ViT-Ti/16 and ours; a family without a grid is left out, the others are matched."""
    ours, theirs = (
        siblings(
            name,
            ("vit", "mixer", "resnet"),
            budget="params",
            image_size=None,
            tolerance=None,
            hold=hold,
        )  # type: ignore[arg-type]
        for name in ("vit_ti16", "timm:vit_tiny_patch16_224")
    )
    assert ours.matches == theirs.matches
    assert [one.family for one in ours.matches] == ["vit", "mixer"] and ours.matches[
        0
    ].cost == ours.cost
    assert list(ours.left_out) == list(theirs.left_out) == ["resnet"]


@pytest.mark.parametrize(
    ("reference", "families", "size"),
    [("convmixer_256_8", ("vit", "resnet"), 32), ("vit_s32", ("mixer", "resnet"), 224)],
)
def test_a_missed_budget_says_what_would_close_it(
    reference: str, families: tuple[str, ...], size: int
) -> None:
    """On both axes, and the shape named as its remedy keeps the promise when it is built."""
    found = siblings(
        reference, families, budget="params+macs", image_size=None, tolerance=None, hold=None
    )
    missed = [one for one in found.matches if not one.within]
    assert missed, "nothing is missed any more: the solver found more freedom"
    for one in missed:
        assert set(one.misses) == {"params", "macs"} and one.remedy is not None
        cost = cost_of(
            models.get(one.remedy.name),
            image_size=one.remedy.image_size,
            num_classes=found.num_classes,
        )
        assert abs(cost.params / found.cost.params - 1) <= 0.05
        assert abs(cost.macs / found.cost.macs - 1) <= 0.05
        note = next(
            note for note in found.notes if note.startswith(f"{one.family} misses by params ")
        )
        assert (
            f"python -m bench describe {one.remedy.name} --image-size {one.remedy.image_size}"
            in note
        )


def test_an_mlp_ratio_beyond_the_sensible_ones_closes_a_budget() -> None:
    """The target is a transformer with an MLP ratio of 12, which needs no other freedom."""
    counted = families.get("vit").twin(192, 6, 16, 12 * 192).counts(224, 1000)  # type: ignore[misc]
    target = Target(
        cost=Cost(params=counted.params, macs=counted.macs, tokens=None),
        axes=("params", "macs"),
        image_size=224,
        num_classes=1000,
        tolerance=0.001,
    )
    remedy = find_remedy(families.get("vit"), target)
    assert remedy is not None and remedy.image_size == 224
    assert max(map(abs, remedy.misses.values())) <= 0.001


def test_siblings_are_run_at_the_size_and_classes_that_they_were_matched_at(tmp_path: Path) -> None:
    """A sibling for images of 32 pixels was measured at 224, with a thousand classes."""
    ended = bench(
        "run",
        "--reference",
        "convmixer_256_8",
        "--match",
        "vit,skeleton_none",
        "--metrics",
        "params,macs",
        cwd=tmp_path,
    )
    assert ended.code == 0, ended
    assert "skeleton_none is left out" in ended.out
    arms = {
        found.arm.model: found.arm
        for found in map(load, tmp_path.glob("results/*/records/*.count.*.jsonl"))
    }
    assert {(arm.image_size, arm.num_classes) for arm in arms.values()} == {(32, 10)}
    assert sorted(arms) == ["convmixer_256_8", "vit_64_12_p4_h1_m240"]


def test_equal_latency_is_searched_by_measuring() -> None:
    """If latency is proportional to MACs, the sibling has the reference's MACs."""

    def seconds(job: Job, window: Window) -> list[float]:
        return [
            models.get(job.arm.model).shape.counts(job.arm.image_size, job.arm.num_classes).macs
            * 1e-9
        ]

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
    arguments = [
        "match",
        "--reference",
        "convmixer_digits",
        "--budget",
        "latency",
        "--hold",
        "tokens",
        "--device",
        "cpu",
    ]
    assert main(arguments) == 2
    assert "--hold: tokens needs a counted budget" in capsys.readouterr().err
