"""One arm while a run lasts: its task, its worker process, and what it has measured so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench.forecast.round_rules import DEAR, PROCESSES, PROCESSES_IF_DEAR
from bench.measure.messages import Worker
from bench.plan.task import Task
from bench.plugins import Metric, handwritten
from bench.record import checking
from bench.record.arms import Arm, At, SpeedArm
from bench.record.schema import Role, Sample, Scalar, Status
from bench.record.store import Body, Record
from bench.record.values import InProcess, fair, fair_per_round

RELOADING = 0.5
"""Share of the compile time that a second process spends again, at most: it finds the kernels in
the compiler's cache, but traces the graphs anew. (A frozen ConvMixer-768/32 on two cores: 41 s,
then 15 s; compiled without freezing: 20 s, then 10 s.)"""


@dataclass(eq=False)
class ArmRun:
    """An arm's part in a run. `write` appends a line to the arm's record.

    Equal to itself only, so that it can be the key of a dict.
    """

    task: Task
    write: Callable[[Body], None]
    earlier: dict[str, dict[At, InProcess]] = field(default_factory=dict)
    """One value per round of earlier runs, by metric."""
    fresh: bool = False
    role: Role = "asked"
    worker: Worker | None = None
    ahead: Worker | None = None
    """A process that was started before its turn and prepares itself."""
    process: int = 0
    """Number of the current process in this run, counted from 1; 0 before the first."""
    setup: dict[str, Scalar] = field(default_factory=dict)
    renewal_s: float = 0.0
    """Expected cost of one more process."""
    values: dict[str, dict[At, InProcess]] = field(default_factory=dict)
    """One value per round of the current phase, by metric, as it is compared with other arms'."""
    narrow: set[str] = field(default_factory=set)
    """Metrics whose interval was narrow enough at one look."""
    reached: set[str] = field(default_factory=set)
    """Metrics whose interval was narrow enough at two looks: they are done."""
    dropped: set[str] = field(default_factory=set)
    """Metrics that cannot be measured for this arm here; its other metrics go on."""
    status: Status | None = None
    hopeless: bool = False
    """Another policy of the same model was far better: this one takes no further part in the
    choice."""
    out: bool = False
    """What was asked can be answered without more of it: it takes no further part, and counts as
    stopped early."""
    postponed: bool = False
    """It ran out of memory next to other arms once, and is tried again next to fewer."""

    @property
    def arm(self) -> Arm:
        """The arm itself."""
        return self.task.arm

    @property
    def policy(self) -> str:
        """The policy of a timed arm; empty for others."""
        return self.arm.policy if isinstance(self.arm, SpeedArm) else ""

    @property
    def handwritten(self) -> bool:
        """True if it runs handwritten kernels, which no other policy competes with."""
        return isinstance(self.arm, SpeedArm) and handwritten(self.arm.policy)

    @property
    def left_early(self) -> bool:
        """True if it takes no further part in this series of rounds."""
        return self.hopeless or self.out

    @property
    def alive(self) -> bool:
        """True if it can take windows."""
        return self.worker is not None and self.status is None

    @property
    def contestant(self) -> bool:
        """True if it is compared with others; the A/A pair and the probes are not."""
        return self.role in ("asked", "reference")

    @property
    def cold(self) -> bool:
        """True if each of its processes has to find the compiler's cache empty."""
        return any(metric.cold for metric in self.task.metrics)

    @property
    def processes_needed(self) -> int:
        """The least number of processes that an interval is believed of."""
        return PROCESSES_IF_DEAR if self.renewal_s > DEAR else PROCESSES

    @property
    def metrics_of_all_rounds(self) -> list[Metric]:
        """Its metrics that are measured in every round."""
        return list(filter(in_every_round, self.task.metrics))

    @property
    def kept(self) -> list[str]:
        """Names of the metrics that were not dropped."""
        return [metric.name for metric in self.task.metrics if metric.name not in self.dropped]

    def prepare(self, start: Callable[[], Worker]) -> None:
        """Start the next process before its turn, if that has not been done."""
        if self.ahead is None:
            self.ahead = start()
            self.ahead.prepare()

    def open(self, start: Callable[[], Worker], now: Callable[[], float]) -> None:
        """Start a new process, which builds and warms up the model. Raises Failure."""
        before = now()
        self.worker, self.ahead = self.ahead or start(), None
        self.process += 1
        self.setup = self.worker.ready()
        # A renewal is not prepared: no process may start while others are timed.
        self.renewal_s = now() - before + float(self.setup.get("ahead_s") or 0)
        if self.process == 1:
            # What the worker says can be more than was waited here, if its clock is another.
            self.renewal_s = max(0.0, self.renewal_s - self._only_once_s())

    def _only_once_s(self) -> float:
        """Return the seconds of the first process's set-up that later ones are spared."""
        compiling = 0.0 if self.cold else (1 - RELOADING) * self._compile_s()
        batch_size = self.arm.batch_size if isinstance(self.arm, SpeedArm) else 1
        return compiling + checking.saved_s(self.setup, batch_size)

    def _compile_s(self) -> float:
        first = float(self.setup.get("first_call_s") or 0)
        return max(0.0, first - float(self.setup.get("seconds_per_call") or 0))

    def all_values(self, metric: str) -> dict[At, InProcess]:
        """Return one value per round of a metric, of this run and of earlier ones."""
        return self.earlier.get(metric, {}) | self.values.get(metric, {})

    def rounds_had(self, metric: str) -> int:
        """Return the number of rounds that measured a metric."""
        return len(self.all_values(metric))

    def note(self, at: At, sample: Sample) -> None:
        """Keep the value of one window."""
        value = InProcess(fair(sample), (at[0], self.process))
        self.values.setdefault(sample.metric, {})[at] = value

    def wants(self, metric: Metric, rounds: int) -> bool:
        """True if a metric still needs a round, where `rounds` are planned."""
        closed = self.left_early or metric.name in self.reached or metric.name in self.dropped
        return not closed and self.rounds_had(metric.name) < min(rounds, metric.rounds or rounds)

    def start_anew(self, earlier: Record | None, phases: Iterable[str]) -> None:
        """Begin a phase: of `earlier`, only rounds of `phases` count."""
        self.earlier = {}
        if earlier is not None:
            for metric in self.task.metrics:
                self.earlier[metric.name] = fair_per_round(earlier, metric.name, phases)
        self.values, self.reached, self.narrow = {}, set(), set()
        self.hopeless = self.out = False

    def close(self) -> None:
        """End its processes."""
        for worker in (self.worker, self.ahead):
            if worker is not None:
                worker.close()
        self.worker = self.ahead = None


def in_every_round(metric: Metric) -> bool:
    """True if a metric is measured in every round; others have a number of rounds of their own."""
    return metric.rounds is None
