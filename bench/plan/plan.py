"""From what was asked to what is measured: arms, each with its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import msgspec

from bench.config import DEFAULT_POLICY, RunConfig
from bench.count.identity import Use
from bench.errors import UsageError
from bench.forecast.companions import patterns
from bench.match.siblings import Siblings, siblings
from bench.measure.own_models import source_of
from bench.measure.subject import SPEED_SETTINGS
from bench.plan.accuracies import Known, Wish, notes, wanted
from bench.plan.shards import Part, everything, part_of
from bench.plan.task import Task, about_of
from bench.plugins import (
    Metric,
    Model,
    for_every_model,
    launchers,
    metrics,
    models,
    precision_of,
    runnable_policy,
)
from bench.record.arms import CountArm, ProbeArm, SpeedArm
from bench.record.schema import About, Scalar
from bench.stats.reference import SENTINEL

COUNT_SETTINGS: dict[str, Scalar] = {
    "protocol": 1,
    "macs": "multiply-adds of convolutions, linear layers and attention; no norm",
}
PROBE_SETTINGS: dict[str, Scalar] = {
    "protocol": 2,
    "arithmetic": "the fastest of a product and of 1 x 1 and 3 x 3 convolutions",
}
USUAL = {
    "cpu": (
        "fp32",
        "channels_last",
        "compile",
        "channels_last+compile",
        "compile_frozen",
        "bf16+channels_last",
    ),
    "cuda": (
        *("bf16", "bf16+channels_last", "bf16+compile", "bf16+channels_last+compile", "bf16+graph"),
        *("bf16+channels_last+compile+graph", "bf16+compile_max+graph"),
    ),
    "mps": ("fp32", "channels_last", "fp16"),
}
"""What `--policies best` chooses from."""
DEFAULT_BATCHES = {"cpu": (2,), "cuda": (1, 8, 64, 256), "mps": (16,)}


@dataclass(frozen=True)
class Plan:
    """Counts and speeds, all known at once, and accuracies, some of which are named when others are finished."""

    tasks: list[Task]
    wish: Wish | None
    part: Part = everything
    """Which of all arms are this program's."""
    notes: tuple[str, ...] = ()
    """What the user has to know of it before anything is measured."""

    def accuracies(self, known: Known) -> list[Task]:
        """The accuracy arms that can be named by now, and the training steps that have to be timed for them."""
        return self.part(wanted(self.wish, known)) if self.wish else []

    def others(self, known: Known) -> int:
        """How many arms that somebody else measures are still open, as far as they can be named."""
        if self.wish is None or self.part is everything:
            return 0
        every = wanted(self.wish, known)
        mine = [task.arm for task in self.part(every)]
        return sum(task.arm not in mine and known(task) is None for task in every)


def make(config: RunConfig, *, device: str, part: Part | None = None) -> Plan:
    """What a run on `device` (a torch device string) does; UsageError where something asked for does not exist.

    Of it only `part`; the shard of the configuration unless given.
    """
    launchers.get(config.launcher)
    matched = _matched(config, device)
    named = _everybody(config, matched)
    if not named:
        raise UsageError("--models: none given; `bench list models` shows them")
    if config.checkpoint is not None and len(named) != 1:
        raise UsageError(
            f"--checkpoint: one file holds the weights of one model, and --models names {len(named)}"
        )
    kind = device.partition(":")[0]
    wanted = _metrics(config, kind)
    accuracies = tuple(metric for metric in wanted if metric.arm == "accuracy")
    wish = Wish(config, named, accuracies, kind) if accuracies and config.data is not None else None
    part = part or part_of(config.shard)
    tasks = [*_counts(config, named, wanted), *_speeds(config, named, wanted, kind)]
    if wish is None and config.view:
        raise UsageError(
            f"--{next(iter(config.view)).replace('_', '-')}: is for evaluating weights, and --metrics has no top1"
        )
    found = Plan(part(tasks), wish, part, tuple(matched.notes) if matched else ())
    if not tasks and wish is None:
        raise UsageError(
            f"--metrics: {','.join(config.metrics)} is measured on a data set; add --data digits or imagenet:/path"
        )
    found.accuracies(lambda task: None)  # what cannot be is said before anything is measured
    return (
        replace(found, notes=(*found.notes, *notes(wish, measured=bool(tasks)))) if wish else found
    )


def _metrics(config: RunConfig, kind: str) -> list[Metric]:
    """The metrics that were named, or all that can be had without being named."""
    named = [metrics.get(name) for name in config.metrics]
    for metric in named:
        if reason := metric.supports(kind):
            raise UsageError(f"--metrics: {metric.name} cannot be measured on {kind}: {reason}")
        if metric.arm == "probe":
            raise UsageError(
                f"--metrics: {metric.name} comes along with every timed run; name what is timed, such as throughput"
            )
    return named or [
        entry
        for entry in metrics.entries()
        if not entry.on_request and not entry.supports(kind) and entry.arm != "probe"
    ]


def companions(config: RunConfig, tasks: list[Task], kind: str) -> list[Task]:
    """What takes part in every timed run without being asked for: the sentinel pair, the canary, the ceilings.

    A pair runs at every image size (`bench.forecast.companions`); where the policy there has kernels that are not for every model, without
    them.
    """
    speeds = [
        (task.arm, [metric.name for metric in task.metrics])
        for task in tasks
        if isinstance(task.arm, SpeedArm)
    ]
    found: list[Task] = []
    for pattern, timed in patterns(speeds):
        policy = for_every_model(pattern.policy)
        for name in SENTINEL:
            model = models.get(name)
            arm = msgspec.structs.replace(
                pattern, model=name, num_classes=model.num_classes, policy=policy
            )
            wanted = (metrics.get(timed),)
            found.append(
                Task(
                    arm=arm,
                    metrics=wanted,
                    settings=SPEED_SETTINGS,
                    about=about_of(model),
                    seed=config.seed,
                    role="sentinel",
                )
            )
    rounds = [task.arm for task in tasks if any(metric.rounds is None for metric in task.metrics)]
    precisions = dict.fromkeys(
        precision_of(arm.policy) for arm in rounds if isinstance(arm, SpeedArm)
    )
    probes = tuple(metric for metric in metrics.entries() if metric.arm == "probe")
    for precision in precisions:
        probe = ProbeArm(precision=precision, device=kind)
        about = About(family="probe", summary="the machine itself")
        found.append(
            Task(
                arm=probe,
                metrics=probes,
                settings=PROBE_SETTINGS,
                about=about,
                seed=config.seed,
                role="probe",
            )
        )
    return found


def _matched(config: RunConfig, device: str) -> Siblings | None:
    """The reference of a run and its siblings."""
    if config.reference is None:
        return None
    return siblings(
        config.reference,
        config.match,
        budget=config.budget,
        image_size=config.one_size,
        num_classes=config.num_classes,
        tolerance=config.tolerance,
        hold=config.hold,
        device=device,
        policy=_policies(config, device.partition(":")[0])[0],
    )


def _everybody(config: RunConfig, matched: Siblings | None) -> list[tuple[Model, str | None]]:
    """All models of a run: the reference and its siblings first, then those that were named.

    Siblings have an equal budget at the size and number of classes that they were matched at, so that is how they are built.
    """
    found = {}
    if matched is not None:
        for name in (matched.reference.name, *(one.name for one in matched.matches)):
            at = replace(
                models.get(name), image_size=matched.image_size, num_classes=matched.num_classes
            )
            found[name] = (at, None)
    return list(
        (found | {name: _named(name) for name in config.models if name not in found}).values()
    )


def _named(name: str) -> tuple[Model, str | None]:
    """A model and its weight tag, from `name` or `name@tag`."""
    plain, _, tag = name.partition("@")
    return models.get(plain), tag or None


def _distinct(named: list[tuple[Model, str | None]]) -> list[Model]:
    """The models without their tags, each once."""
    return list({model.name: model for model, _ in named}.values())


def _sizes(config: RunConfig, model: Model) -> tuple[int, ...]:
    return tuple(dict.fromkeys(config.image_size)) or (model.image_size,)


def _shown(config: RunConfig, named: list[tuple[Model, str | None]]) -> list[tuple[Model, int]]:
    """Every model at every image size."""
    return [(model, size) for model in _distinct(named) for size in _sizes(config, model)]


def _classes(config: RunConfig, model: Model) -> int:
    return config.num_classes or model.num_classes


def _counts(
    config: RunConfig, named: list[tuple[Model, str | None]], wanted: list[Metric]
) -> Iterator[Task]:
    asked = tuple(metric for metric in wanted if metric.arm == "count")
    for model, size in _shown(config, named) if asked else []:
        classes = _classes(config, model)
        source = source_of(model, image_size=size, num_classes=classes)
        arm = CountArm(model=model.name, source=source, image_size=size, num_classes=classes)
        yield Task(
            arm=arm, metrics=asked, settings=COUNT_SETTINGS, about=about_of(model), seed=config.seed
        )


def _speeds(
    config: RunConfig, named: list[tuple[Model, str | None]], wanted: list[Metric], kind: str
) -> Iterator[Task]:
    asked = [metric for metric in wanted if metric.arm == "speed"]
    modes = dict.fromkeys(metric.mode for metric in asked)
    batches = dict.fromkeys(
        (*(metric.batch for metric in asked), *(config.batch_sizes or DEFAULT_BATCHES[kind]))
    )
    # Policy by policy: a slice of the plan holds arms that can be compared.
    for policy, (model, size), mode in product(
        _policies(config, kind), _shown(config, named), modes
    ):
        for batch_size in sorted(batch for batch in batches if batch is not None):
            fitting = tuple(
                metric
                for metric in asked
                if metric.mode == mode and _fits(metric, batch_size, config, kind)
            )
            if not fitting:
                continue
            classes = _classes(config, model)
            use: Use = "training" if mode == "training" else "inference"
            arm = SpeedArm(
                model=model.name,
                source=source_of(model, image_size=size, num_classes=classes, use=use),
                image_size=size,
                num_classes=classes,
                policy=policy,
                device=kind,
                batch_size=batch_size,
                mode=mode,
            )
            yield Task(
                arm=arm,
                metrics=fitting,
                settings=SPEED_SETTINGS,
                about=about_of(model),
                seed=config.seed,
            )


def _fits(metric: Metric, batch_size: int, config: RunConfig, kind: str) -> bool:
    if metric.batch is not None:
        return metric.batch == batch_size
    return batch_size in (config.batch_sizes or DEFAULT_BATCHES[kind])


def _policies(config: RunConfig, kind: str) -> list[str]:
    asked = [
        one
        for name in config.policies or (DEFAULT_POLICY[kind],)
        for one in (USUAL[kind] if name == "best" else (name,))
    ]
    return list(dict.fromkeys(runnable_policy(name, kind, flag="--policies") for name in asked))
