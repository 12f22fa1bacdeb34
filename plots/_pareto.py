"""Top-1 against a cost: measured points filled with the front drawn, published ranges hollow and never joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant, trained_rows
from bench.analysis.grade import ORDER, Grade, grade
from bench.analysis.rows import Quantity, Row, Summary
from bench.analysis.summary import of_one_policy
from bench.report.columns import TRAINING_TIME, display_of, scale_of
from bench.report.palette import family
from bench.stats.intervals import Estimate, mean_of_seeds
from bench.stats.pareto import Candidate, front, probabilities

from ._labels import place
from ._style import log_ticks, new_figure

TIMED_UNITS = ("s", "image/s", "J")
NAMED = 30
"""With more points than this only those are named that may be on the front."""


@dataclass(frozen=True)
class Point:
    """One model: its cost, its accuracy in percent with both ends, and what stands behind them."""

    name: str
    family: str
    x: Estimate
    y: Estimate
    filled: bool
    solid: bool = True
    rounds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    seeds: tuple[float, ...] = ()

    @property
    def low(self) -> float:
        return self.y.low if self.y.low is not None else self.y.value

    @property
    def high(self) -> float:
        return self.y.high if self.y.high is not None else self.y.value


def draw(summary: Summary, *, metric: str) -> dict[str, Figure]:
    """One figure per protocol that an accuracy is known under, and one of what is published."""
    drawn: dict[str, Figure] = {}
    quantity = TRAINING_TIME if metric == TRAINING_TIME.metric else _quantity(summary, metric)
    if quantity is None:
        return drawn
    for key, contestants in trained_rows(summary).items():
        name = key[0].partition(":")[0]
        caveat = "not a comparison of architectures" if name == "digits" else "measured here"
        how = ", ".join(part for part in key[1:] if part)
        if points := _measured(summary, quantity, contestants):
            stem = f"pareto_{metric}_{name}"
            stem = stem if stem not in drawn else f"{stem}_{len(drawn) + 1}"
            drawn[stem] = _figure(
                summary, quantity, points, f"top-1 on {name}, measured (filled), {how}; {caveat}"
            )
    if points := _published(summary, quantity):
        subtitle = "ImageNet-1k top-1 as published (hollow: range over weight sets; dotted: more data or a teacher)"
        drawn[f"pareto_{metric}_imagenet_published"] = _figure(summary, quantity, points, subtitle)
    return drawn


def _quantity(summary: Summary, metric: str) -> Quantity | None:
    """Of several batch sizes the largest."""
    return max(
        (quantity for row in summary.rows for quantity in row.values if quantity.metric == metric),
        default=None,
    )


def _rows(summary: Summary, quantity: Quantity) -> list[Row]:
    """One row per model; what depends on how a model is executed, of one policy for all."""
    first: dict[str, Row] = {}
    rows = [row for row in summary.rows if row.value(quantity.metric)]
    for row in of_one_policy(rows) if quantity.batch_size else rows:
        first.setdefault(row.model, row)
    return list(first.values())


def _measured(summary: Summary, quantity: Quantity, contestants: list[Contestant]) -> list[Point]:
    """Those whose cost is known too; with their interval over seeds, or over images where there is one set of weights."""
    rows = {row.model: row for row in _rows(summary, quantity)}
    points = []
    for one in contestants:
        first, y = one.rows[0], one.top1
        row = rows.get(first.model)
        seconds = [found for seed in one.measured if (found := seed.says("train_s"))]
        x = (
            (mean_of_seeds(seconds) if seconds else None)
            if quantity == TRAINING_TIME
            else row.value(quantity.metric)
            if row
            else None
        )
        if x is None or y is None or y.low is None or y.high is None:
            continue
        points.append(
            Point(
                name=one.name,
                family=first.about.family,
                x=x,
                y=y.times(100.0),
                filled=True,
                rounds=row.rounds.get(quantity, {}) if row else {},
                seeds=tuple(100 * seed.top1.value for seed in one.measured if seed.top1),
            )
        )
    return points


def _published(summary: Summary, quantity: Quantity) -> list[Point]:
    points = []
    for row in _rows(summary, quantity):
        found, x = (
            published.of(row.about.timm_name, row.image_size, summary.imported.accuracies),
            row.value(quantity.metric),
        )
        plain = [entry.top1 * 100 for entry in found if entry.plain]
        values = plain or [entry.top1 * 100 for entry in found]
        if values and x:
            y = Estimate((min(values) + max(values)) / 2, min(values), max(values))
            points.append(Point(row.model, row.about.family, x, y, filled=False, solid=bool(plain)))
    return points


def _figure(summary: Summary, quantity: Quantity, points: list[Point], subtitle: str) -> Figure:
    title, (factor, unit) = display_of(quantity.metric).name, scale_of(quantity)
    higher = quantity.better == "higher"
    trust = _trust(summary, quantity)
    places, chances = _front(points, higher=higher, sure=trust is None or trust.marks)
    if places:
        subtitle += f"; dashed: the front{_of_chances(chances, trust)}"
    if hidden := len(points) > NAMED:
        subtitle += "; named: what may be on the front" if places else "; too many to name"
    figure, axes = new_figure(
        f"Top-1 against {title}", f"{subtitle} · {title}: {_where(summary, quantity)}"
    )
    for name in dict.fromkeys(point.family for point in points):
        _draw_points(axes, [point for point in points if point.family == name], factor)
    axes.set_xlabel(f"{title} in {unit} ({'more' if higher else 'less'} is better)")
    axes.set_ylabel("top-1 %")
    log_ticks(axes, "x", [point.x.value * factor for point in points])
    axes.margins(x=0.14, y=0.12)
    steps = [(points[at].x.value * factor, points[at].y.value) for at in places]
    if steps:
        axes.plot(
            *zip(*steps, strict=True),
            color="#999999",
            lw=1,
            ls="--",
            zorder=0,
            drawstyle="steps-post",
            label="front",
        )
    _legend(figure, points)
    named = [
        (point, chance)
        for point, chance in zip(points, chances, strict=True)
        if not hidden or (chance or 0) >= 0.05
    ]
    figure.draw_without_rendering()
    bars = [box for point in points for box in _bars(axes, point, factor)] + _steps(axes, steps)
    place(
        figure,
        axes,
        [
            (point.x.value * factor, point.y.value, _label(point, chance), family(point.family)[1])
            for point, chance in named
        ],
        bars,
    )
    return figure


def _trust(summary: Summary, quantity: Quantity) -> Grade | None:
    """The worst grade of the run's checks at the image sizes of a cost that was timed; None for any other cost."""
    if quantity.unit not in TIMED_UNITS or not quantity.batch_size:
        return None
    found = [grade(summary, row.image_size) for row in _rows(summary, quantity)]
    return max(found, key=lambda one: ORDER.index(one.word), default=None)


def _of_chances(chances: Sequence[float | None], trust: Grade | None) -> str:
    if trust and not trust.marks:
        return f"; no % of being on it, the speeds' grade is: {trust.word}"
    return (
        "; no % of being on it: timed in one process"
        if None in chances
        else ", % behind a name: probability of being on it"
    )


def _front(
    points: list[Point], *, higher: bool, sure: bool
) -> tuple[list[int], list[float] | list[None]]:
    """Places on the front and every point's probability of being there; nothing of the kind for what is published.

    No probabilities either of costs that are not `sure`.
    """
    if not points[0].filled or len(points) < 2:
        return [], [None] * len(points)
    candidates = [Candidate(point.x, point.y, point.rounds, point.seeds) for point in points]
    places = front([(point.x.value, point.y.value) for point in points], higher=higher)
    return places, (probabilities(candidates, higher=higher) if sure else None) or [None] * len(
        points
    )


def _label(point: Point, chance: float | None) -> str:
    return point.name if chance is None else f"{point.name} {100 * chance:.0f} %"


def _where(summary: Summary, quantity: Quantity) -> str:
    """What the cost was measured on, and how."""
    machine = summary.machine.hardware
    if quantity == TRAINING_TIME:
        return f"{machine}, mean over seeds"
    if not quantity.batch_size:
        return "counted"
    policy = next((row.policy for row in _rows(summary, quantity) if row.policy), "")
    return f"{machine}, {policy}, batch {quantity.batch_size}"


def _draw_points(axes: Axes, points: list[Point], factor: float) -> None:
    """All points of a family at once: a few artists draw hundreds of points as fast as one."""
    _, colour, marker = family(points[0].family)
    xs = [point.x.value * factor for point in points]
    if points[0].filled:
        axes.vlines(
            xs,
            [point.low for point in points],
            [point.high for point in points],
            color=colour,
            linewidth=1,
        )
        known = [
            (point.y.value, point.x.low * factor, point.x.high * factor)
            for point in points
            if point.x.low and point.x.high
        ]
        if known:
            axes.hlines(*zip(*known, strict=True), color=colour, linewidth=1)
        axes.plot(xs, [point.y.value for point in points], marker, color=colour, markersize=7)
        return
    for solid, style in ((True, "solid"), (False, "dotted")):
        of = [
            (x, point.low, point.high)
            for x, point in zip(xs, points, strict=True)
            if point.solid is solid
        ]
        if of:
            axes.vlines(*zip(*of, strict=True), color=colour, linewidth=1.4, linestyle=style)
    ends = [
        (x, end)
        for x, point in zip(xs, points, strict=True)
        for end in sorted({point.low, point.high})
    ]
    axes.plot(
        *zip(*ends, strict=True),
        marker,
        markerfacecolor="white",
        markeredgecolor=colour,
        markersize=6.5,
    )


def _legend(figure: Figure, points: list[Point]) -> None:
    """Families under the panel, where no point can be."""
    axes = figure.axes[0]
    for name in dict.fromkeys(point.family for point in points):
        label, colour, marker = family(name)
        axes.plot(
            [],
            [],
            marker,
            color=colour,
            markerfacecolor=colour if points[0].filled else "white",
            markersize=6.5,
            label=label,
        )
    figure.legend(loc="outside lower center", ncols=6, fontsize=8, frameon=False)


def _bars(axes: Axes, point: Point, factor: float) -> list[Bbox]:
    """The space that a point's intervals take, so that no label is written over them."""
    to_display = axes.transData.transform
    (x, low), (_, high) = (
        to_display((point.x.value * factor, point.low)),
        to_display((point.x.value * factor, point.high)),
    )
    boxes = [Bbox.from_extents(x - 4, low - 8, x + 4, high + 8)]
    if point.x.low is not None and point.x.high is not None:
        (left, y), (right, _) = (
            to_display((end * factor, point.y.value)) for end in (point.x.low, point.x.high)
        )
        boxes.append(Bbox.from_extents(left, y - 3, right, y + 3))
    return boxes


def _steps(axes: Axes, steps: list[tuple[float, float]]) -> list[Bbox]:
    """The space that the drawn front takes."""
    places = [axes.transData.transform(point) for point in steps]
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(places):
        boxes.append(Bbox.from_extents(min(x, next_x), y - 3, max(x, next_x), y + 3))
        boxes.append(Bbox.from_extents(next_x - 3, min(y, next_y), next_x + 3, max(y, next_y)))
    return boxes
