"""Top-1 against a cost: measured points filled with their front, published ranges hollow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.grade import Grade, grade, severity
from bench.analysis.groups import grouped
from bench.analysis.rows import Quantity, Summary
from bench.report.columns import TRAINING_TIME, display_of, scale_of
from bench.report.palette import family
from bench.stats.formatting import span
from bench.stats.pareto import Candidate, front, probabilities

from ._labels import place
from ._pareto_points import (
    Costs,
    Point,
    artifacts,
    costs_at_one_batch,
    costs_of,
    measured_points,
    published_points,
)
from ._style import family_legend, log_ticks, new_figure

TIMED_UNITS = ("s", "image/s", "J")
NAMED = 30
"""With more points than this, only those that may be on the front are named."""
MAY_BE_ON_FRONT = 0.05
"""Smallest probability of being on the front for a name."""
MATCHED = 0.05
"""Counts this near to the middle of their range are equal: what `bench match` allows at most."""
PUBLISHED = (
    "ImageNet-1k top-1 as published (hollow: range over weight sets; dotted: more data or a "
    "teacher; behind a name: epochs of training, ? if not said)"
)


def draw(summary: Summary, *, metric: str) -> dict[str, Figure]:
    """Draw one figure per protocol of an accuracy, and one of published values."""
    drawn: dict[str, Figure] = {}
    by_protocol = contestants_by_protocol(summary)
    for protocol, contestants in by_protocol.items():
        if protocol.policy is not None:  # in the figure of artifacts
            continue
        data = protocol.data.partition(":")[0]
        caveat = "not a comparison of architectures" if data == "digits" else "measured here"
        how = ", ".join([*protocol.conditions, *_training(contestants)])
        about = f"top-1 on {data}, measured (filled), {how}; {caveat}"
        figure = measured(summary, metric, contestants, about)
        if figure is not None:
            stem = f"pareto_{metric}_{data}"
            drawn[_unused(stem, drawn)] = figure
    drawn |= _executed(summary, metric, by_protocol)
    costs = costs_at_one_batch(summary.rows, metric)
    points = published_points(summary, costs) if costs else []
    if costs and points:
        stem = f"pareto_{metric}_imagenet_published"
        drawn[stem] = _figure(summary, costs, points, PUBLISHED)
    return drawn


def _executed(
    summary: Summary, metric: str, by_protocol: Mapping[Protocol, Sequence[Contestant]]
) -> dict[str, Figure]:
    """Draw accuracy and speed of the same artifact, where weights were evaluated under policies."""
    drawn: dict[str, Figure] = {}
    evaluated = [protocol for protocol in by_protocol if protocol.recipe is None]
    for plain, protocols in grouped(evaluated, partial(replace, policy=None)).items():
        found = artifacts(
            summary, metric, {one.policy or "fp32": by_protocol[one] for one in protocols}
        )
        if len(protocols) > 1 and found and found[1]:
            data = plain.data.partition(":")[0]
            about = f"top-1 on {data} and {display_of(metric).name} of the same execution, measured"
            stem = f"pareto_{metric}_{data}_executed"
            drawn[_unused(stem, drawn)] = _figure(summary, *found, about)
    return drawn


def _unused(stem: str, drawn: Mapping[str, Figure]) -> str:
    """Return a file stem that no drawn figure has."""
    return stem if stem not in drawn else f"{stem}_{len(drawn) + 1}"


def measured(
    summary: Summary, metric: str, contestants: Sequence[Contestant], about: str
) -> Figure | None:
    """Draw contestants whose cost was measured at the image size of their accuracy.

    They are of one protocol. `about` says which, in the line under the title. None if there is
    nothing to draw.
    """
    costs = costs_of(summary, metric, contestants)
    points = measured_points(costs, contestants) if costs else []
    return _figure(summary, costs, points, about) if costs and points else None


def seeds(contestants: Sequence[Contestant]) -> str:
    """Return the number of seeds of each contestant: `3 seeds per model`."""
    counts = [len(one.measured) for one in contestants]
    count = span(min(counts), max(counts), places=0)
    return f"{count} seed{'' if count == '1' else 's'} per model"


def _training(contestants: Sequence[Contestant]) -> list[str]:
    """Return how contestants were trained, beyond their recipe: epochs, and number of seeds.

    Empty for published weights, whose tags are in their names.
    """
    if not all(one.first.arm.recipe for one in contestants):
        return []
    epochs = list(filter(None, (one.detail("epochs") for one in contestants)))
    said = [f"{span(min(epochs), max(epochs), places=0)} epochs"] if epochs else []
    return [*said, seeds(contestants)]


def _figure(summary: Summary, costs: Costs, points: list[Point], subtitle: str) -> Figure:
    quantity = costs.quantity
    title, (factor, unit) = display_of(quantity.metric).name, scale_of(quantity)
    higher = quantity.better == "higher"
    trust = _trust(summary, costs)
    apart = not _matched(quantity, points)
    places: list[int] = []
    chances: Sequence[float | None] = [None] * len(points)
    if apart:
        places, chances = _front(points, higher=higher, sure=trust is None or trust.marks)
    elif points[0].filled:
        subtitle += f"; no front: models of equal {title}, within {MATCHED:.0%} of their middle"
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
            labels.append((point.x.value, _named_at(point), _label(point, chance), colour))
    place(figure, axes, labels)
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
    name = f"{point.name}, {point.training}" if point.training else point.name
    return name if chance is None else f"{name} {100 * chance:.0f} %"


def _named_at(point: Point) -> float:
    """Return the accuracy at which a point's name stands: of a range, at the better end."""
    return point.y.value if point.filled else point.high


def _matched(quantity: Quantity, points: list[Point]) -> bool:
    """True if all models have about the same count, as after `bench match` or in a study.

    A front would then rank what was made equal on purpose.
    """
    if quantity.unit in TIMED_UNITS or quantity.batch_size or len(points) < 2:
        return False
    costs = [point.x.value for point in points]
    return max(costs) - min(costs) <= MATCHED * (max(costs) + min(costs))


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
