"""Tables of speeds from records whose content is known."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any, Literal

import pytest

from bench.analysis.roofline import end_of, places
from bench.analysis.rows import Summary
from bench.analysis.run_quality import canary_drift, sentinel
from bench.analysis.summary import of_one_policy, summarise
from bench.record import store
from bench.record.arms import ProbeArm, SpeedArm
from bench.record.schema import About, EndLine, RoundLine, Sample
from bench.record.store import load_folder
from bench.report.tables.fused import handwritten
from bench.report.tables.roofline import ceilings
from bench.report.tables.speeds import best, efficiency, percentiles
from bench.stats.intervals import holm, percentile, smallest_within

from .conftest import UNITS, count_record, run_line, sound_pair

MARK = {"handwritten": True}
WOBBLE = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99]


def speeds(folder: Path, model: str, values: list[float], **changes: Any) -> None:
    """Write one speed record.

    Among `changes` are `phase`, `role`, `batch`, `policy`, `metric`, `state`, `detail`, `setup` and
    `calls`.
    """
    metric = changes.get("metric", "throughput")
    unit, better = {**UNITS, "energy": ("J", "lower"), "largest_batch": ("image", "higher")}[metric]
    arm = SpeedArm(
        model=model,
        image_size=224,
        num_classes=1000,
        policy=changes.get("policy", "fp32"),
        device=changes.get("device", "cpu"),
        batch_size=changes.get("batch", 4),
        mode=changes.get("mode", "inference"),
    )
    path = store.create(folder, arm, {"protocol": 2}, About(family=changes.get("family", "vit")))
    if not store.load(path).runs:
        role, setup = changes.get("role", "asked"), changes.get("setup", {})
        store.append(
            path,
            run_line(
                role=role,
                setup=setup,
            ),
        )
    start = len(store.load(path).rounds)
    for number, value in enumerate(values, start=start + 1):
        sample = Sample(
            metric=metric,
            unit=unit,
            better=better,
            values=[value] * changes.get("calls", 1),
            detail=changes.get("detail", {}),
            state=changes.get("state", {}),
            disturbed="others" if changes.get("state") else None,
        )
        worker = 1 + (number - 1) // changes.get("life", 2)
        store.append(
            path,
            RoundLine(
                run="r1",
                round=number,
                worker=worker,
                phase=changes.get("phase", "measure"),
                samples=[sample],
            ),
        )
    store.append(path, EndLine(run="r1", status="ok", metrics=[metric]))


def probe(folder: Path, metric: str, unit: str, values: list[float]) -> None:
    arm = ProbeArm(precision="fp32", device="cpu")
    path = store.create(folder, arm, {"protocol": 1}, About(family="probe"))
    if not store.load(path).runs:
        store.append(
            path,
            run_line(
                role="probe",
            ),
        )
    better: Literal["lower", "higher"] = "lower" if unit == "s" else "higher"
    for number, value in enumerate(values, start=1):
        store.append(
            path,
            RoundLine(
                run="r1",
                round=number,
                samples=[Sample(metric=metric, unit=unit, better=better, values=[value])],
            ),
        )


def summary(folder: Path) -> Summary:
    records, damaged = load_folder(folder)
    assert damaged == []
    return summarise(records)


def test_sentinels_and_probes_are_no_contestants_but_stand_under_the_table(tmp_path: Path) -> None:
    speeds(tmp_path, "mixer_s16", [20 * one for one in WOBBLE])
    speeds(tmp_path, "vit_s16", [10.0] * 8, role="sentinel")
    speeds(tmp_path, "deit_s16", [10.1] * 8, role="sentinel")
    probe(tmp_path, "canary", "s", [1.0, 1.0, 1.0, 1.0, 1.0, 1.2, 1.2, 1.2])
    found = summary(tmp_path)
    [table] = efficiency(found)
    assert [row[0] for row in table.rows] == ["mixer_s16"]
    ratio = sentinel(found)
    assert ratio is not None
    assert ratio.value == pytest.approx(1.01)
    assert canary_drift(found) == pytest.approx(0.2 / 1.0)
    assert "A/A check deit_s16 : vit_s16 (one graph, so the ratio should be 1) = 1.01" in "\n".join(
        table.notes
    )


def test_the_best_table_rests_on_confirming_rounds_alone(tmp_path: Path) -> None:
    speeds(tmp_path, "vit_s16", [10.0] * 8, phase="choose")
    speeds(
        tmp_path, "mixer_s16", [90.0] * 8, phase="choose", policy="channels_last"
    )  # lucky where it was chosen
    speeds(tmp_path, "vit_s16", [10.0] * 8, phase="confirm")
    speeds(tmp_path, "mixer_s16", [20.0] * 8, phase="confirm", policy="channels_last")
    found = summary(tmp_path)
    [table] = best(found)
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["mixer_s16"] == ["channels_last", "20.0 ±0", "2.00 [2.00, 2.00]"]
    assert cells["vit_s16"][0] == "fp32 eager"
    fixed = {table.title.split(" · ")[2]: table for table in efficiency(found)}
    assert set(fixed) == {"fp32 eager on Test CPU", "channels_last on Test CPU"}
    assert "90.0" in fixed["channels_last on Test CPU"].rows[0][1]
    assert any("rounds that did not choose" in note for note in table.notes)


def test_handwritten_rows_are_marked_and_compete_with_nobody(tmp_path: Path) -> None:
    sound_pair(tmp_path, protocol=2)
    for phase in ("choose", "confirm"):
        speeds(tmp_path, "vit_s16", [10 * one for one in WOBBLE], phase=phase)
        speeds(
            tmp_path, "convmixer_a", [4 * one for one in WOBBLE], phase=phase, family="convmixer"
        )
        speeds(
            tmp_path,
            "convmixer_a",
            [12 * one for one in WOBBLE],
            phase=phase,
            family="convmixer",
            policy="fused",
            setup=MARK,
        )
    found = summary(tmp_path)
    [table] = best(found)
    assert [row[:2] for row in table.rows] == [
        ["convmixer_a †", "fused"],
        ["vit_s16", "fp32 eager"],
        ["convmixer_a", "fp32 eager"],
    ]
    assert [cells[2].best for cells in table.cells] == [False, True, False]
    assert any("chosen from fp32;" in note for note in table.notes)
    assert any(
        note.startswith("† kernels written by this project for this model") for note in table.notes
    )
    [beside] = handwritten(found)
    assert beside.rows[0][:2] + beside.rows[0][3:4] == ["convmixer_a", "fused", "fp32 eager"]
    assert beside.rows[0][5] == "3.00 [3.00, 3.00]"
    assert {row.policy for row in of_one_policy(found.rows)} == {"fp32"}


def test_ratios_hold_each_window_against_what_was_left_to_it(tmp_path: Path) -> None:
    """Half the CPUs were taken while the mixer ran.

    Its median is as measured, and its ratio allows for the loss.
    """
    speeds(tmp_path, "vit_s16", [10.0] * 8)
    speeds(tmp_path, "mixer_s16", [10.0] * 8, state={"steal": 0.0, "other": 0.5, "left": 0.5})
    [table] = efficiency(summary(tmp_path))
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["mixer_s16"] == ["10.0 ±0", "2.00 [2.00, 2.00]"]
    assert "other programs were using the CPU in 8 of 16 windows" in "\n".join(table.notes)


def test_of_one_process_there_is_a_value_and_no_interval_mark_or_bold(tmp_path: Path) -> None:
    """However equal its rounds are: as records were taken before processes were renewed for all."""
    speeds(tmp_path, "vit_s16", [10 * one for one in WOBBLE], life=8)
    speeds(tmp_path, "mixer_s16", [10 * one for one in reversed(WOBBLE)], life=8)
    speeds(tmp_path, "resnet50", [50 * one for one in WOBBLE])
    [table] = efficiency(summary(tmp_path))
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["vit_s16"] == ["10.0", "1"] and cells["mixer_s16"] == ["10.0", "1.00"]
    assert cells["resnet50"][1] == "5.00"  # the reference had one process
    assert not any(cell.best for row in table.cells for cell in row)
    assert any(
        "no interval and no mark for mixer_s16, vit_s16" in note or "for vit_s16, mixer_s16" in note
        for note in table.notes
    )


def test_interval_mark_and_bold_are_one_test(tmp_path: Path) -> None:
    """Over many draws, one of two is bold alone exactly where their ratio's interval excludes 1.

    ≈ is shown exactly where it does not.
    """
    draw, told = random.Random(0), 0
    for number in range(20):
        folder = tmp_path / str(number)
        sound_pair(folder, protocol=2)
        speeds(folder, "vit_s16", [10 * math.exp(draw.gauss(0, 0.05)) for _ in range(12)], life=3)
        speeds(
            folder, "mixer_s16", [10.8 * math.exp(draw.gauss(0, 0.05)) for _ in range(12)], life=3
        )
        [table] = efficiency(summary(folder))
        ratio = next(row[2] for row in table.cells if row[0].text == "mixer_s16")
        alone = any(row[1].best for row in table.cells)  # where all are bold none is
        holds = ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high
        assert alone == (not holds) == (not ratio.text.endswith("≈"))
        told += not holds
    assert 3 <= told <= 17


def test_what_cannot_be_told_apart_is_marked(tmp_path: Path) -> None:
    sound_pair(tmp_path, protocol=2)
    speeds(tmp_path, "vit_s16", [10 * one for one in WOBBLE])
    speeds(tmp_path, "mixer_s16", [10 * one for one in reversed(WOBBLE)])
    speeds(tmp_path, "resnet50", [5 * one for one in WOBBLE], family="resnet")
    [table] = efficiency(summary(tmp_path))
    marks = {row[0]: row[2].endswith("≈") for row in table.rows}
    assert marks == {"vit_s16": False, "mixer_s16": True, "resnet50": False}
    assert any("Holm-corrected over 2 pairs" in note for note in table.notes)


def test_the_knee_is_the_smallest_batch_near_the_best(tmp_path: Path) -> None:
    for batch, value in ((1, 10.0), (8, 50.0), (64, 97.0), (256, 100.0)):
        speeds(tmp_path, "vit_s16", [value] * 8, batch=batch)
    [table] = efficiency(summary(tmp_path))
    assert "knee, the smallest batch within 5% of the best throughput: vit_s16 64" in table.notes


def test_a_check_s_confirming_rounds_make_no_best_policy(tmp_path: Path) -> None:
    """The A/A pair goes along where other models' policies compete; asked for elsewhere, it is a
    row of the tables, but nobody chose among its policies."""
    speeds(tmp_path, "vit_s16", [100.0] * 8, phase="confirm", role="sentinel")
    speeds(tmp_path, "resnet50", [90.0] * 8, phase="confirm", family="resnet")
    [path] = tmp_path.glob("vit_s16*")
    store.append(path, run_line(run="r2", role="asked"))
    found = summary(tmp_path)
    assert {row.model for row in found.rows} == {"vit_s16", "resnet50"}
    assert [row.model for row in found.best] == ["resnet50"]


def test_launch_bound_arms_are_named_with_their_batch_sizes(tmp_path: Path) -> None:
    """By the wait at a window's end: less than a call's time means that the GPU was idle before.

    A single call takes the whole window: 157 of 160 ms of waiting are 0.98 of a call, and the GPU
    was busy all the time."""
    for batch, calls, tail in ((1, 10, 0.001), (64, 10, 0.03), (128, 1, 0.147), (256, 10, 0.5)):
        detail = {"calls": calls, "seconds": 0.15, "tail_s": tail}
        speeds(tmp_path, "vit_s16", [100.0] * 8, batch=batch, device="cuda", detail=detail)
    [table] = efficiency(summary(tmp_path))
    [note] = [note for note in table.notes if note.startswith("launch-bound")]
    assert note.endswith(": vit_s16 b1")


def test_host_bound_arms_are_named(tmp_path: Path) -> None:
    slow = {"host_s": 0.0099, "device_s": 0.002}
    speeds(tmp_path, "vit_s16", [0.01] * 8, metric="latency", batch=1, device="cuda", detail=slow)
    fast = {**slow, "host_s": 0.004}
    speeds(
        tmp_path,
        "resnet50",
        [0.01] * 8,
        metric="latency",
        batch=1,
        device="cuda",
        detail=fast,
        family="resnet",
    )
    [table] = efficiency(summary(tmp_path))
    assert next(note for note in table.notes if note.startswith("host-bound")).endswith(": vit_s16")


def test_percentiles_only_as_far_out_as_calls_tell(tmp_path: Path) -> None:
    speeds(tmp_path, "vit_s16", [0.01] * 8, metric="latency", batch=1, calls=10)
    speeds(tmp_path, "mixer_s16", [0.02] * 8, metric="latency", batch=1, calls=100)
    speeds(tmp_path, "resnet50", [0.02] * 6, metric="latency", batch=1, calls=10)
    [table] = percentiles(summary(tmp_path))
    assert {row[0]: row[3:] for row in table.rows} == {
        "vit_s16": ["10.0", "10.0", "", "80"],
        "mixer_s16": ["20.0", "20.0", "20.0", "800"],
    }
    assert percentile([1.0] * 63, 0.9) is percentile([1.0] * 661, 0.99) is None


def test_the_place_under_the_ceilings(tmp_path: Path) -> None:
    speeds(tmp_path, "vit_s16", [10.0] * 8)
    path = count_record(tmp_path, "vit_s16", 20_000_000, 4_000_000_000)
    sample = Sample(metric="activations", unit="element", better="lower", values=[10e6])
    store.append(path, RoundLine(run="r1", round=2, samples=[sample]))
    probe(tmp_path, "matmul_ceiling", "MAC/s", [100e9] * 6)
    probe(tmp_path, "copy_ceiling", "B/s", [20e9] * 6)
    [table] = ceilings(summary(tmp_path))
    # 40 of 100 GMAC/s; 4 G MACs over 4 bytes x (20 M / 4 + 2 x 10 M) = 100 MB.
    assert table.rows == [
        ["vit_s16", "224", "fp32 eager", "b4", "40.0", "40.0", "arithmetic", "40.0"]
    ]


def counted(folder: Path, model: str, macs: int) -> None:
    path = count_record(folder, model, 20_000_000, macs)
    sample = Sample(metric="activations", unit="element", better="lower", values=[10e6])
    store.append(path, RoundLine(run="r1", round=2, samples=[sample]))


def test_a_place_over_its_ceiling_is_a_fault_of_the_ceiling(tmp_path: Path) -> None:
    """The ceiling is the maximum of all rounds, since other programs may have slowed some of them.

    No share is shown above it.
    """
    for model, value in (("vit_s16", 10.0), ("mixer_s16", 22.5), ("resnet50", 27.5)):
        speeds(tmp_path, model, [value] * 8)
        counted(tmp_path, model, 4_000_000_000)
    probe(tmp_path, "matmul_ceiling", "MAC/s", [40e9, 60e9, 99e9, 100e9])
    probe(tmp_path, "copy_ceiling", "B/s", [20e9] * 6)
    found = summary(tmp_path)
    [table] = ceilings(found)
    assert {row[0]: row[4] for row in table.rows} == {
        "vit_s16": "40.0",
        "mixer_s16": "90.0",
        "resnet50": "ceiling too low",
    }
    assert "fp32 100 GMAC/s [at most 119], fp32 20.0 GB/s [at most 20.0]" in table.notes[0]
    [fault] = [note for note in table.notes if note.startswith("fault")]
    assert fault.startswith(
        "fault of the arithmetic ceiling in fp32: resnet50 reached up to 1.10 times as much"
    )
    assert {one.row.model: one.rate for one in places(found)}["resnet50"] == 110e9


def test_the_end_of_a_distribution_is_held_in_95_of_100_draws() -> None:
    draw, drawn = random.Random(7), 4000
    for n in (3, 6, 24):
        ends = [end_of([1 - draw.random() for _ in range(n)]) for _ in range(drawn)]
        held = sum(one.holds(1.0) for one in ends) / drawn
        print(f"seed 7, {drawn} draws of {n} values: the end is held in {held:.1%}")
        assert 0.94 < held < 0.97
    assert end_of([2.0]).high is None


def test_energy_shows_its_net_and_a_bounded_search_that_it_is(tmp_path: Path) -> None:
    speeds(tmp_path, "vit_s16", [0.5] * 8, metric="energy", detail={"net_j": 0.4}, device="cuda")
    speeds(
        tmp_path,
        "vit_s16",
        [512.0],
        metric="largest_batch",
        detail={"at_least": True},
        device="cuda",
        mode="capacity",
        batch=1,
    )
    [table] = efficiency(summary(tmp_path))
    assert {"0.500 ±0 (net 0.400)", "≥ 512"} <= set(table.rows[0])


def test_holm_and_the_smallest_within() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "c": 0.06, "b": 0.06}
    assert smallest_within({}, 0.05) is None
