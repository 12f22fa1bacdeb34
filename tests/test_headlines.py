"""The first line of a screen: who is how many times as fast, and when that cannot be said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.plugins.recipe import recipes
from bench.report.headlines import headlines

from .conftest import accuracy_record, count_record, fill, sound_pair, speed_record
from .program import called
from .synthetic import write
from .test_findings import SMALL, trained
from .test_speed_tables import WOBBLE, speeds, summary

ALIKE = "(224 px, fp32 eager, batch 4)"


def timed(folder: Path, **levels: float) -> None:
    """Write speeds around these levels: noise of their own, under one common drift."""
    for place, (model, level) in enumerate(levels.items()):
        own = WOBBLE[place:] + WOBBLE[:place]
        family = model.partition("_")[0]
        speed_record(folder, model, [level * one for one in own], family=family)


def test_two_models(tmp_path: Path) -> None:
    timed(tmp_path, convmixer_768_32=3.0, vit_s16=12.6)
    sound_pair(tmp_path)
    [line] = headlines(summary(tmp_path))
    found = re.fullmatch(
        r"vit_s16 is (\S+) × \[(\S+), (\S+)\] as fast as convmixer_768_32 " + re.escape(ALIKE), line
    )
    assert found, line
    ratio, low, high = map(float, found.groups())
    assert low < ratio < high and ratio == pytest.approx(4.2, rel=0.02)


def test_a_tie_is_called_one(tmp_path: Path) -> None:
    timed(tmp_path, vit_s16=10.0, mixer_s16=10.01)
    sound_pair(tmp_path)
    [line] = headlines(summary(tmp_path))
    assert re.fullmatch(
        r"mixer_s16 and vit_s16 are statistically tied: 1\.0\d × \[0\.9\d+, 1\.0\d\] "
        + re.escape(ALIKE),
        line,
    ), line


def test_many_models_have_the_fastest_and_the_slowest_against_the_reference(
    tmp_path: Path,
) -> None:
    timed(tmp_path, mixer_s16=20.0, vit_s16=10.0, resnet50=11.0, convmixer_768_32=2.0)
    sound_pair(tmp_path)
    [line] = headlines(summary(tmp_path))
    found = re.fullmatch(
        r"mixer_s16, the fastest of 4 models, is (\S+) × \[\S+, \S+\] as fast as vit_s16 and "
        r"(\S+) × \[\S+, \S+\] as fast as convmixer_768_32, the slowest " + re.escape(ALIKE),
        line,
    )
    assert found, line
    assert tuple(map(float, found.groups())) == (pytest.approx(2, 0.02), pytest.approx(10, 0.02))


@pytest.mark.parametrize(
    ("levels", "start", "end"),
    [
        (
            {"vit_s16": 20.0, "resnet50": 10.0, "mixer_s16": 5.0},
            "vit_s16, the fastest of 3 models, is 4.0",
            "as fast as mixer_s16, the slowest",
        ),
        (
            {"vit_s16": 5.0, "resnet50": 10.0, "mixer_s16": 20.0},
            "mixer_s16, the fastest of 3 models, is 4.0",
            "as fast as vit_s16, the slowest",
        ),
        (
            {"vit_s16": 5.0, "resnet50": 10.0, "mixer_s16": 10.01},
            "mixer_s16, the fastest of 3 models (statistically tied with resnet50), is 2.0",
            "as fast as vit_s16, the slowest",
        ),
    ],
    ids=["reference is the fastest", "reference is the slowest", "two are tied"],
)
def test_one_ratio_is_enough_if_the_reference_is_at_an_end(
    levels: dict[str, float], start: str, end: str, tmp_path: Path
) -> None:
    timed(tmp_path, **levels)
    sound_pair(tmp_path)
    [line] = headlines(summary(tmp_path))
    assert line.startswith(start) and line.endswith(f"{end} {ALIKE}") and line.count("×") == 1


def test_latency_alone_counts_the_other_way(tmp_path: Path) -> None:
    for model, seconds in (("vit_s16", 0.1), ("resnet50", 0.4)):
        values = [seconds * one for one in WOBBLE]
        speed_record(tmp_path, model, values, metric="latency")
    sound_pair(tmp_path)
    [line] = headlines(summary(tmp_path))
    assert line.startswith("vit_s16 is 4.00 × ") and line.endswith("(224 px, fp32 eager, batch 1)")


def test_best_policies_are_compared_as_such(tmp_path: Path) -> None:
    for model, level in (("vit_s16", 10.0), ("convmixer_768_32", 4.0)):
        for phase in ("choose", "confirm"):
            speeds(tmp_path, model, [level * one for one in WOBBLE], phase=phase)
    sound_pair(tmp_path, protocol=2)
    [line] = headlines(summary(tmp_path))
    assert "as fast as convmixer_768_32 (224 px, each under its best policy, batch 4)" in line


def test_one_model_has_its_speed_and_no_ratio(tmp_path: Path) -> None:
    timed(tmp_path, resnet50=16.0)
    sound_pair(tmp_path)
    [line] = headlines(summary(tmp_path))
    assert line.startswith("resnet50 runs at 16.0 ±") and "×" not in line
    assert line.endswith(f"img/s {ALIKE}; there is no other model to compare it with")


def test_a_ratio_from_one_process_is_said_to_have_no_interval(tmp_path: Path) -> None:
    for model, level in (("vit_s16", 12.0), ("resnet50", 4.0)):
        speed_record(tmp_path, model, [level * one for one in WOBBLE], life=8)
    sound_pair(tmp_path)
    [line] = headlines(summary(tmp_path))
    assert "vit_s16 is 3.00 × (without an interval) as fast as resnet50" in line


@pytest.mark.parametrize("ratio", [0.8, None], ids=["do not use", "unchecked"])
def test_what_must_not_be_ranked_has_no_sentence(ratio: float | None, tmp_path: Path) -> None:
    timed(tmp_path, convmixer_768_32=3.0, vit_s16=12.6)
    if ratio is not None:
        sound_pair(tmp_path, ratio=ratio)
    assert headlines(summary(tmp_path)) == []


def test_accuracies_alone_have_a_sentence(tmp_path: Path) -> None:
    for model, correct in (("vit_s16", 200), ("resnet50", 340), ("mixer_s16", 338)):
        accuracy_record(tmp_path, model, correct)
    [line] = headlines(summary(tmp_path))
    assert re.fullmatch(
        r"resnet50 has the highest top-1 of 3, 94\.4 \[\S+, \S+\] %, statistically tied with "
        r"mixer_s16 \(digits, recipe digits 0\); a pipeline check",
        line,
    ), line


def test_counts_alone_have_none(tmp_path: Path) -> None:
    count_record(tmp_path, "vit_s16", 22_000_000, 4_600_000_000)
    assert headlines(summary(tmp_path)) == []


def test_the_sentence_is_the_first_line_of_a_report(tmp_path: Path, one_figure: None) -> None:
    results = fill(tmp_path / "results")
    sound_pair(next(results.iterdir()) / "records")
    ended = called("report", "--results", results, "--no-page", cwd=tmp_path)
    first, second = ended.out.splitlines()[:2]
    assert first.startswith("test-cpu-2t-0000: vit_s16, the fastest of 7 models")
    assert second.startswith("test-cpu-2t-0000: good: this run can resolve")


def test_top1_has_a_sentence_beside_speeds_unless_its_data_say_nothing(tmp_path: Path) -> None:
    timed(tmp_path, vit_s16=12.0, resnet50=4.0)
    sound_pair(tmp_path)
    accuracy_record(tmp_path, "vit_s16", 200)
    assert len(headlines(summary(tmp_path))) == 1
    write(tmp_path, trained(SMALL, {"vit_s16": 61.0, "resnet50": 71.0}))
    for record in (tmp_path / "records").iterdir():
        record.rename(tmp_path / record.name)
    _, line = headlines(summary(tmp_path))
    assert line.startswith("resnet50 has the highest top-1 of 2, 7")
    assert line.endswith(f"({SMALL.data}, recipe {SMALL.recipe} {recipes.get(SMALL.recipe).hash})")
