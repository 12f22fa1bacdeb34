"""One measuring window: how long it lasts, and when it is repeated."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.errors import one_line
from bench.forecast.round_rules import LONGEST_WINDOW, WINDOW_SHARE
from bench.measure.disturbance import State
from bench.measure.messages import Failure, Samples, Window
from bench.plan.task import window_of
from bench.plugins import Metric
from bench.record.schema import Sample, Scalar
from bench.run.arm_run import ArmRun
from bench.run.observer import Ledger
from bench.run.rounds.time_account import TimeAccount

REPEATS = 2
REPEATING = 0.1
"""A disturbed window is repeated up to `REPEATS` times, and repetitions are at most this share of
all windows."""
RECENT, RESTLESS = 10, 0.5
"""No window is repeated while more than this share of the latest `RECENT` ones were disturbed: the
next would be no better, and its time is better spent on another round. (Next to two programs that
came and went on two cores, seven windows in ten were disturbed, and repetitions took an eighth of
the time.)"""


@dataclass
class Windows:
    """Takes the windows of one series of rounds."""

    state: State
    ledger: Ledger
    account: TimeAccount
    least: float = 0.0
    """Seconds that a window of a contestant lasts at least."""
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    """True for each of the latest windows that was disturbed."""

    def fit(self, arm_runs: Iterable[ArmRun]) -> None:
        """Lengthen windows to suit the slowest of the arms."""
        calls = [float(arm_run.setup.get("seconds_per_call") or 0) for arm_run in arm_runs]
        self.least = min(LONGEST_WINDOW, WINDOW_SHARE * max(calls, default=0.0))

    def seconds(self, arm_run: ArmRun, metric: Metric) -> float:
        """Return the length of a window."""
        usual = window_of(arm_run.task, metric)
        fixed = metric.window is not None or arm_run.role == "probe"
        return usual if fixed else max(usual, self.least)

    def take(self, arm_run: ArmRun, metric: Metric) -> list[Sample]:
        """Take a window, and repeat it if it was disturbed; the last one counts. Raises Failure."""
        samples = [self._take_once(arm_run, metric)]
        while samples[-1].disturbed and len(samples) <= REPEATS and self._may_repeat():
            self.ledger.repeated += 1
            samples.append(self._take_once(arm_run, metric))
        return samples

    def _may_repeat(self) -> bool:
        calm = sum(self.recent) <= RESTLESS * RECENT
        return calm and self.ledger.repeated < REPEATING * self.ledger.windows

    def _take_once(self, arm_run: ArmRun, metric: Metric) -> Sample:
        assert arm_run.worker is not None
        pid = arm_run.worker.pid
        window = Window(metric.name, self.seconds(arm_run, metric))
        self.state.begin(pid)
        samples = arm_run.worker.take(window, lambda text: None, self.state.glance)
        state, disturbed = self.state.end(pid)
        self.ledger.windows += 1
        self.ledger.disturbed += disturbed is not None
        self.recent.append(disturbed is not None)
        self.ledger.add("windows", samples.seconds)
        self.ledger.add("waking", samples.wake_s)
        self.account.took[arm_run, metric.name] = samples.seconds + samples.wake_s
        return sample_of(metric, samples, state=state, disturbed=disturbed)


def sample_of(
    metric: Metric,
    samples: Samples,
    *,
    state: dict[str, Scalar] | None = None,
    disturbed: str | None = None,
) -> Sample:
    """Return a worker's answer as it is recorded. Failure if it is no measurement of the metric."""
    try:
        return Sample(
            metric=metric.name,
            unit=metric.unit,
            better=metric.better,
            values=samples.values,
            detail=samples.detail,
            state=state or {},
            disturbed=disturbed,
        )
    except ValueError as error:
        raise Failure("failed", f"{metric.name} gave no measurement: {one_line(error)}") from None
