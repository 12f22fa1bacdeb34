"""Our results as CSV files, in the columns of timm's result files.

    bench export FOLDER    results-<data>.csv and benchmark-infer-<policy>-<machine>.csv

Accuracies have one column more, the data set: nobody has to guess it from the file's name.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.published_csv import as_csv
from bench.analysis.rows import Row, Summary
from bench.files.files import write_whole
from bench.files.paths import stems

EVALUATED = (
    *(
        "model",
        "img_size",
        "top1",
        "top1_err",
        "top5",
        "top5_err",
        "param_count",
        "crop_pct",
        "interpolation",
    ),
    "dataset",
)
TIMED = (
    *("model", "infer_samples_per_sec", "infer_step_time", "infer_batch_size", "infer_img_size"),
    *("infer_gmacs", "infer_macts", "param_count"),
)


def export(summary: Summary, folder: Path) -> list[Path]:
    """A machine's results in timm's columns: one file per data set and protocol, one per policy."""
    files: list[tuple[str, tuple[str, ...], list[dict[str, str]]]] = []
    for protocol, contestants in contestants_by_protocol(summary).items():
        rows = [
            {**_evaluated(one, summary), "dataset": _dataset(protocol)}
            for one in contestants
            if one.top1
        ]
        rows.sort(key=lambda row: -float(row["top1"]))
        files.append((f"results-{'-'.join(protocol.parts)}", EVALUATED, rows))
    for policy in dict.fromkeys(row.policy for row in summary.rows if row.by_batch("throughput")):
        rows = [one for row in summary.rows if row.policy == policy for one in _timed(row)]
        rows.sort(key=lambda row: -float(row["infer_samples_per_sec"]))
        files.append((f"benchmark-infer-{policy}-{summary.machine.name}", TIMED, rows))
    files = [one for one in files if one[2]]
    written = []
    for name, (_, columns, rows) in zip(
        stems((name for name, *_ in files), "-"), files, strict=True
    ):
        folder.mkdir(parents=True, exist_ok=True)
        written.append(folder / f"{name}.csv")
        write_whole(written[-1], as_csv(columns, rows))
    return written


def _dataset(protocol: Protocol) -> str:
    """The data set of a protocol as an import takes it: its kind, the last part of where it lay, and other labels."""
    kind, _, where = protocol.data.partition(":")
    name = kind if kind == "imagenet" or not where else f"{kind} {Path(where).name}"
    return ", ".join(part for part in (name, protocol.labelling) if part)


def _named(row: Row | Contestant) -> str:
    """timm's name where there is one, with the tag of its weights; else our own."""
    if isinstance(row, Row):
        return row.about.timm_name or row.model
    first = row.rows[0]
    return ".".join(
        part for part in (first.about.timm_name or first.model, first.arm.weights) if part
    )


def _evaluated(one: Contestant, summary: Summary) -> dict[str, str]:
    """Means over seeds; timm's errors are 100 less the accuracy."""
    first = one.rows[0]
    params = next(
        (
            found.value
            for row in summary.rows
            if row.model == first.model and (found := row.value("params"))
        ),
        None,
    )
    top1 = 100 * one.top1.value if one.top1 else 0.0
    shares = [
        100 * row.detail["top5_correct"] / row.detail["images"]
        for row in one.measured
        if "top5_correct" in row.detail
    ]
    top5 = sum(shares) / len(shares) if shares else None
    crop = re.search(r"crop ([0-9.]+)", first.arm.transform)
    interpolation = re.search(r"bicubic|bilinear|nearest|lanczos", first.arm.transform)
    return {
        "model": _named(one),
        "img_size": str(first.arm.image_size),
        "top1": f"{top1:.3f}",
        "top1_err": f"{100 - top1:.3f}",
        "top5": "" if top5 is None else f"{top5:.3f}",
        "top5_err": "" if top5 is None else f"{100 - top5:.3f}",
        "param_count": "" if params is None else f"{params / 1e6:.6g}",
        "crop_pct": crop[1].rstrip(".") if crop else "",
        "interpolation": interpolation[0] if interpolation else "",
    }


def _timed(row: Row) -> list[dict[str, str]]:
    """One line per batch size; the step time in milliseconds, MACs in G, activations and parameters in M."""
    counts = {name: row.value(name) for name in ("macs", "activations", "params")}
    macs, activations, params = (
        None if found is None else found.value for found in counts.values()
    )
    return [
        {
            "model": _named(row),
            "infer_samples_per_sec": f"{speed:.2f}",
            "infer_step_time": f"{1e3 * batch / speed:.3f}",
            "infer_batch_size": str(batch),
            "infer_img_size": str(row.image_size),
            "infer_gmacs": "" if macs is None else f"{macs / 1e9:.6g}",
            "infer_macts": "" if activations is None else f"{activations / 1e6:.6g}",
            "param_count": "" if params is None else f"{params / 1e6:.6g}",
        }
        for batch, speed in sorted(row.by_batch("throughput").items())
    ]
