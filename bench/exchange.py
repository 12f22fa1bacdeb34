"""Others' CSV files in, ours out, in the columns of timm's result files.

    bench import results-imagenet.csv     marked reference rows of every later report
    bench export FOLDER                   results-<data>.csv and benchmark-infer-<machine>-<policy>.csv

What is imported is kept in `results/published/`, one file each, with its source; it is never put among measurements.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path

from bench.contestants import Contestant, trained_rows
from bench.disk import write_whole
from bench.errors import UsageError
from bench.published import Imported, Published, Speed
from bench.summary import Row, Summary

FOLDER = "published"
ACCURACY = ("model", "img_size", "top1")
SPEED = ("model", "infer_samples_per_sec", "infer_batch_size", "infer_img_size")
LARGEST = 32 << 20
EVALUATED = ("model", "img_size", "top1", "top1_err", "top5", "top5_err", "param_count", "crop_pct", "interpolation")
TIMED = (
    *("model", "infer_samples_per_sec", "infer_step_time", "infer_batch_size", "infer_img_size"),
    *("infer_gmacs", "infer_macts", "param_count"),
)


def imported(results: Path) -> Imported:
    """Everything in `results/published`; UsageError that names the file where one cannot be read."""
    found = Imported()
    for path in sorted((results / FOLDER).glob("*.csv")):
        more = read(path)
        found.accuracies.extend(more.accuracies)
        found.speeds.extend(more.speeds)
    return found


def import_csv(path: Path, results: Path, source: str | None = None) -> tuple[Path, int]:
    """Check a CSV file and keep it among the results; returns where, and how many rows it has."""
    columns, lines, _ = _parsed(path, source)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.") or "published"
    target = results / FOLDER / f"{name}.csv"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, _csv(dict.fromkeys([*columns, "source"]), [{**line, "source": _source(line, path, source)} for line in lines]))
    except OSError as error:
        raise UsageError(f"import: {target} cannot be written ({error.strerror}); --results names another folder") from None
    return target, len(lines)


def _source(line: dict[str, str], path: Path, source: str | None) -> str:
    """Whoever imports has the first word, then the file."""
    return source or line.get("source") or path.name


def read(path: Path) -> Imported:
    """The rows of a file in timm's columns; UsageError naming file, line and what was expected."""
    return _parsed(path, None)[2]


def _parsed(path: Path, source: str | None) -> tuple[list[str], list[dict[str, str]], Imported]:
    """The columns of a file, its lines as they are, and what they say."""
    reader = csv.DictReader(io.StringIO(_text(path)))
    columns = list(reader.fieldnames or [])
    kind = next((one for one in (ACCURACY, SPEED) if set(one) <= set(columns)), None)
    if kind is None:
        raise UsageError(
            f"import: {path} has the columns {', '.join(columns[:8]) or 'of no table'}; timm's result files have "
            f"{', '.join(ACCURACY)} (accuracy) or {', '.join(SPEED)} (speed)"
        )
    found, lines = Imported(), []
    for number, line in enumerate(reader, start=2):
        if None in line or any(line.get(name) in (None, "") for name in kind):
            raise UsageError(f"import: {path}, line {number}: {', '.join(kind)} have to be there, and no more fields than the header has")
        where = _source(line, path, source)
        lines.append(line)
        try:
            if kind is ACCURACY:
                found.accuracies.append(_accuracy(line, where))
            else:
                found.speeds.append(_speed(line, where, path.stem))
        except ValueError as error:
            raise UsageError(f"import: {path}, line {number}: {error}") from None
    if not found.accuracies and not found.speeds:
        raise UsageError(f"import: {path} has a header and no rows")
    return columns, lines, found


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"import: {path} has {path.stat().st_size / 1e6:.0f} MB; a table of results has less than 32")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"import: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"import: {path} is no text; a CSV file with timm's columns would work") from None


def _number(line: dict[str, str], name: str, low: float, high: float) -> float:
    try:
        value = float(line[name])
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{name} is {line[name]!r}, not a number from {low:g} to {high:g}")
    return value


def _accuracy(line: dict[str, str], source: str) -> Published:
    architecture, _, tag = line["model"].partition(".")
    return Published(
        architecture=architecture,
        tag=tag,
        image_size=int(_number(line, "img_size", 1, 65536)),
        top1=_number(line, "top1", 0, 100) / 100,
        epochs=None,
        more_data=_more_data(tag),
        teacher="dist" in tag,
        source=source,
    )


def _more_data(tag: str) -> bool:
    """What timm's tags say of the data: anything but `in1k` alone, and ImageNet-1k at the end of a longer way."""
    return bool(re.search(r"in21k|in22k|in12k|ig1b|ig965m|laion|jft|yfcc|lvd|openai|webli|merged|dfn|datacomp|metaclip", tag))


def _speed(line: dict[str, str], source: str, stem: str) -> Speed:
    size, batch = int(_number(line, "infer_img_size", 1, 65536)), int(_number(line, "infer_batch_size", 1, 1e9))
    return Speed(
        architecture=line["model"].partition(".")[0],
        images_per_s=_number(line, "infer_samples_per_sec", 1e-9, 1e9),
        setting=f"{stem.removeprefix('benchmark-infer-')} bs{batch} {size} px",
        image_size=size,
        source=source,
    )


def export(summary: Summary, folder: Path) -> list[Path]:
    """A machine's results in timm's columns: one file per data set and protocol, one per policy."""
    files: dict[str, tuple[tuple[str, ...], list[dict[str, str]]]] = {}
    for key, contestants in trained_rows(summary).items():
        words = "-".join(part for part in key if part)
        rows = [_evaluated(one, summary) for one in contestants if one.top1]
        files[f"results-{_slug(words)}.csv"] = (EVALUATED, sorted(rows, key=lambda row: -float(row["top1"])))
    for policy in dict.fromkeys(row.policy for row in summary.rows if row.by_batch("throughput")):
        rows = [one for row in summary.rows if row.policy == policy for one in _timed(row)]
        rows.sort(key=lambda row: -float(row["infer_samples_per_sec"]))
        files[f"benchmark-infer-{_slug(policy)}-{_slug(summary.machine.name)}.csv"] = (TIMED, rows)
    written = []
    for name, (columns, rows) in files.items():
        if not rows:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, _csv(columns, rows))
        written.append(folder / name)
    return written


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def _csv(columns: Iterable[str], rows: list[dict[str, str]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _named(row: Row | Contestant) -> str:
    """timm's name where there is one, with the tag of its weights; else our own."""
    if isinstance(row, Row):
        return row.about.timm_name or row.model
    first = row.rows[0]
    return ".".join(part for part in (first.about.timm_name or first.model, first.arm.weights) if part)


def _evaluated(one: Contestant, summary: Summary) -> dict[str, str]:
    """Means over seeds; timm's errors are 100 less the accuracy."""
    first = one.rows[0]
    params = next((found.value for row in summary.rows if row.model == first.model and (found := row.value("params"))), None)
    top1 = 100 * one.top1.value if one.top1 else 0.0
    shares = [100 * row.detail["top5_correct"] / row.detail["images"] for row in one.measured if "top5_correct" in row.detail]
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
        "param_count": "" if params is None else f"{params / 1e6:.2f}",
        "crop_pct": crop[1].rstrip(".") if crop else "",
        "interpolation": interpolation[0] if interpolation else "",
    }


def _timed(row: Row) -> list[dict[str, str]]:
    """One line per batch size; the step time in milliseconds, MACs in G, activations and parameters in M."""
    counts = {name: row.value(name) for name in ("macs", "activations", "params")}
    macs, activations, params = (None if found is None else found.value for found in counts.values())
    return [
        {
            "model": _named(row),
            "infer_samples_per_sec": f"{speed:.2f}",
            "infer_step_time": f"{1e3 * batch / speed:.3f}",
            "infer_batch_size": str(batch),
            "infer_img_size": str(row.image_size),
            "infer_gmacs": "" if macs is None else f"{macs / 1e9:.2f}",
            "infer_macts": "" if activations is None else f"{activations / 1e6:.2f}",
            "param_count": "" if params is None else f"{params / 1e6:.2f}",
        }
        for batch, speed in sorted(row.by_batch("throughput").items())
    ]
