"""Tables of accuracies: one per data set, recipe, tuning protocol and view; over seeds; what a training costs; other views."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.contestants import Contestant, Key, curves, trained_rows
from bench.summary import Accuracy, Summary
from bench.table import Table
from bench.training import search
from bench.units import interval, number

LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Select accuracies whose cost is told, where a model reaches them."""


def accuracy(summary: Summary) -> Iterator[Table]:
    """One table per protocol; never two recipes or two ways of tuning in one."""
    for key, contestants in trained_rows(summary).items():
        baselines = [Contestant(row.name, [row]) for row in summary.accuracies if row.arm.data == key[0] and row.arm.baseline]
        yield _table(key, contestants, sorted(baselines, key=lambda one: one.name), summary)


def _table(key: Key, contestants: list[Contestant], baselines: list[Contestant], summary: Summary) -> Table:
    params = {row.model: row.value("params") for row in summary.rows}
    arms = [row.arm for one in contestants for row in one.rows]
    trained = arms[0].recipe is not None
    columns = ["model", "family", "params", "top-1 % ↑ [95 %]", "top-5 %"]
    columns += ["seeds", *(["epochs"] if key[4] else []), *(["rate"] if key[3] else [])] if trained else ["right"]
    columns += ["training s", "images/s ↑", "peak memory GB ↓"] if trained else []
    lines = []
    for one in sorted(contestants, key=lambda one: -(one.top1.value if one.top1 else 0)) + baselines:
        first = one.rows[0]
        count = params.get(first.model)
        statuses = [row.status for row in one.rows]
        words = [word for word in dict.fromkeys(statuses) if word != "ok"]
        trouble = ", ".join(f"{statuses.count(word)} {word}" if len(statuses) > 1 else word for word in words)
        top1 = interval(one.top1, factor=100, places=1) if one.top1 else ""
        line = [
            one.name,
            first.about.family,
            f"{count.value:,.0f}" if count else "",
            f"{top1} ({trouble})" if top1 and trouble else top1 or trouble,
            _share(one, "top5_correct"),
        ]
        if not trained:
            lines.append([*line, f"{first.detail['correct']:,} / {first.detail['images']:,}" if first.top1 else ""])
            continue
        line.append(str(len(one.measured)) if one.rows[0].arm.recipe else "")
        line += [_figure(one.detail("epochs"))] if key[4] else []
        line += [_figure(first.arm.learning_rate)] if key[3] else []
        memory = one.detail("peak_memory_bytes")
        line += [_figure(one.detail("train_s")), _figure(one.detail("images_per_s")), _figure(memory and memory / 1e9)]
        lines.append(line)
    title = _title("Top-1", key)
    return Table(title, columns, lines, list(_notes(contestants, trained, key, summary)))


def _title(words: str, key: Key) -> str:
    return " · ".join(part for part in (words, *key) if part)


def _share(one: Contestant, count: str) -> str:
    shares = [row.detail[count] / row.detail["images"] for row in one.measured if count in row.detail]
    return f"{statistics.fmean(shares) * 100:.1f}" if shares else ""


def _figure(value: float | None) -> str:
    return "" if value is None else number(value)


def _notes(contestants: list[Contestant], trained: bool, key: Key, summary: Summary) -> Iterator[str]:
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
        at = sorted({row.arm.transform for row in rows})
        yield f"splits: {', '.join(splits)}; trained in {', '.join(how)}; evaluated at {', '.join(at)}"
    elif seen := sorted({str(row.detail["view"]) for row in rows if row.detail.get("view")}):
        yield f"evaluated at {'; '.join(seen)}"
    if key[3]:
        yield from _search(contestants, summary)
    for row in rows:
        seed = f" seed {row.arm.seed}" if row.arm.seed is not None else ""
        if row.trouble:
            yield f"{row.name}{seed}: {row.trouble}"
        elif row.status == "at chance":
            yield f"{row.name}{seed}: at chance, no better than guessing among {row.arm.num_classes} classes"
        if lost := row.detail.get("unreadable"):
            yield f"{row.name}{seed}: {len(lost)} images could not be read: {', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}"


def _search(contestants: list[Contestant], summary: Summary) -> Iterator[str]:
    """Where the searched rates lie among those that were tried."""
    for one in contestants:
        arm = one.rows[0].arm
        tried = {
            row.arm.learning_rate: row.top1.value if row.top1 else -1.0
            for row in summary.accuracies
            if row.arm.tuning == search.TRIAL
            and row.arm.learning_rate is not None
            and (row.model, row.arm.data, row.arm.recipe_hash) == (arm.model, arm.data, arm.recipe_hash)
        }
        if arm.learning_rate is not None and tried:
            edge = "; on the edge of what was tried" if search.on_edge(tried) else ""
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
            cells = [f"{row.detail['spread'][view] * 100:.2f}" if view in row.detail["spread"] else "" for view in seen]
            lines.append([row.name, f"{values[-1] * 100:.2f}", *cells, f"{(max(values) - min(values)) * 100:.2f}"])
        title = _title("Top-1 at other views", key)
        notes = ["the first column is the one that counts: its view was fixed before; the best of these is no result"]
        yield Table(title, ["model", "own view", *seen, "spread, points"], lines, notes)


def training_cost(summary: Summary) -> Iterator[Table]:
    """What it takes to come to given accuracies on the select split, within one schedule."""
    macs = {row.model: row.value("macs") for row in summary.rows}
    for key, contestants in trained_rows(summary).items():
        lines = []
        for one in contestants:
            trainings = curves(one)
            for level in LEVELS:
                found = [_first(arrays, level, row.detail) for row, arrays in trainings]
                reached = [one for one in found if one is not None]
                if not trainings or len(reached) <= len(trainings) / 2:
                    break
                epochs, seconds = (statistics.median(values) for values in zip(*reached, strict=True))
                count = macs.get(one.rows[0].model)
                images = one.rows[0].detail["steps"] / one.rows[0].detail["epochs"] * epochs * _batch(one.rows[0])
                spent = number(3 * count.value * images * 1e-12) if count else ""
                lines.append([one.name, f"{level:.0%}", number(epochs), number(seconds), spent])
        if lines:
            title = _title("Training cost", key)
            notes = [
                "medians over the seeds of which more than half got there, read at the 20 looks at the select split",
                "read within one schedule: stopping there would have been another, worse training",
                "TMACs are 10¹² multiply-adds, three forward passes a step",
            ]
            yield Table(title, ["model", "select top-1", "epochs ↓", "training s ↓", "TMACs ↓"], lines, notes)


def _batch(row: Accuracy) -> float:
    """Images per step."""
    return float(row.detail["images_per_s"]) * float(row.detail["train_s"]) / float(row.detail["steps"])


def _first(arrays: dict[str, object], level: float, detail: dict[str, object]) -> tuple[float, float] | None:
    """Epochs and seconds at the first look with at least this accuracy."""
    steps, seconds, top1 = (list(arrays[name]) for name in ("select_step", "select_seconds", "select_top1"))  # type: ignore[call-overload]
    for step, second, value in zip(steps, seconds, top1, strict=True):
        if value >= level:
            return float(step) / float(str(detail["steps"])) * float(str(detail["epochs"])), float(second)
    return None
