"""A claim's answer as tables, and its figure on disk."""

from __future__ import annotations

from pathlib import Path

from bench.claims.comparison import Answer
from bench.claims.conditions import NEAR, Condition
from bench.errors import UsageError
from bench.files.paths import inside, stem
from bench.plugins import claim_figures
from bench.report.figures import names_are_text, save_figure
from bench.report.table import Table
from bench.stats.formatting import interval, number

FLIPS = 5


def claim_tables(found: Answer) -> list[Table]:
    """The verdict with what turns it, then every condition, from the worst ratio to the best."""
    return [_verdict(found), _conditions(found)]


def _verdict(found: Answer) -> Table:
    total = len(found.conditions)
    decided = total - found.count("undecided")
    lines = [
        ["verdict", found.verdict],
        [
            "holds in",
            f"{found.count('holds')} of {decided} decided conditions{_apart(found, decided)}",
        ],
        ["fails in", f"{found.count('fails')}"],
        ["undecided", f"{found.count('undecided')} of {total}"],
        ["worst", _told(found.conditions[0])],
        ["best", _told(found.conditions[-1])],
        *(["turned by", _set(flip)] for flip in found.flips[:FLIPS]),
    ]
    notes = [
        "robust: no decided condition is against it; reversed: none is for it; fragile: some are for it and some against it; in one case: "
        "every decided condition has the same weights on one side, so there is one comparison and not many",
        "decided by the 95 % interval (a speed that was measured in one process has none and decides nothing); a published speed has "
        "none, and decides where it is more than "
        f"{NEAR:.0%} off 1; a published top-1 has its images' binomial one",
    ]
    if any(not one.trusted for one in found.conditions):
        notes.append(
            "undecided whatever the interval: speeds of runs whose own checks failed or are missing (`bench report` says which)"
        )
    if found.flips:
        notes.append(
            "turned by: under the smallest set of factors like this, every decided condition goes against the majority"
        )
        notes += (
            [f"{len(found.flips) - FLIPS} more sets of that size turn it"]
            if len(found.flips) > FLIPS
            else []
        )
    return Table(
        f"Is {found.left} better than {found.right} on {found.on}?", ["", ""], lines, notes
    )


def _apart(found: Answer, decided: int) -> str:
    """How many of them say something of their own, where that is fewer."""
    return (
        f", which have {found.apart} set{'s' if found.apart > 1 else ''} of weights on one side"
        if 0 < found.apart < decided
        else ""
    )


def _set(factors: dict[str, str]) -> str:
    return " and ".join(f"{name} = {value}" for name, value in factors.items())


def _told(one: Condition) -> str:
    return f"{_ratio(one)} × ({'published' if one.published else 'measured'}: {one.text})"


def _ratio(one: Condition) -> str:
    return interval(one.ratio) if one.ratio.low is not None else number(one.ratio.value)


def _conditions(found: Answer) -> Table:
    names = list(
        dict.fromkeys(
            name for one in found.conditions for name, value in one.factors.items() if value
        )
    )
    lines = [
        [_ratio(one), one.outcome, *(one.factors.get(name, "") for name in names)]
        for one in found.conditions
    ]
    return Table(f"{len(lines)} conditions", [f"× {found.right} [95 %]", "", *names], lines)


def save(found: Answer, results: Path) -> Path:
    """Draw the figure into `results/claims`; returns the PNG's path. UsageError where that cannot be written."""
    with names_are_text():
        drawn = claim_figures.get("conditions").draw(found)
    folder = inside(results, results / "claims")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return save_figure(drawn, folder, stem(f"{found.left}_over_{found.right}_{found.on}"))[0]
    except OSError as error:
        raise UsageError(
            f"--results: {folder} cannot be written to ({error.strerror}); give a folder that can"
        ) from None
