"""The points of Pareto figures: what models cost, and their accuracy, measured or published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant
from bench.analysis.rows import Quantity, Row, Summary
from bench.analysis.summary import of_one_policy
from bench.report.columns import TRAINING_TIME
from bench.stats.formatting import span
from bench.stats.intervals import Estimate, mean_of_seeds


@dataclass(frozen=True)
class Point:
    """One model: its cost `x` in the stored unit, and its accuracy `y` in percent.

    `filled` is True for measured points, `solid` for plain training. `rounds` and `seeds` are the
    values behind cost and accuracy. `training` is how it was trained, where models differ in that.
    """

    name: str
    family: str
    x: Estimate
    y: Estimate
    filled: bool
    solid: bool = True
    rounds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    seeds: Sequence[float] = ()
    training: str = ""

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
    """What points cost: one quantity, and a row for each model, or artifact, that has it.

    Rows of models are all of one policy if the cost depends on it.
    """

    quantity: Quantity
    rows: Mapping[str, Row]

    @property
    def image_sizes(self) -> list[int]:
        """The image sizes of the rows in pixels."""
        return sorted(set(map(attrgetter("image_size"), self.rows.values())))

    @property
    def policy(self) -> str:
        """The policy of the rows in words; empty for counts."""
        policies = set(filter(None, map(attrgetter("policy"), self.rows.values())))
        return "each under its policy" if len(policies) > 1 else next(iter(policies), "")


def costs_of(summary: Summary, metric: str, contestants: Iterable[Contestant]) -> Costs | None:
    """Return the costs of contestants, at the image size at which each was evaluated."""
    if metric == TRAINING_TIME.metric:
        return Costs(TRAINING_TIME, {})
    shapes = {(one.first.model, one.first.arm.image_size) for one in contestants}
    return costs_at_one_batch([row for row in summary.rows if row.shape in shapes], metric)


def costs_at_one_batch(rows: Iterable[Row], metric: str) -> Costs | None:
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


def artifacts(
    summary: Summary, metric: str, contestants: Mapping[str, Sequence[Contestant]]
) -> tuple[Costs, list[Point]] | None:
    """Return the weights that were evaluated and timed under the same policy, as one point each.

    `contestants` are evaluated weights by policy. None without any, or if `metric` is not timed.
    """
    by_name: dict[str, tuple[Contestant, Row]] = {}
    for policy, members in contestants.items():
        rows = {row.shape: row for row in summary.rows if row.policy == policy}
        for one in members:
            row = rows.get((one.first.model, one.first.arm.image_size))
            if row is not None and row.quantity(metric):
                by_name[f"{one.name}, {policy}"] = (one, row)
    quantities = [row.quantity(metric) for _, row in by_name.values()]
    quantity = max(filter(None, quantities), default=None)
    if quantity is None or not quantity.batch_size:
        return None
    points: list[Point] = []
    for name, (one, row) in by_name.items():
        costs = Costs(quantity, {one.first.model: row})
        points += [replace(point, name=name) for point in measured_points(costs, [one])]
    return Costs(quantity, {name: row for name, (_, row) in by_name.items()}), points


def measured_points(costs: Costs, contestants: Iterable[Contestant]) -> list[Point]:
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


def published_points(summary: Summary, costs: Costs) -> list[Point]:
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
            points.append(
                Point(
                    name=row.label,
                    family=row.about.family,
                    x=x,
                    y=y,
                    filled=False,
                    solid=bool(plain),
                    training=_epochs(best_first),
                )
            )
    return points


def _epochs(found: Sequence[published.Published]) -> str:
    """Return the epochs of weight sets, with ? for those whose source does not say."""
    known = [one.epochs for one in found if one.epochs is not None]
    said = span(min(known), max(known), places=0) if known else "?"
    unsaid = " or ?" if known and len(known) < len(found) else ""
    return f"{said}{unsaid} epochs"
