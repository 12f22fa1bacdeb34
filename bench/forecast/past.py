"""What this machine's records and past runs say about costs.

That is seconds per call, set-up and window, multiply-adds and memory. Forecasts for dry runs, for
the queue of studies and for the commands in the report are made from it. Free of torch, since the
report is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

from bench.forecast.past_runs import Habits, RunCost, habits, missed
from bench.forecast.past_runs import read as read_costs
from bench.record import checking
from bench.record.arms import Arm, CountArm, SpeedArm
from bench.record.schema import Sample, Scalar
from bench.record.store import Record, load_folder

TRAINING_STEP = 3
"""A training step costs about as much as this many forward passes: the backward pass takes two."""
RATES = ("throughput", "train_throughput")
"""Metrics whose value is images per second."""
TIMES = ("latency", "graph_latency", "train_step")
"""Metrics whose value is the time of a call."""
ModelAtSize = tuple[str, int]
"""The name of a model and the side of its images in pixels."""


@dataclass(frozen=True)
class Seen:
    """What this machine measured of one arm; None for what its record does not say."""

    arm: Arm
    settings: Mapping[str, Scalar]
    call: float | None
    """Seconds per call."""
    setup: float | None
    """Seconds from the start of building until the arm was ready."""
    renewal: float | None
    """The same for one of its later processes."""
    windows: Mapping[str, float | None]
    """Seconds per window of every metric that was measured."""
    macs: float | None
    memory: float | None
    """Peak bytes."""
    training: float | None
    """Seconds that the last training run would have taken with the machine to itself."""
    handwritten: bool


def seen(record: Record) -> Seen:
    """Return the facts of a record that has runs; if the runs differ, those of the last one."""
    arm, taken = record.arm, _samples(record)
    setup = _last_setup(record)
    parts = [float(value or 0) for name, value in setup.items() if name.endswith("_s")]
    memory = [sample.values[-1] for sample in taken.get("memory", ())]
    return Seen(
        arm=arm,
        settings=record.head.settings,
        call=_seconds_per_call(taken, arm, setup) if isinstance(arm, SpeedArm) else None,
        setup=sum(parts) if parts else None,
        renewal=sum(parts) - checking.saved_s(setup, _batch_size(arm)) if parts else None,
        windows={metric: _window_seconds(samples) for metric, samples in taken.items()},
        macs=taken["macs"][-1].values[-1] if "macs" in taken else None,
        memory=max(memory, default=None),
        training=_training_seconds(taken.get("top1", ())),
        handwritten=any(run.setup.get("handwritten") is True for run in record.runs),
    )


def _batch_size(arm: Arm) -> int:
    return arm.batch_size if isinstance(arm, SpeedArm) else 1


def _last_setup(record: Record) -> Mapping[str, Scalar]:
    """Return the set-up times of the last run that has them, else an empty mapping."""
    for run in reversed(record.runs):
        if run.setup.get("seconds_per_call"):
            return run.setup
    return {}


def _samples(record: Record) -> dict[str, list[Sample]]:
    """Return one sample per round of each metric; the last one if a window was repeated."""
    by_metric: dict[str, list[Sample]] = {}
    for line in record.rounds:
        last = {sample.metric: sample for sample in line.samples}
        for metric, sample in last.items():
            by_metric.setdefault(metric, []).append(sample)
    return by_metric


def _seconds_per_call(
    taken: Mapping[str, Sequence[Sample]], arm: SpeedArm, setup: Mapping[str, Scalar]
) -> float | None:
    """Return the seconds per call as measured, else as they were when the warm-up ended."""
    for metric in RATES:
        if metric in taken:
            return arm.batch_size / _median(taken[metric])
    for metric in TIMES:
        if metric in taken:
            return _median(taken[metric])
    after_warmup = setup.get("seconds_per_call")
    return float(after_warmup) if after_warmup else None


def _median(taken: Sequence[Sample]) -> float:
    """Return the median over rounds of the medians of their windows."""
    return statistics.median(statistics.median(sample.values) for sample in taken)


def _window_seconds(taken: Sequence[Sample]) -> float | None:
    """Return the median length of a window in seconds; None if it is unknown.

    A window that does not say its length lasted as long as its calls together.
    """
    stated, summed = [], []
    for sample in taken:
        seconds = sample.detail.get("seconds")
        if isinstance(seconds, float):
            stated.append(seconds)
        if sample.unit == "s":
            summed.append(sum(sample.values))
    seconds_each = stated or summed
    return statistics.median(seconds_each) if seconds_each else None


def _training_seconds(taken: Sequence[Sample]) -> float | None:
    """Return the seconds of the last training run over the number of those that ran at once."""
    for sample in reversed(taken):
        if "train_s" in sample.detail:
            return float(sample.detail["train_s"]) / sample.detail.get("beside", 1)
    return None


@dataclass(frozen=True)
class Past:
    """What one machine measured, the newest last, and how long its runs took; empty at first."""

    seen: Sequence[Seen] = field(default=(), repr=False)
    costs: Sequence[RunCost] = ()

    @classmethod
    def of(cls, records: Iterable[Record], costs: Sequence[RunCost] = ()) -> Past:
        """Return the past of one machine's records, all from one state of its software."""
        with_runs = [record for record in records if record.runs]
        with_runs.sort(key=lambda record: record.runs[-1].started)
        return cls(list(map(seen, with_runs)), costs)

    @classmethod
    def read(cls, folder: Path, fingerprint: str) -> Past:
        """Return the past of a machine's folder.

        Only records in the state of its software that has this `fingerprint` are used.
        """
        records, _ = load_folder(folder / "records")
        return cls.of([record.within(fingerprint) for record in records], read_costs(folder))

    @cached_property
    def habits(self) -> Habits:
        """What a run on this machine takes regardless of its models."""
        return habits(self.costs)

    @property
    def missed(self) -> list[float]:
        """The time that each run took over the time that was expected, the latest run last."""
        return missed(self.costs)

    def of_arm(self, arm: Arm) -> Seen | None:
        """Return what was measured of an arm, with whatever code its model had then."""
        return self._by_arm.get(arm.without_source())

    def nearest(self, arm: SpeedArm) -> float | None:
        """Return the seconds per call, scaled from another arm of the same model and image size.

        That is an arm of the same policy if possible, then of the same mode, with the nearest
        batch size. None if there is no other arm.
        """
        others = self._calls.get((arm.model, arm.image_size))
        if not others:
            return None

        def distance(pair: tuple[SpeedArm, float]) -> tuple[bool, bool, float]:
            other = pair[0]
            return (
                other.policy != arm.policy,
                other.mode != arm.mode,
                abs(math.log(other.batch_size / arm.batch_size)),
            )

        near, call = min(others, key=distance)
        return call * arm.batch_size * passes(arm) / (near.batch_size * passes(near))

    def per_image(self, model: str, image_size: int, policy: str) -> float | None:
        """Return the seconds per image under a policy, at the fastest batch size.

        Prefers arms under this policy, then those whose throughput was measured. Without any arm,
        it is computed from the model's multiply-adds; None if those are unknown as well.
        """
        by_rank: dict[tuple[bool, bool], list[float]] = {}
        for arm, call in self._calls.get((model, image_size), ()):
            if arm.mode == "inference":
                throughput = "throughput" in self._by_arm[arm.without_source()].windows
                rank = (arm.policy == policy, throughput)
                by_rank.setdefault(rank, []).append(call / arm.batch_size)
        if by_rank:
            return min(by_rank[max(by_rank)])
        macs, rate = self.macs(model, image_size), self.rate(policy)
        return macs / rate if macs and rate else None

    def macs(self, model: str, image_size: int) -> float | None:
        """Return the multiply-adds for one image; None if they were never counted."""
        return self._macs.get((model, image_size))

    def rate(self, policy: str) -> float | None:
        """Return the median rate of networks on this machine, in multiply-adds per second.

        Under this policy if anything was timed under it, else under all; None if nothing was.
        """
        rates = self._rates.get(policy) or list(chain.from_iterable(self._rates.values()))
        return statistics.median(rates) if rates else None

    def measuring(self, metric: str) -> Seen | None:
        """Return the newest speed arm whose record has this metric."""
        return self._measuring.get(metric)

    def classes(self, model: str) -> int | None:
        """Return the number of outputs of a model's classifier when it was last measured."""
        return self._classes.get(model)

    @cached_property
    def handwritten(self) -> set[str]:
        """The policies under which a model ran handwritten kernels."""
        return {arm.policy for arm, seen in self._speeds() if seen.handwritten}

    # Indexes. If several arms have the same key, the newest one counts.

    def _speeds(self) -> Iterator[tuple[SpeedArm, Seen]]:
        for seen in self.seen:
            if isinstance(seen.arm, SpeedArm):
                yield seen.arm, seen

    @cached_property
    def _by_arm(self) -> dict[Arm, Seen]:
        return {seen.arm.without_source(): seen for seen in self.seen}

    @cached_property
    def _calls(self) -> dict[ModelAtSize, list[tuple[SpeedArm, float]]]:
        """Every timed arm with its seconds per call, the newest first."""
        calls: dict[ModelAtSize, list[tuple[SpeedArm, float]]] = {}
        for arm, seen in reversed(list(self._speeds())):
            if arm.is_timed and seen.call is not None:
                calls.setdefault((arm.model, arm.image_size), []).append((arm, seen.call))
        return calls

    @cached_property
    def _macs(self) -> dict[ModelAtSize, float]:
        counted: dict[ModelAtSize, float] = {}
        for seen in self.seen:
            if isinstance(seen.arm, CountArm) and seen.macs:
                counted[seen.arm.model, seen.arm.image_size] = seen.macs
        return counted

    @cached_property
    def _rates(self) -> dict[str, list[float]]:
        """Multiply-adds per second of every timed arm whose model was counted, by policy."""
        rates: dict[str, list[float]] = {}
        for model, timed in self._calls.items():
            macs = self._macs.get(model)
            if macs is None:
                continue
            for arm, call in timed:
                per_call = macs * arm.batch_size * passes(arm)
                rates.setdefault(arm.policy, []).append(per_call / call)
        return rates

    @cached_property
    def _measuring(self) -> dict[str, Seen]:
        newest: dict[str, Seen] = {}
        for _, seen in self._speeds():
            newest.update(dict.fromkeys(seen.windows, seen))
        return newest

    @cached_property
    def _classes(self) -> dict[str, int]:
        outputs: dict[str, int] = {}
        for seen in self.seen:
            if isinstance(seen.arm, CountArm | SpeedArm):
                outputs[seen.arm.model] = seen.arm.num_classes
        return outputs


def passes(arm: SpeedArm) -> int:
    """Return the approximate number of forward passes that one call costs."""
    return TRAINING_STEP if arm.mode == "training" else 1
