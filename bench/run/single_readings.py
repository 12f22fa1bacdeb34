"""What is measured once per arm: counts, largest batches, accuracies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.measure.messages import Failure, Samples, Window
from bench.plan.task import window_of
from bench.plugins import Metric
from bench.record import arms, store
from bench.record.arrays import write_arrays
from bench.record.schema import RoundLine, Sample
from bench.run.arm_run import ArmRun
from bench.run.context import RunContext
from bench.run.lifecycle import Lifecycle
from bench.run.observer import Observer
from bench.run.parallel import JobPool
from bench.run.rounds import sample_of
from bench.training.images.files import Files


@dataclass
class SingleReadings:
    """Takes one reading per metric of an arm. A metric that fails leaves the others alone."""

    context: RunContext
    lifecycle: Lifecycle

    def read(self, name: str, arm_runs: list[ArmRun], jobs: int = 1) -> None:
        """Measure arms, `jobs` at a time. `name` is the step's, for people and in the ledger."""
        before = self.context.session.now()
        progress = Progress(name, len(arm_runs), self.context.observer)
        pool = JobPool(jobs)
        pools = [pool] if self.context.pool is None else [pool, self.context.pool]
        pool.run(partial(self._read_arm, arm_run, progress, pools) for arm_run in arm_runs)
        self.context.ledger.add(name, self.context.session.now() - before)

    def _read_arm(self, arm_run: ArmRun, progress: Progress, pools: Sequence[JobPool]) -> None:
        words = arm_run.arm.label
        if self.context.jobs > 1:
            words = f"{words} seed {arm_run.task.seed}"

        def heard(text: str) -> None:
            for pool in pools:
                pool.check()
            progress.say(words, text)

        try:
            if self.context.too_late:
                self.context.left += 1
            elif self._is_ours(arm_run):
                heard("")
                if self.lifecycle.open(arm_run):
                    self._read_metrics(arm_run, heard)
                    self.lifecycle.end(arm_run, "ok")
        finally:
            arm_run.close()
            progress.done(words)

    def _is_ours(self, arm_run: ArmRun) -> bool:
        """True unless another run of the same pool measures this arm."""
        key = arms.key_of(arm_run.arm, arm_run.task.settings)
        return self.context.pool is None or self.context.pool.claim(key)

    def _read_metrics(self, arm_run: ArmRun, heard: Callable[[str], None]) -> None:
        """Take one reading of each metric. After one that failed, the next gets a new process."""
        samples: list[Sample] = []
        arrays: dict[str, Any] = {}
        failed: dict[str, Failure] = {}
        for metric in arm_run.task.metrics:
            try:
                if arm_run.worker is None:
                    self.lifecycle.start_worker(arm_run)
                taken = take(arm_run, metric, heard)
                samples.append(sample_of(metric, taken))
            except Failure as failure:
                arm_run.close()
                failed[metric.name] = failure
                continue
            arrays |= taken.arrays
            self.context.observer.figure(arm_run.arm, samples[-1])
        if samples:
            self._write(arm_run, samples, arrays)
        self.lifecycle.end_apart(arm_run, [sample.metric for sample in samples], failed)

    def _write(self, arm_run: ArmRun, samples: list[Sample], arrays: dict[str, Any]) -> None:
        session, run_id = self.context.session, self.context.run_id
        path = store.path_of(session.records, arm_run.arm, arm_run.task.settings)
        sidecar = write_arrays(path, run_id, arrays) if arrays else None
        arm_run.write(RoundLine(run=run_id, round=1, samples=samples, arrays=sidecar))
        self.context.ledger.rounds += 1
        # The record has the result, so that nothing resumes from the checkpoint any more.
        Files(session.folder, path.stem).checkpoint.unlink(missing_ok=True)


@dataclass
class Progress:
    """Tells an observer which arms are being measured, and how far each is."""

    name: str
    total: int
    observer: Observer
    finished: int = 0
    words: dict[str, str] = field(default_factory=dict)
    """The latest words of each arm that is being measured."""

    def say(self, arm: str, text: str) -> None:
        """Tell how far an arm is."""
        self.words[arm] = text
        doing = [f"{name} {said}".rstrip() for name, said in list(self.words.items())]
        self.observer.step(self.name, " · ".join(doing), self.finished, self.total, None)

    def done(self, arm: str) -> None:
        """Count an arm as finished."""
        self.words.pop(arm, None)
        self.finished += 1


def take(arm_run: ArmRun, metric: Metric, heard: Callable[[str], None]) -> Samples:
    """Take one window outside rounds. Raises Failure.

    The latest words are repeated while there are no new ones: a training step can take minutes.
    """
    assert arm_run.worker is not None
    latest = [""]

    def hear(text: str) -> None:
        latest[0] = text
        heard(text)

    window = Window(metric.name, window_of(arm_run.task, metric))
    return arm_run.worker.take(window, hear, lambda: heard(latest[0]))
