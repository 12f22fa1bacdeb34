"""Tables and progress on the terminal. Everything shown here comes from a summary or an event; nothing is measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table as RichTable
from rich.text import Text
from rich.tree import Tree

from bench.analysis import grade
from bench.errors import visible
from bench.measure import interrupts
from bench.report.table import Table
from bench.stats.formatting import interval, number, scale

if TYPE_CHECKING:  # these import torch; the report uses this module too
    from bench.analysis.rows import Summary
    from bench.check.doctor import CheckResult
    from bench.check.selfcheck import SelfCheckResult
    from bench.count.module_tree import Described, Layer
    from bench.measure.messages import Failure
    from bench.plan.task import Task
    from bench.record.arms import Arm
    from bench.record.schema import Machine, Sample
    from bench.run.observer import Ledger


REPEATED_S = 30.0
"""Where there is no terminal, seconds until a step that goes on says again how far it is."""
STYLES = {
    "ok": "green",
    "note": "yellow",
    "missing": "yellow",
    "wrong": "bold red",
    "unfit": "bold red",
}
"""How a finding is introduced."""


class Terminal(Console):
    """Where strings are text: no markup, no codes for pictures, and what a terminal would obey is spelled out."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(width=width, markup=False, emoji=False)

    @classmethod
    def on_stdout(cls) -> Terminal:
        """A terminal's own width; in a file or a pipe wide enough that tables keep their lines."""
        return cls() if sys.stdout.isatty() else cls(width=160)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed comes through here, cells and headers too."""
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> None:
        """Leave the BrokenPipeError to `main`; rich would exit with 1."""
        raise


def styled(text: str, style: str = "") -> Text:
    """Text from anywhere, in a style of ours."""
    return Text(visible(text), style=style)


def print_grade(console: Terminal, summary: Summary, name: str = "") -> bool:
    """How far a machine's speeds can be believed, before they are shown; whether all of them may be ranked."""
    for line in grade.lines(summary):
        console.print(
            f"{name}: {line}" if name else line, style="bold", highlight=False, soft_wrap=True
        )
    trust = grade.worst(summary)
    return trust is None or trust.marks


def print_interrupted(console: Terminal, rounds: int) -> int:
    """Say what is kept; returns the exit code."""
    interrupts.deaf()  # it ends now: another Ctrl-C would only break that off
    finished = f"{rounds} finished round{'s' * (rounds != 1)} and every training's last checkpoint"
    console.print(
        f"interrupted: {finished} are kept; the same command goes on from there",
        highlight=False,
        soft_wrap=True,
    )
    return 130


def print_tables(console: Terminal, tables: list[Table]) -> None:
    """Each table with its notes under it."""
    for table in tables:
        console.print()
        console.print(table.title, style="bold")
        shown = RichTable(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        for place, column in enumerate(table.headers):
            shown.add_column(
                column,
                justify="left" if place == 0 else "right",
                overflow="fold",
                no_wrap=place == 0,
            )
        for row in table.cells:
            shown.add_row(*(styled(cell.text, "bold" if cell.best else "") for cell in row))
        console.print(shown)
        for note in table.notes:
            console.print(note, style="dim", soft_wrap=True, highlight=False)


def print_layers(console: Terminal, found: Described, *, depth: int) -> None:
    """A tree of modules; runs of equal ones are shown once with how many they are. No MACs where products went uncounted."""
    root = found.root

    def line(layer: Layer, times: int, copies: int) -> Text:
        name = f"{layer.name} … ×{times}" if times > 1 else layer.name
        shape = ", ".join(" × ".join(map(str, sizes)) for sizes in layer.shapes)
        share = f"{copies * layer.macs / root.macs:.1%}" if root.macs else ""
        parts = [
            styled(name, "bold"),
            styled(f" {layer.kind}  "),
            styled(shape, "dim"),
            styled(f"  {layer.params:,} params"),
        ]
        if not found.missed:
            parts += [styled(f", {layer.macs / 1e9:.4g} GMACs  "), styled(share, "cyan")]
        return Text.assemble(*parts)

    def grow(branch: Tree, layer: Layer, left: int, copies: int) -> None:
        if left:
            for _, run in groupby(
                layer.children,
                key=lambda child: (child.kind, child.shapes, child.params, child.macs),
            ):
                same = list(run)
                grow(
                    branch.add(line(same[0], len(same), copies * len(same))),
                    same[0],
                    left - 1,
                    copies * len(same),
                )

    tree = Tree(line(root, 1, 1))
    grow(tree, root, depth, 1)
    console.print(tree, highlight=False)
    if found.missed:
        missed = ", ".join(found.missed)
        console.print(
            f"no MACs: {missed} went uncounted, and the figures would be too small",
            style="yellow",
            soft_wrap=True,
        )
    else:
        console.print(
            "MACs of convolutions, linear layers and attention for one image; shares are of all equal layers together",
            style="dim",
        )
    if found.on_cpu:
        console.print(
            f"built and run on the CPU, since the meta device has no values: {found.on_cpu}",
            style="dim",
            soft_wrap=True,
        )


def print_findings(console: Terminal, findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Each finding as soon as it is there, with what would mend it; returns them all."""
    found = []
    for one in findings:
        found.append(one)
        word = one.status.upper() if one.status == "wrong" else one.status
        remedy = styled(f"  → {one.remedy}" if one.remedy else "", "dim")
        line = Text.assemble(
            styled(f"{word:<7}", STYLES[one.status]), styled(f"  {one.what:<26}{one.found}"), remedy
        )
        console.print(line, highlight=False, soft_wrap=True)
    return found


def print_ledger(console: Terminal, ledger: Ledger) -> None:
    """Where the time of the timed part went."""
    if ledger.share is None:
        return
    total = ledger.seconds["rounds"]
    parts = {
        name: ledger.seconds.get(name, 0.0) / total for name in ("windows", "waking", "renewing")
    }
    rest = 1 - sum(parts.values())
    console.print(
        f"\ntime      set-up {ledger.seconds.get('set-up', 0.0):.0f} s, warm-up in it; rounds {total:.0f} s: "
        f"{parts['windows']:.0%} inside measuring windows, {parts['waking']:.0%} waking, {parts['renewing']:.0%} new processes, "
        f"{rest:.0%} the rest · {ledger.windows} windows, {ledger.disturbed} disturbed, {ledger.repeated} repeated",
        highlight=False,
        soft_wrap=True,
    )


def print_verdict(console: Terminal, verdict: SelfCheckResult) -> None:
    """What a self-check found out."""

    def line(right: bool, text: str) -> None:
        console.print(f"{'right' if right else 'WRONG'}  {text}", highlight=False, soft_wrap=True)

    alike, number = verdict.alike, len(verdict.alike.ratios)
    line(
        verdict.enough_covered,
        f"a network against itself, {number} short comparisons: {alike.covered} of the 95 % intervals hold 1 "
        f"(90 of 100 are needed), {alike.false_alarms} false alarms at 5 %",
    )
    line(
        verdict.known.holds(2.0),
        f"against itself run twice a call: {interval(verdict.known, places=3)}, has to hold 2",
    )
    loaded, quiet = (
        [interval(ratio, places=3) for ratio in ratios]
        for ratios in (verdict.loaded, verdict.quiet)
    )
    line(
        verdict.overlaps,
        f"the same again, {len(quiet)} times quiet: {', '.join(quiet)} "
        f"(largest over smallest {verdict.spread(verdict.quiet):.3f}); {len(loaded)} times beside busy programs: "
        f"{', '.join(loaded)} ({verdict.spread(verdict.loaded):.3f}); these have to overlap the quiet ones' range",
    )
    share = alike.resolvable(verdict.seconds)
    console.print(
        f"\n{'The numbers of this machine can be believed' if verdict.believable else 'Do not trust this machine as it is now'}: "
        f"in {verdict.seconds / 60:.0f} minutes it tells apart two models that differ by about {share:.1%}; less than that it cannot see.",
        highlight=False,
        soft_wrap=True,
    )


class Live:
    """Progress of a run: what is going on, the latest figure of it, and the time left."""

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
        self._last_line = ""
        self._printed_at = 0.0

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def planned(
        self, machine: Machine, folder: Path, tasks: list[Task], open_tasks: list[Task]
    ) -> None:
        versions = f"torch {machine.versions['torch']} · timm {machine.versions['timm']}"
        where = machine.accelerator or f"{machine.cpu}, {machine.cores} threads · no GPU"
        self.console.print(f"machine   {where} · {versions}", highlight=False)
        models = len({task.arm.model for task in tasks})
        names = ", ".join(dict.fromkeys(metric.name for task in tasks for metric in task.metrics))
        done = len(tasks) - len(open_tasks)
        self.console.print(
            f"plan      {models} models · {len(tasks)} arms · {names}", highlight=False
        )
        if not open_tasks:
            self.console.print(
                f"nothing to measure: all {len(tasks)} arms are finished in {folder}/records (--force measures again)",
                highlight=False,
            )
            return
        if done:
            self.console.print(
                f"          {done} arms finished before, {len(open_tasks)} to go", highlight=False
            )
        if self.console.is_terminal:
            self._progress.start()

    def warn(self, text: str) -> None:
        self.console.print(f"warning: {text}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def step(self, name: str, arm: str, done: int, total: int, seconds_left: float | None) -> None:
        left = (
            ""
            if seconds_left is None
            else f"{int(max(0, seconds_left)) // 60}:{int(max(0, seconds_left)) % 60:02d} left"
        )
        doing = f"{arm}  {self.latest.get(arm, '')}".strip()
        self._progress.update(
            self._bar,
            description=f"{name} {min(done + (name != 'round'), total)}/{total}",
            completed=done,
            total=total,
            doing=visible(doing),
            left=left,
            visible=True,
        )
        self._plain(f"{name} {min(done + (name != 'round'), total)}/{total}", doing, left)

    def _plain(self, step: str, doing: str, left: str) -> None:
        """Where there is no terminal (a log file, CI) a line per step instead of a bar, and how far it is now and then."""
        if self.console.is_terminal:
            return
        now, new = time.monotonic(), step != self._last_line
        if not new and now - self._printed_at < REPEATED_S:
            return
        self._last_line, self._printed_at = step, now
        self.console.print(
            " ".join(f"{step} {left if new else doing}".split()), highlight=False, soft_wrap=True
        )

    def figure(self, arm: Arm, sample: Sample) -> None:
        factor, unit = scale(sample.unit)
        value = sorted(sample.values)[len(sample.values) // 2]
        self.latest[arm.label] = f"{sample.metric} {number(value * factor)} {unit}"

    def failed(self, arm: Arm, failure: Failure) -> None:
        self.console.print(f"{arm.label}: {failure.status}: {failure.error}", highlight=False)
