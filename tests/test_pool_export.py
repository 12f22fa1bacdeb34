"""Exports in the schema of Every Eval Ever, held against its own JSON schema (tests/schemas)."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bench.analysis.grade import grade
from bench.exchange.every_eval_ever import VERSION
from bench.exchange.pack import pack
from bench.exchange.pool import read_pool
from bench.stats.intervals import student

from . import synthetic
from .conftest import MACHINE
from .pool_worlds import SPEEDS, packed, records
from .program import assert_one_line, bench, called
from .test_pool import with_pair

SCHEMA = json.loads((Path(__file__).parent / "schemas/every_eval_ever.schema.json").read_text())
PLACE = re.compile(
    r"data/convmixer-bench/[a-z0-9_-]+/[A-Za-z0-9_-]+/"
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
)
"""Where the datastore of Every Eval Ever wants its files (validator/validation_core.py)."""


def not_json(word: str) -> float:
    raise AssertionError(f"{word} is not JSON")


def logs(folder: Path) -> list[dict[str, Any]]:
    """Return every file of an export, each of which is valid and in its place."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        assert PLACE.fullmatch(path.relative_to(folder).as_posix()), path
        log = json.loads(path.read_text(encoding="utf-8"), parse_constant=not_json)
        jsonschema.Draft7Validator(SCHEMA).validate(log)
        for result in log["evaluation_results"]:
            check_result(result)
        found.append(log)
    return found


def check_result(result: dict[str, Any]) -> None:
    """What the validator of the datastore asks beyond the schema."""
    config, details = result["metric_config"], result["score_details"]
    highest = math.inf if config["max_score"] == "Infinity" else config["max_score"]
    assert config["min_score"] <= details["score"] <= highest
    interval = details.get("uncertainty", {}).get("confidence_interval")
    if interval:
        assert interval["lower"] <= details["score"] <= interval["upper"]
        assert interval["confidence_level"] == 0.95


def results_of(log: dict[str, Any]) -> dict[str, dict[str, Any]]:
    named = {one["evaluation_result_id"]: one for one in log["evaluation_results"]}
    assert len(named) == len(log["evaluation_results"])
    return named


def test_the_schema_is_of_the_version_that_files_name() -> None:
    assert SCHEMA["version"] == VERSION
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_speeds_counts_and_accuracies_are_valid_with_their_uncertainty(
    results: Path, tmp_path: Path
) -> None:
    """By the real command; seven models of one machine."""
    (tmp_path / "packs").mkdir()
    pack(results, tmp_path / "packs" / "mine.zip")
    ended = bench("pool", "packs", "--export-eee", "eee", cwd=tmp_path)
    assert ended.code == 0, ended
    assert "7 files in the schema of Every Eval Ever 0.3.0" in " ".join(ended.out.split())
    found = {log["model_info"]["name"]: log for log in logs(tmp_path / "eee")}
    assert len(found) == 7
    log = found["resnet50"]
    assert log["model_info"]["id"] == "timm/resnet50"
    assert log["evaluation_id"].startswith(f"convmixer-bench/{MACHINE.name}/timm/resnet50/")
    named = results_of(log)
    speed = named["convmixer-bench.throughput.224px.fp32.b4"]
    assert speed["metric_config"]["metric_unit"] == "image/s"
    assert not speed["metric_config"]["lower_is_better"]
    [machine] = read_pool(tmp_path / "packs").machines
    trust = grade(machine.summary, 224)
    assert speed["score_details"]["details"]["grade"] == trust.word
    assert speed["score_details"]["details"]["checks"] == trust.line
    row = next(one for one in machine.summary.rows if one.model == "resnet50")
    quantity = next(one for one in row.values if one.metric == "throughput")
    value, uncertain = row.values[quantity], speed["score_details"]["uncertainty"]
    assert speed["score_details"]["score"] == value.value
    ends = uncertain["confidence_interval"]
    assert (ends["lower"], ends["upper"]) == (value.low, value.high)
    assert uncertain["num_samples"] == 8
    # The standard error is the one that the interval is made of, as far as both are small.
    half = uncertain["standard_error"]["value"] * student(value.freedom or 7)
    assert half == pytest.approx((ends["upper"] - ends["lower"]) / 2, rel=0.01)
    assert named["convmixer-bench.params.224px"]["score_details"] == {"score": 25_557_032}
    top1 = next(one for name, one in named.items() if ".top1." in name)
    assert top1["metric_config"]["metric_id"] == "accuracy"
    assert top1["score_details"]["score"] == pytest.approx((330 + 4 * 6) / 360)
    assert top1["score_details"]["uncertainty"]["num_samples"] == 360
    assert top1["score_details"]["details"]["caveat"] == "a pipeline check"


def test_machines_have_files_of_their_own(tmp_path: Path) -> None:
    for name, factor in (("slow", 1.0), ("fast", 10.0)):
        speeds = {model: factor * value for model, value in SPEEDS.items()}
        packed(tmp_path / "packs", name, records(name, speeds))
    assert called("pool", "packs", "--export-eee", "eee", cwd=tmp_path).code == 0
    of_model = [log for log in logs(tmp_path / "eee") if log["model_info"]["name"] == "resnet50"]
    scores = {}
    for log in of_model:
        [result] = log["evaluation_results"]
        machine = log["model_info"]["additional_details"]["machine"]
        scores[machine] = result["score_details"]["score"]
    assert scores == {
        "slow": pytest.approx(12.0, rel=0.01),
        "fast": pytest.approx(120.0, rel=0.01),
    }
    again = {path.name for path in (tmp_path / "eee").rglob("*.json")}
    assert called("pool", "packs", "--export-eee", "eee", cwd=tmp_path).code == 0
    assert {path.name for path in (tmp_path / "eee").rglob("*.json")} == again


def test_speeds_that_must_not_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    draw = random.Random(2)
    noise = [synthetic.noisy(draw, 10.0, 0.5, 8) for _ in range(2)]
    packed(tmp_path / "packs", "wide", with_pair("wide", *noise))
    refused = called("pool", "packs", "--export-eee", "eee", cwd=tmp_path)
    assert_one_line(refused, "--export-eee: no value is left to write: wide: 3 speeds")
    packed(tmp_path / "packs", "good", records("good"))
    ended = called("pool", "packs", "--export-eee", "eee", cwd=tmp_path)
    assert ended.code == 0
    assert "note: wide: 3 speeds are left out: do not use" in " ".join(ended.out.split())
    machines = {
        log["model_info"]["additional_details"]["machine"] for log in logs(tmp_path / "eee")
    }
    assert machines == {"good"}


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    packed(tmp_path / "packs", "good", records("good"))
    (tmp_path / "file").write_text("")
    ended = called("pool", "packs", "--export-eee", "file", cwd=tmp_path)
    assert_one_line(ended, "file")
    assert (tmp_path / "file").read_text() == ""
