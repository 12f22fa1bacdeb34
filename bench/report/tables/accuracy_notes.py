"""Notes below tables of accuracies: how they were measured, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter

from bench.analysis.accuracy_groups import Contestant, Protocol
from bench.analysis.rows import Accuracy, Summary
from bench.record.arms import NORMALISED
from bench.report.notes import Caveat, Note
from bench.report.tables.speed_notes import named_models
from bench.stats import lr_search

CHOOSES = " (--checkpoint-key chooses)"
NAMED = 3
"""Most files or tensors that a note names."""


def notes(contestants: list[Contestant], protocol: Protocol, summary: Summary) -> Iterator[str]:
    """Yield all notes on the accuracies under one protocol."""
    rows = list(chain.from_iterable(map(attrgetter("rows"), contestants)))
    yield from map(Caveat, dict.fromkeys(filter(None, map(attrgetter("about.caveat"), rows))))
    images = max((row.detail["images"] for row in rows if row.top1), default=0)
    if any(len(one.measured) > 1 for one in contestants):
        yield f"mean over seeds with Student's t interval; each tested on {images:,} images"
    else:
        yield Caveat(
            f"interval: binomial over {images:,} test images of one set of weights; the choice of "
            "the seed adds to it"
        )
    yield from _of_training(rows) if protocol.recipe else _of_weights(rows)
    for row in rows:
        yield from _of_file(row)
    if protocol.tuning:
        for one in contestants:
            yield from _search(one, summary)
    for row in rows:
        yield from _troubles(row)
    yield from named_models(rows)


def _of_training(rows: list[Accuracy]) -> Iterator[str]:
    """Yield how models were trained and evaluated."""
    yield (
        "last checkpoint, or the recipe's moving average; test labels were read once, everything "
        "was chosen on the validation split"
    )
    if any(row.detail.get("beside", 1) > 1 for row in rows):
        yield "training runs that shared the machine have no times"
    if not all(map(attrgetter("timed"), rows)):
        yield "no times of trainings under another state of this machine (versions, threads)"
    splits = _distinct(row.detail.get("split") for row in rows)
    policies = _distinct(map(attrgetter("arm.policy"), rows))
    transforms = _distinct(map(_transform, rows))
    yield f"splits: {splits}; trained in {policies}; evaluated at {transforms}"


def _distinct(values: Iterable[object]) -> str:
    """Return all different values in a line."""
    return ", ".join(sorted(set(map(str, filter(None, values)))))


def _of_weights(rows: list[Accuracy]) -> Iterator[str]:
    """Yield how images were shown to weights that were not trained here."""
    shown = set()
    for row in rows:
        view = row.detail.get("view")
        if view:
            shown.add(str(row.detail.get("shown", view)))
    if shown:
        yield f"evaluated at {'; '.join(sorted(shown))}"


def _transform(row: Accuracy) -> str:
    """Return how test images were shown, with mean and standard deviation if those are stored."""
    transform, detail = row.arm.transform, row.detail
    stored = "mean" in detail and "std" in detail
    if not stored or not transform.endswith(f", {NORMALISED}"):
        return transform
    numbers = f"mean {_numbers(detail['mean'])}, std {_numbers(detail['std'])}"
    return transform.removesuffix(NORMALISED) + numbers


def _numbers(values: Iterable[float]) -> str:
    return " ".join(map("{:.3g}".format, values))


def _of_file(row: Accuracy) -> Iterator[str]:
    """Yield what was taken from a file of weights, and what was done to it."""
    own = row.detail.get("resampled_from")
    if own:
        yield Caveat(
            f"{row.name}: position embeddings resampled from {own} to {row.arm.image_size} pixels"
        )
    file = row.detail.get("file", {})
    entry, removed, left_out = map(file.get, ("entry", "removed", "left_out"))
    if entry:
        others = ", ".join(file.get("other_entries", []))
        also = f", which also has {others}" if others else ""
        text = f"{row.name}: taken from entry {entry} of the file{also}"
        yield Note(f"{text}{CHOOSES}", text) if others else text
    if removed:
        yield f"{row.name}: prefix {', '.join(removed)} removed from names"
    if left_out:
        yield Caveat(
            f"{row.name}: {len(left_out)} tensors of the file were left out: {_named(left_out)}"
        )
    stored = file.get("stored_as", [])
    if stored not in ([], ["float32"]):
        yield f"{row.name}: stored as {', '.join(stored)}"


def _named(names: list[str]) -> str:
    """Return the first few names."""
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def _search(one: Contestant, summary: Summary) -> Iterator[str]:
    """Yield the place of a chosen learning rate among those that were tried."""
    arm = one.rows[0].arm
    tried: dict[float, float] = {}
    for row in summary.accuracies:
        rate = row.arm.learning_rate
        if rate is not None and _is_trial_of(row, one.rows[0]):
            tried[rate] = row.top1.value if row.top1 else -1.0
    if arm.learning_rate is None or not tried:
        return
    failed = sum(score < 0 for score in tried.values())
    failures = f", {failed} of which diverged or failed" if failed else ""
    chosen = (
        f"{one.name}: rate {arm.learning_rate:g} chosen on the validation split from {len(tried)} "
        f"between {min(tried):g} and {max(tried):g}{failures}"
    )
    if lr_search.on_edge(tried):
        yield Caveat(f"{chosen}; it is on the edge of those tried")
    else:
        yield chosen


def _is_trial_of(trial: Accuracy, row: Accuracy) -> bool:
    """True if a training run was a trial of the search for another run's learning rate."""
    if trial.arm.tuning != lr_search.TRIAL or trial.model != row.model:
        return False
    mine, theirs = row.arm, trial.arm
    return (mine.data, mine.recipe_hash) == (theirs.data, theirs.recipe_hash)


def _troubles(row: Accuracy) -> Iterator[str]:
    """Yield failures, training runs at chance, and images that could not be read."""
    seed = f" seed {row.arm.seed}" if row.arm.seed is not None else ""
    if row.trouble:
        yield Caveat(f"{row.name}{seed}: {row.trouble}", f"{row.name}{seed}: {row.status}")
    elif row.status == "at chance":
        yield Caveat(f"{row.name}{seed}: at chance, no better than {guessing(row)}")
    lost = row.detail.get("unreadable")
    if lost:
        yield Caveat(f"{row.name}{seed}: {len(lost)} images could not be read: {_named(lost)}")


def guessing(row: Accuracy) -> str:
    """Return what has the top-1 of chance, in words."""
    classes = row.arm.num_classes
    if row.chance <= 1 / classes:
        return f"guessing among {classes} classes"
    return (
        f"always answering the most frequent of {classes} classes, with {row.chance:.1%} of the "
        "test images"
    )


def fit_note(row: Accuracy) -> str:
    """Return how a logistic regression was fitted; empty for everything else."""
    detail, tried = row.detail, row.detail.get("penalties")
    if not tried or "penalty" not in detail or "gap" not in detail:
        return ""
    penalty = detail["penalty"]
    edge = "; it is on the edge of those tried" if penalty in (min(tried), max(tried)) else ""
    return (
        f"{row.name}: pixels standardised by the training split, L2 penalty {penalty:g} chosen on "
        f"the validation split from {', '.join(map('{:g}'.format, tried))}{edge}; within "
        f"{detail['gap']:.1g} nats of its optimum"
    )
