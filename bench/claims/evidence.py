"""What studies read: one machine's records by what they are of. Knows no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from bench.analysis.rows import Accuracy, Row, Summary
from bench.analysis.run_quality import sentinel
from bench.config import DEFAULT_POLICY
from bench.plugins.recipe import recipes
from bench.record.arms import AccuracyArm
from bench.record.schema import Machine
from bench.stats import lr_search
from bench.stats.intervals import Effect, Estimate
from bench.stats.paired import effect_of, paired_ratio, sum_of

At = tuple[str, int]
PLAIN = DEFAULT_POLICY
"""The policy that speeds are compared under where a study does not ask about policies."""
BATCH = {"cpu": 2, "cuda": 64, "mps": 16}
"""Images per call where a study asks for throughput."""


@dataclass(frozen=True)
class Speed:
    """Whose speed: a model at an image size, under a policy (None: the device's plain one)."""

    model: str
    image_size: int = 224
    policy: str | None = None


@dataclass(eq=False)
class Evidence:
    """The records of one machine, those of studies among them."""

    summary: Summary

    @property
    def kind(self) -> str:
        """cpu, cuda or mps."""
        return self.summary.machine.kind

    @cached_property
    def sentinel(self) -> Estimate | None:
        """What this machine's runs make of one graph under two names."""
        return sentinel(self.summary)

    @cached_property
    def _rows(self) -> dict[tuple[str, int, str], Row]:
        return {(row.model, row.image_size, row.policy): row for row in self.summary.rows}

    def row(self, of: Speed) -> Row | None:
        """All that was measured of it."""
        return self._rows.get((of.model, of.image_size, of.policy or PLAIN[self.kind]))

    def rounds(self, of: Speed, metric: str) -> Mapping[At, float]:
        """One value per (run, round); of several batch sizes the largest's. Empty where there is nothing."""
        row = self.row(of)
        found = [quantity for quantity in row.fair if quantity.metric == metric] if row else []
        return row.fair[max(found)] if row and found else {}

    def median(self, of: Speed, metric: str) -> float | None:
        """Its value without an interval."""
        row = self.row(of)
        value = row.value(metric) if row else None
        return value.value if value else None

    def count(self, model: str, metric: str, image_size: int = 224) -> float | None:
        """Parameters or MACs."""
        found = [
            row.value(metric)
            for row in self.summary.rows
            if (row.model, row.image_size) == (model, image_size)
        ]
        return next((value.value for value in found if value), None)

    def ratio(self, left: Speed, right: Speed, metric: str) -> Estimate | None:
        """Of two speeds, paired by their common rounds."""
        return paired_ratio(self.rounds(left, metric), self.rounds(right, metric))

    def effect(self, left: Speed, right: Speed, metric: str) -> Effect | None:
        """The logarithm of that ratio; None below six common rounds, and from one process a side."""
        return self.contrast({left: 1.0, right: -1.0}, metric)

    def contrast(self, parts: Mapping[Speed, float], metric: str) -> Effect | None:
        """A weighted sum of the logarithms of any number of speeds, in the rounds that all of them took part in."""
        return effect_of(self._parts(parts, metric))

    def value(self, parts: Mapping[Speed, float], metric: str) -> float | None:
        """The same sum without its sureness: of arms that had a single process too."""
        return sum_of(self._parts(parts, metric))

    def share(
        self, part: Mapping[Speed, float], whole: Mapping[Speed, float], metric: str
    ) -> Effect | None:
        """One such sum as a share of another, by the delta method; None where either has no interval."""
        both = [self.value(one, metric) for one in (part, whole)]
        if both[0] is None or not both[1]:
            return None
        share = both[0] / both[1]
        off = self.contrast(
            {one: part.get(one, 0.0) - share * whole.get(one, 0.0) for one in {**part, **whole}},
            metric,
        )
        return off and replace(
            off, value=share + off.value / both[1], error=off.error / abs(both[1])
        )

    def _parts(
        self, parts: Mapping[Speed, float], metric: str
    ) -> list[tuple[float, Mapping[At, float]]]:
        return [(weight, self.rounds(one, metric)) for one, weight in parts.items() if weight]

    # Trainings

    def trainings(
        self,
        model: str,
        data: str,
        recipe: str,
        *,
        tuning: str = lr_search.AS_IS,
        equalise: str = "epochs",
    ) -> list[Accuracy]:
        """Those of a model under a recipe, one per seed, whatever they ended with."""
        wanted = recipes.get(recipe).hash
        found: dict[int | None, Accuracy] = {}
        for one in self.summary.accuracies:
            arm = one.arm
            if (arm.model, arm.data, arm.recipe_hash, arm.split) != (model, data, wanted, "test"):
                continue
            if (arm.tuning, arm.equalise) == (tuning, equalise):
                found[arm.seed] = one
        return [found[seed] for seed in sorted(found, key=lambda seed: seed or 0)]

    def top1(self, model: str, data: str, recipe: str, **how: str) -> list[float]:
        """Test top-1 in points, one per seed. One that diverged counts as guessing: leaving it out would flatter."""
        return [
            _points(one)
            for one in self.trainings(model, data, recipe, **how)
            if one.top1 or one.status == "diverged"
        ]

    def details(self, model: str, data: str, recipe: str, name: str) -> list[float]:
        """What the trainings say of themselves, one per seed."""
        return [
            found
            for one in self.trainings(model, data, recipe)
            if (found := one.says(name)) is not None
        ]

    def fields(
        self, model: str, data: str, recipe: str, when: str, name: str, *, canvas: int = 1
    ) -> list[float]:
        """A figure of the effective receptive field `before` or `after` training, one per seed.

        At the model's own size, or on a canvas so many times as wide.
        """
        found = [
            one.fields.get(f"{when}_{canvas * one.arm.image_size}")
            for one in self.trainings(model, data, recipe)
        ]
        return [float(field[name]) for field in found if field]

    def theoretical_field(self, model: str, data: str, recipe: str) -> float | None:
        """Side of the theoretical receptive field in pixels, where the model's shape knows it."""
        return next(
            (
                one.fields["theoretical"]
                for one in self.trainings(model, data, recipe)
                if one.fields.get("theoretical")
            ),
            None,
        )

    def epochs_to(self, model: str, data: str, recipe: str, level: float) -> list[float]:
        """Epochs at the first look at select with at least `level`, for every seed that got there."""
        found = []
        for one in self.trainings(model, data, recipe):
            if not one.top1 or not one.arrays_file:
                continue
            scale = float(one.detail["epochs"]) / float(one.detail["steps"])
            steps = [
                step
                for step, value in zip(
                    one.arrays["select_step"], one.arrays["select_top1"], strict=True
                )
                if value >= level
            ]
            found += [float(steps[0]) * scale] if len(steps) else []
        return found


def nothing_measured(kind: str) -> Evidence:
    """Return the evidence of a machine without records; `kind` is cpu, cuda or mps. Studies declare their findings by it."""
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


def _points(one: Accuracy) -> float:
    arm: AccuracyArm = one.arm
    return 100 * (one.top1.value if one.top1 else 1 / arm.num_classes)


def slope_of(speeds: Sequence[Speed], xs: Sequence[float]) -> dict[Speed, float]:
    """What of each speed's logarithm the exponent over `xs` is: the weights of a least-squares slope."""
    logs = [math.log(x) for x in xs]
    middle, spread = statistics.fmean(logs), sum((x - statistics.fmean(logs)) ** 2 for x in logs)
    return {one: (x - middle) / spread for one, x in zip(speeds, logs, strict=True)}


def exponent_over_constant(values: Sequence[float | None], xs: Sequence[float]) -> float | None:
    """The exponent p of c + a x^p through three points whose xs grow by one factor, whatever the constant c is.

    Two increments are a (f^p - 1) x^p, so their ratio is f^p. None where a value is missing or the values do not grow.
    """
    known = [value for value in values if value is not None]
    if len(known) != 3:
        return None
    first, second = known[1] - known[0], known[2] - known[1]
    factor = xs[1] / xs[0]
    assert math.isclose(factor, xs[2] / xs[1]), "increments of one factor"
    return math.log(second / first) / math.log(factor) if first > 0 and second > 0 else None


POINTS = 64
"""Places between two neighbouring grids at which two curves are held against each other."""


def crossing(
    evidence: Evidence,
    left: Sequence[Speed],
    right: Sequence[Speed],
    xs: Sequence[float],
    metric: str,
) -> Estimate | None:
    """Where two curves meet, with straight lines between their logarithms, and the 95 % interval of that place.

    The interval is every place at which the two cannot be told apart (Fieller 1954). None where it is not bounded by the ends
    of `xs`, or where they do not meet: nobody knows a place then.
    """
    found = [
        (x, effect)
        for x, weights in _between(left, right, xs)
        if (effect := evidence.contrast(weights, metric))
    ]
    signs = [(x, effect.value > 0) for x, effect in found]
    meets = [x for (x, sign), (_, after) in pairwise(signs) if sign != after]
    alike = [x for x, effect in found if effect.p(0.0) >= 0.05]
    if len(meets) != 1 or not alike or alike[0] == found[0][0] or alike[-1] == found[-1][0]:
        return None
    effect = found[0][1]
    return Estimate(meets[0], alike[0], alike[-1], effect.n, processes=effect.processes)


def _between(
    left: Sequence[Speed], right: Sequence[Speed], xs: Sequence[float]
) -> Iterator[tuple[float, dict[Speed, float]]]:
    """Places from the first to the last of `xs`, and of what the two curves' distance there is made."""
    for place in range(len(xs) - 1):
        for step in range(POINTS + (place == len(xs) - 2)):
            share = step / POINTS
            weights: dict[Speed, float] = {}
            for at, weight in ((place, 1 - share), (place + 1, share)):
                if weight:
                    weights |= {left[at]: weight, right[at]: -weight}
            yield (
                math.exp(math.log(xs[place]) + share * math.log(xs[place + 1] / xs[place])),
                weights,
            )


def middle(values: list[float]) -> float | None:
    """Their median."""
    return statistics.median(values) if values else None
