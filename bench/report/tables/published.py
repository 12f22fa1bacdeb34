"""Tables of published accuracies and speeds: ranges, never our measurements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import filterfalse
from operator import attrgetter

from bench.analysis import published
from bench.analysis.groups import grouped
from bench.analysis.published import Published, PublishedSpeed
from bench.analysis.rows import Row, Summary
from bench.report.columns import TOP1_PUBLISHED
from bench.report.notes import Caveat
from bench.report.table import Cell, Column, Table
from bench.stats.formatting import number, span

MORE_DATA = "more data or a teacher, top-1 %"
RANGES = ["model", "ImageNet-1k alone, top-1 %", "weight sets", MORE_DATA, "weight sets", "epochs"]
RANGES_ELSEWHERE = ["model", f"trained on {RANGES[1]}", "weight sets", MORE_DATA, "weight sets"]
SPEEDS = ["model", "settings", "slowest img/s", "where", "fastest img/s", "where"]
IN_MEASURED = Column("top-1 % as published ‡ ↑", key=TOP1_PUBLISHED, unit="%", better="higher")
"""The column of published top-1 in a measured table."""
IN_MEASURED_NOTE = (
    "‡ published by others, not measured here: ImageNet-1k top-1, the range over weight sets that "
    "were trained on ImageNet-1k alone (+: more data or a teacher, where there are no others)"
)
SOURCE = attrgetter("source")
NAMED = 4
"""Most sources that a note names."""


def _shapes(summary: Summary) -> Iterable[Row]:
    """Return one row per model and image size, whatever the policy."""
    return {row.shape: row for row in summary.rows}.values()


def published_ranges(summary: Summary) -> Iterator[Table]:
    """Yield published ImageNet-1k accuracies of the measured models: ranges over weight sets."""
    lines = []
    sources: dict[str, None] = {}
    for row in _shapes(summary):
        found = published.of(row.about.timm_name, row.image_size, summary.imported.accuracies)
        if found:
            epochs = sorted(set(filter(None, map(attrgetter("epochs"), found))))
            said = ", ".join(map(str, epochs)) or "not said"
            lines.append([row.label, *_ranges(found), said])
            sources |= dict.fromkeys(map(SOURCE, found))
    if lines:
        notes: list[str] = [
            Caveat("published, not measured here; recipes, epochs and data differ from row to row")
        ]
        notes += _each(sources)
        yield Table("Published ImageNet-1k top-1", RANGES, lines, notes, published=True)


def in_measured_row(summary: Summary, row: Row) -> Cell:
    """Return a row's published ImageNet-1k top-1 for a measured table: a range, never a value.

    Weight sets trained on ImageNet-1k alone come first; without any, `+` marks the range of others.
    """
    best_first = published.comparable(
        row.about.timm_name, row.image_size, summary.imported.accuracies
    )
    if not best_first:
        return Cell("")
    low, high = 100 * best_first[-1].top1, 100 * best_first[0].top1
    more = "" if best_first[0].plain else " +"
    return Cell(span(low, high) + more, low=low, high=high)


def published_elsewhere(summary: Summary) -> Iterator[Table]:
    """Yield imported accuracies on other data than ImageNet-1k, one table per data set."""
    lines: dict[str, list[list[str]]] = {}
    sources: dict[str, dict[str, None]] = {}
    for row in _shapes(summary):
        every = published.elsewhere(
            row.about.timm_name, row.image_size, summary.imported.accuracies
        )
        for dataset, found in grouped(every, attrgetter("dataset")).items():
            lines.setdefault(dataset, []).append([row.label, *_ranges(found)])
            sources.setdefault(dataset, {}).update(dict.fromkeys(map(SOURCE, found)))
    for dataset in sorted(lines):
        title = f"Published top-1 · {published.DATASETS.get(dataset, dataset)}"
        notes: list[str] = [
            Caveat("published, not measured here; not comparable with top-1 on any other data set")
        ]
        notes += _each(sources[dataset])
        yield Table(title, RANGES_ELSEWHERE, lines[dataset], notes, published=True)


def _each(sources: Iterable[str]) -> list[str]:
    return list(map("source: {}".format, sources))


def _ranges(found: Sequence[Published]) -> list[str]:
    """Return the range of top-1 and the number of weight sets, for plain ones and for others."""
    plain = list(filter(attrgetter("plain"), found))
    other = list(filterfalse(attrgetter("plain"), found))
    return [_span(plain), str(len(plain)), _span(other), str(len(other))]


def _span(found: Sequence[Published]) -> str:
    """Return the range of top-1 in percent; `found` has the best first."""
    return span(found[-1].top1 * 100, found[0].top1 * 100) if found else ""


def published_speeds(summary: Summary) -> Iterator[Table]:
    """Yield published speeds of the measured models: ranges over settings."""
    yield from _speeds(summary, "inference", published.with_more_speeds(summary.imported.speeds))
    yield from _speeds(summary, "training", summary.imported.trainings)


def _speeds(summary: Summary, kind: str, every: Sequence[PublishedSpeed]) -> Iterator[Table]:
    by_shape = grouped(every, _shape)
    lines = []
    sources: set[str] = set()
    for row in _shapes(summary):
        found = by_shape.get((row.about.timm_name, row.image_size))
        if found:
            lines.append([row.label, str(len(found)), *_slowest_and_fastest(found)])
            sources.update(map(SOURCE, found))
    if lines:
        more = f" and {len(sources) - NAMED} more" if len(sources) > NAMED else ""
        notes = [
            Caveat(
                "published, not measured here; devices, precisions and batch sizes differ: no "
                "ratio between rows means anything"
            ),
            f"sources: {'; '.join(sorted(sources)[:NAMED])}{more}",
        ]
        yield Table(f"Published {kind} speed", SPEEDS, lines, notes, published=True)


def _shape(speed: PublishedSpeed) -> tuple[str | None, int]:
    return speed.architecture, speed.image_size


def _slowest_and_fastest(found: list[PublishedSpeed]) -> list[str]:
    """Return both ends of a range of speeds, each with its setting."""
    ordered = sorted(found, key=lambda one: one.images_per_s)
    low, high = ordered[0], ordered[-1]
    return [number(low.images_per_s), low.setting, number(high.images_per_s), high.setting]
