"""CSV files in the columns of timm's result files, kept as reference rows of every later report.

    bench import results-imagenet-a.csv                  timm's file names say the data set
    bench import mine.csv --dataset imagenet             other names do not, so --dataset must
    bench import benchmark-train-amp-nchw-rtx3090.csv    training speeds, in tables of their own

The files are kept in `results/published/`, with their source and data set, apart from measurements.
A row that cannot be read, such as that of a model that failed, is left out and named; the others
are kept.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.analysis.published import DATASETS, IMAGENET, Imported, Published, PublishedSpeed
from bench.errors import UsageError
from bench.files import files, limits
from bench.files.csv_cells import in_csv
from bench.files.foreign_errors import refusing, text_of
from bench.files.paths import inside, stem

FOLDER = "published"
ACCURACY = ("model", "img_size", "top1")
INFERENCE = ("model", "infer_samples_per_sec", "infer_batch_size", "infer_img_size")
TRAINING = ("model", "train_samples_per_sec", "train_batch_size", "train_img_size")
LARGEST = 32 << 20
"""Bytes of the largest file that is read."""
NAMED = 5
"""Most rows left out that a message names; it counts the others."""
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
"""The data sets of timm's files of accuracies, by the files' stems."""
SPELLINGS = {
    "imagenet-1k": IMAGENET,
    "imagenet1k": IMAGENET,
    "in1k": IMAGENET,
    "ilsvrc2012": IMAGENET,
    "imagenetv2": "imagenet-v2",
    "imagenetv2-matched-frequency": "imagenet-v2",
    "imagenet-v2-matched-frequency": "imagenet-v2",
    "sketch": "imagenet-sketch",
    "real": "imagenet-real",
}
"""Other spellings of data sets."""
MORE_DATA = re.compile(
    "in21k|in22k|in12k|ig1b|ig965m|laion|jft|yfcc|lvd|openai|webli|merged|dfn|datacomp|metaclip"
)
"""Parts of timm's tags that name training data beyond ImageNet-1k."""


@dataclass
class ParsedFile:
    """The content of a CSV file: its columns, the lines that could be read, and their values.

    `refused` says, for every other line, why it could not be read.
    """

    columns: list[str]
    lines: list[dict[str, str]] = field(default_factory=list)
    found: Imported = field(default_factory=Imported)
    refused: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> str:
        """The lines that were left out, in one line; empty if there are none."""
        refused = len(self.refused)
        if not refused:
            return ""
        named = "; ".join(self.refused[:NAMED])
        more = f" and {refused - NAMED} more" if refused > NAMED else ""
        return f"{refused} of {refused + len(self.lines)} rows left out: {named}{more}"


@dataclass(frozen=True)
class KeptFile:
    """The outcome of an import: the file written, its number of rows, what they are of, and the
    rows left out."""

    path: Path
    rows: int
    of: str
    left_out: str


def imported(results: Path) -> Imported:
    """Return everything in `results/published`; `problems` names files and rows left out."""
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
        if read.refused:
            found.problems.append(f"{path}: {read.left_out}")
    return found


def import_csv(
    path: Path, results: Path, source: str | None = None, dataset: str | None = None
) -> KeptFile:
    """Check a CSV file and keep its rows in the results folder.

    Raises UsageError if the file cannot be read, has no rows, or does not say its data set.
    """
    read = parsed(path, source, _spelled(dataset))
    if dataset is not None and not read.found.accuracies:
        raise UsageError(f"--dataset: {path} has speeds, which have no data set; leave it out")
    datasets = list(dict.fromkeys(row.dataset for row in read.found.accuracies))
    if "" in datasets:
        raise UsageError(_which_dataset(path))
    target = inside(results, results / FOLDER) / f"{stem(path.stem.lower(), '-')}.csv"
    rows = [{**line, "source": _source(line, path, source)} for line in read.lines]
    columns = dict.fromkeys([*read.columns, *(["dataset"] if datasets else []), "source"])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(target, as_csv(columns, rows))
    except OSError as error:
        raise UsageError(
            f"import: {target} cannot be written ({error.strerror}); --results names another folder"
        ) from None
    return KeptFile(target, len(rows), ", ".join(_kinds(read.found, datasets)), read.left_out)


def _which_dataset(path: Path) -> str:
    """Return the message for a file that does not say the data set of its accuracies."""
    names = ", ".join(name for name in DATASETS if name not in ("", IMAGENET))
    return (
        f"import: {path} does not say which data set its accuracies are of; give --dataset "
        f"imagenet (ImageNet-1k's validation images), {names}, or a name of your own"
    )


def _kinds(found: Imported, datasets: Iterable[str]) -> Iterator[str]:
    """Yield what a file has rows of, in words."""
    for name in datasets:
        yield f"top-1 on {DATASETS.get(name, name)}"
    if found.speeds:
        yield "inference speed"
    if found.trainings:
        yield "training speed"


def as_csv(columns: dict[str, None] | tuple[str, ...], rows: list[dict[str, str]]) -> bytes:
    """Return rows as a CSV file in which no cell is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(in_csv, columns))
    for row in rows:
        writer.writerow(in_csv(row.get(name) or "") for name in columns)
    return buffer.getvalue().encode("utf-8", "backslashreplace")


def _spelled(dataset: str | None) -> str | None:
    """Return a data set's name as it is kept; UsageError for anything but a name."""
    if dataset is None:
        return None
    name = " ".join(dataset.lower().split())
    if not re.fullmatch(r"[a-z0-9][a-z0-9 ._:,+-]{0,79}", name):
        raise UsageError(
            f"--dataset: {dataset!r} is not a name; use letters, digits and hyphens, such as "
            "imagenet-a"
        )
    return SPELLINGS.get(name, name)


def _dataset(line: dict[str, str], path: Path, asked: str | None) -> str:
    """Return the data set by --dataset, else by the row, else by the file's name; else empty."""
    by_row = line.get("dataset") or ""
    name = re.sub(r"\s*\(\d+\)$", "", path.stem.lower())  # a browser's second download
    return asked or SPELLINGS.get(by_row, by_row) or TIMMS_FILES.get(name, "")


def _source(line: dict[str, str], path: Path, source: str | None) -> str:
    """Return the source by --source, else by the row, else the file's name."""
    return source or line.get("source") or path.name


def parsed(path: Path, source: str | None = None, dataset: str | None = None) -> ParsedFile:
    """Return the content of a file in timm's columns.

    Raises UsageError if it has other columns, or no row that can be read.
    """
    columns, lines = _table(path)
    read = ParsedFile(columns)
    kinds = _kinds_of_columns(path, columns)
    for number, line in enumerate(lines, start=2):
        reasons = list(_add(read, line, kinds, path, source, dataset))
        if reasons:
            read.refused.append(f"line {number}: {reasons[0]} ({line['model'] or 'no name'})")
    if not read.lines:
        why = f"{path}: {read.left_out}" if read.refused else f"{path} has a header and no rows"
        raise UsageError(f"import: {why}")
    return read


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the lines of a CSV file; UsageError if it is not one."""

    def unreadable(words: str) -> UsageError:
        return UsageError(
            f"import: {path} cannot be read ({words}); give a CSV file with timm's columns"
        )

    text = text_of(path, LARGEST, unreadable)
    with refusing(lambda words: UsageError(f"import: {path} is not a CSV file ({words})")):
        reader = csv.DictReader(io.StringIO(text))
        columns = list(reader.fieldnames or [])
        if text.count("\n") * len(columns) > limits.VALUES:  # short rows are filled up
            raise ValueError(f"it has more than {limits.VALUES:,} cells")
        return columns, list(reader)


def _kinds_of_columns(path: Path, columns: list[str]) -> list[tuple[str, ...]]:
    """Return the kinds of rows that a file's columns allow; UsageError if they allow none."""
    known: tuple[tuple[str, ...], ...] = (ACCURACY, INFERENCE, TRAINING)
    kinds = [kind for kind in known if set(kind) <= set(columns)]
    if kinds:
        return kinds
    has = f"the columns {', '.join(columns[:8])}" if columns else "no header"
    raise UsageError(
        f"import: {path} has {has}; timm's result files have {', '.join(ACCURACY)} (accuracy), "
        f"{', '.join(INFERENCE)} or {', '.join(TRAINING)} (speed)"
    )


def _add(
    read: ParsedFile,
    line: dict[str, str],
    kinds: Sequence[tuple[str, ...]],
    path: Path,
    source: str | None,
    dataset: str | None,
) -> Iterator[str]:
    """Add a line's values to a file's; if none can be used, yield why instead."""
    if None in line:
        yield "more fields than the header has"
        return
    where, reasons = _source(line, path, source), []
    for kind in kinds:
        try:
            _check_complete(line, kind)
            if kind is ACCURACY:
                line["dataset"] = _dataset(line, path, dataset)
                read.found.accuracies.append(_accuracy(line, where, line["dataset"]))
            else:
                speeds = read.found.speeds if kind is INFERENCE else read.found.trainings
                speeds.append(_speed(line, kind, where, path.stem))
        except ValueError as error:
            reasons.append(str(error))
    if len(reasons) < len(kinds):
        read.lines.append(line)
    else:
        yield from reasons


def _check_complete(line: dict[str, str], kind: tuple[str, ...]) -> None:
    """Raise ValueError if a line lacks a column, with the error that timm stored in its place."""
    missing = [name for name in kind if not line.get(name)]
    if missing:
        stored = f": {line['error'][:80]}" if line.get("error") else ""
        raise ValueError(f"{' and '.join(missing)} missing{stored}")


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
        more_data=bool(MORE_DATA.search(tag)),
        teacher="dist" in tag,
        source=source,
        dataset=dataset,
    )


def _speed(line: dict[str, str], kind: tuple[str, ...], source: str, stem: str) -> PublishedSpeed:
    """Return a speed; precision, layout, versions and device are in the file's name, as timm's."""
    _, rate, batch_size, image_size = kind
    size, batch = int(_number(line, image_size, 1, 65536)), int(_number(line, batch_size, 1, 1e9))
    return PublishedSpeed(
        architecture=line["model"].partition(".")[0],
        images_per_s=_number(line, rate, 1e-9, 1e9),
        setting=f"{re.sub('^benchmark-(infer|train)-', '', stem)} bs{batch} {size} px",
        image_size=size,
        source=source,
    )
