"""The answer to a claim as tables, and its figure on disk."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from bench.claims.comparison import Answer
from bench.claims.conditions import NEAR, Condition
from bench.errors import UsageError
from bench.files.paths import inside, stem
from bench.plugins import claim_figures
from bench.report.figures import names_are_text, save_figure
from bench.report.notes import Caveat
from bench.report.table import Table
from bench.stats.formatting import interval, number

FLIPS = 5
"""Most sets of factors shown that reverse the majority."""
WORDS_NOTE = (
    "robust: no decided condition is against the claim; reversed: none is for it; fragile: some "
    "are for it and some against it; in one case: all decided conditions have the same weights on "
    "one side, so this is one comparison, not many"
)
DECIDED_NOTE = (
    "decided by the 95 % interval (a speed measured in one process has none and decides nothing); "
    f"a published speed has none, and decides if it is more than {NEAR:.0%} off 1; a published "
    "top-1 has the binomial one of its images"
)
UNTRUSTED_NOTE = Caveat(
    "undecided whatever the interval: speeds of runs whose own checks failed or are missing "
    "(`bench report` says which)"
)
FLIPS_NOTE = (
    "turned by: under the smallest set of factors like this, every decided condition contradicts "
    "the majority"
)


def claim_tables(found: Answer) -> list[Table]:
    """Return the verdict with what turns it, then every condition, the worst ratio first."""
    return [_verdict(found), _conditions(found)]


def sentence(found: Answer) -> str:
    """Return the verdict with the conditions that it holds in, and the range of their ratios."""
    total = len(found.conditions)
    decided = total - found.count("undecided")
    low, high = (number(one.ratio.value) for one in (found.conditions[0], found.conditions[-1]))
    conditions = f"{decided} decided conditions" if decided < total else f"{total} conditions"
    return (
        f"{found.verdict}: {found.left} > {found.right} on {found.on} holds in "
        f"{found.count('holds')} of {conditions}; ratios from {low} to {high}"
    )


def _verdict(found: Answer) -> Table:
    total = len(found.conditions)
    decided = total - found.count("undecided")
    holds = f"{found.count('holds')} of {decided} decided conditions{_apart(found, decided)}"
    lines = [
        ["verdict", found.verdict],
        ["holds in", holds],
        ["fails in", f"{found.count('fails')}"],
        ["undecided", f"{found.count('undecided')} of {total}"],
        ["worst", _in_words(found.conditions[0])],
        ["best", _in_words(found.conditions[-1])],
    ]
    for flip in found.flips[:FLIPS]:
        lines.append(["turned by", _set(flip)])
    title = f"Is {found.left} better than {found.right} on {found.on}?"
    return Table(title, ["", ""], lines, list(_notes(found)))


def _notes(found: Answer) -> Iterator[str]:
    yield WORDS_NOTE
    yield DECIDED_NOTE
    if not all(map(attrgetter("trusted"), found.conditions)):
        yield UNTRUSTED_NOTE
    if found.flips:
        yield FLIPS_NOTE
    if len(found.flips) > FLIPS:
        yield f"{len(found.flips) - FLIPS} more sets of that size turn it"


def _apart(found: Answer, decided: int) -> str:
    """Return the number of independent sets of weights, if they are fewer than the conditions."""
    if not 0 < found.apart < decided:
        return ""
    return f", which have {found.apart} set{'s' if found.apart > 1 else ''} of weights on one side"


def _set(factors: dict[str, str]) -> str:
    return " and ".join(map(" = ".join, factors.items()))


def _in_words(one: Condition) -> str:
    return f"{_ratio(one)} × ({'published' if one.published else 'measured'}: {one.text})"


def _ratio(one: Condition) -> str:
    return interval(one.ratio) if one.ratio.low is not None else number(one.ratio.value)


def _conditions(found: Answer) -> Table:
    names: dict[str, None] = {}
    for one in found.conditions:
        names |= dict.fromkeys(name for name, value in one.factors.items() if value)
    lines = []
    for one in found.conditions:
        factors = [one.factors.get(name, "") for name in names]
        lines.append([_ratio(one), one.outcome, *factors])
    columns = [f"× {found.right} [95 %]", "outcome", *names]
    return Table(f"{len(lines)} conditions", columns, lines)


def save(found: Answer, results: Path) -> Path:
    """Draw the figures into `results/claims`, and return the path of that with all conditions.

    The other one, with `_at_a_glance` in its name, is small. Raises UsageError if the folder cannot
    be written.
    """
    with names_are_text():
        drawn = claim_figures.get("conditions").draw(found)
        small = claim_figures.get("strip").draw(found)
    folder = inside(results, results / "claims")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{found.left}_over_{found.right}_{found.on}"
        save_figure(small, folder, stem(f"{name}_at_a_glance"))
        return save_figure(drawn, folder, stem(name))[0]
    except OSError as error:
        raise UsageError(
            f"--results: cannot write to {folder} ({error.strerror}); give a folder that can be "
            "written"
        ) from None
