"""The power of a study before it is run: the smallest effects that its planned seeds can tell.

The study's own `judge` is asked about training runs that are made up: no configuration differs from
another, and seeds differ as much as they are known to. What it returns has the standard error that
real runs would have, whatever the study computes.
"""

from __future__ import annotations

import math
import random
import statistics
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.analysis.rows import Accuracy
from bench.claims.evidence import OWN, Evidence, nothing_measured
from bench.claims.rules import POWER, Finding, Unit, level
from bench.claims.scales import Scale, without_changes
from bench.claims.spread import Recorded, SeedSpread
from bench.plugins import Need, Study
from bench.plugins.recipe import recipes
from bench.stats.intervals import Effect
from bench.stats.power import decided_from
from bench.stats.seed_variance import FREEDOM, CommonVariance, Seeds

MOST_SEEDS = 1000
"""The largest value of `--seeds`."""
ALIKE, DRAWS = 3, 200
"""Made-up sets of training runs: all errors of a contrast of means are equal, and a few sets show
that. Slopes over the runs of one seed need many."""
LEVEL_OF_TOP1 = 70.0
"""Points around which top-1 is made up; differences do not depend on it."""


@dataclass(frozen=True)
class Resolution:
    """What one deciding effect of a study can be told with, in the effect's own scale.

    `interest` is the smallest effect of interest: how far the region's nearest end is from no
    effect. `tells` is the effect that is decided in eight draws of ten; None if the spread between
    seeds is not known. `needed` are the seeds with which it would be `interest`; None if those are
    more than 1,000, or if any effect is of interest.
    """

    what: str
    unit: Unit
    interest: float
    tells: float | None = None
    needed: int | None = None

    @property
    def reached(self) -> bool:
        """True if the smallest effect of interest is told; nothing is if `tells` is unknown."""
        return self.tells is not None and self.tells <= self.interest

    @property
    def shortfall(self) -> float:
        """How many times larger than the smallest effect of interest the effect has to be."""
        if self.tells is None:
            return -math.inf
        return self.tells / self.interest if self.interest else math.inf


@dataclass(frozen=True)
class Power:
    """What a study can tell with its planned `seeds` per configuration."""

    study: str
    seeds: int
    effects: list[Resolution]

    @property
    def worst(self) -> Resolution:
        """The deciding effect that is the hardest to tell, as far as known."""
        return max(self.effects, key=lambda effect: effect.shortfall)

    @property
    def unknown(self) -> list[Resolution]:
        """The deciding effects whose spread is not known before the first seeds."""
        return [effect for effect in self.effects if effect.tells is None]

    @property
    def short(self) -> bool:
        """True if an effect cannot be told although it is of interest."""
        return any(effect.tells is not None and not effect.reached for effect in self.effects)

    @property
    def needed(self) -> int | None:
        """The seeds with which all known effects of interest can be told; None if none do."""
        seeds = self.seeds
        for effect in self.effects:
            if effect.tells is not None and not effect.reached:
                if effect.needed is None:
                    return None
                seeds = max(seeds, effect.needed)
        return seeds


def power_of(study: Study, scale: Scale, kind: str, spread: SeedSpread) -> Power:
    """Return what a study can tell with the seeds of a scale, on a kind of device."""
    trained = _trained(study.needs(scale, kind))
    plan = _by_model(trained)
    seeds = min(map(len, plan.values()))
    draws = _draws(study, scale, MadeUp(kind, trained, seeds, spread))
    primary = [found for found in zip(*draws, strict=True) if found[0].primary]
    effects = []
    for found in primary:
        if not found[0].exact:
            # As if Holm's correction took its full toll, as in `rules.resolvable`.
            effects.append(_resolution(found, seeds, level(1) / len(primary)))
    return Power(study.name, seeds, effects)


Configurations = dict[tuple[object, ...], set[int]]
"""The seeds of every configuration that is to be trained: a model, and how."""


def _trained(needs: Iterable[Need]) -> Configurations:
    """Return the seeds with which each configuration will be trained."""
    trained: Configurations = {}
    for need in needs:
        settings = need.settings
        if "data" not in settings:
            continue
        first = settings.get("seed", 0)
        how = (settings.get("recipe"), settings.get("equalise"), settings.get("lr_search"))
        for model in settings["models"]:
            seeds = trained.setdefault((model, *how), set())
            seeds.update(range(first, first + settings.get("seeds", 1)))
    return trained


def _by_model(trained: Configurations) -> dict[str, set[int]]:
    """Return the seeds with which each model will be trained, the fewest of all its recipes."""
    fewest: dict[str, set[int]] = {}
    for (model, *_), seeds in trained.items():
        name = str(model)
        fewest[name] = min(fewest.get(name, seeds), seeds, key=len)
    return fewest


def _per_recipe(trained: Configurations) -> Counter[str]:
    """Count the configurations by their recipe's hash, and by its name without changes."""
    counts: Counter[str] = Counter()
    for _, recipe, *_ in trained:
        counts.update((recipes.get(str(recipe)).hash, without_changes(str(recipe))))
    return counts


def _draws(study: Study, scale: Scale, made_up: MadeUp) -> list[list[Finding]]:
    """Return the study's findings on a few made-up sets of runs, or on many if they differ."""
    draws: list[list[Finding]] = []
    for number in range(DRAWS):
        made_up.draw(number)
        draws.append(list(study.judge(made_up, scale)))
        if len(draws) == ALIKE and all(map(_alike, zip(*draws, strict=True))):
            break
    return draws


def _alike(findings: Sequence[Finding]) -> bool:
    """True if a finding has the same standard error in all sets, or none in any."""
    errors = [finding.effect.error for finding in findings if finding.effect is not None]
    return not errors or max(errors) - min(errors) <= 1e-6 * max(errors)


def _resolution(findings: Sequence[Finding], seeds: int, alpha: float) -> Resolution:
    """Return what one finding can be told with, given its draws and the `alpha` of its test."""
    first = findings[0]
    ends = [abs(end) for end in first.bounds if math.isfinite(end)]
    interest = min(ends)
    effects = [finding.effect for finding in findings if finding.effect is not None]
    if len(effects) < len(findings):
        return Resolution(first.what, first.unit, interest)
    error, groups, pooled = _error(effects), _groups(effects, seeds), effects[0].pooled

    def tells(number: int) -> float:
        shared = round((pooled or 0) * (number - 1) / (seeds - 1))
        common = shared if shared >= FREEDOM else None
        errors = decided_from(groups, number, alpha, POWER, len(ends), common)
        return errors * error * math.sqrt(seeds / number)

    needed = None
    if interest and tells(MOST_SEEDS) <= interest:
        reached = range(2, MOST_SEEDS + 1)
        needed = reached[bisect_left(reached, True, key=lambda n: tells(n) <= interest)]
    return Resolution(first.what, first.unit, interest, tells(seeds), needed)


def _error(effects: Sequence[Effect]) -> float:
    """Return the true standard error: the squares of estimated ones are right on average."""
    return math.sqrt(statistics.fmean(effect.error**2 for effect in effects))


def _groups(effects: Sequence[Effect], seeds: int) -> int:
    """Return how many groups of seeds the variance of an effect is estimated from.

    Their degrees of freedom add up if they have equal variances, which some draw comes close to.
    """
    if effects[0].pooled is not None:
        return effects[0].groups
    return max(1, round(max(effect.freedom for effect in effects) / (seeds - 1)))


class MadeUp(Evidence):
    """Training runs that were not made: as many seeds of each model as planned, without effects.

    Their mean and standard deviation are exact in each configuration, and they have the variance in
    common that they will have together with the training runs of this machine's records.
    Quantities that nothing is known of are missing.
    """

    def __init__(self, kind: str, plan: Configurations, seeds: int, spread: SeedSpread) -> None:
        super().__init__(nothing_measured(kind).summary)
        self.models = frozenset(str(model) for model, *_ in plan)
        self.seeds, self.spread = seeds, spread
        self.configurations = _per_recipe(plan)
        self.draw(0)

    def draw(self, number: int) -> None:
        """Replace all runs by others."""
        self.number = number
        self._values: dict[tuple[object, ...], list[float]] = {}

    def trainings(self, model: str, data: str, recipe: str, **how: str) -> list[Accuracy]:
        """Return no runs: only numbers about them are made up."""
        return []

    def top1(self, model: str, data: str, recipe: str, **how: str) -> list[float]:
        if model not in self.models:
            return []
        spread = self.spread.of(recipe).value
        deviates = self._deviates("top1", model, recipe, *sorted(how.items()))
        points = [LEVEL_OF_TOP1 + spread * deviate for deviate in deviates]
        return Seeds(points, CommonVariance(spread**2, math.inf, self._freedom(recipe)))

    def _freedom(self, recipe: str) -> int:
        """Return the degrees of freedom of the variance that a recipe's runs will have in common.

        What is recorded may be a part of what is planned, so that the larger of both is taken.
        """
        for pool, fewest in ((recipes.get(recipe).hash, OWN), (without_changes(recipe), 0)):
            recorded = self.spread.recorded.get(pool, Recorded())
            planned = self.configurations[pool]
            if max(recorded.configurations, planned) >= fewest:
                break
        return max(recorded.freedom, planned * (self.seeds - 1))

    def details(self, model: str, data: str, recipe: str, name: str) -> list[float]:
        return self._relative("details", model, recipe, name)

    def fields(
        self, model: str, data: str, recipe: str, when: str, name: str, *, canvas: int = 1
    ) -> list[float]:
        return self._relative("fields", model, recipe, when, name, canvas=canvas)

    def epochs_to(self, model: str, data: str, recipe: str, level: float) -> list[float]:
        return self._relative("epochs_to", model, recipe, level)

    def _relative(
        self, name: str, model: str, recipe: str, *arguments: object, **more: object
    ) -> list[float]:
        """Return another quantity with the spread of its logarithm that records show."""
        known = self.spread.relative(name, *arguments, **more)
        if known is None or model not in self.models:
            return []
        deviates = self._deviates(name, model, recipe, *arguments, *sorted(more.items()))
        return [known.middle * math.exp(known.spread.value * deviate) for deviate in deviates]

    def _deviates(self, *configuration: object) -> list[float]:
        """Return a number per seed, with mean 0 and standard deviation 1."""
        if configuration not in self._values:
            draw = random.Random(f"{self.number} {configuration}")
            drawn = [draw.gauss(0, 1) for _ in range(self.seeds)]
            middle, deviation = statistics.fmean(drawn), statistics.stdev(drawn)
            self._values[configuration] = [(value - middle) / deviation for value in drawn]
        return self._values[configuration]
