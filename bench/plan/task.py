"""The work of a run for one arm."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.plugins import Metric, Model
from bench.record.arms import Arm
from bench.record.schema import About, Role, Scalar


@dataclass(frozen=True, kw_only=True)
class Task:
    """One arm, the metrics wanted of it, and the settings that make its key with the arm."""

    arm: Arm
    metrics: tuple[Metric, ...]
    settings: dict[str, Scalar]
    about: About
    seed: int
    role: Role = "asked"


def with_metrics(task: Task, kept: tuple[Metric, ...]) -> Task:
    """Return the task with these metrics only."""
    return replace(task, metrics=kept)


def with_role(task: Task, role: Role) -> Task:
    """Return the task of an arm that takes part for another reason."""
    return replace(task, role=role)


def about_of(model: Model, caveat: str = "") -> About:
    """Return what the report shows of a model besides its measurements."""
    return About(
        family=model.family, timm_name=model.timm_name, summary=model.summary, caveat=caveat
    )


def window_of(task: Task, metric: Metric) -> float:
    """Return the usual seconds of a window; a window with few calls of a slow arm is longer."""
    return (
        metric.window if metric.window is not None else float(task.settings.get("window_s") or 0.0)
    )
