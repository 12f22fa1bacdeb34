"""Write a pool in the schema of Every Eval Ever, every value with its uncertainty.

The schema is `eval.schema.json` 0.3.0 of github.com/evaleval/every_eval_ever (MIT), commit 9bce413
of August 2026; tests/schemas has a copy, which test_pool_export.py validates against. Files lie as
its datastore wants them: `data/<collection>/<developer>/<model>/<uuid4>.json`, one per machine and
model. Values are in base units: seconds, images per second, bytes, shares from 0 to 1.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.grade import Grade, grade
from bench.analysis.rows import Accuracy, Quantity, Row, Summary
from bench.errors import UsageError
from bench.exchange.pool import PooledMachine
from bench.files.files import named, write_whole
from bench.files.paths import inside, stem
from bench.record.schema import RunLine
from bench.stats.intervals import Estimate, effect_of_ratio

VERSION = "0.3.0"
COLLECTION = "convmixer-bench"
Json = dict[str, Any]
OF_ROUNDS = "Student's t on logarithms, over rounds and processes as random effects"
OF_SEEDS = "Student's t over training runs with different seeds"
OF_IMAGES = "Wilson, binomial over test images"


@dataclass(frozen=True)
class Exported:
    """The files written, the version of their schema, and what was left out, in sentences."""

    paths: list[Path]
    left_out: list[str]
    version: str = VERSION


@dataclass(frozen=True)
class _Model:
    """What a file is about: a model, or one set of its weights, under its published name if any."""

    name: str
    id: str
    weights: bool

    @property
    def developer(self) -> str:
        """The part of the id before the slash."""
        return self.id.partition("/")[0]


def export(machines: Sequence[PooledMachine], folder: Path, *, now: float) -> Exported:
    """Write everything that was measured, one file per machine and model.

    Speeds that their own checks forbid to use are left out, since the schema has no field for that.
    `now` is the time of this export in seconds since 1970.

    Raises UsageError if nothing is left to write, or if the folder cannot be written.
    """
    paths: list[Path] = []
    left_out: list[str] = []
    for machine in machines:
        results, refused = _results_of(machine.summary)
        if refused:
            left_out.append(f"{machine.name}: {refused} speeds are left out: {_why(machine)}")
        for model, found in results.items():
            paths.append(_write(folder, model, _log(machine, model, list(found.values()), now)))
    if not paths:
        raise UsageError(
            "--export-eee: no value is left to write: " + ("; ".join(left_out) or "no pack has any")
        )
    return Exported(paths, left_out)


def _results_of(summary: Summary) -> tuple[dict[_Model, dict[str, Json]], int]:
    """Return the results of each model by their ids, and the number of speeds left out."""
    results: dict[_Model, dict[str, Json]] = {}
    refused = 0
    names = _timm_names(summary)
    for row in summary.rows:
        trust = grade(summary, row.image_size)
        for quantity, value in sorted(row.values.items()):
            timed = quantity in row.fair and quantity not in row.counted
            if timed and trust.word == "do not use":
                refused += 1
            else:
                found = _speed(row, quantity, value, trust if timed else None)
                _add(results, _model_of(row, names.get(row.model)), found)
    for protocol, contestants in contestants_by_protocol(summary).items():
        for contestant in contestants:
            if contestant.top1 is not None:
                _add(
                    results,
                    _weights_of(contestant, names.get(contestant.first.model)),
                    _accuracy(protocol, contestant, contestant.top1),
                )
    return results, refused


def _add(results: dict[_Model, dict[str, Json]], model: _Model, found: Json) -> None:
    """Add a result to its model's; a count, which every policy has, once."""
    results.setdefault(model, {}).setdefault(found["evaluation_result_id"], found)


def _why(machine: PooledMachine) -> str:
    trusts = [grade(machine.summary, size) for size in machine.summary.image_sizes]
    return next(f"{one.word}: {one.reason}" for one in trusts if one.word == "do not use")


def _write(folder: Path, model: _Model, log: Json) -> Path:
    digest = hashlib.sha256(log["evaluation_id"].encode()).digest()
    name = f"{uuid.UUID(bytes=digest[:16], version=4)}.json"
    place = folder / "data" / COLLECTION / stem(model.developer) / stem(model.name)
    path = inside(folder, place / name)
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(log, indent=1, ensure_ascii=False).encode())
    return path


def _log(machine: PooledMachine, model: _Model, results: list[Json], now: float) -> Json:
    run = machine.last_run
    return {
        "schema_version": VERSION,
        "evaluation_id": f"{COLLECTION}/{machine.name}/{model.id}/{model.name}/{run.started}",
        "evaluation_timestamp": run.started,
        "retrieved_timestamp": str(int(now)),
        "source_metadata": {
            "source_name": "convmixer-bench pool",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
            "additional_details": _packs_of(machine),
        },
        "eval_library": {
            "name": "convmixer-bench",
            "version": run.version,
            "additional_details": {"commit": run.commit or "unknown"},
        },
        "model_info": {
            "name": model.name,
            "id": model.id,
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "open_weights" if model.weights else "unknown",
                **_machine_details(machine.summary, run),
            },
        },
        "evaluation_results": results,
    }


def _packs_of(machine: PooledMachine) -> dict[str, str]:
    details = {"packs": ", ".join(machine.packs)}
    signatures = [one for one in machine.packs.values() if one is not None]
    if signatures:
        checked = all(one.checked for one in signatures)
        signers = sorted({one.fingerprint for one in signatures})
        details["signed_by" if checked else "signed_by_unchecked"] = ", ".join(signers)
    return details


def _machine_details(summary: Summary, run: RunLine) -> dict[str, str]:
    machine = summary.machine
    details = {
        "machine": machine.name,
        "hardware": machine.hardware,
        "cores": str(machine.cores),
        "memory_bytes": str(machine.memory_bytes),
    }
    for name, version in machine.versions.items():
        details[f"version_{name}"] = version
    return details


def _timm_names(summary: Summary) -> dict[str, str]:
    """Return timm's name of every model that has one, as any record of it says."""
    names: dict[str, str] = {}
    rows: list[Row | Accuracy] = [*summary.rows, *summary.accuracies]
    for row in rows:
        if row.about.timm_name:
            names[row.model] = row.about.timm_name
    return names


def _model_of(row: Row, timm_name: str | None) -> _Model:
    """Return what a speed is of: an architecture, whatever its weights."""
    return _Model(row.label, f"timm/{timm_name}" if timm_name else f"unknown/{row.model}", False)


def _weights_of(contestant: Contestant, timm_name: str | None) -> _Model:
    """Return what an accuracy is of: published weights, or an architecture that was trained."""
    first, tag = contestant.first, contestant.first.arm.weights
    if timm_name is None:
        return _Model(contestant.name, f"unknown/{first.model}", bool(tag))
    full = f"{timm_name}.{tag}" if tag else timm_name
    return _Model(contestant.name, f"timm/{full}", bool(tag))


# Speeds and counts


def _speed(row: Row, quantity: Quantity, value: Estimate, trust: Grade | None) -> Json:
    """Return one value of a row; a timed one with its uncertainty and the grade of its run."""
    score: Json = {"score": value.value}
    name = f"{COLLECTION}.{quantity.metric}.{row.image_size}px"
    if trust is not None:
        name += f".{row.policy}.b{quantity.batch_size}"
        score["details"] = {
            "value": "median over rounds",
            "grade": trust.word,
            "checks": trust.line,
            "handwritten_kernels": str(row.handwritten).lower(),
        }
        score["uncertainty"] = _of_rounds(row, quantity, value)
    return {
        "evaluation_result_id": name,
        "evaluation_name": name,
        "source_data": {
            "dataset_name": f"random images of {row.image_size} x {row.image_size} pixels",
            "source_type": "other",
        },
        "metric_config": _metric(row, quantity, timed=trust is not None),
        "score_details": score,
    }


def _metric(row: Row, quantity: Quantity, *, timed: bool) -> Json:
    parameters: Json = {"image_size": row.image_size}
    if timed:
        how = {"policy": row.policy, "device": row.device, "batch_size": quantity.batch_size}
        parameters |= how
    return {
        "metric_id": f"{COLLECTION}.{quantity.metric}",
        "metric_name": quantity.metric,
        "metric_kind": quantity.metric,
        "metric_unit": quantity.unit,
        "lower_is_better": quantity.better != "higher",
        "score_type": "continuous",
        "min_score": 0,
        "max_score": "Infinity",
        "metric_parameters": parameters,
    }


def _of_rounds(row: Row, quantity: Quantity, value: Estimate) -> Json:
    """Return the uncertainty of a timed value: its interval, its error, its spread over rounds."""
    rounds = row.fair[quantity]
    found: Json = {"num_samples": len(rounds)}
    if len(rounds) > 1:
        found["standard_deviation"] = statistics.stdev(rounds.values())
    effect = effect_of_ratio(value)  # the interval of a level is one of its logarithm
    if effect is not None:
        found["standard_error"] = {
            "value": effect.error * value.value,
            "method": f"{OF_ROUNDS}; times the value (delta method)",
        }
    return found | _interval(value, OF_ROUNDS)


def _interval(value: Estimate, method: str) -> Json:
    if value.low is None or value.high is None:
        return {}
    ends = {"lower": value.low, "upper": value.high}
    return {"confidence_interval": {**ends, "confidence_level": 0.95, "method": method}}


# Accuracies


def _accuracy(protocol: Protocol, contestant: Contestant, top1: Estimate) -> Json:
    first, seeds = contestant.first, contestant.shares
    images = int(contestant.measured[0].detail["images"])
    details = {"protocol": protocol.label, "test_images": str(images), "seeds": str(len(seeds))}
    if first.about.caveat:
        details["caveat"] = first.about.caveat
    several = len(seeds) > 1
    uncertainty: Json = {"num_samples": len(seeds) if several else images}
    if several:
        spread = statistics.stdev(seeds)
        uncertainty["standard_deviation"] = spread
        uncertainty["standard_error"] = {
            "value": spread / len(seeds) ** 0.5,
            "method": "analytic, over seeds",
        }
    uncertainty |= _interval(top1, OF_SEEDS if several else OF_IMAGES)
    name = f"{COLLECTION}.top1.{first.arm.data}.{first.arm.image_size}px"
    return {
        "evaluation_result_id": f"{name}.{protocol.label}.{first.arm.transform}",
        "evaluation_name": name,
        "source_data": {"dataset_name": first.arm.data, "source_type": "other"},
        "metric_config": {
            "metric_id": "accuracy",
            "metric_name": "top-1",
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
            "metric_parameters": {
                "split": first.arm.split,
                "transform": first.arm.transform,
                "recipe": first.arm.recipe,
                "tuning": first.arm.tuning,
                "equalise": first.arm.equalise,
            },
        },
        "score_details": {"score": top1.value, "details": details, "uncertainty": uncertainty},
    }
