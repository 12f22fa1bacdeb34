"""Turn what was asked into what is measured: arms, each with its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

import msgspec

from bench.config import RunConfig
from bench.count.identity import Use
from bench.devices import kind_of
from bench.errors import UsageError
from bench.forecast.companions import patterns
from bench.match.siblings import Siblings, siblings
from bench.measure.own_models import source_of
from bench.measure.subject import SPEED_SETTINGS
from bench.plan.accuracies import notes, wanted
from bench.plan.own_models import fitted, names_for, sizing_notes
from bench.plan.shards import Part, everything, part_of
from bench.plan.task import Task, about_of
from bench.plan.wish import Known, Named, Wish, distinct
from bench.plugins import (
    Metric,
    Model,
    alternatives,
    for_every_model,
    in_one_launch,
    launchers,
    metrics,
    models,
    not_installed,
    precision_of,
)
from bench.plugins.switches import BEST, check_data
from bench.record.arms import CountArm, ProbeArm, SpeedArm
from bench.record.schema import About, Scalar
from bench.stats.reference import SENTINEL

# Settings are part of a record's key: another wording would make another record.
COUNT_SETTINGS: dict[str, Scalar] = {
    "protocol": 1,
    "macs": "multiply-adds of convolutions, linear layers and attention; no norm",
}
PROBE_SETTINGS: dict[str, Scalar] = {
    "protocol": 3,
    "arithmetic": "the fastest of a product and of 1 x 1 and 3 x 3 convolutions",
}


@dataclass(frozen=True)
class Plan:
    """The tasks of a run: counts and speeds, all known at once, and accuracies.

    Some accuracies can be named only when others have finished.
    """

    tasks: list[Task]
    wish: Wish | None
    part: Part = everything
    """Selects the arms that this program measures."""
    notes: tuple[str, ...] = ()
    """What the user has to know before anything is measured."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The names that `--name` gives to models, by model."""

    def accuracies(self, known: Known) -> list[Task]:
        """Return the accuracy arms that can be named by now.

        The training steps that have to be timed for their schedules are among them.
        """
        return self.part(wanted(self.wish, known)) if self.wish else []

    def others(self, known: Known) -> int:
        """Return the number of unfinished arms that other programs measure, as far as named."""
        if self.wish is None or self.part is everything:
            return 0
        every = wanted(self.wish, known)
        mine = {task.arm for task in self.part(every)}
        others = [task for task in every if task.arm not in mine]
        return sum(known(task) is None for task in others)


def make(config: RunConfig, *, device: str, part: Part | None = None) -> Plan:
    """Return the plan of a run on `device`, a PyTorch device such as "cuda:1".

    It is restricted to `part`, or else to the shard of the configuration.

    Raises UsageError if something that was asked for does not exist or cannot be measured.
    """
    launchers.get(config.launcher)
    kind = kind_of(device).name
    matched = _matched(config, device)
    named = fitted(config, _all_named(config, matched))
    names = names_for(config, named)
    asked = _metrics(config, kind)
    tasks = [*_counts(config, named, asked), *_speeds(config, named, asked, kind)]
    wish = _wish(config, named, asked, kind)
    if not tasks and wish is None:
        raise UsageError(
            f"--metrics: {','.join(config.metrics)} is measured on a data set; "
            "add --data digits or imagenet:/path"
        )
    part = part or part_of(config.shard)
    said = [
        *(matched.notes if matched else ()),
        *sizing_notes(config, named),
        *_left_out(config, kind),
    ]
    plan = Plan(part(tasks), wish, part, tuple(said), names)
    plan.accuracies(lambda task: None)  # report what cannot be measured before measuring anything
    if wish is None:
        return plan
    return replace(plan, notes=(*plan.notes, *notes(wish, measured=bool(tasks))))


def _wish(config: RunConfig, named: list[Named], asked: list[Metric], kind: str) -> Wish | None:
    """Return what is asked of accuracies; None if there is no data set or no such metric.

    Raises UsageError if flags for the evaluation of weights are given without top1.
    """
    accuracies = tuple(metric for metric in asked if metric.arm == "accuracy")
    if accuracies and config.data is not None:
        return Wish(config, named, accuracies, kind)
    if config.view:
        flag = next(iter(config.view)).replace("_", "-")
        raise UsageError(f"--{flag}: is for the evaluation of weights; add top1 to --metrics")
    return None


def _metrics(config: RunConfig, kind: str) -> list[Metric]:
    """Return the metrics that were named, or all that the device has without being asked.

    Raises UsageError if a named one cannot be measured on the device, or not by itself.
    """
    if not config.metrics:
        return [metric for metric in metrics.entries() if _is_usual(metric, kind)]
    named = list(map(metrics.get, config.metrics))
    for metric in named:
        reason = metric.supports(kind)
        if reason:
            raise UsageError(f"--metrics: {metric.name} cannot be measured on {kind}: {reason}")
        if metric.arm == "probe":
            raise UsageError(
                f"--metrics: {metric.name} is measured along with every timed run; "
                "name a timed metric, such as throughput"
            )
    return named


def _is_usual(metric: Metric, kind: str) -> bool:
    return not metric.on_request and metric.supports(kind) is None and metric.arm != "probe"


# Companions


def companions(config: RunConfig, tasks: list[Task], kind: str) -> list[Task]:
    """Return what takes part in every timed run unasked: A/A pairs, the drift check, peak rates."""
    return [*_pairs(config, tasks), *_probes(config, tasks, kind)]


def _pairs(config: RunConfig, tasks: list[Task]) -> Iterator[Task]:
    """Yield an A/A pair for every image size (`bench.forecast.companions`).

    Switches with handwritten kernels are left out of its policy, as they are not for every model.
    A GPU gets its calls as graphs: the pair shows how well the GPU can be measured, and not how
    evenly the host launches, which differed by a factor of two between windows on an H200.
    """
    timed = []
    for task in tasks:
        if isinstance(task.arm, SpeedArm):
            timed.append((task.arm, [metric.name for metric in task.metrics]))
    for (pattern, metric), name in product(patterns(timed), SENTINEL):
        model = models.get(name)
        arm = msgspec.structs.replace(
            pattern,
            model=name,
            num_classes=model.num_classes,
            policy=in_one_launch(for_every_model(pattern.policy), pattern.device),
        )
        yield Task(
            arm=arm,
            metrics=(metrics.get(metric),),
            settings=SPEED_SETTINGS,
            about=about_of(model),
            seed=config.seed,
            role="sentinel",
        )


def _probes(config: RunConfig, tasks: list[Task], kind: str) -> Iterator[Task]:
    """Yield the probes of the machine, one for each precision of the arms measured in rounds."""
    precisions = []
    for task in tasks:
        in_rounds = any(metric.rounds is None for metric in task.metrics)
        if in_rounds and isinstance(task.arm, SpeedArm):
            precisions.append(precision_of(task.arm.policy))
    probes = tuple(metric for metric in metrics.entries() if metric.arm == "probe")
    about = About(family="probe", summary="the machine itself")
    for precision in dict.fromkeys(precisions):
        yield Task(
            arm=ProbeArm(precision=precision, device=kind),
            metrics=probes,
            settings=PROBE_SETTINGS,
            about=about,
            seed=config.seed,
            role="probe",
        )


# Models


def _matched(config: RunConfig, device: str) -> Siblings | None:
    """Return the siblings of --reference; None without it."""
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
        policy=_policies(config, kind_of(device).name)[0],
    )


def _all_named(config: RunConfig, matched: Siblings | None) -> list[Named]:
    """Return all models of a run: the reference and its siblings, then those that were named.

    Siblings are built at the image size and number of classes at which their budgets are equal.

    Raises UsageError if there is no model, or more than one for --checkpoint.
    """
    named: dict[str, Named] = {}
    if matched is not None:
        size, classes = matched.image_size, matched.num_classes
        for name in (matched.reference.name, *(sibling.name for sibling in matched.matches)):
            model = replace(models.get(name), image_size=size, num_classes=classes)
            named[name] = (model, None)
    for name in config.models:
        if name not in named:
            plain, _, tag = name.partition("@")
            named[name] = (models.get(plain), tag or None)
    if not named:
        raise UsageError("--models: none given; `bench list models` shows them")
    if config.checkpoint is not None and len(named) != 1:
        raise UsageError(
            "--checkpoint: one file contains the weights of one model, "
            f"and --models names {len(named)}"
        )
    return list(named.values())


def _at_sizes(config: RunConfig, named: Iterable[Named]) -> list[tuple[Model, int]]:
    """Return every model at every image size."""
    sized = []
    for model in distinct(named):
        sizes = dict.fromkeys(config.image_size or (model.image_size,))
        sized += [(model, size) for size in sizes]
    return sized


def _classes(config: RunConfig, model: Model) -> int:
    return config.num_classes or model.num_classes


# Counts and speeds


def _counts(config: RunConfig, named: list[Named], asked: list[Metric]) -> Iterator[Task]:
    counted = tuple(metric for metric in asked if metric.arm == "count")
    if not counted:
        return
    for model, size in _at_sizes(config, named):
        classes = _classes(config, model)
        source = source_of(model, image_size=size, num_classes=classes)
        yield Task(
            arm=CountArm(model=model.name, source=source, image_size=size, num_classes=classes),
            metrics=counted,
            settings=COUNT_SETTINGS,
            about=about_of(model),
            seed=config.seed,
        )


def _speeds(
    config: RunConfig, named: list[Named], asked: list[Metric], kind: str
) -> Iterator[Task]:
    """Yield speed arms, policy by policy: a slice of the plan then contains comparable arms."""
    timed = [metric for metric in asked if metric.arm == "speed"]
    modes = dict.fromkeys(metric.mode for metric in timed)
    usual = config.batch_sizes or kind_of(kind).batch_sizes
    batches = sorted({*usual, *(metric.batch for metric in timed if metric.batch is not None)})
    chosen, sized = _policies(config, kind), _at_sizes(config, named)
    for policy, (model, size), mode, batch_size in product(chosen, sized, modes, batches):
        fitting = []
        for metric in timed:
            at_batch = batch_size in usual if metric.batch is None else batch_size == metric.batch
            if metric.mode == mode and at_batch:
                fitting.append(metric)
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
            metrics=tuple(fitting),
            settings=SPEED_SETTINGS,
            about=about_of(model),
            seed=config.seed,
        )


def _policies(config: RunConfig, kind: str) -> list[str]:
    """Return the canonical names of the policies asked for; `best` stands for the usual ones.

    Raises UsageError for one that needs pictures where there is no data set.
    """
    found: dict[str, None] = {}
    for asked in config.policies or (kind_of(kind).policy,):
        found |= dict.fromkeys(alternatives(asked, kind, flag="--policies"))
    for policy in found:
        check_data(policy, config.data, flag=f"--policies: {policy}")
    return list(found)


def _left_out(config: RunConfig, kind: str) -> list[str]:
    """Return a note on the engines that `best` does not choose from; empty without `best`."""
    best = any(BEST in asked.split("+") for asked in config.policies)
    reasons = not_installed(kind) if best else []
    return [f"best is chosen without {'; '.join(reasons)}"] if reasons else []
