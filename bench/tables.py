"""Tables as data: what they say is decided here, how they look is up to the console or the Markdown writer."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench import published
from bench.reference import reference_model
from bench.stats import Estimate, paired_ratio
from bench.summary import Accuracy, Quantity, Row, Summary
from bench.units import estimate, interval, number, scale

COMMAND = "python -m bench"
ORDER = ("params", "macs", "activations", "latency", "throughput", "memory")
TITLES = {
    "params": "params",
    "macs": "GMACs¹",
    "activations": "activations",
    "latency": "latency",
    "throughput": "throughput",
    "memory": "peak memory",
}
MACS_NOTE = (
    "¹ multiply-adds of convolutions, linear layers and attention (many papers print this as FLOPs; FLOPs are 2 × as many); "
    "norm layers not counted"
)
ARITHMETIC = ("conv", "mm", "matmul", "linear", "attention")


@dataclass
class Table:
    """A title, a header, cells as text, and lines that belong under it."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def all_tables(summary: Summary) -> list[Table]:
    """Every table of a report, in reading order."""
    return [*efficiency(summary), *accuracy(summary), *published_ranges(summary)]


def efficiency(summary: Summary) -> Iterator[Table]:
    """Speed, memory and counts: one table per image size, device and policy; ratios only inside one."""
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for row in summary.rows:
        groups.setdefault((-row.image_size, row.device, row.policy), []).append(row)
    for (size, device, policy), rows in sorted(groups.items()):
        yield _efficiency(summary, rows, size=-size, device=device, policy=policy)


def _efficiency(summary: Summary, rows: list[Row], *, size: int, device: str, policy: str) -> Table:
    rows = sorted(rows, key=_by_speed)
    chosen = reference_model((row.model, row.about.family) for row in rows)
    reference = next(row for row in rows if row.model == chosen)
    quantities = sorted({quantity for row in rows for quantity in row.values}, key=_by_kind)
    ratio_of = max((quantity for quantity in quantities if quantity.metric == "throughput"), default=None)
    columns = ["model"]
    for quantity in quantities:
        columns.append(_header(quantity))
        if quantity == ratio_of:
            columns.append(f"× {reference.model}")
    cells = []
    for row in rows:
        line = [row.model]
        for quantity in quantities:
            line.append(_cell(row, quantity))
            if quantity == ratio_of:
                line.append(_ratio(row, reference, quantity))
        cells.append(line)
    where = f"{size} × {size} px · {policy} on {summary.machine.accelerator or summary.machine.cpu}" if device else f"{size} × {size} px"
    title = f"Efficiency · {where}"
    return Table(title, columns, cells, list(_efficiency_notes(summary, rows, size)))


def _by_speed(row: Row) -> tuple[float, str]:
    speed = row.value("throughput")
    return (-(speed.value if speed else 0.0), row.model)


def _by_kind(quantity: Quantity) -> tuple[int, str, int]:
    known = ORDER.index(quantity.metric) if quantity.metric in ORDER else len(ORDER)
    return (known, quantity.metric, quantity.batch_size)


def _header(quantity: Quantity) -> str:
    _, unit = scale(quantity.unit)
    arrow = {"lower": " ↓", "higher": " ↑"}.get(quantity.better, "")
    at = f" b{quantity.batch_size}" if quantity.batch_size else ""
    name = TITLES.get(quantity.metric, quantity.metric.replace("_", " "))
    if quantity.metric in ("params", "macs"):
        return name
    return f"{unit}{at}{arrow}" if quantity.metric == "throughput" else f"{name} {unit}{at}{arrow}"


def _cell(row: Row, quantity: Quantity) -> str:
    value = row.values.get(quantity)
    if value is None:
        where = f"batch {quantity.batch_size}" if quantity.batch_size else "count"
        return row.trouble.get(where, "").partition(":")[0]
    if quantity.metric == "params":
        return f"{value.value:,.0f}"
    if quantity.metric == "macs":
        return number(value.value * 1e-9, places=2 if value.value >= 1e7 else 4)
    return estimate(value, quantity.unit)


def _ratio(row: Row, reference: Row, quantity: Quantity) -> str:
    if row is reference:
        return "1"
    return interval(paired_ratio(row.rounds.get(quantity, {}), reference.rounds.get(quantity, {})))


def _efficiency_notes(summary: Summary, rows: list[Row], size: int) -> Iterator[str]:
    missed = {name: count for row in rows for name, count in row.uncounted.items() if any(word in name for word in ARITHMETIC)}
    if any(row.value("macs") for row in rows):
        yield f"{MACS_NOTE}; {'UNCOUNTED: ' + ', '.join(missed) if missed else 'no convolution, matrix product or attention uncounted'}"
    yield from _budgets(rows, size)
    yield from _not_measured(summary, rows, size)
    if any(row.values for row in rows if row.device):
        yield _method(summary, rows)
    for row in rows:
        for where, text in row.trouble.items():
            yield f"{row.model}, {where}: {text}"


def _budgets(rows: list[Row], size: int) -> Iterator[str]:
    """How unequal the budgets are, seen from the ConvMixer, and the command that matches them."""
    counted = [row for row in rows if row.value("params") and row.value("macs")]
    reference = next((row for row in counted if row.about.family == "convmixer"), None)
    others = [row for row in counted if row.about.family != "convmixer"]
    if reference is None or not others:
        return
    spans = []
    for name, metric in (("parameters", "params"), ("MACs", "macs")):
        ratios = [_exact(row, metric) / _exact(reference, metric) for row in others]
        spans.append(f"{name} {min(ratios):.2f} to {max(ratios):.2f} ×")
    yield f"budgets: {', '.join(spans)} those of {reference.model}"
    families = ",".join(dict.fromkeys(row.about.family for row in others if row.about.family in ("vit", "mixer", "resnet")))
    if families and reference.model != "convmixer_digits":
        at = "" if size == 224 else f" --image-size {size}"
        yield f"match them: {COMMAND} run --reference {reference.model} --match {families} --budget params{at}"


def _exact(row: Row, metric: str) -> float:
    found = row.value(metric)
    assert found is not None
    return found.value


def _not_measured(summary: Summary, rows: list[Row], size: int) -> Iterator[str]:
    """What is missing and the command that measures it."""
    # At 224 pixels the question is ImageNet; a small data set does not answer it.
    measured = {row.model for row in summary.accuracies if row.top1 and (size != 224 or row.arm.data.startswith("imagenet"))}
    missing = [row for row in rows if row.model not in measured]
    if not missing:
        return
    names = [f"{row.model}@{tag}" for row in missing if size == 224 and (tag := published.tag_to_evaluate(row.about.timm_name))]
    if names:
        yield (
            f"top-1 not measured; published weights are evaluated by: {COMMAND} run --metrics top1 --data imagenet:/path "
            f"--models {shlex.quote(','.join(names))}"
        )
    elif size == 32:
        models = shlex.quote(",".join(row.model for row in missing))
        yield f"top-1 not measured for {len(missing)} models; {COMMAND} run --metrics top1 --data digits --models {models}"


def _method(summary: Summary, rows: list[Row]) -> str:
    rounds = [len(values) for row in rows for quantity, values in row.rounds.items() if quantity.metric in ("latency", "throughput")]
    text = "median of interleaved rounds"
    if rounds:
        span = f"{min(rounds)}" if min(rounds) == max(rounds) else f"{min(rounds)} to {max(rounds)}"
        text = f"median of {span} interleaved rounds"
        text += ", 95 % bootstrap interval" if min(rounds) >= 6 else ", no interval below 6 rounds"
    pair = {row.model: row for row in rows}
    if "vit_s16" in pair and "deit_s16" in pair and (sentinel := _sentinel(pair["deit_s16"], pair["vit_s16"])):
        text += f"; sentinel deit_s16 : vit_s16 (one graph, has to be 1) = {interval(sentinel)}"
    text += f"; {summary.disturbed} of {summary.rounds} rounds disturbed"
    if short := [row.model for row in rows if row.short]:
        text += f"; out of time before all rounds: {len(short)} models, a larger --time-budget goes on from here"
    return text


def _sentinel(left: Row, right: Row) -> Estimate | None:
    shared = [quantity for quantity in left.rounds if quantity in right.rounds and quantity.metric == "throughput"]
    return paired_ratio(left.rounds[max(shared)], right.rounds[max(shared)]) if shared else None


def matches(
    reference: str,
    cost: tuple[int, int, int | None],
    found: list[tuple[str, int, int, int | None, float, bool, str]],
    *,
    budget: str,
) -> Table:
    """Siblings of equal budget beside their reference, each with its miss and the rule that chose it."""
    lines = [[reference, f"{cost[0]:,}", number(cost[1] * 1e-9), str(cost[2] or ""), "", "reference"]]
    for name, params, macs, tokens, miss, within, rule in found:
        mark = "" if within else ", out of tolerance: the nearest there is"
        lines.append([name, f"{params:,}", number(macs * 1e-9), str(tokens or ""), f"{miss * 100:.2f} %{mark}", rule])
    return Table(f"Equal {budget}", ["model", "params", "GMACs", "tokens", "miss", "chosen by"], lines, [MACS_NOTE.replace("¹ ", "MACs: ")])


def listing(title: str, rows: list[dict[str, Any]]) -> Table:
    """What `bench list` found, in the units that people read."""

    def shown(column: str, value: Any) -> str:
        if value is None:
            return ""
        if column == "macs":
            return number(value * 1e-9)
        if isinstance(value, list):
            low, high = (f"{end:.1f}" for end in value)
            return low if low == high else f"{low} to {high}"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:,}" if column == "params" else f"{value:.1f}" if isinstance(value, float) else str(value)

    headers = {"macs": "GMACs", "published_top1": "published top-1 %", "top1": "published top-1 %", "image_size": "px"}
    # What a model is in timm, and a sentence on it, would make its line too long: they are in --json.
    long = ("timm", "summary") if "macs" in rows[0] else ()
    columns = [column for column in rows[0] if column not in long]
    cells = [[shown(column, row[column]) for column in columns] for row in rows]
    return Table(title, [headers.get(column, column.replace("_", " ")) for column in columns], cells)


def accuracy(summary: Summary) -> Iterator[Table]:
    """One table per data set, recipe and way of evaluating; never two recipes in one."""
    groups: dict[tuple[str, str | None, str], list[Accuracy]] = {}
    for row in summary.accuracies:
        if row.arm.recipe or row.arm.weights:
            groups.setdefault((row.arm.data, row.arm.recipe and f"{row.arm.recipe} {row.arm.recipe_hash}", row.arm.split), []).append(row)
    for (data, recipe, split), rows in sorted(groups.items(), key=str):
        baselines = [row for row in summary.accuracies if row.arm.data == data and not row.arm.recipe and not row.arm.weights]
        yield _accuracy(data, recipe, split, rows, baselines, summary)


def _accuracy(data: str, recipe: str | None, split: str, rows: list[Accuracy], baselines: list[Accuracy], summary: Summary) -> Table:
    params = {row.model: row.value("params") for row in summary.rows}
    lines = []
    for row in sorted(rows, key=lambda row: -(row.top1.value if row.top1 else 0)) + sorted(baselines, key=lambda row: row.model):
        top1 = interval(row.top1, factor=100, places=1) if row.top1 else (row.trouble or "").partition(":")[0]
        count = params.get(row.model)
        trained = row.detail.get("train_s")
        lines.append(
            [
                row.model + (f"@{row.arm.weights}" if row.arm.weights else ""),
                row.about.family,
                f"{count.value:,.0f}" if count else "",
                top1,
                f"{row.detail['correct']} / {row.detail['images']}" if row.top1 else "",
                number(float(str(trained))) if trained is not None else "",
            ]
        )
    notes = [note for note in (rows[0].about.caveat, _how(recipe, rows)) if note]
    notes += [f"{row.model}: {row.trouble}" for row in rows if row.trouble]
    title = f"Top-1 · {data}, {split} split · " + (f"recipe {recipe}" if recipe else "published weights")
    return Table(title, ["model", "family", "params", "top-1 % ↑ [95 %]", "right", "training s"], lines, notes)


def _how(recipe: str | None, rows: list[Accuracy]) -> str:
    seeds = sorted({row.arm.seed for row in rows if row.arm.seed is not None})
    text = "interval: binomial over the test images of one set of weights; seeds add more"
    return f"{text} (seed {', '.join(map(str, seeds))}; last checkpoint, test labels read once)" if recipe else text


def published_ranges(summary: Summary) -> Iterator[Table]:
    """Published ImageNet accuracies of the architectures that were measured: ranges over weight sets, not measurements."""
    lines = []
    sources: dict[str, None] = {}
    shapes = {(row.model, row.image_size): row for row in summary.rows}
    for row in shapes.values():
        found = published.of(row.about.timm_name, row.image_size)
        if not found:
            continue
        plain = [entry for entry in found if not entry.more_data and not entry.teacher]
        other = [entry for entry in found if entry.more_data or entry.teacher]
        epochs = sorted({entry.epochs for entry in found if entry.epochs})
        lines.append([row.model, _span(plain), str(len(plain)), _span(other), str(len(other)), ", ".join(map(str, epochs)) or "not said"])
        sources |= dict.fromkeys(entry.source for entry in found)
    if lines:
        columns = ["model", "ImageNet-1k alone, top-1 %", "weight sets", "more data or a teacher, top-1 %", "weight sets", "epochs"]
        notes = ["published, not measured here; recipes, epochs and data differ from row to row"]
        yield Table("Published ImageNet-1k top-1", columns, lines, notes + [f"source: {source}" for source in sources])


def _span(found: list[published.Published]) -> str:
    if not found:
        return ""
    low, high = f"{found[-1].top1 * 100:.1f}", f"{found[0].top1 * 100:.1f}"
    return low if low == high else f"{low} to {high}"
