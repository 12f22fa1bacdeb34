"""What each study takes and what it can tell, before it is run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.claims.power import Power, power_of
from bench.claims.scales import Scale
from bench.claims.spread import SeedSpread, spread_at
from bench.plugins import Study
from bench.record.arms import Arm
from bench.run.study_queue import Queue, QueueEntry, seconds_of


@dataclass(frozen=True)
class StudyPlan:
    """The training runs of a study, how many of them are open, and the forecast for what is open.

    `power` is None for a study that trains nothing.
    """

    study: str
    trainings: int
    open: int
    seconds: float
    power: Power | None


@dataclass(frozen=True)
class Outlook:
    """The plans of some studies, and what is known about the spread between seeds.

    `spread` and `scale` are None if none of the studies trains.
    """

    plans: list[StudyPlan]
    scale: Scale | None
    spread: SeedSpread | None
    seconds: float
    """Forecast for everything that is open."""

    @property
    def short(self) -> list[Power]:
        """The studies with open runs that cannot tell their smallest effect of interest.

        None at a scale that decides nothing, with any number of seeds.
        """
        if self.scale is None or not self.scale.decisive:
            return []
        powers = [plan.power for plan in self.plans if plan.power is not None and plan.open]
        return [power for power in powers if power.short]


def outlook(queue: Queue, asked: list[Study], surveyed: list[QueueEntry]) -> Outlook:
    """Return the plans of studies, given the survey of all runs that they need."""
    scale, spread = None, None
    plans = []
    for study in asked:
        power = None
        at = queue.scale_for(study, queue.seeds)
        if at is not None:
            scale = at
            spread = spread or _spread(queue, at)
            power = power_of(study, at, queue.session.kind, spread)
        needed = [entry for entry in surveyed if study.name in entry.studies]
        plans.append(_plan(study.name, needed, power))
    return Outlook(plans, scale, spread, seconds_of(surveyed))


def _spread(queue: Queue, scale: Scale) -> SeedSpread:
    records = queue.records.values()
    return spread_at(scale, records, queue.session.results, queue.folder)


def _plan(study: str, entries: list[QueueEntry], power: Power | None) -> StudyPlan:
    every: set[Arm] = set()
    for entry in entries:
        every |= entry.trained
    unnamed = sum(entry.unnamed for entry in entries)
    return StudyPlan(
        study=study,
        trainings=len(every) + unnamed,
        open=len(open_trainings(entries)) + unnamed,
        seconds=seconds_of(entries),
        power=power,
    )


def open_trainings(entries: Iterable[QueueEntry]) -> set[Arm]:
    """Return the training runs that are open and can be named by now, each once."""
    arms: set[Arm] = set()
    for entry in entries:
        arms.update(task.arm for task in entry.tasks if task.arm.trains)
    return arms
