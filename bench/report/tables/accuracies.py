"""Tables of accuracies: one per data set, recipe, tuning protocol and view; over seeds; what a training costs; other views."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

from bench.analysis.accuracy_groups import Contestant, Key, curves, images_per_step, trained_rows
from bench.analysis.rows import Accuracy, Quantity, Summary
from bench.record.arms import NORMALISED
from bench.report.columns import TOP1, column_of, header_of, table_scale, text_of
from bench.report.fill import together
from bench.report.missing import missing_count
from bench.report.table import Cell, Column, Columns, Line, Table, marked
from bench.stats import lr_search
from bench.stats.formatting import interval, number
from bench.stats.intervals import difference

TOP1_COLUMN = Column(f"{header_of(TOP1, '%')} ↑ [95 %]", TOP1, "%", "higher")
PARAMS = Quantity("params", 0, "parameter", "lower")
LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Select accuracies whose cost is told, where a model reaches them."""


def accuracy(summary: Summary) -> Iterator[Table]:
    """One table per protocol; never two recipes or two ways of tuning in one."""
    for key, contestants in trained_rows(summary).items():
        baselines = [
            Contestant(row.name, [row])
            for row in summary.accuracies
            if row.arm.data == key[0] and row.arm.baseline
        ]
        yield _table(key, contestants, sorted(baselines, key=lambda one: one.name), summary)


def _table(
    key: Key, contestants: list[Contestant], baselines: list[Contestant], summary: Summary
) -> Table:
    shown = sorted(contestants, key=lambda one: -(one.top1.value if one.top1 else 0)) + baselines
    trained = contestants[0].rows[0].arm.recipe is not None
    rows = [one.rows[0] for one in shown]
    table = Table(_title("Top-1", key), ["model"], [[one.name] for one in shown])
    add = table.add
    add("family", [row.about.family for row in rows])
    add(column_of(PARAMS), [_params(summary, row) for row in rows])
    add(TOP1_COLUMN, marked([top1_cell(one) for one in shown], _best(contestants)))
    add(Column("top-5 %", "top5", "%", "higher"), [_share(one, "top5_correct") for one in shown])
    for quantity in sorted({other for one in shown for other in one.others}):
        add(column_of(quantity), [_value(one, quantity) for one in shown])
    if trained:
        add("seeds", [str(len(one.measured)) if one.rows[0].arm.recipe else "" for one in shown])
        if key[4]:
            add("epochs", [_figure(one.detail("epochs")) for one in shown])
        if key[3]:
            add("rate", [_figure(row.arm.learning_rate) for row in rows])
        add(
            Column("training s ↓", "train_s", "s", "lower"),
            [_figure(one.detail("train_s")) for one in shown],
        )
        add(
            Column("images/s ↑", "train_images_per_s", "img/s", "higher"),
            [_figure(one.detail("images_per_s")) for one in shown],
        )
        memory = [one.detail("peak_memory_bytes") for one in shown]
        add(
            Column("peak memory GB ↓", "train_peak_memory", "GB", "lower"),
            [_figure(found and found / 1e9) for found in memory],
        )
    else:
        add(
            "right",
            [
                f"{row.detail['correct']:,} / {row.detail['images']:,}" if row.top1 else ""
                for row in rows
            ],
        )
    table.notes = list(_notes(contestants, trained, key, summary))
    if any(cell.best for line in table.cells for cell in line):
        table.notes.append(
            "bold: the best, and what cannot be told from it (the 95 % interval of the difference holds 0)"
        )
    table.notes += together(
        (cell.fill for line in table.cells for cell in line if cell.fill), summary.past
    )
    return table


def _params(summary: Summary, row: Accuracy) -> Cell:
    if row.arm.baseline:
        return Cell("")
    counted = next(
        (
            found
            for other in summary.rows
            if other.model == row.model and (found := other.value("params"))
        ),
        None,
    )
    if counted is None:
        return Cell("", fill=missing_count(row.model, row.arm.image_size, "params"))
    return Cell(text_of(PARAMS, counted, []), counted.value)


def top1_cell(one: Contestant) -> Cell:
    """With its interval; what became of seeds that gave no number stands beside it."""
    statuses = [row.status for row in one.rows]
    words = [word for word in dict.fromkeys(statuses) if word != "ok"]
    trouble = ", ".join(
        f"{statuses.count(word)} {word}" if len(statuses) > 1 else word for word in words
    )
    if not (found := one.top1):
        return Cell(trouble)
    text = interval(found, factor=100, places=1)
    return Cell.of(f"{text} ({trouble})" if trouble else text, found.times(100.0))


def _best(contestants: list[Contestant]) -> set[int]:
    """Where the best top-1 stands among contestants in falling order, and what cannot be told from it."""
    ordered = sorted(contestants, key=lambda one: -(one.top1.value if one.top1 else 0))
    if len([one for one in ordered if one.top1]) < 2:
        return set()
    return {
        place
        for place, one in enumerate(ordered)
        if one.top1 and (place == 0 or not _apart(ordered[0], one))
    }


def _apart(left: Contestant, right: Contestant) -> bool:
    """Whether 0 lies outside the interval of the difference: Welch's over seeds, else Wald's of two shares."""
    values = [[row.top1.value for row in one.measured if row.top1] for one in (left, right)]
    if effect := difference(*values):
        return not effect.estimate.holds(0.0)
    halves = [one.top1.half_width for one in (left, right) if one.top1]
    if any(half is None for half in halves):
        return False
    return abs(values[0][0] - values[1][0]) > math.hypot(*(half or 0.0 for half in halves))


def _title(words: str, key: Key) -> str:
    return " · ".join(part for part in (words, *key) if part)


def _share(one: Contestant, count: str) -> Cell:
    if one.rows[0].arm.num_classes <= 5:  # where the right one is always among five
        return Cell("")
    shares = [
        row.detail[count] / row.detail["images"] for row in one.measured if count in row.detail
    ]
    value = 100 * statistics.fmean(shares) if shares else None
    return Cell("" if value is None else f"{value:.1f}", value)


def _value(one: Contestant, quantity: Quantity) -> Cell:
    found = one.value(quantity)
    return (
        Cell.of(text_of(quantity, found, []), found.times(table_scale(quantity)[0]))
        if found
        else Cell("")
    )


def _figure(value: float | None) -> Cell:
    return Cell("" if value is None else number(value), value)


def _notes(
    contestants: list[Contestant], trained: bool, key: Key, summary: Summary
) -> Iterator[str]:
    rows = [row for one in contestants for row in one.rows]
    yield from dict.fromkeys(row.about.caveat for row in rows if row.about.caveat)
    several = any(len(one.measured) > 1 for one in contestants)
    images = max((row.detail["images"] for row in rows if row.top1), default=0)
    if several:
        yield f"mean over seeds with Student's t interval; each tested on {images:,} images"
    else:
        yield f"interval: binomial over {images:,} test images of one set of weights; seeds would add more"
    if trained:
        yield "last checkpoint, or the recipe's moving average; test labels read once, everything chosen on the select split"
        splits = sorted({str(row.detail["split"]) for row in rows if row.detail.get("split")})
        how = sorted({str(row.arm.policy) for row in rows if row.arm.policy})
        at = sorted({_shown(row) for row in rows})
        if any(row.detail.get("beside", 1) > 1 for row in rows):
            yield "trainings ran side by side on one machine; no times are given of those"
        yield f"splits: {', '.join(splits)}; trained in {', '.join(how)}; evaluated at {', '.join(at)}"
    elif seen := sorted(
        {str(row.detail.get("shown", row.detail["view"])) for row in rows if row.detail.get("view")}
    ):
        yield f"evaluated at {'; '.join(seen)}"
    yield from (f"{row.name}: {text}" for row in rows for text in _of_file(row))
    if key[3]:
        yield from _search(contestants, summary)
    for row in rows:
        seed = f" seed {row.arm.seed}" if row.arm.seed is not None else ""
        if row.trouble:
            yield f"{row.name}{seed}: {row.trouble}"
        elif row.status == "at chance":
            yield f"{row.name}{seed}: at chance, no better than {guessing(row)}"
        if lost := row.detail.get("unreadable"):
            yield f"{row.name}{seed}: {len(lost)} images could not be read: {', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}"


def guessing(row: Accuracy) -> str:
    """What gives the top-1 of chance, in words."""
    classes = row.arm.num_classes
    if row.chance <= 1 / classes:
        return f"guessing among {classes} classes"
    return f"always answering the most frequent of {classes} classes, which {row.chance:.1%} of the test images are of"


def _shown(row: Accuracy) -> str:
    """How test images were shown, with the numbers that they were normalised by where the words alone do not say them."""
    if (
        not row.arm.transform.endswith(f", {NORMALISED}")
        or "mean" not in row.detail
        or "std" not in row.detail
    ):
        return row.arm.transform
    numbers = (
        f"{name} {' '.join(f'{one:.3g}' for one in row.detail[name])}" for name in ("mean", "std")
    )
    return f"{row.arm.transform.removesuffix(NORMALISED)}{', '.join(numbers)}"


def _of_file(row: Accuracy) -> Iterator[str]:
    """What was taken of a file of weights, and what was done to it."""
    if own := row.detail.get("resampled_from"):
        yield f"its positions are resampled from {own} to {row.arm.image_size} pixels"
    file = row.detail.get("file", {})
    if entry := file.get("entry"):
        others = ", ".join(file.get("other_entries", []))
        yield f"taken from {entry} of the file" + (
            f", which has {others} too (--checkpoint-key chooses)" if others else ""
        )
    if removed := file.get("removed"):
        yield f"names without {', '.join(removed)} in front"
    if left := file.get("left_out"):
        yield f"{len(left)} tensors of the file were left out, {', '.join(left[:3])}{' ...' if len(left) > 3 else ''}"
    if (stored := file.get("stored_as", [])) not in ([], ["float32"]):
        yield f"stored as {', '.join(stored)}"


def _search(contestants: list[Contestant], summary: Summary) -> Iterator[str]:
    """Where the searched rates lie among those that were tried."""
    for one in contestants:
        arm = one.rows[0].arm
        tried = {
            row.arm.learning_rate: row.top1.value if row.top1 else -1.0
            for row in summary.accuracies
            if row.arm.tuning == lr_search.TRIAL
            and row.arm.learning_rate is not None
            and (row.model, row.arm.data, row.arm.recipe_hash)
            == (arm.model, arm.data, arm.recipe_hash)
        }
        if arm.learning_rate is not None and tried:
            edge = "; on the edge of what was tried" if lr_search.on_edge(tried) else ""
            failed = sum(score < 0 for score in tried.values())
            yield (
                f"{one.name}: rate {arm.learning_rate:g} chosen on select among {len(tried)} from {min(tried):g} to {max(tried):g}"
                f"{f', {failed} of them diverged or failed' if failed else ''}{edge}"
            )


def views(summary: Summary) -> Iterator[Table]:
    """The same weights seen at other crops and sizes; the headline's view was fixed before."""
    for key, contestants in trained_rows(summary).items():
        rows = [row for one in contestants for row in one.measured if row.detail.get("spread")]
        if not rows:
            continue
        seen = sorted({view for row in rows for view in row.detail["spread"]})
        lines = []
        for row in rows:
            values = [*row.detail["spread"].values(), row.top1.value if row.top1 else 0.0]
            cells = [
                f"{row.detail['spread'][view] * 100:.2f}" if view in row.detail["spread"] else ""
                for view in seen
            ]
            lines.append(
                [
                    row.name,
                    f"{values[-1] * 100:.2f}",
                    *cells,
                    f"{(max(values) - min(values)) * 100:.2f}",
                ]
            )
        title = _title("Top-1 at other views", key)
        notes = [
            "the first column is the one that counts: its view was fixed before; the best of these is no result"
        ]
        yield Table(title, ["model", "own view", *seen, "spread, points"], lines, notes)


def training_cost(summary: Summary) -> Iterator[Table]:
    """What it takes to come to given accuracies on the select split, within one schedule."""
    macs = {row.model: row.value("macs") for row in summary.rows}
    for key, contestants in trained_rows(summary).items():
        lines: list[Line] = []
        for one in contestants:
            trainings = curves(one)
            for level in LEVELS:
                found = [_first(arrays, level, row.detail) for row, arrays in trainings]
                reached = [one for one in found if one is not None]
                if not trainings or len(reached) <= len(trainings) / 2:
                    break
                epochs, seconds = (
                    statistics.median(values) for values in zip(*reached, strict=True)
                )
                count = macs.get(one.rows[0].model)
                images = (
                    one.rows[0].detail["steps"]
                    / one.rows[0].detail["epochs"]
                    * epochs
                    * images_per_step(one.rows[0])
                )
                spent = 3 * count.value * images * 1e-12 if count else None
                timed = seconds if one.detail("train_s") is not None else None
                lines.append(
                    [
                        one.name,
                        Cell(f"{level:.0%}", 100 * level),
                        _figure(epochs),
                        _figure(timed),
                        _figure(spent),
                    ]
                )
        if lines:
            title = _title("Training cost", key)
            notes = [
                "medians over the seeds of which more than half got there, read at the 20 looks at the select split",
                "read within one schedule: stopping there would have been another, worse training",
                "TMACs are 10¹² multiply-adds, three forward passes a step",
            ]
            columns: Columns = [
                *(
                    "model",
                    Column("select top-1", "select", "%"),
                    Column("epochs ↓", "epochs", "", "lower"),
                ),
                *(
                    Column("training s ↓", "train_s", "s", "lower"),
                    Column("TMACs ↓", "train_macs", "TMAC", "lower"),
                ),
            ]
            yield Table(title, columns, lines, notes)


def _first(
    arrays: dict[str, Any], level: float, detail: dict[str, object]
) -> tuple[float, float] | None:
    """Epochs and seconds at the first look with at least this accuracy."""
    steps, seconds, top1 = (
        list(arrays[name]) for name in ("select_step", "select_seconds", "select_top1")
    )
    for step, second, value in zip(steps, seconds, top1, strict=True):
        if value >= level:
            return float(step) / float(str(detail["steps"])) * float(str(detail["epochs"])), float(
                second
            )
    return None
