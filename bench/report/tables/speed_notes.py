"""Notes below tables of speeds: how they were measured, what to beware of, what is missing."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import Any

from bench.analysis import published
from bench.analysis.grade import Grade
from bench.analysis.groups import grouped
from bench.analysis.rows import Accuracy, Row, Summary
from bench.analysis.run_quality import (
    CANARY_OFF,
    canary,
    processes_behind,
    rounds_behind,
    sentinel,
    without_interval,
)
from bench.config import COMMAND
from bench.forecast.forecast import evaluating
from bench.record.product_names import is_product
from bench.report.notes import Caveat, Note
from bench.report.table import MACS_NOTE
from bench.stats.formatting import duration, interval, span
from bench.stats.intervals import smallest_within
from bench.stats.reference import sentinel_size

_HANDWRITTEN = (
    "† kernels written by this project for this model, or, on a CPU, compiler options that suit "
    "it{more}: not the work of a library alone; never chosen as a best policy"
)
HANDWRITTEN_NOTE = Note(_HANDWRITTEN.format(more=" (docs/fused.md)"), _HANDWRITTEN.format(more=""))
KNEE = 0.05
"""How far, as a share, the knee may be below the best throughput."""
HOST_BOUND = 0.9
"""Share of the wall time above which the host is the bottleneck."""
AGAIN = " (--force measures anew)"
IMAGENET_IMAGES = 50_000
MATCHED = ("vit", "mixer", "resnet")
"""Families of which `bench run --match` finds models of equal budget."""


def notes(summary: Summary, rows: list[Row], size: int, trust: Grade | None) -> Iterator[str]:
    """Yield all notes on the rows of one table. `trust` is the grade of its speeds."""
    if trust:
        yield trust.line if trust.marks else f"{trust.line}: no bold, no ≈ in this table"
    if any(row.value("macs") for row in rows):
        yield _of_macs(rows)
    yield from _budgets(rows, size)
    yield from _not_measured(summary, rows, size)
    if any(row.device and row.values for row in rows):
        yield _method(summary, rows, size)
        yield from _agreement(rows)
        yield from _marks(rows)
    for row in rows:
        for where, text in row.trouble.items():
            failed = text.partition(":")[0]
            yield Caveat(f"{row.label}, {where}: {text}", f"{row.label}, {where}: {failed}")
    yield from named_models(rows)


def named_models(rows: Iterable[Row | Accuracy]) -> Iterator[Note]:
    """Yield which models stand behind names that the user gave."""
    for label, model in {row.label: row.model for row in rows if row.given}.items():
        if model not in label:
            yield Note(f"{label} is {model}")


def _agreement(rows: list[Row]) -> Iterator[str]:
    """Yield how far the timed executions agree with float32 eager execution, by precision."""
    errors: dict[str, float] = {}
    same: list[float] = []
    unchecked: dict[str, str] = {}
    for row in rows:
        for says in row.agreements:
            if "agreement_error" not in says:
                unchecked[row.name] = says["agreement"]
                continue
            precision = row.precision or "fp32"
            errors[precision] = max(errors.get(precision, 0.0), says["agreement_error"])
            same.append(says["agreement_top1"])
    if errors:
        largest = ", ".join(f"{error:.1g} in {name}" for name, error in errors.items())
        yield (
            "what was timed computes the model: its logits differ from float32 eager execution by "
            f"at most {largest}, relative to their spread between images; same largest logit for "
            f"at least {min(same):.0%} of the images"
        )
    for name, why in unchecked.items():
        text = f"{name}: agreement with float32 eager execution {why}"
        yield Note(text, f"{name}: agreement with float32 eager execution not checked")


def _of_macs(rows: list[Row]) -> str:
    """Return what MACs are, and the products that their counts leave out."""
    products: dict[str, None] = {}
    for row in rows:
        products |= dict.fromkeys(filter(is_product, row.uncounted))
    if not products:
        return f"{MACS_NOTE}; no convolution, matrix product or attention uncounted"
    return Caveat(f"{MACS_NOTE}; UNCOUNTED: {', '.join(products)}")


def _marks(rows: list[Row]) -> Iterator[str]:
    """Yield what to beware of in single rows."""
    if any(map(attrgetter("handwritten"), rows)):
        yield Caveat(HANDWRITTEN_NOTE)
    knees = list(_knees(rows))
    if knees:
        best = f"within {KNEE:.0%} of the best throughput"
        yield f"knee, the smallest batch {best}: {', '.join(knees)}"
    yield from _warned(
        f"host-bound at batch 1 (the host takes more than {HOST_BOUND:.0%} of the wall time)",
        filter(_host_bound, rows),
    )
    launched = list(_launch_bound(rows))
    if launched:
        why = "the GPU waits for the host's launches, whose speed drifts"
        names = ", ".join(launched)
        yield Caveat(
            f"launch-bound ({why}; --policies graph or compile show what the GPU can do): {names}",
            f"launch-bound ({why}): {names}",
        )
    yield from _warned("warm-up never settled", filter(attrgetter("unsteady"), rows))
    yield from _named(
        "dropped early (another policy of the same model was at least 2x faster in every round)",
        filter(attrgetter("hopeless"), rows),
    )
    short = ", ".join(row.name for row in rows if row.short)
    if short:
        yield Note(
            f"stopped by --time-budget (rerun with a larger one to continue): {short}",
            f"stopped by a limit on time: {short}",
        )


def _named(text: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield a text with the names of rows; nothing without rows."""
    names = ", ".join(map(attrgetter("name"), rows))
    if names:
        yield f"{text}: {names}"


def _warned(text: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield the same as a caveat."""
    yield from map(Caveat, _named(text, rows))


def _knees(rows: list[Row]) -> Iterator[str]:
    """Yield every row that has a sweep over batch sizes, with its knee."""
    for row in rows:
        speeds = row.by_batch("throughput")
        knee = smallest_within(speeds, KNEE) if len(speeds) > 1 else None
        if knee:
            yield f"{row.name} {knee}"


def _host_bound(row: Row) -> bool:
    """True if a GPU waits for the host: enqueueing takes nearly as long as the whole call."""
    if row.device == "cpu":
        return False
    shares: list[float] = []
    for quantity, details in row.details.items():
        if quantity.metric == "latency":
            for detail, wall in zip(details, row.rounds[quantity].values(), strict=True):
                if "host_s" in detail:
                    shares.append(detail["host_s"] / wall)
    return bool(shares) and statistics.median(shares) > HOST_BOUND


def _launch_bound(rows: list[Row]) -> Iterator[str]:
    """Yield every row with the batch sizes at which the device was idle before each launch.

    A captured graph is one launch, so it is never among them.
    """
    for row in rows:
        batches = []
        for quantity, details in row.details.items():
            idle = [_was_idle(detail) for detail in details if "tail_s" in detail]
            if quantity.metric == "throughput" and idle and statistics.mean(idle) > 0.5:
                batches.append(f"b{quantity.batch_size}")
        if batches:
            yield f"{row.name} {' '.join(batches)}"


def _was_idle(detail: dict[str, Any]) -> bool:
    """True if the device waited for the host in a window.

    When the host was done, it then had less than a call before it. In a window of a single call
    that is always so, and it had less than half of it.
    """
    ahead = detail["tail_s"] * detail["calls"] / detail["seconds"]
    return bool(ahead < min(1.0, detail["calls"] / 2))


def _budgets(rows: list[Row], size: int) -> Iterator[str]:
    """Yield how the budgets differ from the ConvMixer's, and the command that matches them."""
    counted = [row for row in rows if row.value("params") and row.value("macs")]
    families = grouped(counted, attrgetter("family"))
    convmixers = families.pop("convmixer", [])
    if not convmixers or not families:
        return
    reference, others = convmixers[0], list(chain.from_iterable(families.values()))
    spans = []
    for name, metric in (("parameters", "params"), ("MACs", "macs")):
        ratios = [row.exact(metric) / reference.exact(metric) for row in others]
        spans.append(f"{name} {min(ratios):.2f} to {max(ratios):.2f} ×")
    yield Caveat(f"budgets: {', '.join(spans)} those of {reference.label}")
    matched = ",".join(family for family in families if family in MATCHED)
    if matched and reference.model != "convmixer_digits":
        at = "" if size == 224 else f" --image-size {size}"
        yield Note(
            f"match them: {COMMAND} run --reference {reference.model} --match {matched} "
            f"--budget params{at}"
        )


def _not_measured(summary: Summary, rows: list[Row], size: int) -> Iterator[str]:
    """Yield the models without top-1, and the command that measures it."""
    missing = _without_top1(summary, rows, size)
    tags: dict[str, str] = {}
    for row in missing.values() if size == 224 else ():
        tag = published.tag_to_evaluate(row.about.timm_name)
        if tag:
            tags[row.model] = tag
    if tags:
        models = shlex.quote(",".join(map("@".join, tags.items())))
        yield Note(
            "top-1 not measured; published weights are evaluated by: "
            f"{COMMAND} run --metrics top1 --data imagenet:/path --models {models}"
            f"{_time_to_evaluate(summary, tags, size)}"
        )
    elif missing and size == 32:
        models = shlex.quote(",".join(missing))
        number = "1 model" if len(missing) == 1 else f"{len(missing)} models"
        yield Note(
            f"top-1 not measured for {number}; {COMMAND} run --metrics top1 "
            f"--data digits --image-size 32 --models {models}"
        )


def _without_top1(summary: Summary, rows: list[Row], size: int) -> dict[str, Row]:
    """Return the rows whose top-1 is unknown, by model.

    At 224 pixels only ImageNet counts, since a small data set does not tell.
    """
    measured = set()
    for one in summary.accuracies:
        if one.top1 and (size != 224 or one.arm.data.startswith("imagenet")):
            measured.add(one.model)
    return {row.model: row for row in rows if row.model not in measured}


def _time_to_evaluate(summary: Summary, models: Iterable[str], size: int) -> str:
    """Return the time to evaluate some models on ImageNet here, in brackets; empty if unknown."""
    shapes = [(model, size) for model in models]
    seconds = evaluating(shapes, IMAGENET_IMAGES, summary.machine.kind, summary.past)
    return "" if seconds is None else f" (about {duration(seconds)} on this machine)"


def _method(summary: Summary, rows: list[Row], size: int) -> Note:
    """Return how the speeds of a table were measured, and how far to believe them."""
    parts = [_rounds(rows)]
    single = without_interval(rows)
    if single:
        parts.append(
            f"no interval and no mark for {', '.join(single)}: one process, or fewer than 6 "
            f"rounds{AGAIN}"
        )
    pair = sentinel(summary, sentinel_size(size))
    if pair:
        parts.append(
            f"A/A check deit_s16 : vit_s16 (one graph, so the ratio should be 1) = {interval(pair)}"
        )
    others = f"{summary.disturbed} of {summary.windows} windows"
    caveat = (
        " (medians are as measured; ratios account for the share of the CPU left to each window)"
    )
    parts.append(
        f"other programs were using the CPU in {others}{caveat if summary.disturbed else ''}"
    )
    steady = canary(summary)
    if steady is not None:
        parts.append(f"drift check varied by {steady.spread:.0%}")
        if steady.between > CANARY_OFF:
            parts.append(
                f"the machine itself was {steady.between:.0%} faster in one run than in another, "
                "which moves medians and no ratio"
            )
    text = "; ".join(parts)
    return Note(text, text.replace(AGAIN, ""))


def _rounds(rows: list[Row]) -> str:
    """Return the number of rounds and processes behind each speed."""
    rounds, processes = rounds_behind(rows), processes_behind(rows)
    if not rounds:
        return "median of interleaved rounds"
    text = f"median of {span(min(rounds), max(rounds), places=0)} interleaved rounds"
    if max(processes) < 2:
        return f"{text} in one process"
    several = span(min(processes), max(processes), places=0)
    return f"{text} in {several} processes, 95 % interval over rounds and processes"
