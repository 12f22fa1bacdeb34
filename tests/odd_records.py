"""Impossible records from others: well-formed JSON with fitting keys and checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.record import arms
from bench.record.arms import AccuracyArm, CountArm, ProbeArm, SpeedArm

from .conftest import accuracy_record, count_record, probe_record, resealed, speed_record

ARMS = {"count": CountArm, "speed": SpeedArm, "accuracy": AccuracyArm, "probe": ProbeArm}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a record as plain JSON, without their checksums."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        line.pop("crc", None)
    return lines


def rewrite(path: Path, lines: list[dict[str, Any]]) -> Path:
    """Put lines into a record, with the key and the checksums that fit them."""
    given = dict(lines[0]["arm"])
    lines[0]["key"] = arms.key_of(ARMS[given.pop("type")](**given), lines[0]["settings"])
    path.write_bytes(resealed(b"\n".join(json.dumps(line).encode() for line in lines)))
    return path


def changed(path: Path, *changes: tuple[str, Any]) -> Path:
    """Change values of a record at places such as `2.samples.0.detail.images`; None removes one."""
    lines = lines_of(path)
    for place, value in changes:
        *way, last = [
            int(part) if part.lstrip("-").isdecimal() else part for part in place.split(".")
        ]
        at: Any = lines
        for part in way:
            at = at[part]
        if value is None:
            del at[last]
        else:
            at[last] = value
    return rewrite(path, lines)


SAMPLE = "2.samples.0"
SPEEDS: dict[str, tuple[str, Any]] = {
    "no_processors": (f"{SAMPLE}.state", {"left": 0.0}),
    "share_that_vanishes": (f"{SAMPLE}.state", {"left": 5e-324}),
    "negative_share": (f"{SAMPLE}.state", {"left": -0.5}),
    "share_as_text": (f"{SAMPLE}.state", {"left": "half"}),
    "clock_as_text": (f"{SAMPLE}.state", {"clock_mhz_max": "fast"}),
    "zero_speed": (f"{SAMPLE}.values", [0.0]),
    "negative_speed": (f"{SAMPLE}.values", [-1.0]),
    "huge_speed": (f"{SAMPLE}.values", [1e300]),
    "tail_without_calls": (f"{SAMPLE}.detail", {"tail_s": 0.1}),
    "tail_of_no_time": (f"{SAMPLE}.detail", {"tail_s": 0.1, "calls": 3, "seconds": 0.0}),
    "tail_as_list": (f"{SAMPLE}.detail", {"tail_s": [0], "calls": 3, "seconds": 1.0}),
    "window_as_text": ("0.settings.window_s", "long"),
    "calls_as_text": (f"{SAMPLE}.detail", {"calls": "many"}),
    "better_lower": (f"{SAMPLE}.better", "lower"),
    "other_unit": (f"{SAMPLE}.unit", "furlong"),
    "of_a_count": (
        f"{SAMPLE}",
        {
            "metric": "params",
            "unit": "parameter",
            "better": "lower",
            "type": "sample",
            "values": [1.0],
        },
    ),
    "negative_round": ("2.round", -3),
    "same_round_twice": ("3.round", 1),
    "worker_zero": ("2.worker", 0),
    "batch_of_none": ("0.arm.batch_size", 0),
    "endless_batch": ("0.arm.batch_size", 10**30),
    "size_zero": ("0.arm.image_size", 0),
    "endless_size": ("0.arm.image_size", 10**30),
    "no_classes": ("0.arm.num_classes", 0),
    "device_tpu": ("0.arm.device", "tpu"),
    "machine_tpu": ("1.machine.device", "tpu"),
    "no_cores": ("1.machine.cores", 0),
    "memory_endless": ("1.machine.memory_bytes", 10**40),
    "impossible_date": ("1.started", "2026-13-45"),
    "no_date": ("1.started", "yesterday"),
    "setup_as_text": ("1.setup", {"seconds_per_call": "slow", "build_s": "long"}),
    "negative_setup": ("1.setup", {"seconds_per_call": -4.0}),
    "budget_negative": ("-1.time_budget", -1.0),
}
ACCURACIES: dict[str, tuple[str, Any]] = {
    "images_missing": (f"{SAMPLE}.detail.images", None),
    "no_images": (f"{SAMPLE}.detail", {"correct": 0, "images": 0}),
    "more_right_than_shown": (f"{SAMPLE}.detail.correct", 361),
    "negative_right": (f"{SAMPLE}.detail.correct", -1),
    "right_as_text": (f"{SAMPLE}.detail.correct", "all"),
    "other_share": (f"{SAMPLE}.values", [0.123]),
    "share_above_one": (f"{SAMPLE}.values", [1.5]),
    "seconds_as_text": (f"{SAMPLE}.detail.train_s", "long"),
    "epochs_that_vanish": (f"{SAMPLE}.detail.epochs", 5e-324),
    "epochs_without_steps": (f"{SAMPLE}.detail.steps", 0),
    "unreadable_is_no_list": (f"{SAMPLE}.detail.unreadable", 7),
    "spread_as_text": (f"{SAMPLE}.detail.spread", "wide"),
    "spread_of_text": (f"{SAMPLE}.detail.spread", {"crop 1": "wide"}),
    "rate_negative": ("0.arm.learning_rate", -0.1),
    "top5_below_top1": (f"{SAMPLE}.detail.top5_correct", 3),
}
COUNTS: dict[str, tuple[str, Any]] = {
    "uncounted_as_text": ("2.samples.1.detail.uncounted", "none"),
    "uncounted_of_text": ("2.samples.1.detail.uncounted", {"aten::add": "three"}),
    "negative_count": ("2.samples.0.values", [-5.0]),
    "half_a_parameter": ("2.samples.0.values", [0.5]),
    "huge_count": ("2.samples.1.values", [1e300]),
}
ENERGY = {"metric": "energy", "unit": "J", "better": "lower", "type": "sample", "values": [3.0]}
LAYERS = {"metric": "layer_time", "unit": "s", "better": "none", "type": "sample", "values": [3.0]}
FIELD = {
    "metric": "receptive_field",
    "unit": "pixel",
    "better": "none",
    "type": "sample",
    "values": [3.0],
}
OTHERS: dict[str, tuple[str, Any]] = {
    "energy_as_text": (SAMPLE, {**ENERGY, "detail": {"net_j": "little"}}),
    "energy_without_net": (SAMPLE, {**ENERGY, "detail": {}}),
    "layers_are_no_list": (SAMPLE, {**LAYERS, "detail": {"layers": "none"}}),
    "layers_of_two": (SAMPLE, {**LAYERS, "detail": {"layers": [["a", "rest"]]}}),
}
PROBES: dict[str, tuple[str, Any]] = {"canary_of_zero": (f"{SAMPLE}.values", [0.0])}


def make_bad(folder: Path) -> dict[str, Path]:
    """One damaged record of every kind above in a folder of records, by name."""
    made: dict[str, Path] = {}
    for name, change in (SPEEDS | OTHERS).items():
        made[name] = changed(
            speed_record(folder, f"bad_{name}", [10.0, 11.0, 12.0, 10.0, 11.0, 12.0]), change
        )
    for name, change in ACCURACIES.items():
        made[name] = changed(accuracy_record(folder, f"bad_{name}", 300), change)
    for name, change in COUNTS.items():
        made[name] = changed(count_record(folder, f"bad_{name}", 1000, 2000), change)
    for name, change in PROBES.items():
        made[name] = changed(probe_record(folder, [0.1] * 8, precision=f"bad_{name}"), change)
    field = {**FIELD, "detail": {"before_224": {"r50": "wide"}, "after_224": {}}}
    made["field_of_text"] = changed(
        accuracy_record(folder, "bad_field_of_text", 300), (SAMPLE, field)
    )
    for name, text in (
        ("deep", "[" * 100_000),
        ("deep_detail", None),
        ("no_json", "hello"),
        ("huge_number", '{"format":1e999}'),
    ):
        path = speed_record(folder, f"bad_{name}", [1.0])
        made[name] = path
        if text is None:
            whole = path.read_bytes()
            path.write_bytes(
                resealed(
                    whole.replace(
                        b'"detail":{}', b'"detail":{"x":%b}' % (b"[" * 5000 + b"]" * 5000)
                    )
                )
            )
        else:
            path.write_text(text + "\n")
    return made
