"""The grade of a run.

A failed check withholds marks, percentages and verdicts, and is named before the results.
"""

from __future__ import annotations

import math
import random
import re
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.grade import grade, grades, lines, worst
from bench.analysis.rows import Probe
from bench.analysis.run_quality import canary
from bench.analysis.summary import summarise
from bench.claims.verdicts import verdicts
from bench.plugins import figures, studies
from bench.record import store
from bench.record.arms import SpeedArm
from bench.record.schema import About, EndLine, RoundLine, RunLine, Sample
from bench.record.values import InProcess
from bench.report.tables.speeds import efficiency
from bench.stats.paired import paired_ratio
from bench.stats.reference import sentinel_size

from . import synthetic
from .conftest import MACHINE, accuracy_record, probe_record, sound_pair
from .program import ROOT, Ended, bench, called
from .test_verdicts import patch_speed

STEADY = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99]
SWAYING = [1.0, 1.4, 1.0, 1.4, 1.0, 1.4, 1.0, 1.4, 1.0]
NAMES = {
    "convmixer_1536_20": 1.0,
    "convmixer_1536_20_k9_p14": 4.0,
    "convmixer_768_32": 2.0,
    "convmixer_768_32_k7_p14_relu": 8.0,
}


def planted(
    results: Path,
    *,
    ratio: float | None = 1.0,
    canary: list[float] = STEADY,
    disturbed: float = 0.0,
) -> Path:
    """Write four models with clearly different speeds, accuracies, and checks as given."""
    folder = results / MACHINE.name / "records"
    if ratio is not None:
        sound_pair(folder, ratio=ratio)
    probe_record(folder, canary)
    for place, (model, level) in enumerate(NAMES.items()):
        values = [level * one for one in STEADY]
        arm = SpeedArm(
            model=model, image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=4
        )
        path = store.create(folder, arm, {"protocol": 1}, About(family="convmixer"))
        store.append(
            path,
            RunLine(
                run="r1", started="2026-01-01", version="0", commit=None, seed=0, machine=MACHINE
            ),
        )
        if place == 0:  # a study asked for it as well
            again = RunLine(
                run="r2",
                started="2026-01-01",
                version="0",
                commit=None,
                seed=0,
                machine=MACHINE,
                studies={"patch_speed": ""},
            )
            store.append(path, again)
        for number, value in enumerate(values):
            sample = Sample(
                metric="throughput",
                unit="image/s",
                better="higher",
                values=[value],
                disturbed="others" if number < disturbed * 8 else None,
            )
            store.append(
                path,
                RoundLine(run="r1", round=number + 1, worker=1 + number // 2, samples=[sample]),
            )
        store.append(path, EndLine(run="r1", status="ok", metrics=["throughput"]))
        accuracy_record(folder, model, 300 + 10 * place, family="convmixer")
    return results


@pytest.fixture
def figure_of_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of this process draw only the figure that ranks speeds."""
    entries = [figures.get("pareto_throughput")]
    monkeypatch.setattr(figures, "entries", lambda: entries)


def reported(results: Path, *more: str) -> Ended:
    return called("report", "--results", results, "--no-page", *more, cwd=results.parent)


def ranked(results: Path) -> dict[str, bool]:
    """What of a report ranks speeds."""
    folder = results / MACHINE.name
    text = (folder / "report.md").read_text(encoding="utf-8")
    speeds = text[text.index("## Efficiency") :].split("\n## ")[0]
    study = text[text.index("## Study patch_speed") :].splitlines()[0]
    figure = (folder / "pareto_throughput_digits.svg").read_text(encoding="utf-8")
    return {
        "bold": "| **" in speeds,
        "percentages": bool(re.search(r"convmixer_[0-9a-z_]+ \d+ %", figure)),
        "verdict": study.endswith(("supported", "contradicted")),
        "sentence": "not fit to rank" not in (folder / "methods.tex").read_text(encoding="utf-8"),
    }


FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"ratio": 0.8},
        "do not use: the A/A check, one network under two names, "
        "gave 0.80 [0.80, 0.80] instead of 1",
    ),
    ({"canary": SWAYING}, "do not use: the drift check, a fixed workload, varied by 40 %"),
    ({"disturbed": 1.0}, "do not use: other programs were using the CPU in 32 of 56 windows"),
    ({"ratio": None}, "unchecked: there is no A/A check"),
]


@pytest.mark.usefixtures("figure_of_speeds")
@pytest.mark.parametrize(
    ("fault", "says"),
    FAULTS,
    ids=["A/A check of 0.8", "drift check of 40 %", "busy CPU", "no A/A check"],
)
def test_a_run_that_failed_its_checks_ranks_nothing_and_says_so_first(
    fault: dict[str, Any], says: str, tmp_path: Path
) -> None:
    results = planted(tmp_path / "results", **fault)
    ended = reported(results, "--strict")
    assert ended.code == 1, ended
    assert ended.out.splitlines()[0].startswith(f"{MACHINE.name}: {says}")
    text = (results / MACHINE.name / "report.md").read_text(encoding="utf-8").splitlines()
    assert text[2].startswith(f"**{says}")
    assert ranked(results) == {
        "bold": False,
        "percentages": False,
        "verdict": False,
        "sentence": False,
    }
    assert any(
        line.startswith("| convmixer_768_32_k7_p14_relu") and " 8.00 " in line for line in text
    )  # the numbers are all there


def test_a_sound_run_keeps_its_marks(tmp_path: Path) -> None:
    results = planted(tmp_path / "results")
    ended = bench("report", "--results", results, "--no-page", "--strict", cwd=tmp_path)
    assert ended.code == 0, ended
    first, *others = ended.out.splitlines()
    assert first.startswith(f"{MACHINE.name}: convmixer_768_32_k7_p14_relu, the fastest of 4")
    good = f"{MACHINE.name}: good: this run can resolve differences of 0."
    assert any(line.startswith(good) for line in others)
    assert ranked(results) == {"bold": True, "percentages": True, "verdict": True, "sentence": True}


@pytest.mark.usefixtures("figure_of_speeds")
def test_without_strict_the_code_is_0_and_csv_stays_csv(tmp_path: Path) -> None:
    ended = reported(planted(tmp_path / "results", ratio=0.8), "--format", "csv")
    assert ended.code == 0
    assert "do not use" in ended.err and not ended.out.startswith(MACHINE.name)


def test_the_pair_is_that_of_the_tables_image_size() -> None:
    records = [synthetic.speed("mine", STEADY, image_size=size) for size in (224, 64, 30)]
    bad = [
        synthetic.speed(name, [level * one for one in STEADY], image_size=64, role="sentinel")
        for name, level in (("vit_s16", 1.0), ("deit_s16", 0.8))
    ]
    found = summarise([*records, *synthetic.sound_pair(224), *bad])
    assert {size: one.word for size, one in grades(found).items()} == {
        224: "good",
        64: "do not use",
        30: "unchecked",
    }
    assert [line.partition(":")[0] for line in lines(found)] == ["224 px", "64 px", "30 px"]
    trust = worst(found)
    assert trust is not None and trust.word == "do not use"
    assert (sentinel_size(30), sentinel_size(300), sentinel_size(224), sentinel_size(7)) == (
        32,
        304,
        224,
        16,
    )


@pytest.mark.parametrize(
    ("spread", "word"), [(0.005, "good"), (0.05, "coarse"), (0.1, "do not use")]
)
def test_the_word_follows_what_the_pair_can_tell_apart(spread: float, word: str) -> None:
    values = [1 + spread * one for one in (-1, -1, 1, 1, -0.5, -0.5, 0.8, 0.8)]
    pair = [
        synthetic.speed("vit_s16", values, role="sentinel"),
        synthetic.speed("deit_s16", values[::-1], role="sentinel"),
    ]
    found = grade(summarise([*pair, synthetic.speed("mine", STEADY)]), 224)
    assert found.word == word
    assert found.resolves is not None
    if found.marks:
        assert "this run can resolve" in found.line


def test_verdicts_on_speeds_say_why_they_are_withheld() -> None:
    import random

    records = [
        one for one in patch_speed(random.Random(0), "present") if one.runs[0].role != "sentinel"
    ]
    [found] = verdicts(summarise(records, of_studies=True), [studies.get("patch_speed")])
    assert found.outcome == "inconclusive" and found.withheld.startswith("unchecked")
    assert {one.outcome for one in found.findings if one.finding.primary} == {"inconclusive"}


@pytest.mark.parametrize(("size", "outcome"), [(896, "supported"), (224, "inconclusive")])
def test_a_verdict_is_withheld_for_its_own_image_sizes(size: int, outcome: str) -> None:
    """patch_speed is asked at 224 px; speeds elsewhere without an A/A check do not matter to it."""
    import random

    unchecked = synthetic.speed("resnet50", STEADY, image_size=size)
    records = [*patch_speed(random.Random(0), "present"), unchecked]
    if size == 224:
        records = [one for one in records if one.runs[0].role != "sentinel"]
    [found] = verdicts(summarise(records, of_studies=True), [studies.get("patch_speed")])
    assert found.outcome == outcome and bool(found.withheld) == (size == 224)


def test_the_committed_records_can_still_be_graded() -> None:
    from bench.analysis.machines import read_all

    found = {
        machine.folder.name: lines(machine.everything) for machine in read_all(ROOT / "results")
    }
    assert found and all(len(text) <= 8 for text in found.values())


def test_a_faster_day_is_no_unsteadiness_but_is_said() -> None:
    """The drift check is held against its own run; a table says how far runs are apart."""
    found = summarise([*synthetic.sound_pair(), synthetic.speed("resnet50", [9.0] * 8)])
    first = {("r1", at): value for at, value in enumerate(STEADY)}
    second = {("r2", at): 1.4 * value for at, value in enumerate(STEADY)}
    found.probes = [Probe(precision="fp32", rounds={"canary": first | second})]
    steady = canary(found)
    assert steady is not None
    assert steady.spread < 0.05
    assert steady.rounds_off == 0
    assert steady.between == pytest.approx(0.4)
    [table] = efficiency(found)
    assert any("40% faster in one run than in another" in note for note in table.notes)
    found.probes = [Probe(precision="fp32", rounds={"canary": first})]
    [table] = efficiency(found)
    assert not any("faster in one run" in note for note in table.notes)


def drifted(rounds: list[float]) -> float:
    found = summarise(synthetic.sound_pair())
    checks = {("r1", at): value for at, value in enumerate(rounds)}
    found.probes = [Probe(precision="fp32", rounds={"canary": checks})]
    steady = canary(found)
    assert steady is not None
    return steady.spread


def test_single_slow_windows_are_noise_and_slow_stretches_are_drift() -> None:
    """A shared host: one window in eight takes 1.6 times as long, alone or one after another."""
    draw = random.Random(0)
    alone = stretched = 0
    for _ in range(200):
        slow = [draw.random() < 1 / 8 for _ in range(30)]
        noise = [draw.gauss(1, 0.03) for _ in slow]
        alone += drifted([x * (1.6 if at else 1) for x, at in zip(noise, slow, strict=True)]) > 0.3
        first = draw.randrange(22)
        stretch = [1.6 if first <= at < first + 8 else 1.0 for at in range(30)]
        stretched += drifted([x * at for x, at in zip(noise, stretch, strict=True)]) > 0.3
    assert alone <= 30
    assert stretched == 200


def test_intervals_hold_beside_single_slow_windows() -> None:
    """Why they need no mark of their own: what they do to ratios, the interval says."""
    draw = random.Random(0)

    def speeds() -> dict[tuple[str, int], InProcess]:
        of_process = [draw.gauss(0, 0.02) for _ in range(4)]
        return {
            ("r1", at): InProcess(
                math.exp(of_process[at % 4] + draw.gauss(0, 0.03))
                * (1.6 if draw.random() < 1 / 8 else 1),
                ("r1", at % 4),
            )
            for at in range(28)
        }

    held = 0
    for _ in range(400):
        ratio = paired_ratio(speeds(), speeds())
        assert ratio is not None and ratio.low is not None and ratio.high is not None
        held += ratio.low <= 1 <= ratio.high
    assert 0.93 <= held / 400 <= 0.985
