"""The conditions under which two models can be compared, measured or published.

Measures nothing, and imports torch only for the name of a model that is in no record and no table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
from bench.analysis.grade import grade
from bench.analysis.rows import Accuracy, Quantity, Row, Summary
from bench.analysis.timm_names import TIMM_NAMES
from bench.plugins import models
from bench.stats.intervals import Effect, Estimate, difference
from bench.stats.paired import paired_ratio

On = Literal["top1", "throughput", "latency", "memory"]
Holds = Literal["holds", "fails", "undecided"]
NEAR = 0.05
"""A ratio without an interval, as published speeds have, decides nothing within this of 1."""
IMAGENET = 50_000
"""Images behind a published top-1."""


@dataclass(frozen=True)
class Condition:
    """One way to compare two models.

    It has factors by name, the ratio (above 1 if the first model is better), and whether the values
    are published by others.
    """

    factors: dict[str, str]
    ratio: Estimate
    published: bool
    trusted: bool = True
    """False for speeds that the run's own checks do not allow to rank (bench/analysis/grade.py)."""
    timed: bool = False
    """True if measured in rounds: without an interval, another process might give any value."""
    rests_on: tuple[str, str] = ("", "")
    """The weights behind each side's accuracy. Conditions that share them are not independent."""

    @property
    def outcome(self) -> Holds:
        """Whether the claim holds under this condition."""
        low, high = self.ratio.low, self.ratio.high
        if not self.trusted:
            return "undecided"
        if low is None or high is None:
            if self.timed:
                return "undecided"
            low, high = self.ratio.value / (1 + NEAR), self.ratio.value * (1 + NEAR)
        return "holds" if low > 1 else "fails" if high < 1 else "undecided"

    @property
    def given(self) -> list[tuple[str, str]]:
        """The factors that have a value, as pairs of name and value."""
        return [(name, value) for name, value in self.factors.items() if value]

    @property
    def text(self) -> str:
        """The factors that have a value, in one line."""
        return ", ".join(map(" ".join, self.given))


def conditions(left: str, right: str, on: On, summaries: list[Summary]) -> Iterator[Condition]:
    """Yield every condition that has both models, measured ones first."""
    for summary in summaries:
        if on == "top1":
            yield from _measured_top1(left, right, summary)
        else:
            yield from measured_speed(left, right, on, summary)
    if on == "top1":
        yield from _published_top1(left, right, summaries)
    elif on == "throughput":
        yield from _published_speed(left, right, summaries)


def rows_of(summary: Summary) -> list[Row | Accuracy]:
    """Return everything about models that was measured on one machine."""
    return [*summary.rows, *summary.accuracies]


# Measured


def _where(summary: Summary) -> dict[str, str]:
    return {"source": "measured", "machine": summary.machine.name}


def measured_speed(left: str, right: str, on: On, summary: Summary) -> Iterator[Condition]:
    """Yield every policy, batch and image size at which one machine timed both models together."""
    alike: dict[tuple[int, str], dict[str, Row]] = {}
    for row in summary.rows:
        of_policy = alike.setdefault((row.image_size, row.policy), {})
        of_policy |= dict.fromkeys((row.model, row.label), row)
    for (size, policy), rows in alike.items():
        if left not in rows or right not in rows:
            continue
        trusted = on == "memory" or grade(summary, size).marks
        for quantity, ratio in _ratios(rows[left], rows[right], on):
            batch = str(quantity.batch_size)
            factors = {**_where(summary), "policy": policy, "batch": batch, "px": str(size)}
            yield Condition(factors, ratio, False, timed=on != "memory", trusted=trusted)


def _ratios(left: Row, right: Row, on: On) -> Iterator[tuple[Quantity, Estimate]]:
    """Yield how many times better `left` is, for every batch size that both have."""
    for quantity in sorted(left.fair.keys() & right.fair.keys()):
        if quantity.metric == on:
            first, second = (right, left) if quantity.better == "lower" else (left, right)
            ratio = paired_ratio(first.fair[quantity], second.fair[quantity])
            if ratio is not None:
                yield quantity, ratio


def _measured_top1(left: str, right: str, summary: Summary) -> Iterator[Condition]:
    for protocol, contestants in contestants_by_protocol(summary).items():
        for one, other in product(contestants, contestants):
            asked = _is_called(left, one) and _is_called(right, other)
            if asked and one.measured and other.measured:
                factors = {**_where(summary), **_factors_of(protocol)}
                for contestant in (one, other):
                    model, _, tag = contestant.name.partition("@")
                    factors[f"weights of {model}"] = tag
                yield Condition(
                    factors,
                    _top1_ratio(one.measured, other.measured),
                    False,
                    rests_on=(_weights(one, protocol), _weights(other, protocol)),
                )


def _factors_of(protocol: Protocol) -> dict[str, str]:
    return {
        "data": protocol.data,
        "labels": protocol.labelling,
        "recipe": protocol.training,
        "tuning": protocol.tuning or "as is",
        "budget": protocol.budget,
        "execution": protocol.execution,
    }


def _weights(contestant: Contestant, protocol: Protocol) -> str:
    """Return a name for a contestant's weights; those of other training runs are others."""
    return contestant.name if "@" in contestant.name else f"{contestant.name} {protocol.label}"


def _is_called(asked: str, one: Contestant) -> bool:
    """True if `asked` is a contestant's name, or its model's own, with or without the tag."""
    own = replace(one.first, given="").name
    names = (one.name, one.name.partition("@")[0], own, own.partition("@")[0])
    return asked in names


def _top1_ratio(mine: Sequence[Accuracy], theirs: Sequence[Accuracy]) -> Estimate:
    """Return the ratio of two accuracies, over seeds if both have several, else over images."""
    left, right = _top1_of(mine), _top1_of(theirs)
    if len(left) > 1 and len(right) > 1 and min(*left, *right) > 0:
        effect = difference(list(map(math.log, left)), list(map(math.log, right)))
        assert effect is not None
        return effect.as_ratio
    return _binomial(left[0], right[0], mine[0].detail["images"], theirs[0].detail["images"])


def _top1_of(accuracies: Sequence[Accuracy]) -> list[float]:
    return [accuracy.top1.value for accuracy in accuracies if accuracy.top1]


def _binomial(left: float, right: float, left_images: int, right_images: int) -> Estimate:
    """Return the ratio of two shares of right answers, by the delta method."""
    if not left or not right:
        return Estimate(left / right if right else math.inf)
    variance = (1 - left) / (left * left_images) + (1 - right) / (right * right_images)
    images = left_images + right_images
    return Effect(math.log(left / right), math.sqrt(variance), images, 2).as_ratio


# Published


def _published_top1(left: str, right: str, summaries: list[Summary]) -> Iterator[Condition]:
    sides = (_published_weights(left, summaries), _published_weights(right, summaries))
    for one, other in product(*sides):
        if one.image_size != other.image_size:
            continue
        factors = {"source": "published", "data": "ImageNet-1k", "px": str(one.image_size)}
        for name, row in ((left, one), (right, other)):
            model = name.partition("@")[0]
            more = "yes" if row.more_data or row.teacher else "no"
            factors[f"weights of {model}"] = row.tag or row.source
            factors[f"more data or a teacher for {model}"] = more
        yield Condition(
            factors,
            _binomial(one.top1, other.top1, IMAGENET, IMAGENET),
            True,
            rests_on=(_published_name(one), _published_name(other)),
        )


def _published_weights(name: str, summaries: list[Summary]) -> list[published.Published]:
    """Return the published accuracies of a model.

    Accuracies of papers that name no weights are used if there are none of named weights.
    """
    architecture, tag = _architecture(name, summaries)
    rows = []
    for row in published.rows():
        if row.architecture == architecture and tag in ("", row.tag):
            rows.append(row)
    return [row for row in rows if row.tag] or rows


def _published_name(row: published.Published) -> str:
    return f"{row.architecture}@{row.tag or row.source}"


def _published_speed(left: str, right: str, summaries: list[Summary]) -> Iterator[Condition]:
    one, other = _architecture(left, summaries)[0], _architecture(right, summaries)[0]
    by_setting: dict[str, dict[str, float]] = {}
    for speed in published.speeds():
        by_setting.setdefault(speed.setting, {})[speed.architecture] = speed.images_per_s
    for setting, speeds in by_setting.items():
        if one in speeds and other in speeds:
            factors = {"source": "published", **published.factors_of(setting)}
            yield Condition(factors, Estimate(speeds[one] / speeds[other]), True)


def _architecture(name: str, summaries: list[Summary]) -> tuple[str, str]:
    """Return timm's name of a model's architecture, and the tag of the weights in `name`."""
    model, _, tag = name.partition("@")
    recorded = []
    for summary in summaries:
        for row in rows_of(summary):
            if row.model == model:
                recorded.append(row.about.timm_name)
    timm_name = next(filter(None, recorded), None) or TIMM_NAMES.get(model)
    if timm_name is None and not recorded and model not in _published_architectures():
        timm_name = _declared_names().get(model)
    return timm_name or model, tag


def _published_architectures() -> set[str]:
    """Return timm's names of all architectures with a published accuracy or speed."""
    accuracies = {row.architecture for row in published.rows()}
    return accuracies | {speed.architecture for speed in published.speeds()}


def _declared_names() -> dict[str, str]:
    """Return timm's names as the model files say them; this imports torch."""
    return {model.name: model.timm_name for model in models.entries() if model.timm_name}
