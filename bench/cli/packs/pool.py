"""`bench pool`: many machines' packs side by side, and on which of them A is faster than B."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from bench.analysis import grade
from bench.analysis.rows import Row
from bench.claims.comparison import sides
from bench.claims.per_machine import PoolAnswer, Speed, per_machine
from bench.cli.console import Terminal, complain_about, counted, print_tables, print_words
from bench.cli.options import NotesFlag
from bench.cli.packs.keys import KeyFlag, expected
from bench.config import Plain, Switch
from bench.errors import UsageError
from bench.exchange.every_eval_ever import export
from bench.exchange.pool import Pool, PooledMachine, read_pool
from bench.report.notes import Caveat
from bench.report.pool.answer import answer_table, sentences
from bench.report.pool.machines import (
    GENERAL_NOTES,
    machine_table,
    questions,
    shared_models,
    side_by_side,
)
from bench.report.table import Table

FINGERPRINT = 12
"""Digits of a key's fingerprint in a table."""


def pool(
    folder: Path,
    /,
    *,
    claim: Annotated[str | None, Plain] = None,
    on: Speed | None = None,
    all: Switch = False,
    key: KeyFlag = (),
    export_eee: Annotated[Path | None, Plain] = None,
    notes: NotesFlag = False,
) -> int:
    """Show packs of many machines side by side.

    Each pack is checked as `verify` does; one that fails is named and left out, and the command
    then ends with exit code 2. Figures of different machines are neither averaged nor mixed.

    Parameters
    ----------
    folder
        Folder with files from `bench pack` or `bench visit`; only its own *.zip files are read.
    claim
        "A > B": on which machines is A faster than B? Models are named as for `run --models`.
    on
        Speed that --claim is about, throughput unless given; a higher throughput or a lower latency
        is faster.
    all
        Also show what only one machine measured.
    export_eee
        Folder for one JSON file per machine and model in the schema of Every Eval Ever.
    """
    asked = None if claim is None else sides(claim, "--claim")
    if on and not asked:
        raise UsageError(f'--on: is for a comparison; add --claim "A > B", or drop --on {on}')
    found = read_pool(folder, expected(key))
    answer = per_machine(*asked, on or "throughput", found.summaries) if asked else None
    console = Terminal.on_stdout()
    if answer is None:
        _print_machines(console, found, notes=notes)
        _print_speeds(console, found, everything=all, notes=notes)
    else:
        _print_answer(console, answer, found, notes=notes)
    if export_eee is not None:
        _export(console, found, export_eee)
    return 2 if complain_about(found.left_out) else 0


def _print_answer(console: Terminal, answer: PoolAnswer, found: Pool, *, notes: bool) -> None:
    first, *others = sentences(answer)
    print_words(console, first, "bold")
    for line in others:
        print_words(console, line)
    _print_alike(console, found)
    if any(machine.compared for machine in answer.machines):
        print_tables(console, [answer_table(answer)], notes=notes)


def _print_machines(console: Terminal, found: Pool, *, notes: bool) -> None:
    """Print how many machines there are, and the grade of each."""
    ranked = [machine for machine in found.machines if _may_be_ranked(machine)]
    print_words(
        console,
        f"{counted(len(found.machines), 'machine')} in {counted(found.packs, 'pack')}; speeds of "
        f"{len(ranked)} may be ranked",
        "bold",
    )
    _print_alike(console, found)
    print_tables(console, [_machine_table(found)], notes=notes)
    for machine in found.machines:
        for line in grade.lines(machine.summary) if notes else ():
            print_words(console, f"{machine.name}: {line}", "dim")
        for note in machine.summary.notes:
            print_words(console, f"note: {machine.name}: {note}")


def _print_alike(console: Terminal, found: Pool) -> None:
    for name, other in found.alike.items():
        print_words(console, f"note: {name} is the same machine as {other}, in another folder")


def _may_be_ranked(machine: PooledMachine) -> bool:
    worst = grade.worst(machine.summary)
    return worst is not None and worst.marks


def _machine_table(found: Pool) -> Table:
    signed: list[str] = []
    checked = True
    for machine in found.machines:
        checked = checked and all(one and one.checked for one in machine.packs.values())
        signers = {one.fingerprint[:FINGERPRINT] if one else "" for one in machine.packs.values()}
        signed.append(", ".join(sorted(filter(None, signers))))
    table = machine_table(found.summaries, signed)
    if any(signed) and not checked:
        table.notes.append(
            Caveat(
                "signatures were not checked, so anybody may have written them: --key key.pub does"
            )
        )
    return table


def _print_speeds(console: Terminal, found: Pool, *, everything: bool, notes: bool) -> None:
    """Print what several machines measured alike, or everything that was measured."""
    everything = everything or len(found.machines) == 1
    tables: list[Table] = []
    alone = 0
    for question, machines in questions(found.summaries).items():
        models = None if everything else shared_models(machines)
        if models or everything:
            tables += side_by_side(
                question, machines, found.summaries, models=models, width=console.width
            )
        alone += sum(_adds(rows, models) for rows in machines.values())
    if tables:
        tables[-1].notes += GENERAL_NOTES
    print_tables(console, tables, notes=notes)
    if alone:
        print_words(console, f"\n{counted(alone, 'model')} that only one machine timed: --all")
    if not tables and not alone:
        print_words(console, "\nno machine timed two models under one policy and batch size")


def _adds(rows: Sequence[Row], models: set[str] | None) -> int:
    """Return how many of some rows are left out if only these `models` are shown."""
    return 0 if models is None else sum(row.model not in models for row in rows)


def _export(console: Terminal, found: Pool, folder: Path) -> None:
    exported = export(found.machines, folder, now=time.time())
    console.print()
    print_words(
        console,
        f"{counted(len(exported.paths), 'file')} in the schema of Every Eval Ever "
        f"{exported.version} written into {folder}",
    )
    for line in exported.left_out:
        print_words(console, f"note: {line}")
