"""Export results as CSV files, in the columns of timm's result files.

    bench export FOLDER    results-<data>.csv and benchmark-infer-<policy>-<machine>.csv

Accuracies have one more column, the data set, so that nobody has to guess it from the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.published_csv import as_csv
from bench.analysis.rows import Row, Summary
from bench.files.files import write_whole
from bench.files.paths import stems

EVALUATED = (
    *("model", "img_size", "top1", "top1_err", "top5", "top5_err", "param_count", "crop_pct"),
    *("interpolation", "dataset"),
)
TIMED = (
    *("model", "infer_samples_per_sec", "infer_step_time", "infer_batch_size", "infer_img_size"),
    *("infer_gmacs", "infer_macts", "param_count"),
)


@dataclass(frozen=True)
class Sheet:
    """A CSV file before it is written; `name` is without its suffix."""

    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]


def export(summary: Summary, folder: Path) -> list[Path]:
    """Write a machine's results to a folder, in timm's columns.

    There is one file per data set and protocol, and one per policy. Returns their paths.

    Raises OSError if the folder cannot be written.
    """
    sheets = [*_accuracies(summary), *_speeds(summary)]
    sheets = [sheet for sheet in sheets if sheet.rows]
    names = stems([sheet.name for sheet in sheets], "-")
    written = []
    for name, sheet in zip(names, sheets, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.csv"
        write_whole(path, as_csv(sheet.columns, sheet.rows))
        written.append(path)
    return written


# Accuracies


def _accuracies(summary: Summary) -> Iterator[Sheet]:
    """Yield a file for every data set and protocol, its rows by descending top-1."""
    for protocol, contestants in contestants_by_protocol(summary).items():
        rows = []
        for contestant in contestants:
            if contestant.top1:
                row = _evaluated(contestant, summary)
                rows.append({**row, "dataset": _dataset(protocol)})
        rows.sort(key=lambda row: -float(row["top1"]))
        yield Sheet("-".join(("results", *protocol.parts)), EVALUATED, rows)


def _dataset(protocol: Protocol) -> str:
    """Return a data set as an import expects it, with the labels if they are not its own.

    That is its kind and, for images in a folder, the folder's name.
    """
    data, labels = protocol.data, protocol.labelling
    kind, _, where = data.partition(":")
    name = kind if kind == "imagenet" or not where else f"{kind} {Path(where).name}"
    return ", ".join(filter(None, (name, labels)))


def _evaluated(contestant: Contestant, summary: Summary) -> dict[str, str]:
    """Return the row of one model: means over its seeds. timm's errors are 100 minus accuracy."""
    first = contestant.rows[0]
    top1 = 100 * contestant.top1.value if contestant.top1 else 0.0
    top5 = _top5(contestant)
    params = _params(first.model, summary)
    crop = re.search(r"crop ([0-9.]+)", first.arm.transform)
    interpolation = re.search(r"bicubic|bilinear|nearest|lanczos", first.arm.transform)
    name = first.about.timm_name or first.label
    return {
        "model": f"{name}.{first.arm.weights}" if first.arm.weights else name,
        "img_size": str(first.arm.image_size),
        "top1": f"{top1:.3f}",
        "top1_err": f"{100 - top1:.3f}",
        "top5": "" if top5 is None else f"{top5:.3f}",
        "top5_err": "" if top5 is None else f"{100 - top5:.3f}",
        "param_count": _scaled(params, 1e6),
        "crop_pct": crop[1].rstrip(".") if crop else "",
        "interpolation": interpolation[0] if interpolation else "",
    }


def _top5(contestant: Contestant) -> float | None:
    """Return the mean top-5 accuracy in percent; None if no seed has it."""
    shares = []
    for row in contestant.measured:
        if "top5_correct" in row.detail:
            shares.append(100 * row.detail["top5_correct"] / row.detail["images"])
    return sum(shares) / len(shares) if shares else None


def _params(model: str, summary: Summary) -> float | None:
    """Return the parameters of a model; None if they were not counted."""
    for row in summary.rows:
        params = row.value("params") if row.model == model else None
        if params is not None:
            return params.value
    return None


# Speeds


def _speeds(summary: Summary) -> Iterator[Sheet]:
    """Yield a file for every policy, its rows by descending speed."""
    by_policy: dict[str, list[dict[str, str]]] = {}
    for row in summary.rows:
        by_policy.setdefault(row.policy, []).extend(_timed(row))
    for policy, rows in by_policy.items():
        rows.sort(key=lambda row: -float(row["infer_samples_per_sec"]))
        yield Sheet(f"benchmark-infer-{policy}-{summary.machine.name}", TIMED, rows)


def _timed(row: Row) -> Iterator[dict[str, str]]:
    """Yield a line per batch size: step time in ms, MACs in G, activations and parameters in M."""
    counts = {
        "infer_gmacs": _scaled(_value(row, "macs"), 1e9),
        "infer_macts": _scaled(_value(row, "activations"), 1e6),
        "param_count": _scaled(_value(row, "params"), 1e6),
    }
    for batch, speed in sorted(row.by_batch("throughput").items()):
        yield {
            "model": row.about.timm_name or row.label,
            "infer_samples_per_sec": f"{speed:.2f}",
            "infer_step_time": f"{1e3 * batch / speed:.3f}",
            "infer_batch_size": str(batch),
            "infer_img_size": str(row.image_size),
            **counts,
        }


def _value(row: Row, metric: str) -> float | None:
    found = row.value(metric)
    return None if found is None else found.value


def _scaled(count: float | None, unit: float) -> str:
    """Return a count in a unit such as 1e6; empty if it is unknown."""
    return "" if count is None else f"{count / unit:.6g}"
