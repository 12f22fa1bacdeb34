"""Records as a tidy table: one row per metric and round, ready for pandas.

    import bench

    frame = bench.load("results")
    speeds = frame[(frame.metric == "throughput") & (frame.phase == "measure") & ~frame.disturbed]
    speeds.groupby(["machine", "model", "policy", "batch_size"]).value.median()

Values are as stored, in base units (`unit`), the median of their window; nothing is averaged, nothing is left out.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.errors import UsageError
from bench.record.reading import read_below
from bench.record.schema import EndLine, RoundLine, RunLine, Sample
from bench.record.store import Record

if TYPE_CHECKING:
    import pandas

ARM = (
    "model", "image_size", "num_classes", "policy", "device", "batch_size", "mode", "precision", "data", "split", "transform", "recipe",
    "recipe_hash", "tuning", "learning_rate", "equalise", "epochs", "weights", "checkpoint", "labels", "seed", "source",
)  # fmt: skip
"""Fields of arms; a column is empty where a kind of arm has no such field."""
COLUMNS = (
    "machine", "kind", "family", *ARM, "metric", "unit", "better", "value", "calls", "low", "high", "run", "round", "phase", "worker",
    "disturbed", "role", "started", "commit", "status", "key",
)  # fmt: skip


def load(path: str | Path) -> pandas.DataFrame:
    """All records below a results folder, or a machine's folder, as a DataFrame with the columns `COLUMNS`.

    `value` is the median of a round's window of `calls` values, `low` and `high` their extremes; `status` is how the run
    ended for the arm, empty where it was killed. A damaged record is left out with a warning that names it. UsageError
    where there are no records, or none that can be read.
    """
    import pandas

    records, damaged = read_below(Path(path))
    if not records:
        raise (
            damaged[0]
            if damaged
            else UsageError(f"load: no records below {path}; `python -m bench run` measures some")
        )
    for error in damaged:
        warnings.warn(f"left out: {error}", stacklevel=2)
    rows = [row for record in records for row in _rows(record)]
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    arm = msgspec.structs.asdict(record.arm)
    runs = {run.run: run for run in record.runs}
    ends = {(end.run, metric): end for end in record.ends for metric in end.metrics}
    common = {
        "machine": record.path.parent.parent.name,
        "kind": record.arm.__struct_config__.tag,
        "family": record.head.about.family,
        "key": record.head.key,
    }
    common |= {name: arm.get(name) for name in ARM}
    for line in record.rounds:
        for sample in line.samples:
            yield common | _sample(
                sample, line, runs[line.run], ends.get((line.run, sample.metric))
            )


def _sample(sample: Sample, line: RoundLine, run: RunLine, end: EndLine | None) -> dict[str, Any]:
    return {
        "metric": sample.metric,
        "unit": sample.unit,
        "better": sample.better,
        "value": statistics.median(sample.values),
        "calls": len(sample.values),
        "low": min(sample.values),
        "high": max(sample.values),
        "run": line.run,
        "round": line.round,
        "phase": line.phase,
        "worker": line.worker,
        "disturbed": sample.disturbed is not None,
        "role": run.role,
        "started": run.started,
        "commit": run.commit,
        "status": end.status if end else None,
    }
