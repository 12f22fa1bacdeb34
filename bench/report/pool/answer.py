"""On which machines is A faster than B: a sentence, and every machine's own ratio."""

from __future__ import annotations

from collections.abc import Iterator

from bench.claims.per_machine import WORDS, Compared, MachineAnswer, MachineWord, PoolAnswer
from bench.report.columns import described
from bench.report.notes import Caveat
from bench.report.table import Cell, Column, Table
from bench.stats.formatting import interval

SPOKEN: dict[MachineWord, str] = {
    "faster": "faster on",
    "slower": "slower on",
    "both": "faster or slower, depending on the condition, on",
    "can't tell": "can't tell",
    "no part": "takes no part",
    "not measured": "not timed together",
}
FACTORS = {"policy": "question", "px": "px", "batch": "batch"}
"""Factors of a condition with the key of their column: a policy is left out late."""
ALONE_NOTE = (
    "each ratio is of one machine's own rounds, paired, with its 95 % interval; machines are not "
    "averaged"
)


def sentences(found: PoolAnswer) -> list[str]:
    """Return the answer in a line, then the machines of each answer."""
    answering = sum(len(found.of(word)) for word in WORDS[:4])
    if not answering:
        first = f"no machine can answer whether {found.left} is faster than {found.right}"
    else:
        machines = "1 machine" if answering == 1 else f"{answering} machines"
        first = (
            f"{found.left} is faster than {found.right} on "
            f"{len(found.of('faster')) or 'none'} of {machines}, slower on "
            f"{len(found.of('slower')) or 'none'} ({found.on})"
        )
    return [first, *_by_word(found)]


def _by_word(found: PoolAnswer) -> Iterator[str]:
    """Yield the machines of every answer; those that do not answer by their reason."""
    for word in WORDS:
        by_reason: dict[str, list[str]] = {}
        for machine in found.of(word):
            by_reason.setdefault(machine.reason, []).append(machine.machine)
        for reason, names in by_reason.items():
            why = f" ({reason})" if reason else ""
            yield f"{SPOKEN[word]}: {', '.join(names)}{why}"


def answer_table(found: PoolAnswer) -> Table:
    """Return every comparison of every machine, those that take part first."""
    each: list[tuple[MachineAnswer, Compared]] = []
    for machine in found.machines:
        each += [(machine, one) for one in machine.compared]
    each.sort(key=lambda pair: pair[1].outcome == "no part")
    title = f"Is {found.left} faster than {found.right}? {found.on.capitalize()}, by machine"
    table = Table(title, [Column("machine", "machine")], [[machine.machine] for machine, _ in each])
    for name, key in FACTORS.items():
        values = [one.condition.factors[name] for _, one in each]
        if len(set(values)) > 1:
            texts = map(described, values) if name == "policy" else values
            table.add(Column(name, key), texts)
        else:
            table.title += f" · {_in_words(name, values[0])}"
    ratios = [one.condition.ratio for _, one in each]
    column = Column(f"× {found.right} [95 %]", "ratio", better="higher")
    table.add(column, [Cell.of(interval(ratio), ratio) for ratio in ratios])
    table.add(Column("answer", "outcome"), [one.outcome for _, one in each])
    table.notes += _notes(found, each)
    return table


def _in_words(name: str, value: str) -> str:
    if name == "policy":
        return described(value)
    return f"{value} px" if name == "px" else f"{name} {value}"


def _notes(found: PoolAnswer, each: list[tuple[MachineAnswer, Compared]]) -> Iterator[str]:
    if any(one.outcome == "no part" for _, one in each):
        yield Caveat("no part: the run's own checks forbid ranking, so its ratio decides nothing")
    if found.taking_part > 1:
        yield Caveat(
            f"decided if p < 0.05, Holm-corrected over {found.taking_part} comparisons; an "
            "interval that just misses 1 may not be enough"
        )
    yield ALONE_NOTE
