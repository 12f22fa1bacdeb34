"""The machines of a pool, and what each measured side by side, with the rank of every model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.analysis.grade import Grade, grade, percent, worst
from bench.analysis.rows import Quantity, Row, Summary
from bench.report.columns import described, display_of, table_scale
from bench.report.notes import Caveat
from bench.report.table import Cell, Column, Table, TableRow, table_of
from bench.report.tables.speeds import value_cell
from bench.stats.intervals import Effect
from bench.stats.paired import log_ratio
from bench.stats.rank_intervals import RankInterval, rank_intervals

TIMED = ("throughput", "latency")
NAME_WIDTH, MACHINE_WIDTH = 22, 25
"""Columns of a terminal that the models' names and one machine take, about."""
RANK_NOTE = (
    "rank: the models of that machine that may be faster, and slower, by paired ratios of the "
    "same rounds; the intervals of one machine hold together with 95 % confidence (Holm)"
)
ALONE_NOTE = (
    "medians with 95 % intervals, each machine by itself: nothing is averaged over machines, and "
    "no ratio is formed between them"
)


GENERAL_NOTES = (RANK_NOTE, ALONE_NOTE)
"""Notes that are about all tables, for the last one."""


@dataclass(frozen=True)
class Question:
    """What was measured alike: an image size, a policy and a quantity."""

    size: int
    policy: str
    quantity: Quantity

    @property
    def title(self) -> str:
        """The question in words, such as `throughput b2 · fp32 eager · 224 px`."""
        name = display_of(self.quantity.metric).name
        _, unit = table_scale(self.quantity)
        what = f"{name} in {unit}, batch {self.quantity.batch_size}"
        return f"{what} · {described(self.policy)} · {self.size} px"


def label(place: int) -> str:
    """Return the short name of a machine in headers, by its place: `m1`."""
    return f"m{place + 1}"


def machine_table(summaries: Sequence[Summary], signed: Sequence[str]) -> Table:
    """Return one line per machine: its short name, hardware, grade, and signature."""
    lines: list[TableRow] = []
    for place, summary in enumerate(summaries):
        found = worst(summary)
        resolves = percent(found.resolves) if found and found.resolves is not None else ""
        word = found.word if found else "no speeds"
        hardware = f"{summary.machine.hardware}, torch {summary.machine.versions.get('torch', '?')}"
        lines.append([label(place), summary.machine.name, hardware, word, resolves])
    columns = [
        Column("", "short"),
        Column("machine", "question"),
        Column("hardware", "hardware"),
        Column("grade", "verdict"),
        Column("resolves", "tells"),
    ]
    table = Table("Machines", columns, lines)
    if any(signed):
        table.add(Column("signed by", "signed"), signed)
    return table


def questions(summaries: Sequence[Summary]) -> dict[Question, dict[int, list[Row]]]:
    """Return what was measured alike: for each question, the rows of each machine by its place.

    A machine needs two models, since one has no rank. Questions of most machines come first.
    """
    found: dict[Question, dict[int, list[Row]]] = {}
    for place, summary in enumerate(summaries):
        for row in summary.rows:
            for quantity in row.values:
                if quantity.metric in TIMED:
                    question = Question(row.image_size, row.policy, quantity)
                    found.setdefault(question, {}).setdefault(place, []).append(row)
    kept: dict[Question, dict[int, list[Row]]] = {}
    for question, machines in found.items():
        several = {place: rows for place, rows in machines.items() if len(rows) > 1}
        if several:
            kept[question] = several
    return dict(sorted(kept.items(), key=_order))


def shared_models(machines: Mapping[int, list[Row]]) -> set[str]:
    """Return the models that more than one machine measured."""
    counts = Counter(row.model for rows in machines.values() for row in rows)
    return {model for model, count in counts.items() if count > 1}


def _order(item: tuple[Question, Mapping[int, list[Row]]]) -> tuple[int, int, str, Quantity]:
    question, machines = item
    return (-len(machines), -question.size, question.policy, question.quantity)


def side_by_side(
    question: Question,
    machines: Mapping[int, list[Row]],
    summaries: Sequence[Summary],
    *,
    models: set[str] | None = None,
    width: int,
) -> Iterator[Table]:
    """Yield one question's tables: as many machines abreast as fit into `width` columns.

    `models` are the only ones shown, with the ranks that they have among all of their machine.
    """
    abreast = max(1, (width - NAME_WIDTH) // MACHINE_WIDTH)
    places = []
    for place, rows in sorted(machines.items()):
        if models is None or any(row.model in models for row in rows):
            places.append(place)
    for start in range(0, len(places), abreast):
        shown = {place: machines[place] for place in places[start : start + abreast]}
        yield _table(question, shown, summaries, models)


def _table(
    question: Question,
    machines: Mapping[int, list[Row]],
    summaries: Sequence[Summary],
    models: set[str] | None,
) -> Table:
    quantity = question.quantity
    grades = {place: grade(summaries[place], question.size) for place in machines}
    names = _in_order(quantity, machines)
    if models is not None:
        names = {key: name for key, name in names.items() if key[0] in models}
    table = table_of(question.title, names.values())
    unit = table_scale(quantity)[1]
    for place, rows in machines.items():
        by_model = {_key(row): row for row in rows}
        cells: list[Cell | str] = []
        for key in names:
            cells.append(value_cell(by_model[key], quantity) if key in by_model else "")
        name = label(place)
        table.add(Column(f"{name} {unit}", f"speed{place}", unit, quantity.better), cells)
        ranks = ranks_of(rows, quantity) if grades[place].marks else {}
        if len(ranks) > 1:
            texts = [str(ranks.get(key, "")) for key in names]
            table.add(Column(f"{name} rank of {len(ranks)}", f"rank{place}"), texts)
    table.notes += _notes(grades)
    return table


def _key(row: Row) -> tuple[str, bool]:
    """Return what tells two rows of one question apart."""
    return row.model, row.handwritten


def _in_order(quantity: Quantity, machines: Mapping[int, list[Row]]) -> dict[tuple[str, bool], str]:
    """Return the names of all models, in the order of the first machine, then of the next."""
    sign = -1 if quantity.better == "higher" else 1
    names: dict[tuple[str, bool], str] = {}
    for rows in machines.values():
        for row in sorted(rows, key=lambda row: sign * row.values[quantity].value):
            names.setdefault(_key(row), row.name)
    return names


def _notes(grades: Mapping[int, Grade]) -> Iterator[str]:
    for place, found in grades.items():
        if not found.marks:
            yield Caveat(f"{label(place)} has no ranks: {found.word}: {found.reason}")


def ranks_of(rows: Sequence[Row], quantity: Quantity) -> dict[tuple[str, bool], RankInterval]:
    """Return the rank interval of each model of one machine; handwritten kernels have none."""
    plain = {_key(row): row for row in rows if not row.handwritten}
    leads: dict[tuple[tuple[str, bool], tuple[str, bool]], Effect | None] = {}
    for one, other in combinations(plain, 2):
        fast, slow = (one, other) if quantity.better == "higher" else (other, one)
        leads[one, other] = log_ratio(
            plain[fast].fair.get(quantity, {}), plain[slow].fair.get(quantity, {})
        )
    return rank_intervals(list(plain), leads)
