"""How an arm begins and ends in a run: its processes, and the run and end lines of its record."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace

import msgspec

from bench.errors import UsageError
from bench.files import temporary
from bench.measure import machine
from bench.measure.messages import Chosen, Failure, Job, Worker, why_none
from bench.plan.task import Task
from bench.record import checking, store
from bench.record.arms import AccuracyArm, SpeedArm
from bench.record.schema import EndLine, RunLine, Status
from bench.run.arm_run import ArmRun
from bench.run.context import RunContext


@dataclass
class Lifecycle:
    """Begins and ends the arms of a run. A failure that the user can mend becomes a UsageError."""

    context: RunContext

    def open(self, arm_run: ArmRun, patient: bool = False) -> bool:
        """Start a process, built and warmed up; False if that failed.

        `patient`: running out of memory next to other arms says nothing of the arm, so it is
        postponed once instead of ended.
        """
        try:
            self.start_worker(arm_run)
        except Failure as failure:
            if failure.status == "oom" and patient and not arm_run.postponed:
                arm_run.postponed = True
                arm_run.process -= 1
                arm_run.close()
                return False
            self.begin(arm_run)
            self.fail(arm_run, failure)
            return False
        self.begin(arm_run)
        return True

    def prepare(self, arm_run: ArmRun) -> None:
        """Start an arm's next process before its turn; what fails is told when it is opened."""
        arm_run.prepare(lambda: self._start(arm_run))

    def start_worker(self, arm_run: ArmRun) -> None:
        """Start a process, built and warmed up. Raises Failure."""
        self._make_reference(arm_run)
        arm_run.open(lambda: self._start(arm_run), self.context.session.now)

    def _start(self, arm_run: ArmRun) -> Worker:
        return self.context.session.open_worker(self._job(arm_run))

    def _make_reference(self, arm_run: ArmRun) -> None:
        """Have the float32 logits of an arm's model written, in a process of its own.

        A queue of studies has many of them in common, so that is done once per command.

        Where that fails, so does the arm, with a better message, or it is not compared, and its
        record says why: a model may fit in half precision only.
        """
        path, made = self._reference(arm_run.task), self.context.session.references
        if path is None or path in made:
            return
        made.add(path)
        self.context.observer.step("evaluating in float32", arm_run.arm.model, 0, 1, None)
        job = self._job(arm_run)
        worker = self.context.session.open_worker(
            replace(job, arm=msgspec.structs.replace(job.arm, policy="fp32", batch_size=1))
        )
        try:
            worker.make_reference()
        except Failure as failure:
            _raise_if_usage(failure)
            reason = f"{failure.status}: {failure.error}"
            why_none(path).write_text(reason, encoding="utf-8", errors="backslashreplace")
        finally:
            worker.close()

    def _reference(self, task: Task) -> str | None:
        """Return the file of the logits that an arm is compared with; None: it is not compared.

        Its folder is of the images, which the files of all models in it share.
        """
        arm = task.arm
        if not isinstance(arm, SpeedArm) or not arm.is_timed or arm.mode != "inference":
            return None
        images = _digest(task.seed, self.context.config.data, self._check_images())
        folder = temporary.folder() / f"logits-{images}"
        folder.mkdir(exist_ok=True)
        model = _digest(arm.model, arm.source, arm.image_size, arm.num_classes, arm.device)
        return str(folder / f"{model}.logits")

    def _check_images(self) -> int:
        """Return the number of images that the first process of an arm is compared on."""
        context = self.context
        if context.race is not None:
            return context.race.check_images
        return checking.first(context.config.time_budget)

    def _job(self, arm_run: ArmRun) -> Job:
        """Return what a new process is told."""
        context = self.context
        config, session = context.config, context.session
        stem = store.path_of(session.records, arm_run.arm, arm_run.task.settings).stem
        memory = config.worker_memory
        beside = self.context.jobs if isinstance(arm_run.arm, AccuracyArm) else 1
        cache = f"{stem}-{arm_run.process}" if arm_run.cold else stem
        return Job(
            arm=arm_run.arm,
            device=session.device,
            seed=arm_run.task.seed,
            threads=max(1, machine.cores() // beside),
            timeout=config.timeout,
            memory=None if memory is None else int(memory * 1e9),
            cache=os.path.join(self.context.cache, cache),
            folder=str(session.folder),
            stem=stem,
            fresh=arm_run.fresh,
            data=config.data,
            beside=beside,
            chosen=Chosen(
                str(config.checkpoint) if config.checkpoint else None,
                config.checkpoint_key,
                config.view,
                config.spread,
            ),
            reference=self._reference(arm_run.task),
            thorough=arm_run.process == 0,
            check_images=self._check_images(),
        )

    def begin(self, arm_run: ArmRun) -> None:
        """Write the run line, with the set-up times of the first process; only once per run."""
        if arm_run.process > 1:
            return
        context, task = self.context, arm_run.task
        session = context.session
        store.create(session.records, task.arm, task.settings, task.about)
        arm_run.write(
            RunLine(
                run=context.run_id,
                started=context.started,
                version=session.version,
                commit=session.commit,
                seed=context.config.seed,
                machine=session.machine,
                setup=arm_run.setup | context.setup,
                fresh=arm_run.fresh,
                role=arm_run.role,
                studies=context.studies,
            )
        )

    def fail(self, arm_run: ArmRun, failure: Failure) -> None:
        """End an arm that failed. That is a result: it is written down, and other arms go on."""
        _raise_if_usage(failure)
        self.end(arm_run, failure.status, error=failure.error)
        if arm_run.role != "probe":
            self.context.failures[arm_run.arm.label] = f"{failure.status}: {failure.error}"
        self.context.observer.failed(arm_run.arm, failure)
        arm_run.close()

    def drop(self, arm_run: ArmRun, metric: str, failure: Failure) -> None:
        """End one metric of an arm that cannot be measured here; its other metrics go on."""
        _raise_if_usage(failure)
        context, reason = self.context, f"{failure.status}: {failure.error}"
        arm_run.write(
            EndLine(
                run=context.run_id, status=failure.status, metrics=[metric], error=failure.error
            )
        )
        context.partial[f"{arm_run.arm.label} {metric}"] = reason
        context.observer.failed(arm_run.arm, Failure(failure.status, f"{metric}: {failure.error}"))

    def end(self, arm_run: ArmRun, status: Status, *, error: str | None = None) -> None:
        """Write the end line of all metrics that are left, unless the arm has ended already."""
        self._end(arm_run, status, arm_run.kept, error=error)

    def end_rounds(self, arm_run: ArmRun, *, short: bool) -> None:
        """End an arm whose rounds are over; `short`: it had fewer than were wanted."""
        self._end(arm_run, "ok", arm_run.kept, short=short)

    def end_apart(self, arm_run: ArmRun, measured: list[str], failed: dict[str, Failure]) -> None:
        """Write one end line for the metrics that were measured, and one for each reason of others.

        `failed` has the failures by metric.
        """
        if measured and failed:
            self._end(arm_run, "ok", measured)
        for failure, metrics in _by_reason(failed):
            if not measured and len(metrics) == len(arm_run.task.metrics):
                self.fail(arm_run, failure)
                return
            _raise_if_usage(failure)
            arm_run.status = None
            self._end(arm_run, failure.status, metrics, error=failure.error)
            named = Failure(failure.status, f"{', '.join(metrics)}: {failure.error}")
            self.context.partial[arm_run.arm.label] = f"{named.status}: {named.error}"
            self.context.observer.failed(arm_run.arm, named)

    def _end(
        self,
        arm_run: ArmRun,
        status: Status,
        metrics: list[str],
        *,
        error: str | None = None,
        short: bool = False,
    ) -> None:
        if arm_run.status is not None:  # the first end stands
            return
        arm_run.status = status
        config = self.context.config
        arm_run.write(
            EndLine(
                run=self.context.run_id,
                status=status,
                metrics=metrics,
                error=error,
                short=short,
                hopeless=arm_run.hopeless,
                time_budget=config.time_budget if short else None,
                target_ci=config.target_ci,
            )
        )


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _raise_if_usage(failure: Failure) -> None:
    if failure.usage:
        raise UsageError(failure.error)


def _by_reason(failed: dict[str, Failure]) -> list[tuple[Failure, list[str]]]:
    """Return failures with the metrics that they took, metrics of one reason together."""
    grouped: dict[tuple[str, str], tuple[Failure, list[str]]] = {}
    for metric, failure in failed.items():
        _, metrics = grouped.setdefault((failure.status, failure.error), (failure, []))
        metrics.append(metric)
    return list(grouped.values())
