"""One arm of a run on its way: its open work, its process, and what it has given so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench.measure.messages import Worker
from bench.plan.task import Task
from bench.plugins import Metric
from bench.record.arms import Arm, At
from bench.record.schema import Role, Sample, Scalar, Status
from bench.record.store import Body, Record
from bench.record.values import InProcess, fair, fair_per_round

RELOADING = 0.5
"""At most this share of compiling is done again by a second process, which finds the kernels in the compiler's cache; graphs
are traced anew. (A frozen ConvMixer-768/32 on two cores: 41 s and 15 s, compiled without freezing 20 s and 10 s.)"""


@dataclass
class Lane:
    """`write` appends a line to the arm's record. `earlier` holds what former runs measured: one value per round."""

    task: Task
    write: Callable[[Body], None]
    earlier: dict[str, dict[At, InProcess]] = field(default_factory=dict)
    fresh: bool = False
    role: Role = "asked"
    worker: Worker | None = None
    process: int = 0
    """How many processes this arm has had in this run."""
    setup: dict[str, Scalar] = field(default_factory=dict)
    setup_s: float = 0.0
    renewal_s: float = 0.0
    """What a further process is expected to cost."""
    born: float = 0.0
    values: dict[str, dict[At, InProcess]] = field(default_factory=dict)
    """One value per round of the phase that goes on, by metric, as it is compared with others'."""
    reached: set[str] = field(default_factory=set)
    """Metrics whose interval is as narrow as was aimed at."""
    dropped: set[str] = field(default_factory=set)
    """Metrics that cannot be had of this arm here; the others go on."""
    narrow: set[str] = field(default_factory=set)
    """Metrics whose interval was as narrow at one look."""
    status: Status | None = None
    hopeless: bool = False
    """Another policy of the same model was better by far: it takes no further part in the choosing."""
    postponed: bool = False
    """It ran out of memory beside others once, and is tried again with fewer."""

    @property
    def arm(self) -> Arm:
        return self.task.arm

    @property
    def alive(self) -> bool:
        """Whether it can take windows."""
        return self.worker is not None and self.status is None

    @property
    def contestant(self) -> bool:
        """Whether it is compared with others; the sentinel pair and the probes only come along."""
        return self.role in ("asked", "reference")

    @property
    def cold(self) -> bool:
        """Whether every process of it has to find the compiler's cache empty."""
        return any(metric.cold for metric in self.task.metrics)

    def open(self, start: Callable[[], Worker], now: Callable[[], float]) -> None:
        """A new process, built and warmed up. Raises Failure."""
        before = now()
        self.worker = start()
        self.process += 1
        self.setup = self.worker.ready()
        self.setup_s, self.born = now() - before, now()
        self.renewal_s = self.setup_s
        if self.process == 1 and not self.cold:
            compiling = float(self.setup.get("first_call_s") or 0) - float(
                self.setup.get("seconds_per_call") or 0
            )
            self.renewal_s -= (1 - RELOADING) * max(0.0, compiling)

    def all_values(self, metric: str) -> dict[At, InProcess]:
        """One value per round, of this run and of former ones."""
        return self.earlier.get(metric, {}) | self.values.get(metric, {})

    def rounds_had(self, metric: str) -> int:
        """Rounds behind this metric."""
        return len(self.all_values(metric))

    def note(self, at: At, sample: Sample) -> None:
        """Remember one window."""
        self.values.setdefault(sample.metric, {})[at] = InProcess(
            fair(sample), (at[0], self.process)
        )

    def wants(self, metric: Metric, rounds: int) -> bool:
        """Whether this metric still needs a round."""
        closed = self.hopeless or metric.name in self.reached or metric.name in self.dropped
        return not closed and self.rounds_had(metric.name) < min(rounds, metric.rounds or rounds)

    @property
    def kept(self) -> list[str]:
        """The metrics that were not dropped."""
        return [metric.name for metric in self.task.metrics if metric.name not in self.dropped]

    def start_anew(self, earlier: Record | None, phases: Iterable[str]) -> None:
        """A new phase: what former runs measured in such phases counts, nothing else."""
        self.earlier = (
            {one.name: fair_per_round(earlier, one.name, phases) for one in self.task.metrics}
            if earlier
            else {}
        )
        self.values, self.reached, self.narrow, self.hopeless = {}, set(), set(), False

    def close(self) -> None:
        """End the process."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None
