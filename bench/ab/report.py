"""What a comparison found, in words, as a table, and as Markdown with a figure of characters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from bench.ab.compare import Outcome
from bench.ab.decision import Word
from bench.ab.sides import Sides
from bench.report.table import Table
from bench.stats.formatting import interval, number
from bench.stats.intervals import Estimate

ORDER: tuple[Word, ...] = ("SLOWER", "UNDECIDED", "FASTER", "SAME")
LEVEL_NOTE = (
    "intervals of the time of head over base at the level of the look that ended the comparison: "
    "all looks together miss the truth in 5 of 100"
)
WIDTH = 61
"""Characters of the figure's axis."""


def answer(outcomes: Sequence[Outcome], limit: float | None) -> str:
    """Return the answer in one line."""
    if len(outcomes) == 1:
        return f"{_said(outcomes[0])}{_judged(outcomes, limit)}{_warned(outcomes)}"
    words = Counter(outcome.decision.word for outcome in outcomes)
    parts = []
    for word in ORDER:
        names = [outcome.name for outcome in outcomes if outcome.decision.word == word]
        if names:
            parts.append(f"{words[word]} {word} ({', '.join(names)})")
    return f"{', '.join(parts)}{_judged(outcomes, limit)}{_warned(outcomes)}"


def _judged(outcomes: Sequence[Outcome], limit: float | None) -> str:
    if limit is None:
        return ""
    broken = any(outcome.broke(limit) for outcome in outcomes)
    return f"; slower by more than {100 * limit:.3g} %: {'yes' if broken else 'no'}"


def _warned(outcomes: Sequence[Outcome]) -> str:
    """Say that speeds are of different work; the details are among the notes."""
    other = [outcome.name for outcome in outcomes if outcome.other]
    if not other:
        return ""
    return "; NOT THE SAME WORK" + ("" if len(outcomes) == 1 else f" ({', '.join(other)})")


def _said(outcome: Outcome) -> str:
    found = outcome.decision
    if found.word == "UNDECIDED":
        return f"UNDECIDED: {_why(outcome)}"
    assert found.ratio is not None and found.within is not None
    if found.word == "SAME":
        return f"SAME within ±{_percent(found.within)}: {outcome.name}"
    change = found.ratio.value - 1
    return (
        f"{found.word} by {_percent(abs(change))}: head takes {_interval(found.ratio)} times as "
        f"long as base for {outcome.name}"
    )


def _why(outcome: Outcome) -> str:
    """Say what an undecided comparison lacks."""
    found = outcome.decision
    if found.check is not None and not found.checked:
        return (
            f"the base differs from itself ({_interval(found.check)} times as long), so this "
            f"machine can't judge {outcome.name} now"
        )
    if found.ratio is None:
        return f"too few rounds or processes for {outcome.name}; give more --minutes"
    if found.longer is None:
        return (
            f"head takes {_interval(found.ratio)} times as long as base for {outcome.name}, which "
            "varies too much here; a quieter machine would help more than time"
        )
    minutes = math.ceil(2 * found.longer * outcome.seconds / 60) / 2
    return (
        f"head takes {_interval(found.ratio)} times as long as base for {outcome.name}; about "
        f"{minutes:g} minute{'' if minutes == 1 else 's'} would settle it"
    )


def table(sides: Sides, outcomes: Sequence[Outcome]) -> Table:
    """Return a row per comparison."""
    rows = []
    for outcome in outcomes:
        found = outcome.decision
        rows.append(
            [
                outcome.name,
                found.word,
                _interval(found.ratio),
                _ms(outcome.base_s),
                _ms(outcome.head_s),
                _interval(found.check),
                str(outcome.rounds),
                str(outcome.processes),
            ]
        )
    columns = (
        *("what", "result", "head / base", "base ms", "head ms", "base / base"),
        *("rounds", "processes"),
    )
    return Table(f"{sides.names[0]} against {sides.names[1]}", columns, rows)


def notes(sides: Sides, outcomes: Sequence[Outcome]) -> list[str]:
    """Return what is to be known beside the table."""
    found = [f"{outcome.name}: {outcome.other}" for outcome in outcomes if outcome.other]
    found += [LEVEL_NOTE, *sides.notes]
    for outcome in outcomes:
        found += outcome.notes
        if len(outcomes) > 1 and outcome.decision.word == "UNDECIDED":
            found.append(_why(outcome))
    return list(dict.fromkeys(found))


def markdown(sides: Sides, outcomes: Sequence[Outcome], limit: float | None) -> str:
    """Return the answer, the table, the figure and the notes for a job's summary."""
    shown = table(sides, outcomes)
    lines = [f"### {_escaped(answer(outcomes, limit))}", "", f"{_escaped(shown.title)}", ""]
    lines.append("| " + " | ".join(map(_escaped, shown.headers)) + " |")
    lines.append("|" + " --- |" * len(shown.headers))
    for row in shown.rows:
        lines.append("| " + " | ".join(map(_escaped, row)) + " |")
    lines += ["", "```text", *figure(outcomes), "```", ""]
    lines += [f"- {_escaped(note)}" for note in notes(sides, outcomes)]
    return "\n".join(lines) + "\n"


def figure(outcomes: Sequence[Outcome]) -> list[str]:
    """Return every ratio with its interval, on one axis, in characters."""
    rows: list[tuple[str, Estimate]] = []
    for outcome in outcomes:
        found = outcome.decision
        for label, ratio in ((outcome.name, found.ratio), ("  base / base", found.check)):
            if ratio is not None and ratio.low is not None and ratio.high is not None:
                rows.append((label, ratio))
    if not rows:
        return ["no intervals"]
    farthest = max(abs(math.log(end)) for _, ratio in rows for end in (ratio.low, ratio.high))  # type: ignore[arg-type]
    reach = min(max(farthest, 0.02), 5.0)
    label_width = max(len(label) for label, _ in rows)
    lines = [f"{label:<{label_width}}  {_drawn(ratio, reach)}" for label, ratio in rows]
    return [*lines, f"{'':<{label_width}}  {_axis(reach)}"]


def _drawn(ratio: Estimate, reach: float) -> str:
    assert ratio.low is not None and ratio.high is not None
    line = [" "] * WIDTH
    line[WIDTH // 2] = "│"
    low, value, high = (_at(end, reach) for end in (ratio.low, ratio.value, ratio.high))
    for place in range(low, high + 1):
        line[place] = "─"
    line[low], line[high], line[value] = "├", "┤", "●"
    return "".join(line).rstrip()


def _axis(reach: float) -> str:
    ends = [f"{math.exp(end):.2f}" for end in (-reach, 0.0, reach)]
    left = ends[0].ljust(WIDTH // 2 - 1) + ends[1]
    return left.ljust(WIDTH - len(ends[2])) + ends[2] + "  head / base"


def _at(ratio: float, reach: float) -> int:
    share = (math.log(ratio) / reach + 1) / 2
    return round(min(max(share, 0.0), 1.0) * (WIDTH - 1))


def _interval(ratio: Estimate | None) -> str:
    return interval(ratio, places=3)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _ms(seconds: float) -> str:
    return number(1e3 * seconds)


def _escaped(text: str) -> str:
    """Return text that Markdown and HTML show as it is."""
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "\\`"), ("\n", " ")):
        text = text.replace(plain, safe)
    return text
