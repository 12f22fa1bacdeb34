"""The answer of `bench pick` in words and as a table: measured and published values kept apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bench.analysis.groups import grouped
from bench.config import COMMAND
from bench.report.columns import described
from bench.report.table import Cell, Column, Columns, Table, TableRow
from bench.stats.formatting import estimate, number, scale, span

if TYPE_CHECKING:  # imports torch
    from bench.pick.answer import Answer, Judged
    from bench.pick.candidates import Candidate, LeftOut
    from bench.pick.stages import FinalPlan

PUBLISHED_MARK = "‡"
NAMED = 6
"""Most candidates that a note names."""
OBJECTIVES = {
    "top1": "the highest top-1",
    "latency": "the lowest latency",
    "throughput": "the highest throughput",
    "params": "the fewest parameters",
}


def headline(found: Answer) -> str:
    """Return the answer in one line."""
    within = f"within {found.limits.text}"
    first = found.likeliest
    if not found.settled:
        likely = next((one for one in found.judged if _may_be_within(one, found)), None)
        so_far = f"; so far {likely.candidate.name} is ahead: {_facts(likely)}" if likely else ""
        return (
            f"not settled {within}: too little is measured of {_names(found.unsettled)}{so_far}; "
            "a larger --time-budget continues"
        )
    if first is None or first.best is None:
        nearest = min(filter(_has_latency, found.judged), key=_latency, default=None)
        near = f"; the fastest is {nearest.candidate.name}: {_facts(nearest)}" if nearest else ""
        return f"no candidate is {within}{near}"
    share = _at_least(found, first.best)
    if found.none > first.best:
        return (
            f"probably no candidate is {within} ({chance(found.none)}); likeliest is "
            f"{first.candidate.name}, with probability {share}: {_facts(first)}"
        )
    return f"{first.candidate.name} is the best {within}, with probability {share}: {_facts(first)}"


def _at_least(found: Answer, share: float) -> str:
    """Return a probability to be the best, which others of unknown speed may lower it to."""
    unsure = found.undecided >= 0.005 and share < 0.995
    return f"≥ {chance(share)}" if unsure else chance(share)


def _may_be_within(one: Judged, found: Answer) -> bool:
    limit = found.limits.latency
    return one.standing in ("in", "open") and (
        limit is None or (_has_latency(one) and _latency(one) <= limit)
    )


def _has_latency(one: Judged) -> bool:
    return one.timed is not None and "latency" in one.timed.values


def _latency(one: Judged) -> float:
    assert one.timed is not None
    return one.timed.values["latency"].value


def _facts(one: Judged) -> str:
    """Return what was measured and what is published of a candidate, each marked as such."""
    parts = []
    if one.timed is not None and "latency" in one.timed.values:
        shown = estimate(one.timed.values["latency"], "s")
        parts.append(f"latency {shown} ms measured under {described(one.timed.policy)}")
    if one.probed is not None:
        parts.append(f"top-1 {estimate(one.probed, 'share')} % by a head on its frozen features")
    elif one.candidate.tops:
        parts.append(f"top-1 {_range(one.candidate)} % as published")
    return ", ".join(parts)


def chance(share: float) -> str:
    """Return a probability in per cent; what draws cannot tell from 0 or 1 is `< 1 %`, `> 99 %`."""
    if share < 0.005:
        return "< 1 %"
    return "> 99 %" if share > 0.995 else f"{100 * share:.0f} %"


def _range(candidate: Candidate) -> str:
    tops = candidate.tops
    more = "" if candidate.weight_sets[0].plain else " +"
    return span(100 * min(tops), 100 * max(tops)) + more


def short_list(
    found: Answer, left_out: Sequence[LeftOut], final: FinalPlan | None, results: str
) -> Table:
    """Return the likeliest candidates as a table; what became of the others is in its notes."""
    name = "top-1 % by probe ↑" if found.by_probe else f"top-1 % as published {PUBLISHED_MARK} ↑"
    columns: Columns = [
        "model",
        Column("P(best)", key="p_best", better="higher"),
        Column("P(within)", key="p_within", better="higher"),
        Column("latency ms b1 ↓", key="latency", unit="ms", better="lower"),
        *_further_columns(found),
        Column(name, key="top1", unit="%", better="higher"),
        Column("policy", key="execution"),
        Column("params ↓", key="params", better="lower"),
        Column("GMACs ↓", key="macs", unit="G", better="lower"),
    ]
    rows = [_row(one, found) for one in found.short_list or found.judged[:1]]
    title = "Short list: speed as measured here, top-1 as published"
    if found.by_probe:
        title = "Short list: speed and frozen-feature top-1 as measured here"
    return Table(title, columns, rows, list(_notes(found, left_out, final, results)))


def _further_columns(found: Answer) -> Iterator[Column]:
    if found.objective == "throughput":
        yield Column("img/s ↑", key="throughput", unit="img/s", better="higher")
    if found.limits.memory is not None:
        yield Column("peak memory GB ↓", key="memory", unit="GB", better="lower")


def _row(one: Judged, found: Answer) -> TableRow:
    candidate, timed = one.candidate, one.timed
    cells: TableRow = [
        candidate.name,
        "" if one.best is None else Cell(_at_least(found, one.best), one.best),
        "" if one.within is None else Cell(chance(one.within), one.within),
        _measured(one, "latency", "s"),
    ]
    if found.objective == "throughput":
        cells.append(_measured(one, "throughput", "image/s"))
    if found.limits.memory is not None:
        cells.append(_measured(one, "memory", "B"))
    return [
        *cells,
        _top1(one),
        described(timed.policy) if timed else one.reason,
        *_counts(candidate),
    ]


def _measured(one: Judged, metric: str, unit: str) -> Cell | str:
    value = one.timed.values.get(metric) if one.timed else None
    if value is None:
        return ""
    return Cell.of(estimate(value, unit), value.times(scale(unit)[0]))


def _counts(candidate: Candidate) -> list[Cell]:
    params, macs = candidate.cost.params, candidate.cost.macs * scale("MAC")[0]
    return [Cell(f"{params:,}", params), Cell(number(macs), macs)]


def _top1(one: Judged) -> Cell | str:
    if one.probed is not None:
        return Cell.of(estimate(one.probed, "share"), one.probed.times(100))
    tops = one.candidate.tops
    return Cell(_range(one.candidate), low=100 * min(tops), high=100 * max(tops)) if tops else ""


def _notes(
    found: Answer, left_out: Sequence[LeftOut], final: FinalPlan | None, results: str
) -> Iterator[str]:
    """Yield what is meant, what was left out and why, and what would say more."""
    yield _meaning(found)
    yield from _untried(found, final)
    if found.by_probe:
        yield (
            "top-1: a logistic regression on the frozen features of weights at hand, its penalty "
            "chosen on the validation split, read once on the test split"
        )
    else:
        yield (
            f"{PUBLISHED_MARK} published by others, not measured here: ImageNet-1k top-1, the "
            "range over weight sets that meet the limit (+: more data or a teacher)"
        )
    if found.unsettled:
        yield (
            f"too little is measured of {_names(found.unsettled)} to know their speed: if it is "
            f"within the limits, one of them may be the best in {chance(found.undecided)} of the "
            "draws, so that P(best) is a lower bound"
        )
    yield from left_out_lines(left_out)
    gone = [one for one in found.judged if one.standing in ("out", "failed")]
    for reason, ones in grouped(gone, lambda one: one.reason).items():
        yield f"measured and out: {len(ones)}, {reason} ({_names(ones)})"
    if final is not None and final.not_tried:
        yield (
            f"policies not tried within --time-budget: {', '.join(final.not_tried)}; a larger one "
            "or --policies tries them"
        )
    first = found.likeliest
    if first is not None and first.timed is not None:
        yield (
            f"to confirm: {COMMAND} run --models {first.candidate.name} --metrics latency "
            f"--policies {first.timed.policy} --rounds 40 --results {results} --force"
        )


def _untried(found: Answer, final: FinalPlan | None) -> Iterator[str]:
    """Yield whom the answer may have missed for want of time."""
    from bench.pick.stages import untried

    missed = untried(found, final)
    if missed and final is not None:
        timed = [one.timed.policy for one in (missed[0], found.likeliest) if one and one.timed]
        others = [policy for policy in final.policies if policy != timed[0]]
        other = timed[-1] if timed[-1] in others else [*others, *final.not_tried][-1]
        yield (
            f"P(best) is among what was measured: {len(missed)} of those over the limit under "
            f"{timed[0]} had no time for another policy, which may bring one within it "
            f"({_names(missed)}); to know: --policies {other}, which times all candidates under it"
        )


def _meaning(found: Answer) -> str:
    best = OBJECTIVES[found.objective]
    ties = "" if found.objective == "latency" else ", ties by latency"
    drawn = "its weight sets are equally likely"
    if found.by_probe:
        drawn = "test images are drawn anew"
    uncertain = f"; {drawn}" if found.objective == "top1" else ""
    none = ""
    if found.none >= 0.005:
        none = f"; none is within them with probability {chance(found.none)}"
    return (
        f"best: {best} within the limits{ties}; P(best) is its probability given the spread "
        f"between rounds and between processes{uncertain}{none}"
    )


def left_out_lines(left_out: Iterable[LeftOut]) -> Iterator[str]:
    """Yield a line per reason for which candidates are not measured, with their number."""
    for one in left_out:
        more = f" and {len(one.names) - NAMED} more" if len(one.names) > NAMED else ""
        named = ", ".join(one.names[:NAMED])
        yield f"not measured: {len(one.names)}, {one.reason} ({named}{more})"


def _names(ones: Sequence[Judged]) -> str:
    names = [one.candidate.name for one in ones]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def candidates_table(candidates: Sequence[Candidate], left_out: Sequence[LeftOut]) -> Table:
    """Return the candidates that would be measured, with counts and published values."""
    columns: Columns = [
        "model",
        Column("px", key="image_size"),
        Column(
            f"top-1 % as published {PUBLISHED_MARK} ↑",
            key="top1",
            unit="%",
            better="higher",
        ),
        Column("weight sets", key="weight_sets"),
        Column("params ↓", key="params", better="lower"),
        Column("GMACs ↓", key="macs", unit="G", better="lower"),
    ]
    rows: list[TableRow] = []
    for one in candidates:
        tops = one.tops
        shown = Cell(_range(one), low=100 * min(tops), high=100 * max(tops)) if tops else ""
        rows.append(
            [
                one.name,
                str(one.image_size),
                shown,
                str(len(tops)),
                *_counts(one),
            ]
        )
    title = f"{len(candidates)} candidates; nothing was measured"
    return Table(title, columns, rows, list(left_out_lines(left_out)))
