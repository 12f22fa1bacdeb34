"""Top-1 against a cost: measured points filled with the front drawn, published ranges hollow and never joined."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from bench import published
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
    """One figure per data set that an accuracy is known on, and one per policy where there are several."""
    drawn: dict[str, Figure] = {}
    for data in dict.fromkeys(row.arm.data for row in summary.accuracies if row.top1 and row.about.family != "baseline"):
        points = _measured(summary, metric, data)
        if points:
            name = data.partition(":")[0]
            caveat = "not a comparison of architectures" if name == "digits" else "measured here"
            drawn[f"pareto_{metric}_{name}"] = _figure(summary, metric, points, title, f"top-1 on {name}, measured (filled), {caveat}")
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


def _measured(summary: Summary, metric: str, data: str) -> list[Point]:
    points = []
    for row in _rows(summary, metric):
        found, x = summary.accuracy_of(row.model, data), row.value(metric)
        if found and found.top1 and found.top1.low is not None and found.top1.high is not None and x:
            top1 = found.top1
            assert top1.low is not None and top1.high is not None
            points.append(Point(row.model, row.about.family, x, top1.value * 100, top1.low * 100, top1.high * 100, filled=True))
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
    axes.set_xscale("log")
    arrow = {"higher": "more is better", "lower": "less is better"}[quantity.better]
    axes.set_xlabel(f"{title} in {unit} ({arrow})")
    axes.set_ylabel("top-1 %")
    axes.margins(x=0.14, y=0.12)
    _plain_ticks(axes)
    if points[0].filled:
        _front(axes, points, factor, higher=quantity.better == "higher")
    _legend(axes, points)
    figure.draw_without_rendering()
    legend = axes.get_legend()
    obstacles = [legend.get_window_extent()] if legend else []
    bars = [_bar(axes, point, factor) for point in points if point.high > point.low]
    place(figure, axes, [(point.x.value * factor, point.y, point.name, family(point.family)[1]) for point in points], obstacles + bars)
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


def _front(axes: Axes, points: list[Point], factor: float, *, higher: bool) -> None:
    """Steps through the points that no other one beats in both directions."""
    ordered = sorted(points, key=lambda point: (-point.x.value if higher else point.x.value, -point.y))
    front: list[Point] = []
    for point in ordered:
        if not front or point.y > front[-1].y:
            front.append(point)
    xs, ys = [point.x.value * factor for point in front], [point.y for point in front]
    axes.plot(xs, ys, color="#999999", linewidth=1, linestyle="--", zorder=0, drawstyle="steps-post", label="Pareto front")


def _legend(axes: Axes, points: list[Point]) -> None:
    filled = points[0].filled
    for name in dict.fromkeys(point.family for point in points):
        label, colour, marker = family(name)
        face = colour if filled else "white"
        axes.plot([], [], marker, color=colour, markerfacecolor=face, markersize=6.5, label=label)
    axes.legend(loc="best", fontsize=8, frameon=True, framealpha=0.9)


def _bar(axes: Axes, point: Point, factor: float) -> Bbox:
    """The space that a point's range takes, so that no label is written over it."""
    x, low = axes.transData.transform((point.x.value * factor, point.low))
    _, high = axes.transData.transform((point.x.value * factor, point.high))
    return Bbox.from_extents(x - 5, low - 5, x + 5, high + 5)


def _plain_ticks(axes: Axes) -> None:
    """Numbers as people write them on the logarithmic axis, at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
