"""Others' CSV files in the columns of timm's result files, kept as marked reference rows of every later report.

    bench import results-imagenet-a.csv                  the data set is that of timm's file of this name
    bench import mine.csv --dataset imagenet             any other name says nothing, so it has to be told
    bench import benchmark-train-amp-nchw-rtx3090.csv    speeds of training, shown apart from those of inference

They lie in `results/published/`, one file each, with source and data set; they are never put among measurements. A row
that cannot be read, as of a model that failed, is left out and named; the others are kept.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.analysis.published import DATASETS, IMAGENET, Imported, Published, Speed
from bench.errors import UsageError
from bench.files import files
from bench.files.csv_cells import in_csv
from bench.files.paths import inside, stem

FOLDER = "published"
ACCURACY = ("model", "img_size", "top1")
INFERENCE = ("model", "infer_samples_per_sec", "infer_batch_size", "infer_img_size")
TRAINING = ("model", "train_samples_per_sec", "train_batch_size", "train_img_size")
LARGEST = 32 << 20
NAMED = 5
"""Rows left out that are named one by one; more are counted."""
TIMMS_FILES = {
    "results-imagenet": IMAGENET,
    "results-imagenet-real": "imagenet-real",
    "results-imagenetv2-matched-frequency": "imagenet-v2",
    "results-imagenet-a": "imagenet-a",
    "results-imagenet-a-clean": "imagenet-a-clean",
    "results-imagenet-r": "imagenet-r",
    "results-imagenet-r-clean": "imagenet-r-clean",
    "results-sketch": "imagenet-sketch",
}
"""What timm's files of accuracies are of."""
SPELLINGS = {
    **dict.fromkeys(("imagenet-1k", "imagenet1k", "in1k", "ilsvrc2012"), IMAGENET),
    **dict.fromkeys(
        ("imagenetv2", "imagenetv2-matched-frequency", "imagenet-v2-matched-frequency"),
        "imagenet-v2",
    ),
    "sketch": "imagenet-sketch",
    "real": "imagenet-real",
}


@dataclass
class Read:
    """A file: its columns, the rows that could be read, as they are and what they say, and a line for every other row."""

    columns: list[str]
    lines: list[dict[str, str]] = field(default_factory=list)
    found: Imported = field(default_factory=Imported)
    refused: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> str:
        """What was left out, in a line; empty where nothing was."""
        if not self.refused:
            return ""
        more = f" and {len(self.refused) - NAMED} more" if len(self.refused) > NAMED else ""
        return f"{len(self.refused)} of {len(self.refused) + len(self.lines)} rows left out: {'; '.join(self.refused[:NAMED])}{more}"


@dataclass(frozen=True)
class Kept:
    """What an import kept: where, how many rows, of what, and which rows it left out."""

    path: Path
    rows: int
    of: str
    left_out: str


def imported(results: Path) -> Imported:
    """Everything in `results/published`; a file or row that cannot be read is named in `problems`."""
    found = Imported()
    for path in sorted((results / FOLDER).glob("*.csv")):
        try:
            read = parsed(inside(results, path))
        except UsageError as error:
            found.problems.append(str(error))
            continue
        found.accuracies.extend(read.found.accuracies)
        found.speeds.extend(read.found.speeds)
        found.trainings.extend(read.found.trainings)
        found.problems.extend([f"{path}: {read.left_out}"] if read.refused else [])
    return found


def import_csv(
    path: Path, results: Path, source: str | None = None, dataset: str | None = None
) -> Kept:
    """Check a CSV file and keep its rows among the results; UsageError where it is none, or of an unknown data set."""
    read = parsed(path, source, _spelled(dataset))
    if dataset is not None and not read.found.accuracies:
        raise UsageError(f"--dataset: {path} has speeds, which are of no data set; leave it out")
    if any(not one.dataset for one in read.found.accuracies):
        raise UsageError(
            f"import: {path} does not say which data set its accuracies are of; --dataset imagenet (ImageNet-1k's validation "
            f"images), {', '.join(name for name in DATASETS if name not in ('', IMAGENET))}, or a name of your own would"
        )
    target = inside(results, results / FOLDER) / f"{stem(path.stem.lower(), '-')}.csv"
    datasets = list(dict.fromkeys(one.dataset for one in read.found.accuracies))
    rows = [{**line, "source": _source(line, path, source)} for line in read.lines]
    columns = dict.fromkeys([*read.columns, *(["dataset"] if datasets else []), "source"])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(target, as_csv(columns, rows))
    except OSError as error:
        raise UsageError(
            f"import: {target} cannot be written ({error.strerror}); --results names another folder"
        ) from None
    kinds = [f"top-1 on {DATASETS.get(name, name)}" for name in datasets]
    kinds += ["inference speed"] if read.found.speeds else []
    kinds += ["training speed"] if read.found.trainings else []
    return Kept(target, len(rows), ", ".join(kinds), read.left_out)


def as_csv(columns: dict[str, None] | tuple[str, ...], rows: list[dict[str, str]]) -> bytes:
    """A CSV file; no cell is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([in_csv(name) for name in columns])
    writer.writerows([in_csv(row.get(name) or "") for name in columns] for row in rows)
    return buffer.getvalue().encode("utf-8", "backslashreplace")


def _spelled(dataset: str | None) -> str | None:
    """A data set's name as it is kept; UsageError where it is none."""
    if dataset is None:
        return None
    name = " ".join(dataset.lower().split())
    if not re.fullmatch(r"[a-z0-9][a-z0-9 ._:,+-]{0,79}", name):
        raise UsageError(
            f"--dataset: {dataset!r} is no name; letters, digits and hyphens are, such as imagenet-a"
        )
    return SPELLINGS.get(name, name)


def _dataset(line: dict[str, str], path: Path, asked: str | None) -> str:
    """What was asked for has the first word, then the row, then the name of the file; empty where none says it."""
    name = re.sub(r"\s*\(\d+\)$", "", path.stem.lower())  # a browser's second download
    return (
        asked
        or SPELLINGS.get(line.get("dataset") or "", line.get("dataset") or "")
        or TIMMS_FILES.get(name, "")
    )


def _source(line: dict[str, str], path: Path, source: str | None) -> str:
    """Whoever imports has the first word, then the file."""
    return source or line.get("source") or path.name


def parsed(path: Path, source: str | None = None, dataset: str | None = None) -> Read:
    """The rows of a file in timm's columns; UsageError where it is no such file, or has no row that can be read."""
    reader = csv.DictReader(io.StringIO(_text(path)))
    try:
        found = Read(list(reader.fieldnames or []))
        kinds = [
            kind for kind in (ACCURACY, INFERENCE, TRAINING) if set(kind) <= set(found.columns)
        ]
        if not kinds:
            raise UsageError(
                f"import: {path} has the columns {', '.join(found.columns[:8]) or 'of no table'}; timm's result files have "
                f"{', '.join(ACCURACY)} (accuracy), {', '.join(INFERENCE)} or {', '.join(TRAINING)} (speed)"
            )
        for number, line in enumerate(reader, start=2):
            if reasons := list(_add(found, line, kinds, path, source, dataset)):
                found.refused.append(f"line {number}: {reasons[0]} ({line['model'] or 'no name'})")
    except csv.Error as error:
        raise UsageError(f"import: {path} is no CSV file ({error})") from None
    if not found.lines:
        raise UsageError(
            f"import: {path}: {found.left_out}"
            if found.refused
            else f"import: {path} has a header and no rows"
        )
    return found


def _add(
    found: Read,
    line: dict[str, str],
    kinds: Sequence[tuple[str, ...]],
    path: Path,
    source: str | None,
    dataset: str | None,
) -> Iterator[str]:
    """Add a row to what was found; yields why nothing of it can be used."""
    if None in line:
        yield "more fields than the header has"
        return
    where, reasons = _source(line, path, source), []
    for kind in kinds:
        try:
            if missing := [name for name in kind if not line.get(name)]:
                said = f": {line['error'][:80]}" if line.get("error") else ""
                raise ValueError(f"{' and '.join(missing)} missing{said}")
            if kind is ACCURACY:
                line["dataset"] = _dataset(line, path, dataset)
                found.found.accuracies.append(_accuracy(line, where, line["dataset"]))
            else:
                speeds = found.found.speeds if kind is INFERENCE else found.found.trainings
                speeds.append(_speed(line, kind, where, path.stem))
        except ValueError as error:
            reasons.append(str(error))
    if len(reasons) < len(kinds):
        found.lines.append(line)
    else:
        yield from reasons


def _text(path: Path) -> str:
    try:
        known = files.regular(path)
        if known is not None and known.st_size > LARGEST:
            raise UsageError(
                f"import: {path} has {known.st_size / 1e6:.0f} MB; a table of results has less than 32"
            )
        return files.read(path).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"import: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(
            f"import: {path} is no text; a CSV file with timm's columns would work"
        ) from None


def _number(line: dict[str, str], name: str, low: float, high: float) -> float:
    try:
        value = float(line[name])
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{name} is {line[name][:40]!r}, not a number from {low:g} to {high:g}")
    return value


def _accuracy(line: dict[str, str], source: str, dataset: str) -> Published:
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
        dataset=dataset,
    )


def _more_data(tag: str) -> bool:
    """What timm's tags say of the data: anything but `in1k` alone, and ImageNet-1k at the end of a longer way."""
    return bool(
        re.search(
            r"in21k|in22k|in12k|ig1b|ig965m|laion|jft|yfcc|lvd|openai|webli|merged|dfn|datacomp|metaclip",
            tag,
        )
    )


def _speed(line: dict[str, str], kind: tuple[str, ...], source: str, stem: str) -> Speed:
    """A speed under the setting that the file's name spells: precision, layout, versions and device in timm's."""
    _, rate, batch_size, image_size = kind
    size, batch = int(_number(line, image_size, 1, 65536)), int(_number(line, batch_size, 1, 1e9))
    return Speed(
        architecture=line["model"].partition(".")[0],
        images_per_s=_number(line, rate, 1e-9, 1e9),
        setting=f"{re.sub('^benchmark-(infer|train)-', '', stem)} bs{batch} {size} px",
        image_size=size,
        source=source,
    )
