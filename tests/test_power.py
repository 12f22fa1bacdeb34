"""What a study can tell is said before it is run, and holds in draws."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from math import inf, isfinite
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench.claims import spread
from bench.claims.evidence import OWN, Evidence, nothing_measured
from bench.claims.power import Power, Resolution, power_of
from bench.claims.rules import Finding, judge, resolvable
from bench.claims.scales import CIFAR10_SMALL, DIGITS, Scale
from bench.claims.spread import FREEDOM, HERE, RECORDS, SeedSpread, Spread, pooled, spread_at
from bench.plugins import Study, studies
from bench.record.store import Record
from bench.run.session import Session
from bench.run.study_plan import open_trainings, outlook
from bench.run.study_queue import Queue
from bench.stats.intervals import difference
from bench.stats.seed_variance import CommonVariance, Seeds, common_variance

from . import synthetic
from .conftest import FakeWorkers, Silent
from .program import Ended, bench, called

SEED, DRAWS = 26, 400
SPREAD = 0.6
"""Points between seeds in all draws."""


def known(scale: Scale, points: float = SPREAD) -> SeedSpread:
    """A spread that needs no records."""
    return SeedSpread(replace(scale, spread=points), [])


class Drawn(Evidence):
    """Training runs whose top-1 is normal around one level, anew for each `number`."""

    def __init__(self, seeds: int, number: int) -> None:
        super().__init__(nothing_measured("cpu").summary)
        self.seeds, self.number = seeds, number
        self.groups: dict[str, list[float]] = {}
        self.common: CommonVariance | None = None

    def top1(self, model: str, data: str, recipe: str, **how: str) -> list[float]:
        key = f"{SEED} {self.number} {model} {recipe} {sorted(how.items())}"
        draw = random.Random(key)
        self.groups[key] = [draw.gauss(50.0, SPREAD) for _ in range(self.seeds)]
        return Seeds(self.groups[key], self.common)

    def judged(self, study: Study, scale: Scale) -> list[Finding]:
        """Return the study's findings, with the common variance of all that it asks for."""
        list(study.judge(self, scale))
        self.common = common_variance(self.groups.values())
        return list(study.judge(self, scale))


def placed(finding: Finding, tells: float | None) -> Finding:
    """Return a drawn finding whose true effect is `tells` inside its region; None: on its end.

    A region with two ends is made twice `tells` wide around an effect of nothing.
    """
    assert finding.effect is not None
    low, high = finding.region
    if tells is not None and isfinite(low) and isfinite(high):
        return replace(finding, region=(-tells, tells))
    end, inwards = (low, 1.0) if isfinite(low) else (high, -1.0)
    shift = end + inwards * (tells or 0.0)
    return replace(finding, effect=replace(finding.effect, value=finding.effect.value + shift))


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        ("kernel_accuracy", 3),
        ("patch_accuracy", 2),
        ("block_choices", 3),
        ("recipe_ingredients", 5),
        ("patches_or_attention", 2),
        ("ranking_stability", 3),
        ("data_scaling", 3),
    ],
)
def test_what_seeds_are_said_to_tell_is_decided_in_eight_draws_of_ten(
    name: str, seeds: int
) -> None:
    """The other deciding effects lie on their regions' ends, so that Holm takes its full toll."""
    study, scale = studies.get(name), replace(CIFAR10_SMALL, seeds=seeds, replicates=seeds)
    power = power_of(study, scale, "cpu", known(scale))
    draws = [Drawn(seeds, number).judged(study, scale) for number in range(DRAWS)]
    for effect in power.effects:
        decided = sum(is_decided(draw, effect) for draw in draws)
        share = decided / DRAWS
        print(f"{effect.what}: {share:.1%} of {DRAWS} draws, seed {SEED}, {seeds} training seeds")
        # The standard error of a share of 0.8 is 0.02 in 400 draws.
        assert 0.74 <= share <= 0.86


def is_decided(draw: list[Finding], effect: Resolution) -> bool:
    """True if a drawn effect is decided that is as large as the study is said to tell."""
    moved = []
    for finding in draw:
        if finding.primary:
            moved.append(placed(finding, effect.tells if finding.what == effect.what else None))
    [found] = [one for one in judge(moved) if one.finding.what == effect.what]
    return found.outcome in ("supported", "contradicted")


def test_the_seeds_that_would_do_are_the_fewest() -> None:
    study, spread = studies.get("recipe_ingredients"), known(CIFAR10_SMALL)

    def at(seeds: int) -> Power:
        scale = replace(CIFAR10_SMALL, seeds=seeds, replicates=seeds)
        return power_of(study, scale, "cpu", spread)

    planned = at(3)
    assert planned.short and planned.needed is not None
    assert not at(planned.needed).short and at(planned.needed).needed == planned.needed
    assert at(planned.needed - 1).short


@pytest.mark.parametrize("scale", [DIGITS, CIFAR10_SMALL], ids=lambda scale: scale.key)
@pytest.mark.parametrize(
    "name", [study.name for study in studies.entries() if study.trains], ids=str
)
def test_every_study_that_trains_has_a_power(name: str, scale: Scale) -> None:
    power = power_of(studies.get(name), scale, "cpu", known(scale))
    assert power.seeds in (scale.seeds, scale.replicates)
    assert all(effect.interest >= 0 for effect in power.effects)


# The spread


def trained(scale: Scale, values: dict[str, list[float]]) -> list[Record]:
    """Records of training runs with their top-1 in points, by model."""
    records = []
    for model, points in values.items():
        for seed, value in enumerate(points):
            records.append(
                synthetic.training(model, seed, value, data=scale.data, recipe=scale.recipe)
            )
    return records


def test_the_spread_is_pooled_within_configurations() -> None:
    assert pooled([[1.0, 3.0], [10.0, 14.0]] * FREEDOM, "it") == Spread(5**0.5, 2 * FREEDOM, "it")
    assert pooled([[1.0, 3.0]] * (FREEDOM - 1) + [[5.0]], "it") is None


def test_the_spread_comes_from_records_here_then_from_all_then_is_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale = CIFAR10_SMALL
    known_here = spread_at(scale, [], tmp_path, tmp_path / "mine").points
    assert known_here.source == RECORDS and known_here.freedom >= FREEDOM, "those of this project"
    monkeypatch.setattr(spread, "ROOT", tmp_path)
    models = list(scale.family.values())
    few = trained(scale, {models[0]: [60.0, 61.0]})
    many = trained(scale, {name: [60.0, 61.0, 62.0, 63.0] for name in models})
    other = trained(replace(DIGITS, data="digits"), {models[0]: [10.0, 90.0] * 10})
    assumed = spread_at(scale, [*few, *other], tmp_path, tmp_path / "mine")
    assert assumed.points == Spread(scale.spread, 0, "assumed") and assumed.points.assumed
    here = spread_at(scale, many, tmp_path, tmp_path / "mine")
    assert here.points.source == HERE and here.points.freedom == 12
    assert here.points.value == pytest.approx((5 / 3) ** 0.5)


def test_an_unsteady_change_of_recipe_widens_no_other_interval() -> None:
    """With ten configurations or more, a recipe's seeds are known from its own runs."""
    scale = CIFAR10_SMALL
    models = [f"convmixer_{width}_6_k5_p4" for width in range(32, 32 + OWN)]
    steady = trained(scale, {name: [60.0, 60.5, 61.0] for name in models})
    changed = replace(scale, recipes={"changed": f"{scale.recipe}:learning_rate=0.05"})
    unsteady = trained(changed, {name: [40.0, 50.0, 60.0] for name in models[:4]})

    def error(records: list[Record], recipe: str) -> float:
        summary = replace(nothing_measured("cpu").summary, accuracies=spread_at_home(records).here)
        left, right = (Evidence(summary).top1(name, scale.data, recipe) for name in models[:2])
        effect = difference(left, right)
        assert effect is not None
        return effect.error

    assert error([*steady, *unsteady], scale.recipe) == error(steady, scale.recipe)
    assert error([*steady, *unsteady], changed.recipe) > 5
    # Nine say less than all changes of the recipe together.
    few = [record for record in steady if record.arm.model != models[-1]]
    assert error([*few, *unsteady], scale.recipe) > 1.1 * error(few, scale.recipe)
    both = spread_at_home([*steady, *unsteady])
    assert both.of(scale.recipe).value == pytest.approx(0.5) and both.points == both.of(
        scale.recipe
    )
    assert both.of(changed.recipe).value > 2


def spread_at_home(records: list[Record]) -> SeedSpread:
    """What one machine's records say; there are no others."""
    return replace(spread_at(CIFAR10_SMALL, records, Path("x"), Path("x/y")), sources=list)


def test_two_seeds_tell_what_the_records_beside_them_let_them_tell() -> None:
    """A study of four networks borrows from the scale's other runs, as its verdict does."""
    scale = replace(CIFAR10_SMALL, seeds=2, replicates=2)
    study = studies.get("kernel_accuracy")
    alone = power_of(study, scale, "cpu", known(scale, 0.5)).worst.tells
    models = [f"convmixer_{width}_6_k5_p4" for width in range(32, 32 + 2 * OWN)]
    records = trained(scale, {name: [60.0, 60.0 + 0.5 * 2**0.5] for name in models})
    beside = power_of(study, scale, "cpu", spread_at_home(records)).worst.tells
    assert alone is not None and beside is not None
    assert beside < 2.5 < 4 < alone


def test_a_diverged_seed_does_not_hide_the_spread() -> None:
    scale = CIFAR10_SMALL
    records = trained(
        scale, {name: [60.0, 61.0, 62.0, 63.0, 10.0] for name in scale.family.values()}
    )
    assert spread_at(scale, records, Path("x"), Path("x/y")).points.value < 2


def test_ratios_are_not_told_before_there_are_seeds_of_them() -> None:
    """A spread is assumed for top-1 only; the radii of receptive fields have none yet."""
    power = power_of(studies.get("receptive_field"), CIFAR10_SMALL, "cpu", known(CIFAR10_SMALL))
    assert power.worst.tells is None and power.unknown and not power.short


# As users see it


def pictures(folder: Path) -> Path:
    """CIFAR-10 as folders of images, 20 per class, random."""
    draw = torch.Generator().manual_seed(0)
    for split in ("train", "test"):
        for name in "abcdefghij":
            (folder / split / name).mkdir(parents=True)
            for number in range(20):
                values = torch.randint(256, (32, 32, 3), dtype=torch.uint8, generator=draw)
                path = folder / split / name / f"{number}.png"
                Image.fromarray(values.numpy()).save(path)
    return folder


def test_trainings_are_counted_once_and_finished_ones_are_not_open(tmp_path: Path) -> None:
    """Two studies share a ConvMixer; both need the data set's two baselines."""
    workers = FakeWorkers(lambda job, window: [0.9])
    session = Session.start(tmp_path, "cpu", Silent(), workers.open, now=workers.clock.now)
    queue = Queue(session, "digits", 0)
    asked = [studies.get("kernel_accuracy"), studies.get("block_choices")]
    surveyed = queue.survey(asked)
    before = outlook(queue, asked, surveyed)
    assert [(plan.trainings, plan.open) for plan in before.plans] == [(12, 12), (12, 12)]
    assert len(open_trainings(surveyed)) == 3 * (4 + 3)
    assert before.seconds < sum(entry.seconds for entry in surveyed)
    queue.run(queue.entries(asked[:1]), None)
    after = outlook(queue, asked, queue.survey(asked))
    assert [(plan.trainings, plan.open) for plan in after.plans] == [(12, 0), (12, 9)]
    assert after.plans[0].seconds == 0 < after.plans[1].seconds < before.plans[1].seconds
    assert after.short == []  # digits decide nothing


SMALL = ("--dry-run", "--scale", "small", "--data")


def rows_of(ended: Ended) -> dict[str, list[str]]:
    """The cells of the table of studies, by study."""
    assert ended.code == 0, ended
    table = ended.out.split("\nStudies\n")[1].splitlines()
    rows = {}
    for line in table[1:]:
        words = line.split()
        if words and words[0] in studies.names():
            assert len(line) <= 80
            rows[words[0]] = words
    return rows


def test_a_dry_run_says_what_a_study_takes_and_tells(tmp_path: Path) -> None:
    data = f"cifar10:{pictures(tmp_path / 'data')}"
    env = {"COLUMNS": "80", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    ended = bench("study", "run", "tuning", *SMALL, data, cwd=tmp_path, limit=600, env=env)
    # Twelve as they are, 28 trials, and twelve at the rates that those will find.
    assert rows_of(ended)["tuning"][1:3] == ["52", "52"]
    said = " ".join(ended.out.split())
    assert re.search(r"0\.\d+ points of top-1, from the records of all machines \(\d+ deg", said)
    assert "tuning: 3 seeds tell " in said and "--seeds " in said
    timed = called("study", "run", "kernel_speed", *SMALL, data, cwd=tmp_path)
    row = rows_of(timed)["kernel_speed"]
    assert row[1:3] == ["-", "-"] and row[-3:] == ["-"] * 3
    assert "none of these studies trains anything" in timed.out


@pytest.mark.exhaustive
def test_a_dry_run_has_a_row_for_every_study(tmp_path: Path) -> None:
    data = f"cifar10:{pictures(tmp_path / 'data')}"
    env = {"COLUMNS": "80", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    ended = bench("study", "run", "all", *SMALL, data, cwd=tmp_path, limit=900, env=env)
    assert rows_of(ended).keys() == set(studies.names())


def test_a_run_begins_with_what_it_cannot_tell(tmp_path: Path) -> None:
    """A minute is what the report takes, so that nothing is begun."""
    data = f"cifar10:{pictures(tmp_path / 'data')}"
    ended = bench(
        *("study", "run", "recipe_ingredients", "--data", data, "--scale", "small"),
        *("--max-minutes", "1"),
        cwd=tmp_path,
        limit=600,
        env={"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert ended.code == 0, ended
    said = ended.out.splitlines()[0]  # above everything else
    assert said.startswith("recipe_ingredients: 3 seeds tell ")
    assert "not the smallest effect of interest, 0.50 points; --seeds " in said


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_power_under_a_verdict_holds_for_few_seeds(seeds: int) -> None:
    """1,000 draws with a true spread of 1: what is said to be decided is, in eight of ten.

    The statement rests on the spread of its own draw, which is right on average.
    """
    draw = random.Random(seeds)
    said, decided = [], 0
    true_error = (2 / seeds) ** 0.5
    for _ in range(1000):
        nothing = _pair(draw, seeds, 0.0)
        [by] = resolvable(judge([nothing])).values()
        assert nothing.effect is not None
        said.append(by / nothing.effect.error)
    assert max(said) - min(said) < 1e-6, "a multiple of the standard error"
    for _ in range(1000):
        [one] = judge([_pair(draw, seeds, said[0] * true_error)])
        decided += one.outcome == "supported"
    print(f"{seeds} seeds: decided {decided} of 1000 at {said[0]:.2f} standard errors")
    assert 760 <= decided <= 840


def _pair(draw: random.Random, seeds: int, effect: float) -> Finding:
    left = [draw.gauss(effect, 1.0) for _ in range(seeds)]
    right = [draw.gauss(0.0, 1.0) for _ in range(seeds)]
    return Finding(
        what="a difference",
        unit="points",
        region=(0.0, inf),
        effect=difference(left, right),
        of="trainings",
    )
