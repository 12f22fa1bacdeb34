"""Top-1 against a cost: measured points filled with the front drawn, published ranges hollow and never joined."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from bench import published
from bench.contestants import Contestant, trained_rows
from bench.stats import Estimate
from bench.summary import Row, Summary
from bench.units import scale

from ._labels import place
from ._style import family, new_figure


@dataclass(frozen=True)
class Point:
    """One model: cost, accuracy in percent, low and high end of the accuracy."""

    name: str
    family: str
    x: Estimate
    y: float
    low: float
    high: float
    filled: bool
    solid: bool = True


def draw(summary: Summary, metric: str, *, title: str) -> dict[str, Figure]:
    """One figure per protocol that an accuracy is known under, and one of what is published."""
    drawn: dict[str, Figure] = {}
    for key, contestants in trained_rows(summary).items():
        name = key[0].partition(":")[0]
        caveat = "not a comparison of architectures" if name == "digits" else "measured here"
        how = ", ".join(part for part in key[1:] if part)
        if points := _measured(summary, metric, contestants):
            stem = f"pareto_{metric}_{name}"
            stem = stem if stem not in drawn else f"{stem}_{len(drawn) + 1}"
            drawn[stem] = _figure(summary, metric, points, title, f"top-1 on {name}, measured (filled), {how}; {caveat}")
    if points := _published(summary, metric):
        subtitle = "ImageNet-1k top-1 as published (hollow: range over weight sets; dotted: more data or a teacher)"
        drawn[f"pareto_{metric}_imagenet_published"] = _figure(summary, metric, points, title, subtitle)
    return drawn


def _rows(summary: Summary, metric: str) -> list[Row]:
    """One row per model: of several policies the first, so that a point is never a mixture."""
    first: dict[str, Row] = {}
    for row in summary.rows:
        if row.value(metric):
            first.setdefault(row.model, row)
    return list(first.values())


def _measured(summary: Summary, metric: str, contestants: list[Contestant]) -> list[Point]:
    """Those whose cost is known too; with their interval over seeds, or over images where there is one set of weights."""
    top1 = {one.rows[0].model: one.top1 for one in contestants}
    points = []
    for row in _rows(summary, metric):
        y, x = top1.get(row.model), row.value(metric)
        if x and y and y.low is not None and y.high is not None:
            points.append(Point(row.model, row.about.family, x, y.value * 100, y.low * 100, y.high * 100, filled=True))
    return points


def _published(summary: Summary, metric: str) -> list[Point]:
    points = []
    for row in _rows(summary, metric):
        found, x = published.of(row.about.timm_name, row.image_size), row.value(metric)
        plain = [entry.top1 * 100 for entry in found if not entry.more_data and not entry.teacher]
        values = plain or [entry.top1 * 100 for entry in found]
        if values and x:
            middle = (min(values) + max(values)) / 2
            points.append(Point(row.model, row.about.family, x, middle, min(values), max(values), filled=False, solid=bool(plain)))
    return points


def _figure(summary: Summary, metric: str, points: list[Point], title: str, subtitle: str) -> Figure:
    quantity = max(quantity for row in summary.rows for quantity in row.values if quantity.metric == metric)
    factor, unit = scale(quantity.unit)
    batch = f", batch {quantity.batch_size}" if quantity.batch_size else ""
    policy = next((row.policy for row in summary.rows if row.policy), "")
    machine = summary.machine.accelerator or summary.machine.cpu
    where = f"{machine}, {policy}{batch}" if quantity.batch_size else "counted"
    figure, axes = new_figure(f"Top-1 against {title}", f"{subtitle} · {title}: {where}")
    for point in points:
        _draw_point(axes, point, factor)
    arrow = {"higher": "more is better", "lower": "less is better"}[quantity.better]
    axes.set_xlabel(f"{title} in {unit} ({arrow})")
    axes.set_ylabel("top-1 %")
    _scale(axes, [point.x.value * factor for point in points])
    axes.margins(x=0.14, y=0.12)
    front = _front(axes, points, factor, higher=quantity.better == "higher") if points[0].filled else []
    _legend(figure, points)
    figure.draw_without_rendering()
    bars = [box for point in points for box in _bars(axes, point, factor)] + _steps(axes, front)
    place(figure, axes, [(point.x.value * factor, point.y, point.name, family(point.family)[1]) for point in points], bars)
    return figure


def _draw_point(axes: Axes, point: Point, factor: float) -> None:
    _, colour, marker = family(point.family)
    x = point.x.value * factor
    if point.filled:
        axes.vlines(x, point.low, point.high, color=colour, linewidth=1)
        if point.x.low is not None and point.x.high is not None:
            axes.hlines(point.y, point.x.low * factor, point.x.high * factor, color=colour, linewidth=1)
        axes.plot(x, point.y, marker, color=colour, markersize=7)
        return
    axes.vlines(x, point.low, point.high, color=colour, linewidth=1.4, linestyle="solid" if point.solid else "dotted")
    for end in {point.low, point.high}:
        axes.plot(x, end, marker, markerfacecolor="white", markeredgecolor=colour, markersize=6.5)


def _front(axes: Axes, points: list[Point], factor: float, *, higher: bool) -> list[tuple[float, float]]:
    """Steps through the points that no other one beats in both directions; returns their places."""
    ordered = sorted(points, key=lambda point: (-point.x.value if higher else point.x.value, -point.y))
    front: list[tuple[float, float]] = []
    for point in ordered:
        if not front or point.y > front[-1][1]:
            front.append((point.x.value * factor, point.y))
    axes.plot(*zip(*front, strict=True), color="#999999", linewidth=1, linestyle="--", zorder=0, drawstyle="steps-post", label="front")
    return front


def _legend(figure: Figure, points: list[Point]) -> None:
    """Families under the panel, where no point can be."""
    axes = figure.axes[0]
    for name in dict.fromkeys(point.family for point in points):
        label, colour, marker = family(name)
        axes.plot([], [], marker, color=colour, markerfacecolor=colour if points[0].filled else "white", markersize=6.5, label=label)
    figure.legend(loc="outside lower center", ncols=6, fontsize=8, frameon=False)


def _bars(axes: Axes, point: Point, factor: float) -> list[Bbox]:
    """The space that a point's intervals take, so that no label is written over them."""
    place = axes.transData.transform
    (x, low), (_, high) = place((point.x.value * factor, point.low)), place((point.x.value * factor, point.high))
    boxes = [Bbox.from_extents(x - 4, low - 8, x + 4, high + 8)]
    if point.x.low is not None and point.x.high is not None:
        (left, y), (right, _) = place((point.x.low * factor, point.y)), place((point.x.high * factor, point.y))
        boxes.append(Bbox.from_extents(left, y - 3, right, y + 3))
    return boxes


def _steps(axes: Axes, front: list[tuple[float, float]]) -> list[Bbox]:
    """The space that the drawn front takes."""
    places = [axes.transData.transform(point) for point in front]
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(places):
        boxes.append(Bbox.from_extents(min(x, next_x), y - 3, max(x, next_x), y + 3))
        boxes.append(Bbox.from_extents(next_x - 3, min(y, next_y), next_x + 3, max(y, next_y)))
    return boxes


def _scale(axes: Axes, values: list[float]) -> None:
    """A logarithmic axis with ticks as people write them, or a plain one where the values lie close together."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if max(values) / min(values) < 4:
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
