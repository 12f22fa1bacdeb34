"""Every table of a report in its order; and those of published ranges, budget matches, plans and listings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.analysis import published
from bench.analysis.summary import Row, Summary
from bench.report.table import MACS_NOTE, Table
from bench.report.tables.accuracies import accuracy, training_cost, views
from bench.report.tables.fused import handwritten
from bench.report.tables.roofline import ceilings
from bench.report.tables.speeds import best, efficiency, percentiles
from bench.stats.formatting import number, span

if TYPE_CHECKING:  # imports torch
    from bench.match.siblings import Siblings


def all_tables(summary: Summary) -> list[Table]:
    """Every table of a report, in reading order."""
    found = [
        *(efficiency(summary), best(summary), handwritten(summary), percentiles(summary), ceilings(summary)),
        *(accuracy(summary), views(summary), training_cost(summary), published_ranges(summary), published_elsewhere(summary)),
        published_speeds(summary),
    ]
    return [table for tables in found for table in tables]


def matches(found: Siblings, *, budget: str) -> Table:
    """Siblings of equal budget beside their reference, each with its miss on every axis and the rule that chose it."""
    cost = found.cost
    lines = [[found.reference.name, f"{cost.params:,}", number(cost.macs * 1e-9), str(cost.tokens or ""), "", "reference"]]
    for one in found.matches:
        mark = "" if one.within else ", out of tolerance: the nearest there is"
        missed = ", ".join(f"{share * 100:+.2f} %" for share in one.misses.values())
        tokens = str(one.cost.tokens or "")
        lines.append([one.name, f"{one.cost.params:,}", number(one.cost.macs * 1e-9), tokens, f"{missed}{mark}", one.rule])
    columns = ["model", "params", "GMACs", "tokens", f"miss in {budget.replace('+', ', ')}", "chosen by"]
    title = f"Equal {budget} · {found.image_size} × {found.image_size} px"
    return Table(title, columns, lines, [*found.notes, MACS_NOTE.replace("¹ ", "MACs: ")])


def listing(title: str, rows: list[dict[str, Any]]) -> Table:
    """What `bench list` found, in the units that people read."""

    def shown(column: str, value: Any) -> str:
        if value is None:
            return ""
        if column == "macs":
            return number(value * 1e-9)
        if isinstance(value, list):
            return span(*value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:,}" if column == "params" else f"{value:.1f}" if isinstance(value, float) else str(value)

    headers = {"macs": "GMACs", "published_top1": "published top-1 %", "top1": "published top-1 %", "image_size": "px"}
    # What a model is in timm, and a sentence on it, would make its line too long: they are in --json.
    long = ("timm", "summary") if "macs" in rows[0] else ()
    columns = [column for column in rows[0] if column not in long]
    cells = [[shown(column, row[column]) for column in columns] for row in rows]
    return Table(title, [headers.get(column, column.replace("_", " ")) for column in columns], cells)


def _shapes(summary: Summary) -> list[Row]:
    """One row per model and image size, whatever the policy."""
    return list({(row.model, row.image_size): row for row in summary.rows}.values())


def published_ranges(summary: Summary) -> Iterator[Table]:
    """Published ImageNet accuracies of the architectures that were measured: ranges over weight sets, not measurements."""
    lines = []
    sources: dict[str, None] = {}
    for row in _shapes(summary):
        found = published.of(row.about.timm_name, row.image_size, summary.imported.accuracies)
        if not found:
            continue
        plain, other = ([entry for entry in found if entry.plain is kind] for kind in (True, False))
        epochs = sorted({entry.epochs for entry in found if entry.epochs})
        lines.append([row.model, _span(plain), str(len(plain)), _span(other), str(len(other)), ", ".join(map(str, epochs)) or "not said"])
        sources |= dict.fromkeys(entry.source for entry in found)
    if lines:
        columns = ["model", "ImageNet-1k alone, top-1 %", "weight sets", "more data or a teacher, top-1 %", "weight sets", "epochs"]
        notes = ["published, not measured here; recipes, epochs and data differ from row to row"]
        notes += [f"source: {source}" for source in sources]
        yield Table("Published ImageNet-1k top-1", columns, lines, notes, published=True)


def published_elsewhere(summary: Summary) -> Iterator[Table]:
    """Imported accuracies on other data than ImageNet-1k, one table per data set."""
    lines: dict[str, list[list[str]]] = {}
    sources: dict[str, dict[str, None]] = {}
    for row in _shapes(summary):
        every = published.elsewhere(row.about.timm_name, row.image_size, summary.imported.accuracies)
        for dataset in dict.fromkeys(one.dataset for one in every):
            found = [one for one in every if one.dataset == dataset]
            plain, other = ([one for one in found if one.plain is kind] for kind in (True, False))
            line = [row.model, _span(plain), str(len(plain)), _span(other), str(len(other))]
            lines.setdefault(dataset, []).append(line)
            sources.setdefault(dataset, {}).update(dict.fromkeys(one.source for one in found))
    columns = ["model", "trained on ImageNet-1k alone, top-1 %", "weight sets", "more data or a teacher, top-1 %", "weight sets"]
    for dataset in sorted(lines):
        notes = ["published, not measured here; not comparable with top-1 on any other data set"]
        notes += [f"source: {source}" for source in sources[dataset]]
        yield Table(f"Published top-1 · {published.DATASETS.get(dataset, dataset)}", columns, lines[dataset], notes, published=True)


def published_speeds(summary: Summary) -> Iterator[Table]:
    """Published speeds of the architectures that were measured: ranges over settings, not measurements."""
    yield from _speeds(summary, "inference", published.with_more_speeds(summary.imported.speeds))
    yield from _speeds(summary, "training", summary.imported.trainings)


def _speeds(summary: Summary, kind: str, every: list[published.Speed]) -> Iterator[Table]:
    lines, sources = [], set()
    for row in _shapes(summary):
        found = sorted(
            (one for one in every if (one.architecture, one.image_size) == (row.about.timm_name, row.image_size)),
            key=lambda one: one.images_per_s,
        )
        if found:
            low, high = found[0], found[-1]
            lines.append([row.model, str(len(found)), number(low.images_per_s), low.setting, number(high.images_per_s), high.setting])
            sources |= {one.source for one in found}
    if lines:
        columns = ["model", "settings", "slowest img/s", "where", "fastest img/s", "where"]
        notes = ["published, not measured here; devices, precisions and batch sizes differ: no ratio between rows means anything"]
        notes.append(f"sources: {'; '.join(sorted(sources)[:4])}{f' and {len(sources) - 4} more' if len(sources) > 4 else ''}")
        yield Table(f"Published {kind} speed", columns, lines, notes, published=True)


def _span(found: list[published.Published]) -> str:
    return span(found[-1].top1 * 100, found[0].top1 * 100) if found else ""
