"""The types of a metric's `measure`: the subject that it receives, and the reading it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass
class Reading:
    """The result of one window.

    `values` are raw values in the metric's unit, at least one and all finite. `detail` is stored
    with them in the record and has to be JSON: numbers, strings, lists, dicts. `arrays` are large
    NumPy arrays by name, stored in a file next to the record.
    """

    values: list[float]
    detail: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)


class Subject(Protocol):
    """The part of a subject that metrics of every kind of arm can use.

    `bench.measure.subject` has the four kinds: CountSubject, SpeedSubject (adds `call`,
    `back_to_back` and `calls_for`), AccuracySubject and ProbeSubject.
    """

    @property
    def arm(self) -> Any:
        """The configuration that is measured, one of the four arms in `bench.record.arms`."""

    @property
    def device(self) -> str:
        """The PyTorch device, such as "cpu" or "cuda:1"."""

    @property
    def seed(self) -> int:
        """The seed of this run."""

    @property
    def build(self) -> Callable[..., Any]:
        """Build a new model with random weights; `build(image_size)` builds it at another size."""

    @property
    def progress(self) -> Callable[[str], None]:
        """Show one line of progress to the user; also keeps the worker from being timed out."""
