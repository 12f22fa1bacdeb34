"""What a run has to do for one arm."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.plugins import Metric, Model
from bench.record.arms import Arm
from bench.record.schema import About, Role, Scalar


@dataclass(frozen=True, kw_only=True)
class Task:
    """One arm, what is wanted of it, and the settings that with the arm make its key."""

    arm: Arm
    metrics: tuple[Metric, ...]
    settings: dict[str, Scalar]
    about: About
    seed: int
    role: Role = "asked"


def with_metrics(task: Task, kept: tuple[Metric, ...]) -> Task:
    """The same arm with fewer metrics."""
    return replace(task, metrics=kept)


def with_role(task: Task, role: Role) -> Task:
    """The same arm, taking part for another reason."""
    return replace(task, role=role)


def about_of(model: Model, caveat: str = "") -> About:
    """What the report wants to know of a model."""
    return About(
        family=model.family, timm_name=model.timm_name, summary=model.summary, caveat=caveat
    )


def window_of(task: Task, metric: Metric) -> float:
    """Seconds of one window, where no slow arm makes it longer."""
    return (
        metric.window if metric.window is not None else float(task.settings.get("window_s") or 0.0)
    )
