"""The spread between seeds at a scale: from records if there are enough, else assumed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from bench.analysis.record_rows import accuracies_of
from bench.analysis.rows import Accuracy
from bench.claims.evidence import OWN, Evidence, configurations_of, nothing_measured
from bench.claims.scales import Scale, without_changes
from bench.errors import UsageError
from bench.plugins.recipe import recipes
from bench.plugins.registry import ROOT
from bench.record.reading import record_folders
from bench.record.store import Record, load
from bench.stats import seed_variance
from bench.stats.seed_variance import FREEDOM as FREEDOM
from bench.stats.seed_variance import variance_of

HERE, RECORDS = "this machine's records", "the records of all machines"


@dataclass(frozen=True)
class Spread:
    """A standard deviation between seeds, and what it is known from.

    `freedom` are its degrees of freedom, 0 if it is assumed.
    """

    value: float
    freedom: int
    source: str

    @property
    def assumed(self) -> bool:
        """True if it is not from records."""
        return self.freedom == 0


@dataclass(frozen=True)
class Recorded:
    """How many configurations were trained with several seeds, and their degrees of freedom."""

    configurations: int = 0
    freedom: int = 0


@dataclass(frozen=True)
class Relative:
    """A quantity other than top-1: its median, and the spread of its logarithm between seeds."""

    middle: float
    spread: Spread


def pooled(groups: Iterable[Sequence[float]], source: str) -> Spread | None:
    """Return the standard deviation within groups, as if it were the same in all of them.

    None if they have fewer than `FREEDOM` degrees of freedom together.
    """
    found = seed_variance.pooled([variance_of(group) for group in groups if len(group) > 1])
    return Spread(math.sqrt(found.value), round(found.freedom), source) if found else None


@dataclass(eq=False)
class SeedSpread:
    """What is known about the spread between seeds at one scale, before a study is run.

    `sources` returns the training runs of other folders; they are read only if those of `here` do
    not suffice.
    """

    scale: Scale
    here: list[Accuracy]
    sources: Callable[[], list[Accuracy]] = list
    _relative: dict[tuple[object, ...], Relative | None] = field(default_factory=dict, init=False)
    _points: dict[str, Spread] = field(default_factory=dict, init=False)

    @property
    def points(self) -> Spread:
        """The standard deviation of top-1 in points under the scale's usual recipe."""
        return self.of(self.scale.recipe)

    def of(self, recipe: str) -> Spread:
        """Return the standard deviation of top-1 in points, within equal model, recipe and tuning.

        It is that of the recipe's own training runs, if there are enough on this machine or on all,
        else that of all of the scale. Training runs that diverged or stayed at chance are left out:
        they would hide all others.
        """
        if recipe not in self._points:
            self._points[recipe] = self._known(recipes.get(recipe).hash)
        return self._points[recipe]

    def _known(self, recipe_hash: str) -> Spread:
        levels = [(source, list(filter(_trained, rows))) for source, rows in self._levels()]
        for source, rows in levels:
            seeds = configurations_of(_under(rows, recipe_hash))
            found = pooled(seeds, source) if len(seeds) >= OWN else None
            if found is not None:
                return found
        for source, rows in levels:
            found = pooled(configurations_of(rows), source)
            if found is not None:
                return found
        return Spread(self.scale.spread, 0, "assumed")

    @cached_property
    def recorded(self) -> dict[str, Recorded]:
        """What this machine's records have, by the hash of a recipe and by its name.

        The name stands for the recipe with any changes.
        """
        pools: dict[str, list[Accuracy]] = {}
        for row in filter(_trained, self._of_scale(self.here)):
            for pool in {row.arm.recipe_hash or "", without_changes(row.arm.recipe or "")}:
                pools.setdefault(pool, []).append(row)
        found: dict[str, Recorded] = {}
        for pool, rows in pools.items():
            seeds = configurations_of(rows)
            found[pool] = Recorded(len(seeds), sum(map(len, seeds)) - len(seeds))
        return found

    def relative(self, name: str, *arguments: object, **more: object) -> Relative | None:
        """Return what is known of another quantity: a method of `Evidence` by its name.

        `arguments` are those after model, data and recipe. None if records do not say enough.
        """
        key = (name, arguments, *sorted(more.items()))
        if key not in self._relative:
            self._relative[key] = self._from_records(name, arguments, more)
        return self._relative[key]

    def _from_records(
        self, name: str, arguments: tuple[object, ...], more: dict[str, object]
    ) -> Relative | None:
        for source, rows in self._levels():
            evidence = _evidence_of(rows)
            logs: list[list[float]] = []
            for named in sorted(set(map(_named, rows))):
                try:
                    values = getattr(evidence, name)(*named, *arguments, **more)
                except UsageError:  # damaged arrays, or a recipe of another release
                    continue
                logs.append([math.log(value) for value in values if value > 0])
            found = pooled(logs, source)
            if found is not None:
                middle = statistics.median(value for group in logs for value in group)
                return Relative(math.exp(middle), found)
        return None

    def _levels(self) -> Iterator[tuple[str, list[Accuracy]]]:
        """Yield this machine's training runs of the scale, then those of all machines."""
        yield HERE, self._of_scale(self.here)
        yield RECORDS, self._of_scale(self._everywhere)

    @cached_property
    def _everywhere(self) -> list[Accuracy]:
        return [*self.here, *self.sources()]

    def _of_scale(self, rows: Iterable[Accuracy]) -> list[Accuracy]:
        return [row for row in rows if _is_of(row, self.scale)]


def _is_of(row: Accuracy, scale: Scale) -> bool:
    """True for a training run on the scale's data, wherever they are, and tested on it."""
    arm = row.arm
    same_data = arm.data.partition(":")[0] == scale.name
    return same_data and arm.split == "test" and arm.recipe is not None and scale.has(arm.recipe)


def _trained(row: Accuracy) -> bool:
    """True unless a training run failed, diverged or stayed at chance."""
    return row.status == "ok"


def _under(rows: Iterable[Accuracy], recipe_hash: str) -> list[Accuracy]:
    return [row for row in rows if row.arm.recipe_hash == recipe_hash]


def _named(row: Accuracy) -> tuple[str, str, str]:
    return row.arm.model, row.arm.data, row.arm.recipe or ""


def _evidence_of(rows: list[Accuracy]) -> Evidence:
    """Return evidence that consists of training runs."""
    return Evidence(replace(nothing_measured("cpu").summary, accuracies=rows))


def spread_at(scale: Scale, records: Iterable[Record], results: Path, folder: Path) -> SeedSpread:
    """Return the spread between seeds by a machine's records; its `folder` is in `results`."""
    return SeedSpread(scale, accuracies_of(records), partial(_elsewhere, results, folder))


def _elsewhere(results: Path, folder: Path) -> list[Accuracy]:
    """Return what was trained in other folders than `folder`.

    That is below `results`, and in the results that come with this project. Records that cannot be
    read are left out.
    """
    places: dict[Path, None] = {}
    for root in (results, ROOT / "results"):
        if root.is_dir():
            found, _ = record_folders(root)
            places |= dict.fromkeys(place.resolve() for place in found)
    places.pop((folder / "records").resolve(), None)
    records: list[Record] = []
    for path in sorted(file for place in places for file in place.glob("*.accuracy.*.jsonl")):
        try:
            records.append(load(path))
        except UsageError:
            continue
    return accuracies_of(records)
