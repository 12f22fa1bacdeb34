"""What this machine's records and past runs say of costs: seconds of a call, of a set-up, of a window; multiply-adds; memory.

A forecast is made from these: of a dry run, of a queue, of the commands that a report proposes. Free of torch, as the
report is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from bench.forecast.past_runs import Cost, Habits, habits, missed
from bench.forecast.past_runs import read as read_costs
from bench.record.arms import Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Sample, Scalar
from bench.record.store import Record, load_folder

TRAINING_STEP = 3
"""Forward passes that a training step costs, about: its own, and twice as much backwards."""
RATES = ("throughput", "train_throughput")
"""Metrics whose value is images a second."""
TIMES = ("latency", "graph_latency", "train_step")
"""Metrics whose value is the time of a call."""


@dataclass(frozen=True)
class Seen:
    """One arm as this machine measured it: what its cost follows from; None where its record does not say it."""

    arm: Arm
    settings: Mapping[str, Scalar]
    call: float | None
    """Seconds of one call."""
    setup: float | None
    """Seconds from the start of building until it was ready."""
    windows: Mapping[str, float | None]
    """Seconds of a window, by metric, of all that were measured."""
    macs: float | None
    memory: float | None
    """Peak bytes."""
    training: float | None
    """Seconds of its last training, had it had the whole machine."""
    handwritten: bool


def seen(record: Record) -> Seen:
    """The facts of a record that has runs; those of the last one, where runs differ."""
    arm, taken = record.arm, _samples(record)
    setups = [run.setup for run in record.runs if run.setup.get("seconds_per_call")]
    last = setups[-1] if setups else {}
    parts = [float(value or 0) for name, value in last.items() if name.endswith("_s")]
    return Seen(
        arm=arm,
        settings=record.head.settings,
        call=_seconds_per_call(taken, arm, last) if isinstance(arm, SpeedArm) else None,
        setup=sum(parts) if parts else None,
        windows={metric: _lasted(found) for metric, found in taken.items()},
        macs=taken["macs"][-1].values[-1] if "macs" in taken else None,
        memory=max((sample.values[-1] for sample in taken.get("memory", ())), default=None),
        training=_training(taken.get("top1", ())),
        handwritten=any(run.setup.get("handwritten") is True for run in record.runs),
    )


def _samples(record: Record) -> dict[str, list[Sample]]:
    """By metric one sample per round; of a repeated window the last one counts."""
    found: dict[str, list[Sample]] = {}
    for line in record.rounds:
        for metric, sample in {sample.metric: sample for sample in line.samples}.items():
            found.setdefault(metric, []).append(sample)
    return found


def _seconds_per_call(
    taken: Mapping[str, Sequence[Sample]], arm: SpeedArm, setup: Mapping[str, Scalar]
) -> float | None:
    """By what was measured, else as the warm-up ended."""
    for metric in RATES:
        if metric in taken:
            return arm.batch_size / _median(taken[metric])
    for metric in TIMES:
        if metric in taken:
            return _median(taken[metric])
    said = setup.get("seconds_per_call")
    return float(said) if said else None


def _median(taken: Sequence[Sample]) -> float:
    """Of the rounds' values, each the median of its window."""
    return statistics.median(statistics.median(sample.values) for sample in taken)


def _lasted(taken: Sequence[Sample]) -> float | None:
    """Seconds of a window, the median: what it says, or its calls together where they are times; None where neither is known."""
    said = [sample.detail.get("seconds") for sample in taken]
    seconds = [one for one in said if isinstance(one, float)] or [
        sum(sample.values) for sample in taken if sample.unit == "s"
    ]
    return statistics.median(seconds) if seconds else None


def _training(taken: Sequence[Sample]) -> float | None:
    """Its share of the machine where others ran beside it."""
    details = [sample.detail for sample in taken if "train_s" in sample.detail]
    return float(details[-1]["train_s"]) / details[-1].get("beside", 1) if details else None


@dataclass(frozen=True)
class Past:
    """What one machine measured, the newest last, and what its runs took. Empty where it has done nothing yet."""

    seen: Sequence[Seen] = field(default=(), repr=False)
    costs: Sequence[Cost] = ()

    @classmethod
    def of(cls, records: Iterable[Record], costs: Sequence[Cost] = ()) -> Past:
        """Of one machine's records, in one state of its software."""
        run = [record for record in records if record.runs]
        return cls(
            [seen(record) for record in sorted(run, key=lambda record: record.runs[-1].started)],
            costs,
        )

    @classmethod
    def read(cls, folder: Path, fingerprint: str) -> Past:
        """Of a machine's folder: what was measured in the state of its software that the fingerprint is of."""
        mine = [record.within(fingerprint) for record in load_folder(folder / "records")[0]]
        return cls.of(mine, read_costs(folder))

    @cached_property
    def habits(self) -> Habits:
        """What runs here take beside what models take."""
        return habits(list(self.costs))

    @property
    def missed(self) -> list[float]:
        """What past runs took over what was expected of them, the latest last."""
        return missed(list(self.costs))

    def of_arm(self, arm: Arm) -> Seen | None:
        """What was seen of this very arm, whatever its model's file said then."""
        return self._by_arm.get(_plain(arm))

    def nearest(self, arm: SpeedArm) -> float | None:
        """Seconds of one call by another arm of the same model and image size: of its policy, its mode, the nearest batch."""
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
        """Seconds of an image at the fastest batch of a throughput, else of any call; under this policy if anything was timed under it.

        By the multiply-adds of the model where nothing was.
        """
        timed = [
            pair for pair in self._calls.get((model, image_size), ()) if pair[0].mode == "inference"
        ]
        alike = [pair for pair in timed if pair[0].policy == policy] or timed
        streams = [
            pair for pair in alike if "throughput" in self._by_arm[_plain(pair[0])].windows
        ] or alike
        if streams:
            return min(call / arm.batch_size for arm, call in streams)
        macs, rate = self.macs(model, image_size), self.rate(policy)
        return macs / rate if macs and rate else None

    def macs(self, model: str, image_size: int) -> float | None:
        """Multiply-adds of one image, where they were counted."""
        return self._macs.get((model, image_size))

    def rate(self, policy: str) -> float | None:
        """Multiply-adds a second that networks reach here, the median; under this policy if anything was timed under it."""
        rates = [rate for name, rate in self._rates if name == policy] or [
            rate for _, rate in self._rates
        ]
        return statistics.median(rates) if rates else None

    def measuring(self, metric: str) -> Seen | None:
        """The newest timed arm that this metric was measured of."""
        return self._measuring.get(metric)

    def classes(self, model: str) -> int | None:
        """Outputs of a model's classifier, as it was measured last."""
        return self._classes.get(model)

    @cached_property
    def handwritten(self) -> set[str]:
        """The policies under which something ran handwritten kernels."""
        return {
            one.arm.policy for one in self.seen if one.handwritten and isinstance(one.arm, SpeedArm)
        }

    # By what is looked up; of several arms the newest one stands.

    @cached_property
    def _by_arm(self) -> dict[Arm, Seen]:
        return {_plain(one.arm): one for one in self.seen}

    @cached_property
    def _calls(self) -> dict[tuple[str, int], list[tuple[SpeedArm, float]]]:
        found: dict[tuple[str, int], list[tuple[SpeedArm, float]]] = {}
        for one in reversed(self.seen):
            if (
                isinstance(one.arm, SpeedArm)
                and one.arm.mode != "capacity"
                and one.call is not None
            ):
                found.setdefault((one.arm.model, one.arm.image_size), []).append(
                    (one.arm, one.call)
                )
        return found

    @cached_property
    def _macs(self) -> dict[tuple[str, int], float]:
        counts = [(one.arm, one.macs) for one in self.seen if isinstance(one.arm, CountArm)]
        return {(arm.model, arm.image_size): macs for arm, macs in counts if macs}

    @cached_property
    def _rates(self) -> list[tuple[str, float]]:
        """Policy and multiply-adds a second of every timed arm whose model was counted."""
        counted = [
            (self._macs[key], timed) for key, timed in self._calls.items() if key in self._macs
        ]
        return [
            (arm.policy, macs * arm.batch_size * passes(arm) / call)
            for macs, timed in counted
            for arm, call in timed
        ]

    @cached_property
    def _measuring(self) -> dict[str, Seen]:
        return {
            metric: one
            for one in self.seen
            if isinstance(one.arm, SpeedArm)
            for metric in one.windows
        }

    @cached_property
    def _classes(self) -> dict[str, int]:
        return {
            one.arm.model: one.arm.num_classes
            for one in self.seen
            if isinstance(one.arm, CountArm | SpeedArm)
        }


def passes(arm: SpeedArm) -> int:
    """Forward passes that one call costs, about."""
    return TRAINING_STEP if arm.mode == "training" else 1


def _plain(arm: Arm) -> Arm:
    return arm if isinstance(arm, ProbeArm) else msgspec.structs.replace(arm, source=None)
