"""The subject: an arm that a worker process has opened, of one class per kind of arm."""

from bench.measure.subject.base import ArmSubject
from bench.measure.subject.execution import Execution, apply, module_of
from bench.measure.subject.kinds import (
    AccuracySubject,
    CountSubject,
    ProbeSubject,
    open_subject,
)
from bench.measure.subject.speed import SPEED_SETTINGS, SpeedSubject
from bench.plugins import Reading, Subject

__all__ = [
    "SPEED_SETTINGS",
    "AccuracySubject",
    "ArmSubject",
    "CountSubject",
    "Execution",
    "ProbeSubject",
    "Reading",
    "SpeedSubject",
    "Subject",
    "apply",
    "module_of",
    "open_subject",
]
