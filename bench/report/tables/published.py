"""Tables of published ranges and speeds."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis import published
from bench.analysis.rows import Row, Summary
from bench.report.table import Table
from bench.stats.formatting import number, span


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
        lines.append(
            [
                row.model,
                _span(plain),
                str(len(plain)),
                _span(other),
                str(len(other)),
                ", ".join(map(str, epochs)) or "not said",
            ]
        )
        sources |= dict.fromkeys(entry.source for entry in found)
    if lines:
        columns = [
            "model",
            "ImageNet-1k alone, top-1 %",
            "weight sets",
            "more data or a teacher, top-1 %",
            "weight sets",
            "epochs",
        ]
        notes = ["published, not measured here; recipes, epochs and data differ from row to row"]
        notes += [f"source: {source}" for source in sources]
        yield Table("Published ImageNet-1k top-1", columns, lines, notes, published=True)


def published_elsewhere(summary: Summary) -> Iterator[Table]:
    """Imported accuracies on other data than ImageNet-1k, one table per data set."""
    lines: dict[str, list[list[str]]] = {}
    sources: dict[str, dict[str, None]] = {}
    for row in _shapes(summary):
        every = published.elsewhere(
            row.about.timm_name, row.image_size, summary.imported.accuracies
        )
        for dataset in dict.fromkeys(one.dataset for one in every):
            found = [one for one in every if one.dataset == dataset]
            plain, other = ([one for one in found if one.plain is kind] for kind in (True, False))
            line = [row.model, _span(plain), str(len(plain)), _span(other), str(len(other))]
            lines.setdefault(dataset, []).append(line)
            sources.setdefault(dataset, {}).update(dict.fromkeys(one.source for one in found))
    columns = [
        "model",
        "trained on ImageNet-1k alone, top-1 %",
        "weight sets",
        "more data or a teacher, top-1 %",
        "weight sets",
    ]
    for dataset in sorted(lines):
        notes = ["published, not measured here; not comparable with top-1 on any other data set"]
        notes += [f"source: {source}" for source in sources[dataset]]
        yield Table(
            f"Published top-1 · {published.DATASETS.get(dataset, dataset)}",
            columns,
            lines[dataset],
            notes,
            published=True,
        )


def published_speeds(summary: Summary) -> Iterator[Table]:
    """Published speeds of the architectures that were measured: ranges over settings, not measurements."""
    yield from _speeds(summary, "inference", published.with_more_speeds(summary.imported.speeds))
    yield from _speeds(summary, "training", summary.imported.trainings)


def _speeds(summary: Summary, kind: str, every: list[published.Speed]) -> Iterator[Table]:
    lines, sources = [], set()
    for row in _shapes(summary):
        found = sorted(
            (
                one
                for one in every
                if (one.architecture, one.image_size) == (row.about.timm_name, row.image_size)
            ),
            key=lambda one: one.images_per_s,
        )
        if found:
            low, high = found[0], found[-1]
            lines.append(
                [
                    row.model,
                    str(len(found)),
                    number(low.images_per_s),
                    low.setting,
                    number(high.images_per_s),
                    high.setting,
                ]
            )
            sources |= {one.source for one in found}
    if lines:
        columns = ["model", "settings", "slowest img/s", "where", "fastest img/s", "where"]
        notes = [
            "published, not measured here; devices, precisions and batch sizes differ: no ratio between rows means anything"
        ]
        notes.append(
            f"sources: {'; '.join(sorted(sources)[:4])}{f' and {len(sources) - 4} more' if len(sources) > 4 else ''}"
        )
        yield Table(f"Published {kind} speed", columns, lines, notes, published=True)


def _span(found: list[published.Published]) -> str:
    return span(found[-1].top1 * 100, found[0].top1 * 100) if found else ""
