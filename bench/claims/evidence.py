"""What studies read: the records of one machine, by what they are about. Free of torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from bench.analysis.groups import grouped
from bench.analysis.rows import Accuracy, Row, Summary
from bench.analysis.run_quality import sentinel
from bench.claims.scales import without_changes
from bench.devices import kind_of
from bench.plugins.recipe import recipes
from bench.record.arms import AccuracyArm, At
from bench.record.schema import Machine
from bench.stats import lr_search
from bench.stats.intervals import Effect, Estimate
from bench.stats.paired import effect_of, paired_ratio, sum_of
from bench.stats.seed_variance import CommonVariance, Seeds, common_variance

OWN = 10
"""Configurations from which on a recipe's own runs say how much its seeds differ."""


@dataclass(frozen=True)
class Speed:
    """What was timed: a model at an image size under a policy (None: the device's plain one)."""

    model: str
    image_size: int = 224
    policy: str | None = None


@dataclass(eq=False)
class Evidence:
    """The records of one machine, including those of studies."""

    summary: Summary
    _sizes: set[int] = field(default_factory=set, init=False)
    """Image sizes of the speeds that were read since `sizes_read` began."""

    @contextmanager
    def sizes_read(self) -> Iterator[set[int]]:
        """Collect the image sizes of the speeds that are read inside."""
        self._sizes = set()
        yield self._sizes

    @property
    def kind(self) -> str:
        """The kind of device: cpu, cuda or mps."""
        return self.summary.machine.kind

    @cached_property
    def sentinel(self) -> Estimate | None:
        """The ratio of this machine's A/A pair; None if it was not measured."""
        return sentinel(self.summary)

    @cached_property
    def _rows(self) -> dict[tuple[str, int, str], Row]:
        return {(row.model, row.image_size, row.policy): row for row in self.summary.rows}

    # Speeds

    def row(self, of: Speed) -> Row | None:
        """Return everything that was measured of a model at a size and policy; None if nothing."""
        row = self._rows.get((of.model, of.image_size, of.policy or kind_of(self.kind).policy))
        if row is not None:
            self._sizes.add(row.image_size)
        return row

    def rounds(self, of: Speed, metric: str) -> Mapping[At, float]:
        """Return one value per (run, round), at the largest batch size; empty if there is none."""
        row = self.row(of)
        if row is None:
            return {}
        measured = [quantity for quantity in row.fair if quantity.metric == metric]
        return row.fair[max(measured)] if measured else {}

    def median(self, of: Speed, metric: str) -> float | None:
        """Return the value of a metric without its interval; None if it was not measured."""
        row = self.row(of)
        value = row.value(metric) if row else None
        return value.value if value else None

    def count(self, model: str, metric: str, image_size: int = 224) -> float | None:
        """Return a count of a model, such as params or macs; None if it was not counted."""
        for row in self.summary.rows:
            if row.model == model and row.image_size == image_size:
                value = row.value(metric)
                if value is not None:
                    return value.value
        return None

    def ratio(self, left: Speed, right: Speed, metric: str) -> Estimate | None:
        """Return the ratio of two speeds, paired by their common rounds; None without any."""
        return paired_ratio(self.rounds(left, metric), self.rounds(right, metric))

    def effect(self, left: Speed, right: Speed, metric: str) -> Effect | None:
        """Return the logarithm of the ratio of two speeds.

        None from fewer than six common rounds, or with fewer than two processes on a side.
        """
        return self.contrast({left: 1.0, right: -1.0}, metric)

    def contrast(self, parts: Mapping[Speed, float], metric: str) -> Effect | None:
        """Return a weighted sum of logarithms of speeds, over the rounds that all have in common.

        `parts` are weights by speed. None where `effect` would be None.
        """
        return effect_of(self._parts(parts, metric))

    def value(self, parts: Mapping[Speed, float], metric: str) -> float | None:
        """Return the same sum without a standard error, even if a side has a single process.

        None without a common round.
        """
        return sum_of(self._parts(parts, metric))

    def layer_rates(self, of: Speed, kind: str) -> Mapping[At, float]:
        """Return the multiply-adds per second of all layers of a kind, one value per (run, round).

        Empty if the layers were not timed, or if none is of that kind.
        """
        row = self.row(of)
        return row.layer_rates(kind) if row else {}

    def share(
        self, part: Mapping[Speed, float], whole: Mapping[Speed, float], metric: str
    ) -> Effect | None:
        """Return one weighted sum as a share of another, by the delta method.

        None if one of them has no standard error, or if the whole is 0.
        """
        numerator, denominator = self.value(part, metric), self.value(whole, metric)
        if numerator is None or not denominator:
            return None
        share = numerator / denominator
        weights = {}
        for speed in (*part, *whole):
            weights[speed] = part.get(speed, 0.0) - share * whole.get(speed, 0.0)
        off = self.contrast(weights, metric)
        if off is None:
            return None
        return replace(
            off, value=share + off.value / denominator, error=off.error / abs(denominator)
        )

    def _parts(
        self, parts: Mapping[Speed, float], metric: str
    ) -> list[tuple[float, Mapping[At, float]]]:
        return [(weight, self.rounds(speed, metric)) for speed, weight in parts.items() if weight]

    # Training runs

    def trainings(
        self,
        model: str,
        data: str,
        recipe: str,
        *,
        tuning: str = lr_search.AS_IS,
        equalise: str = "epochs",
    ) -> list[Accuracy]:
        """Return a model's training runs under a recipe, one per seed, however they ended."""
        wanted = (model, data, recipes.get(recipe).hash, "test", tuning, equalise)
        by_seed: dict[int | None, Accuracy] = {}
        for row in self.summary.accuracies:
            arm = row.arm
            protocol = (arm.recipe_hash, arm.split, arm.tuning, arm.equalise)
            if (arm.model, arm.data, *protocol) == wanted:
                by_seed[arm.seed] = row
        return sorted(by_seed.values(), key=lambda row: row.arm.seed or 0)

    def top1(self, model: str, data: str, recipe: str, **how: str) -> list[float]:
        """Return the test top-1 in points, one per seed; `how` is passed to `trainings`.

        A run that diverged counts as guessing: leaving it out would flatter the model. The values
        know the common variance between seeds of their data and recipe.
        """
        points = []
        for row in self.trainings(model, data, recipe, **how):
            if row.top1 or row.status == "diverged":
                points.append(_points(row))
        return Seeds(points, self._common_variance(data, recipe))

    def _common_variance(self, data: str, recipe: str) -> CommonVariance | None:
        own = self._common_variances.get((data, recipes.get(recipe).hash))
        return own or self._common_variances.get((data, without_changes(recipe)))

    @cached_property
    def _common_variances(self) -> dict[tuple[str, str], CommonVariance | None]:
        """The variance of top-1 in points between seeds, by data and the hash or name of a recipe.

        A change can make a recipe unsteady: one with enough configurations (`OWN`) has a variance
        of its own, others that of all changes of the recipe together. Training runs that diverged
        or stayed at chance are left out: they would hide all others.
        """
        trained = [row for row in self.summary.accuracies if row.arm.trains and row.status == "ok"]
        tested = [row for row in trained if row.arm.split == "test"]
        named = grouped(tested, lambda row: (row.arm.data, without_changes(row.arm.recipe or "")))
        exact = grouped(tested, lambda row: (row.arm.data, row.arm.recipe_hash or ""))
        found: dict[tuple[str, str], CommonVariance | None] = {}
        for pool, rows in named.items():
            found[pool] = common_variance(configurations_of(rows))
        for pool, rows in exact.items():
            seeds = configurations_of(rows)
            found[pool] = common_variance(seeds) if len(seeds) >= OWN else None
        return found

    def details(self, model: str, data: str, recipe: str, name: str) -> list[float]:
        """Return a number that training runs say about themselves, one per seed that has it."""
        values = [row.says(name) for row in self.trainings(model, data, recipe)]
        return [value for value in values if value is not None]

    def fields(
        self, model: str, data: str, recipe: str, when: str, name: str, *, canvas: int = 1
    ) -> list[float]:
        """Return a number of the effective receptive field, one per seed that has it.

        `when` is "before" or "after" training. The field is that at the model's own image size, or
        on a canvas `canvas` times as wide.
        """
        values = []
        for row in self.trainings(model, data, recipe):
            field = row.fields.get(f"{when}_{canvas * row.arm.image_size}")
            if field:
                values.append(float(field[name]))
        return values

    def theoretical_field(self, model: str, data: str, recipe: str) -> float | None:
        """Return the side of the theoretical receptive field in pixels; None if unknown."""
        for row in self.trainings(model, data, recipe):
            if row.fields.get("theoretical"):
                side: float = row.fields["theoretical"]
                return side
        return None

    def epochs_to(self, model: str, data: str, recipe: str, level: float) -> list[float]:
        """Return the epochs until top-1 on the validation split was first at least `level`.

        There is one value for each seed that reached it.
        """
        epochs = []
        for row in self.trainings(model, data, recipe):
            if row.top1 and "select_step" in row.arrays:
                reached = row.arrays["select_step"][row.arrays["select_top1"] >= level]
                if len(reached):
                    per_step = float(row.detail["epochs"]) / float(row.detail["steps"])
                    epochs.append(float(reached[0]) * per_step)
        return epochs


def nothing_measured(kind: str) -> Evidence:
    """Return the evidence of a machine without records, to read what studies declare.

    `kind` is cpu, cuda or mps.
    """
    machine = Machine(
        name=kind, device=kind, cpu="", cores=1, memory_bytes=0, versions={}, settings={}
    )
    return Evidence(
        Summary(
            machine=machine,
            rows=[],
            best=[],
            sentinels=[],
            probes=[],
            accuracies=[],
            disturbed=0,
            windows=0,
            notes=[],
        )
    )


def configuration_of(row: Accuracy) -> tuple[object, ...]:
    """Return what the seeds of a trained configuration have in common."""
    arm = row.arm
    return arm.model, arm.data, arm.recipe_hash, arm.tuning, arm.equalise, arm.epochs


def configurations_of(rows: Iterable[Accuracy]) -> list[list[float]]:
    """Return the top-1 in points of each configuration that was trained with several seeds."""
    groups = grouped(rows, configuration_of).values()
    return [list(map(_points, group)) for group in groups if len(group) > 1]


def _points(row: Accuracy) -> float:
    arm: AccuracyArm = row.arm
    return 100 * (row.top1.value if row.top1 else 1 / arm.num_classes)


# Curves over sizes


def slope_of(speeds: Sequence[Speed], xs: Sequence[float]) -> dict[Speed, float]:
    """Return the weights of a least-squares slope: of log speed over log `xs`, the exponent."""
    logs = list(map(math.log, xs))
    middle = statistics.fmean(logs)
    spread = sum((x - middle) ** 2 for x in logs)
    return {speed: (x - middle) / spread for speed, x in zip(speeds, logs, strict=True)}


def exponent_over_constant(values: Sequence[float | None], xs: Sequence[float]) -> float | None:
    """Return the exponent p of c + a x^p through three points, for any constant c.

    `xs` grow by one factor f, so the two increments are a (f^p - 1) x^p and their ratio is f^p.
    None if a value is missing or the values do not grow.
    """
    known = [value for value in values if value is not None]
    if len(known) != 3:
        return None
    first, second = known[1] - known[0], known[2] - known[1]
    factor = xs[1] / xs[0]
    assert math.isclose(factor, xs[2] / xs[1]), "increments of one factor"
    return math.log(second / first) / math.log(factor) if first > 0 and second > 0 else None


POINTS = 64
"""Places between two neighbouring grids at which two curves are compared."""


def crossing(
    evidence: Evidence,
    left: Sequence[Speed],
    right: Sequence[Speed],
    xs: Sequence[float],
    metric: str,
) -> Estimate | None:
    """Return where two curves cross, with straight lines between logarithms, and its 95 % interval.

    The interval consists of all places at which the two are statistically tied (Fieller 1954). None
    if the curves do not cross exactly once, or if the interval reaches an end of `xs`.
    """
    places: list[tuple[float, Effect]] = []
    for x, weights in _between(left, right, xs):
        effect = evidence.contrast(weights, metric)
        if effect is not None:
            places.append((x, effect))
    crossings = []
    for (x, effect), (_, following) in pairwise(places):
        if (effect.value > 0) != (following.value > 0):
            crossings.append(x)
    tied = [x for x, effect in places if effect.p(0.0) >= 0.05]
    if len(crossings) != 1 or not tied or tied[0] == places[0][0] or tied[-1] == places[-1][0]:
        return None
    first = places[0][1]
    return Estimate(crossings[0], tied[0], tied[-1], first.n, processes=first.processes)


def _between(
    left: Sequence[Speed], right: Sequence[Speed], xs: Sequence[float]
) -> Iterator[tuple[float, dict[Speed, float]]]:
    """Yield places from the first to the last of `xs`, with the weights of the difference there."""
    for place in range(len(xs) - 1):
        last = place == len(xs) - 2
        for step in range(POINTS + last):
            share = step / POINTS
            weights: dict[Speed, float] = {}
            for at, weight in ((place, 1 - share), (place + 1, share)):
                if weight:
                    weights |= {left[at]: weight, right[at]: -weight}
            x = math.exp(math.log(xs[place]) + share * math.log(xs[place + 1] / xs[place]))
            yield x, weights


def middle(values: list[float]) -> float | None:
    """Return the median; None without values."""
    return statistics.median(values) if values else None
