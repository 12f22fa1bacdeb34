"""The record format: round trip, torn lines, damage, keys."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from bench.record import arms, schema, store
from bench.record import values as record_values
from bench.record.arms import SpeedArm
from bench.record.schema import About, EndLine, RoundLine, RunLine, Sample
from bench.record.store import DamagedRecord

from .conftest import MACHINE, resealed, speed_record

ARM = SpeedArm(
    model="vit_s16", image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=4
)


def test_what_is_written_is_read_back_unrounded(tmp_path: Path) -> None:
    values = [1 / 3, 2e-17, 123456789.123456789]
    path = speed_record(tmp_path, "vit_s16", values)
    loaded = store.load(path)
    assert [line.samples[0].values[0] for line in loaded.rounds] == values
    assert loaded.arm == ARM
    assert loaded.ends[0].status == "ok"
    assert loaded.runs[0].machine == MACHINE


def test_a_torn_last_line_is_left_out_and_void_after_the_next_append(tmp_path: Path) -> None:
    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    whole = path.read_bytes()
    for length in range(len(whole) - 1, whole.rstrip(b"\n").rfind(b"\n") + 1, -7):
        path.write_bytes(whole[:length])
        torn = store.load(path)
        assert torn.torn
        assert len(torn.rounds) == 2
    store.create(tmp_path, ARM, {"protocol": 1}, About(family="vit"))
    store.append(path, EndLine(run="r1", status="ok", metrics=["throughput"]))
    mended = store.load(path)
    assert not mended.torn
    assert len(mended.ends) == 1


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'"round":1', b'"round":"one"', "line 3 is damaged"),
        (b'"values":[1.0]', b'"values":[null]', "line 3 is damaged"),
        (b'"values":[1.0]', b'"values":[]', "line 3 is damaged"),
        (b'"format":7', b'"format":99', "line 1 is damaged .format 99"),
        (b'"batch_size":4', b'"batch_size":8', "line 1 is damaged .its key"),
        (b'"run":"r1","round":1', b'"run":"r9","round":1', "run 'r9' has no run line"),
        (b'{"type":"run"', b'{"type":"nun"', "line 2 is damaged"),
    ],
)
def test_any_other_damage_names_file_and_line(
    tmp_path: Path, old: bytes, new: bytes, complaint: str
) -> None:
    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    content = path.read_bytes()
    assert old in content
    path.write_bytes(resealed(content.replace(old, new)))
    with pytest.raises(DamagedRecord, match=complaint) as caught:
        store.load(path)
    assert str(path) in str(caught.value)


def test_a_changed_value_is_noticed_even_where_it_could_be_one(tmp_path: Path) -> None:
    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    path.write_bytes(path.read_bytes().replace(b'"values":[1.0]', b'"values":[1.5]'))
    with pytest.raises(DamagedRecord, match=r"line 3 is damaged .its checksum does not fit"):
        store.load(path)


def test_records_of_formats_without_checksums_are_read(tmp_path: Path) -> None:
    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    lines = [
        store.SEAL.sub(b"}", line).replace(b'"format":7', b'"format":4')
        for line in path.read_bytes().splitlines()
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert len(store.load(path).rounds) == 2
    store.append(path, EndLine(run="r1", status="ok", metrics=["throughput"]))
    assert len(store.load(path).ends) == 2
    path.write_bytes(path.read_bytes().replace(b'"format":4', b'"format":7'))
    with pytest.raises(DamagedRecord, match=r"line 1 is damaged .it has no checksum"):
        store.load(path)


def test_the_folder_gives_the_whole_records_and_names_the_damaged(tmp_path: Path) -> None:
    speed_record(tmp_path, "vit_s16", [1.0])
    bad = speed_record(tmp_path, "mixer_b16", [1.0])
    bad.write_text("{}\n")
    records, damaged = store.load_folder(tmp_path)
    assert [found.arm.model for found in records] == ["vit_s16"]
    assert len(damaged) == 1


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Sample(metric="latency", unit="s", better="lower", values=[float("nan")])


def test_the_key_covers_arm_and_settings() -> None:
    key = arms.key_of(ARM, {"window_s": 0.3})
    assert key == arms.key_of(ARM, {"window_s": 0.3})
    assert key != arms.key_of(ARM, {"window_s": 0.5})
    other = SpeedArm(
        model="vit_s16", image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=8
    )
    assert key != arms.key_of(other, {"window_s": 0.3})


def test_file_names_stay_inside_the_folder(tmp_path: Path) -> None:
    for name in ("../../etc/passwd", "./net.py:build", "a" * 300, "", "/", "..", "x\ny"):
        arm = SpeedArm(
            model=name, image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=4
        )
        path = store.path_of(tmp_path, arm, {})
        assert path.resolve().parent == tmp_path.resolve()
        assert len(path.name) < 120


def test_runs_of_another_machine_or_before_a_forced_one_are_left_out(tmp_path: Path) -> None:
    path = speed_record(tmp_path, "vit_s16", [1.0, 2.0])
    later = RunLine(
        run="r2",
        started="2026-02-01",
        version="0",
        commit=None,
        seed=0,
        machine=MACHINE,
        fresh=True,
    )
    store.append(path, later)
    store.append(
        path,
        RoundLine(
            run="r2",
            round=1,
            samples=[Sample(metric="throughput", unit="image/s", better="higher", values=[5.0])],
        ),
    )
    mine = store.load(path).within(MACHINE.fingerprint)
    assert [line.run for line in mine.rounds] == ["r2"]
    assert store.load(path).within("another").rounds == []


@pytest.mark.parametrize(
    ("metric", "unit", "better", "values", "fair"),
    [
        ("throughput", "image/s", "higher", [10.0], 20.0),
        ("latency", "s", "lower", [0.2], 0.1),
        ("latency", "s", "lower", [0.1, 0.2, 0.1], 0.1),
        ("memory", "B", "lower", [100.0], 100.0),
        ("energy", "J", "lower", [3.0], 3.0),
    ],
)
def test_what_a_window_did_as_a_whole_is_held_against_what_was_left_to_it(
    metric: str, unit: str, better: str, values: list[float], fair: float
) -> None:
    """Half of the CPU was left. Medians of calls, bytes and joules stay as they were measured."""
    detail = {"net_j": 1.0} if metric == "energy" else {}
    sample = schema.Sample(
        metric=metric, unit=unit, better=better, values=values, detail=detail, state={"left": 0.5}
    )  # type: ignore[arg-type]
    assert record_values.fair(sample) == pytest.approx(fair)


def test_a_value_that_knows_its_process_is_copied_and_pickled_whole() -> None:
    value = record_values.InProcess(1.5, ("r1", 2))
    for again in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert (again, again.process) == (1.5, ("r1", 2))
