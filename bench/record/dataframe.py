"""Records as a tidy table: one row per metric and round, ready for pandas.

    import bench

    frame = bench.load("results")
    speeds = frame[(frame.metric == "throughput") & (frame.phase == "measure") & ~frame.disturbed]
    speeds.groupby(["machine", "model", "policy", "batch_size"]).value.median()

Values are the medians of their windows, in base units (`unit`), as stored. Nothing else is averaged
and nothing is left out.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.errors import UsageError
from bench.record.names import names_in
from bench.record.reading import read_below
from bench.record.schema import EndLine, RoundLine, RunLine, Sample
from bench.record.store import Record

if TYPE_CHECKING:
    import pandas

ARM = (
    *("model", "image_size", "num_classes", "policy", "device", "batch_size", "mode", "precision"),
    *("data", "split", "transform", "recipe", "recipe_hash", "tuning", "learning_rate"),
    *("equalise", "epochs", "weights", "checkpoint", "labels", "seed", "source"),
)
"""Fields of arms; a column is empty for the kinds of arm without this field."""
COLUMNS = (
    *("machine", "kind", "family", "label", *ARM, "metric", "unit", "better", "value", "calls"),
    *("low", "high", "run", "round", "phase", "worker", "disturbed", "role", "started", "commit"),
    *("status", "key"),
)


def load(path: str | Path) -> pandas.DataFrame:
    """Return all records below a results folder, or a machine's folder, with the columns `COLUMNS`.

    `value` is the median of a round's window of `calls` values, `low` and `high` are their
    extremes. `label` is the model as reports show it (`bench run --name`). `status` is how the run
    ended for the configuration, empty if it was killed. A damaged record is left out with a warning
    that names it.

    Raises UsageError if there are no records that can be read.
    """
    import pandas

    records, damaged = read_below(Path(path))
    if not records and damaged:
        raise damaged[0]
    if not records:
        raise UsageError(f"load: no records below {path}; `python -m bench run` measures some")
    for error in damaged:
        warnings.warn(f"left out: {error}", stacklevel=2)
    rows: list[dict[str, Any]] = []
    names = names_in(records)
    for record in records:
        rows += _rows(record, names)
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def _rows(record: Record, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    arm = msgspec.structs.asdict(record.arm)
    runs = {run.run: run for run in record.runs}
    ends: dict[tuple[str, str], EndLine] = {}
    for end in record.ends:
        ends |= {(end.run, metric): end for metric in end.metrics}
    common = {
        "machine": record.path.parent.parent.name,
        "kind": record.arm.__struct_config__.tag,
        "family": record.head.about.family,
        "label": names.get(record.arm.model, record.arm.model),
        "key": record.head.key,
        **{name: arm.get(name) for name in ARM},
    }
    for line in record.rounds:
        for sample in line.samples:
            end_line = ends.get((line.run, sample.metric))
            yield common | _sample(sample, line, runs[line.run], end_line)


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
