"""The terminal: tables, grades, and the progress of a run. Nothing is measured here."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis import grade
from bench.analysis.rows import Summary
from bench.cli.tables.fitting import GAP, Fitted, fitted
from bench.cli.terminal import complain
from bench.config import COMMAND
from bench.errors import visible
from bench.measure import interrupts
from bench.report.headlines import headlines
from bench.report.table import Table
from bench.stats.formatting import number, scale
from bench.stats.wrapping import wrapped

if TYPE_CHECKING:  # some of these import torch, and the report uses this module too
    from bench.measure.messages import Failure
    from bench.plan.task import Task
    from bench.record.arms import Arm
    from bench.record.schema import Machine, Sample
    from bench.run.observer import Ledger

REPEATED_S = 30.0
"""Without a terminal, seconds after which the progress of a step is printed again."""
NARROWEST = 40
WIDTH_OF_FILES = 200
"""Columns in a file or a pipe, where tables should keep their lines."""


class Terminal(Console):
    """A console without markup and emoji codes; control characters are made visible."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(width=width, markup=False, emoji=False)

    @classmethod
    def on_stdout(cls) -> Terminal:
        """Return standard output at the terminal's own width.

        Where it is no terminal, its width is that of `COLUMNS` if that is set, else wide.
        """
        said = os.environ.get("COLUMNS", "")
        if sys.stdout.isatty():
            return cls()
        return cls(width=max(NARROWEST, int(said)) if said.isdecimal() else WIDTH_OF_FILES)

    def print_line(self, text: str | Text, style: str | None = None) -> None:
        """Print a line that the terminal may wrap, but without highlighting numbers in it."""
        self.print(text, style=style, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make control characters visible in every string, those of cells and headers too."""
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError for `main` to handle; rich would exit with 1."""
        raise


def styled(text: str, style: str = "") -> Text:
    """Return text from any source, its control characters made visible, in a style."""
    return Text(visible(text), style=style)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 round` or `2 rounds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


MOST_CAVEATS = 3
"""Notes below each table, of those that change how it is read, without --notes."""


def print_tables(console: Terminal, tables: Iterable[Table], *, notes: bool = True) -> None:
    """Print each table with its notes below.

    Without `notes`, only its first caveats, and at last the number of notes that are not shown.
    """
    hidden = 0
    for table in tables:
        console.print()
        print_words(console, table.title, "bold")
        fit = fitted(table, console.width)
        console.print(_drawn(fit))
        shown = table.notes if notes else table.caveats[:MOST_CAVEATS]
        hidden += len(table.notes) - len(shown)
        for note in (*fit.notes, *shown):
            print_words(console, note, "dim")
    if hidden:
        console.print_line(f"\n{counted(hidden, 'more note')}: --notes", "dim")


def print_words(console: Terminal, text: str, style: str = "") -> None:
    """Print text, wrapped between words; a command that does not fit has a line of its own.

    The terminal wraps that line: a command that was wrapped here could not be copied.
    """
    before, command, after = text.partition(COMMAND)
    if not command or cell_len(text) <= console.width:
        before, command, after = text, "", ""
    if before.strip():
        console.print_line(styled(_wrapped(before.rstrip(), console.width), style))
    if command:
        console.print_line(styled(f"  {command}{after}", style))


def _wrapped(text: str, width: int) -> str:
    """Return text in lines; a word that is longer than a line, such as a path, is not broken."""
    lines: list[str] = []
    for line in visible(text).splitlines():
        lines += wrapped(line, width) or [""]
    return "\n".join(lines)


def _drawn(fit: Fitted) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    columns = zip(fit.table.headers, fit.widths, fit.text, strict=True)
    for header, width, is_text in columns:
        justify: Literal["left", "right"] = "left" if is_text else "right"
        drawn.add_column(header, justify=justify, width=width, overflow="fold")
    for row in fit.table.cells:
        drawn.add_row(*(styled(cell.text, "bold" if cell.best else "") for cell in row))
    return drawn


def print_grade(console: Terminal, summary: Summary, name: str) -> None:
    """Print how far the speeds of the machine called `name` can be believed."""
    for line in grade.lines(summary):
        print_words(console, f"{name}: {line}", "bold")


def print_answer(console: Terminal, summary: Summary, graded: Summary, name: str = "") -> bool:
    """Print what the records of a machine say, and how far its speeds can be believed.

    A grade that forbids ranking comes first, and makes the result False. `graded` has the speeds
    that the grade is of. `name` is put before each line.
    """
    ranked = may_be_ranked(graded)
    said, trust = headlines(summary), grade.lines(graded)
    for line in [*said, *trust] if ranked else [*trust, *said]:
        print_words(console, f"{name}: {line}" if name else line, "bold")
    if name and not said and not trust:
        console.print(name, style="bold", highlight=False)
    return ranked


def may_be_ranked(summary: Summary) -> bool:
    """True if the speeds' own checks passed, and for a summary without speeds."""
    worst = grade.worst(summary)
    return worst is None or worst.marks


def complain_about(errors: Sequence[object]) -> int:
    """Print each error, such as a damaged record, on standard error; returns their number."""
    for error in errors:
        complain(error)
    return len(errors)


def print_interrupted(console: Terminal, rounds: int) -> int:
    """Say what is kept after Ctrl-C; returns the exit code."""
    interrupts.deaf()  # the command is ending: a second Ctrl-C would only cut this line off
    interrupts.told()
    print_words(
        console,
        f"interrupted: {counted(rounds, 'finished round')} and the last checkpoint of every "
        "training run are kept; rerun the same command to continue",
    )
    return 130


def print_ledger(console: Terminal, ledger: Ledger) -> None:
    """Print where the time of the timed part went; nothing if nothing was timed."""
    if ledger.share is None:
        return
    total = ledger.seconds["rounds"]
    windows = ledger.share
    waking = ledger.seconds.get("waking", 0.0) / total
    renewing = ledger.seconds.get("renewing", 0.0) / total
    print_words(
        console,
        f"\ntime      set-up with warm-up {ledger.seconds.get('set-up', 0.0):.0f} s; "
        f"rounds {total:.0f} s: {windows:.0%} inside measuring windows, {waking:.0%} waking "
        f"processes, {renewing:.0%} replacing them, {1 - windows - waking - renewing:.0%} other · "
        f"{ledger.windows} windows, other programs were using the CPU in {ledger.disturbed}, "
        f"{ledger.repeated} repeated",
    )


class Live:
    """Progress of a run: the current step, its latest figure, and the time left."""

    def __init__(self, console: Terminal) -> None:
        self.console = console
        self.latest: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[doing]}", markup=False),
            TextColumn("{task.fields[left]}", style="dim", markup=False),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=1, doing="", left="", visible=False)
        self._last_step = ""
        self._printed_at = 0.0

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def planned(
        self, machine: Machine, folder: Path, tasks: list[Task], open_tasks: list[Task]
    ) -> None:
        """Print the machine and the plan, and start the progress bar if anything is to be done."""
        versions = f"torch {machine.versions['torch']} · timm {machine.versions['timm']}"
        where = machine.accelerator or f"{machine.cpu}, {machine.cores} threads · no GPU"
        self.console.print(f"machine   {where} · {versions}", highlight=False)
        models = counted(len({task.arm.model for task in tasks}), "model")
        configurations = counted(len(tasks), "configuration")
        metrics: dict[str, None] = {}
        for task in tasks:
            metrics |= dict.fromkeys(metric.name for metric in task.metrics)
        self.console.print(
            f"plan      {models} · {configurations} · {', '.join(metrics)}", highlight=False
        )
        if not open_tasks:
            self.console.print(
                f"nothing to measure: {configurations} finished in {folder}/records "
                "(--force measures again)",
                highlight=False,
            )
            return
        done = len(tasks) - len(open_tasks)
        if done:
            self.console.print(
                f"          {done} finished before, {len(open_tasks)} to go",
                highlight=False,
            )
        if self.console.is_terminal:
            self._progress.start()

    def warn(self, text: str) -> None:
        """Print something that may spoil the numbers."""
        print_words(self.console, f"warning: {text}")

    def note(self, text: str) -> None:
        """Print something worth knowing."""
        print_words(self.console, text)

    def step(self, name: str, arm: str, done: int, total: int, seconds_left: float | None) -> None:
        """Show the step that began, and the latest figure of its arm."""
        begun = done if name == "round" else done + 1
        step = f"{name} {min(begun, total)}/{total}"
        doing = f"{arm}  {self.latest.get(arm, '')}".strip()
        left = "" if seconds_left is None else f"{_clock(seconds_left)} left"
        self._progress.update(
            self._bar,
            description=step,
            completed=done,
            total=total,
            doing=visible(doing),
            left=left,
            visible=True,
        )
        if not self.console.is_terminal:
            self._print_step(step, doing, left)

    def _print_step(self, step: str, doing: str, left: str) -> None:
        """Print a line per step instead of a bar, for a log file or CI; repeat it now and then."""
        now = time.monotonic()
        is_new = step != self._last_step
        if not is_new and now - self._printed_at < REPEATED_S:
            return
        self._last_step, self._printed_at = step, now
        self.console.print_line(" ".join(f"{step} {left if is_new else doing}".split()))

    def figure(self, arm: Arm, sample: Sample) -> None:
        """Keep a window's median as the latest figure of its arm."""
        factor, unit = scale(sample.unit)
        value = sorted(sample.values)[len(sample.values) // 2]
        self.latest[arm.label] = f"{sample.metric} {number(value * factor)} {unit}"

    def failed(self, arm: Arm, failure: Failure) -> None:
        """Print why an arm or one of its metrics failed."""
        self.console.print(f"{arm.label}: {failure.status}: {failure.error}", highlight=False)


def _clock(seconds: float) -> str:
    """Return minutes and seconds, such as 3:07; 0:00 if the time is over."""
    minutes, rest = divmod(int(max(0, seconds)), 60)
    return f"{minutes}:{rest:02d}"
