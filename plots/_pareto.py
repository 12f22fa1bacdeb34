"""Top-1 against a cost: measured points filled with their front, published ranges hollow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant, contestants_by_protocol
from bench.analysis.grade import Grade, grade, severity
from bench.analysis.groups import grouped
from bench.analysis.rows import Quantity, Row, Summary
from bench.analysis.summary import of_one_policy
from bench.report.columns import TRAINING_TIME, display_of, scale_of
from bench.report.palette import family
from bench.stats.intervals import Estimate, mean_of_seeds
from bench.stats.pareto import Candidate, front, probabilities

from ._labels import place
from ._style import family_legend, log_ticks, new_figure

TIMED_UNITS = ("s", "image/s", "J")
NAMED = 30
"""With more points than this, only those that may be on the front are named."""
MAY_BE_ON_FRONT = 0.05
"""Smallest probability of being on the front for a name."""
PUBLISHED = (
    "ImageNet-1k top-1 as published (hollow: range over weight sets; dotted: more data or a "
    "teacher)"
)


@dataclass(frozen=True)
class Point:
    """One model: its cost `x` in the stored unit, and its accuracy `y` in percent.

    `filled` is True for measured points, `solid` for plain training. `rounds` and `seeds` are the
    values behind cost and accuracy.
    """

    name: str
    family: str
    x: Estimate
    y: Estimate
    filled: bool
    solid: bool = True
    rounds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    seeds: Sequence[float] = ()

    @property
    def place(self) -> tuple[float, float]:
        """The point: cost and accuracy."""
        return self.x.value, self.y.value

    @property
    def low(self) -> float:
        """The lower end of the accuracy."""
        return self.y.low if self.y.low is not None else self.y.value

    @property
    def high(self) -> float:
        """The upper end of the accuracy."""
        return self.y.high if self.y.high is not None else self.y.value

    @property
    def vertical(self) -> tuple[float, float, float]:
        """The interval of the accuracy as a vertical line: x, low, high."""
        return self.x.value, self.low, self.high


@dataclass(frozen=True)
class Costs:
    """What models cost: one quantity, and a row for each model that has it.

    `rows` are all of one policy if the cost depends on it.
    """

    quantity: Quantity
    rows: Mapping[str, Row]

    @property
    def image_sizes(self) -> list[int]:
        """The image sizes of the rows in pixels."""
        return sorted(set(map(attrgetter("image_size"), self.rows.values())))

    @property
    def policy(self) -> str:
        """The policy of the rows; empty for counts."""
        policies = map(attrgetter("policy"), self.rows.values())
        return next(filter(None, policies), "")


def draw(summary: Summary, *, metric: str) -> dict[str, Figure]:
    """Draw one figure per protocol of an accuracy, and one of published values."""
    drawn: dict[str, Figure] = {}
    for protocol, contestants in contestants_by_protocol(summary).items():
        data = protocol.data.partition(":")[0]
        caveat = "not a comparison of architectures" if data == "digits" else "measured here"
        how = ", ".join(protocol.conditions)
        about = f"top-1 on {data}, measured (filled), {how}; {caveat}"
        figure = measured(summary, metric, contestants, about)
        if figure is not None:
            stem = f"pareto_{metric}_{data}"
            stem = stem if stem not in drawn else f"{stem}_{len(drawn) + 1}"
            drawn[stem] = figure
    costs = _costs(summary.rows, metric)
    points = _published(summary, costs) if costs else []
    if costs and points:
        stem = f"pareto_{metric}_imagenet_published"
        drawn[stem] = _figure(summary, costs, points, PUBLISHED)
    return drawn


def measured(
    summary: Summary, metric: str, contestants: Sequence[Contestant], about: str
) -> Figure | None:
    """Draw contestants whose cost was measured at the image size of their accuracy.

    They are of one protocol. `about` says which, in the line under the title. None if there is
    nothing to draw.
    """
    costs = _costs_of(summary, metric, contestants)
    points = _measured(costs, contestants) if costs else []
    return _figure(summary, costs, points, about) if costs and points else None


def _costs_of(summary: Summary, metric: str, contestants: Iterable[Contestant]) -> Costs | None:
    """Return the costs of contestants, at the image size at which each was evaluated."""
    if metric == TRAINING_TIME.metric:
        return Costs(TRAINING_TIME, {})
    shapes = {(one.first.model, one.first.arm.image_size) for one in contestants}
    return _costs([row for row in summary.rows if row.shape in shapes], metric)


def _costs(rows: Iterable[Row], metric: str) -> Costs | None:
    """Return the costs of some rows at the largest batch size; None without any.

    Of a cost that depends on the policy, all rows are of the policy with the most.
    """
    having = [row for row in rows if row.value(metric)]
    if not all(row.quantity(metric) in row.counted for row in having):
        having = of_one_policy(having)
    quantities = filter(None, (row.quantity(metric) for row in having))
    quantity = max(quantities, default=None)
    if quantity is None:
        return None
    first: dict[str, Row] = {}
    for row in having:
        first.setdefault(row.model, row)
    return Costs(quantity, first)


def _measured(costs: Costs, contestants: Iterable[Contestant]) -> list[Point]:
    """Return the contestants whose cost and interval of top-1 are known."""
    points = []
    for one in contestants:
        y = one.top1
        row = costs.rows.get(one.first.model)
        x = _training_time(one) if costs.quantity == TRAINING_TIME else _cost(row, costs.quantity)
        if x is None or y is None or y.low is None or y.high is None:
            continue
        points.append(
            Point(
                name=one.name,
                family=one.family,
                x=x,
                y=y.times(100.0),
                filled=True,
                rounds=row.rounds.get(costs.quantity, {}) if row else {},
                seeds=[100 * share for share in one.shares],
            )
        )
    return points


def _training_time(one: Contestant) -> Estimate | None:
    """Return the mean training time over seeds, in seconds; None if it is unknown."""
    seconds = list(filter(None, one.details("train_s")))
    return mean_of_seeds(seconds) if seconds else None


def _cost(row: Row | None, quantity: Quantity) -> Estimate | None:
    """Return a cost; None if the row lacks it, or has it at another batch size only."""
    return row.values.get(quantity) if row else None


def _published(summary: Summary, costs: Costs) -> list[Point]:
    """Return the range of published top-1 of every model whose cost is known."""
    points = []
    for row in costs.rows.values():
        found = published.of(row.about.timm_name, row.image_size, summary.imported.accuracies)
        plain = list(filter(attrgetter("plain"), found))
        x = row.value(costs.quantity.metric)
        if found and x:
            best_first = plain or found
            low, high = best_first[-1].top1 * 100, best_first[0].top1 * 100
            y = Estimate((low + high) / 2, low, high)
            points.append(Point(row.model, row.about.family, x, y, filled=False, solid=bool(plain)))
    return points


def _figure(summary: Summary, costs: Costs, points: list[Point], subtitle: str) -> Figure:
    quantity = costs.quantity
    title, (factor, unit) = display_of(quantity.metric).name, scale_of(quantity)
    higher = quantity.better == "higher"
    trust = _trust(summary, costs)
    places, chances = _front(points, higher=higher, sure=trust is None or trust.marks)
    scaled = [replace(point, x=point.x.times(factor)) for point in points]
    hidden = len(points) > NAMED
    if places:
        subtitle += f"; dashed: the front{_about_chances(chances, trust)}"
    if hidden:
        subtitle += "; named: what may be on the front" if places else "; too many to name"
    figure, axes = new_figure(
        f"Top-1 against {title}", f"{subtitle} · {title}: {_where(summary, costs)}"
    )
    for found in grouped(scaled, attrgetter("family")).values():
        _draw_points(axes, found)
    axes.set_xlabel(f"{title} in {unit} ({'more' if higher else 'less'} is better)")
    axes.set_ylabel("top-1 %")
    log_ticks(axes, "x", [point.x.value for point in scaled])
    axes.margins(x=0.14, y=0.12)
    steps = [scaled[at].place for at in places]
    _draw_front(axes, steps)
    _add_legend(figure, axes, points)
    labels = []
    for point, chance in zip(scaled, chances, strict=True):
        if not hidden or (chance or 0) >= MAY_BE_ON_FRONT:
            colour = family(point.family)[1]
            labels.append((point.x.value, point.y.value, _label(point, chance), colour))
    figure.draw_without_rendering()
    obstacles = _steps(axes, steps)
    for point in scaled:
        obstacles += _bars(axes, point)
    place(figure, axes, labels, obstacles)
    return figure


def _trust(summary: Summary, costs: Costs) -> Grade | None:
    """Return the worst grade at the image sizes of a timed cost; None for any other cost."""
    if costs.quantity.unit not in TIMED_UNITS or not costs.quantity.batch_size:
        return None
    return max(map(partial(grade, summary), costs.image_sizes), key=severity, default=None)


def _about_chances(chances: Sequence[float | None], trust: Grade | None) -> str:
    """Return what the percentages are, or why there are none."""
    if trust and not trust.marks:
        return f"; no % of being on it, since the speeds' grade is: {trust.word}"
    if None in chances:
        return "; no % of being on it: timed in one process"
    return ", % behind a name: probability of being on it"


def _front(
    points: list[Point], *, higher: bool, sure: bool
) -> tuple[list[int], Sequence[float | None]]:
    """Return the places on the front, and every point's probability of being on it.

    Published points have no front. There are no probabilities for costs that are not `sure`.
    """
    unknown = [None] * len(points)
    if not points[0].filled or len(points) < 2:
        return [], unknown
    candidates = [Candidate(point.x, point.y, point.rounds, point.seeds) for point in points]
    places = front([point.place for point in points], higher=higher)
    chances = probabilities(candidates, higher=higher) if sure else None
    return places, chances or unknown


def _label(point: Point, chance: float | None) -> str:
    return point.name if chance is None else f"{point.name} {100 * chance:.0f} %"


def _where(summary: Summary, costs: Costs) -> str:
    """Return where and how the cost was measured."""
    machine, quantity = summary.machine.hardware, costs.quantity
    if quantity == TRAINING_TIME:
        return f"{machine}, mean over seeds"
    if not quantity.batch_size:
        return "counted"
    return f"{machine}, {costs.policy}, batch {quantity.batch_size}"


def _draw_points(axes: Axes, points: list[Point]) -> None:
    """Draw all points of a family with a few artists, as fast for hundreds as for one."""
    if points[0].filled:
        _draw_measured(axes, points)
    else:
        _draw_published(axes, points)


def _draw_measured(axes: Axes, points: list[Point]) -> None:
    _, colour, marker = family(points[0].family)
    axes.vlines(*_columns(point.vertical for point in points), color=colour, linewidth=1)
    known = []
    for point in points:
        if point.x.low and point.x.high:
            known.append((point.y.value, point.x.low, point.x.high))
    if known:
        axes.hlines(*_columns(known), color=colour, linewidth=1)
    places = (point.place for point in points)
    axes.plot(*_columns(places), marker, color=colour, markersize=7)


def _draw_published(axes: Axes, points: list[Point]) -> None:
    _, colour, marker = family(points[0].family)
    by_solid = grouped(points, attrgetter("solid"))
    for solid, style in ((True, "solid"), (False, "dotted")):
        if solid in by_solid:
            ranges = (point.vertical for point in by_solid[solid])
            axes.vlines(*_columns(ranges), color=colour, linewidth=1.4, linestyle=style)
    ends: list[tuple[float, float]] = []
    for point in points:
        ends += [(point.x.value, end) for end in sorted({point.low, point.high})]
    look: dict[str, Any] = {
        "markerfacecolor": "white",
        "markeredgecolor": colour,
        "markersize": 6.5,
    }
    axes.plot(*_columns(ends), marker, **look)


def _columns(rows: Iterable[tuple[float, ...]]) -> Iterator[Any]:
    """Yield the columns of equally long rows."""
    return zip(*rows, strict=True)


def _draw_front(axes: Axes, steps: list[tuple[float, float]]) -> None:
    if steps:
        line: dict[str, Any] = {"color": "#999999", "lw": 1, "ls": "--", "zorder": 0}
        axes.plot(*_columns(steps), drawstyle="steps-post", label="front", **line)


def _add_legend(figure: Figure, axes: Axes, points: list[Point]) -> None:
    look: dict[str, Any] = {"markersize": 6.5}
    if not points[0].filled:
        look["markerfacecolor"] = "white"
    family_legend(figure, axes, map(attrgetter("family"), points), **look)


def _bars(axes: Axes, point: Point) -> list[Bbox]:
    """Return the space that a point's intervals take, so that no label covers them."""
    to_display = axes.transData.transform
    x, low = to_display((point.x.value, point.low))
    _, high = to_display((point.x.value, point.high))
    boxes = [Bbox.from_extents(x - 4, low - 8, x + 4, high + 8)]
    if point.x.low is not None and point.x.high is not None:
        left, y = to_display((point.x.low, point.y.value))
        right, _ = to_display((point.x.high, point.y.value))
        boxes.append(Bbox.from_extents(left, y - 3, right, y + 3))
    return boxes


def _steps(axes: Axes, steps: list[tuple[float, float]]) -> list[Bbox]:
    """Return the space that the drawn front takes."""
    places = list(map(axes.transData.transform, steps))
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(places):
        boxes.append(Bbox.from_extents(min(x, next_x), y - 3, max(x, next_x), y + 3))
        boxes.append(Bbox.from_extents(next_x - 3, min(y, next_y), next_x + 3, max(y, next_y)))
    return boxes
