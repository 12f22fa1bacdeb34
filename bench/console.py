"""Tables and progress on the terminal. Everything shown here comes from a summary or an event; nothing is measured."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape as without_markup
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table as RichTable
from rich.tree import Tree

from bench.errors import visible
from bench.table import Table
from bench.units import interval, number, scale

if TYPE_CHECKING:  # these import torch; the report uses this module too
    from bench.describe import Described, Layer
    from bench.doctor import Finding
    from bench.record import Arm, Machine, Sample
    from bench.rounds import Ledger
    from bench.selfcheck import Verdict
    from bench.task import Task
    from bench.worker import Failure


STYLES = {
    "ok": "[green]ok     [/green]",
    "note": "[yellow]note   [/yellow]",
    "missing": "[yellow]missing[/yellow]",
    "wrong": "[bold red]WRONG  [/bold red]",
}
"""How a finding is introduced."""


def escape(text: str) -> str:
    """Text from anywhere as it is shown: neither markup nor anything that a terminal obeys."""
    return without_markup(visible(text))


def print_tables(console: Console, tables: list[Table]) -> None:
    """Each table with its notes under it; nothing in a cell is read as markup."""
    for table in tables:
        console.print(f"\n[bold]{escape(table.title)}[/bold]")
        shown = RichTable(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        for place, column in enumerate(table.headers):
            shown.add_column(escape(column), justify="left" if place == 0 else "right", overflow="fold", no_wrap=place == 0)
        for row in table.cells:
            shown.add_row(*(f"[bold]{escape(cell.text)}[/bold]" if cell.best else escape(cell.text) for cell in row))
        console.print(shown)
        for note in table.notes:
            console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True, highlight=False)


def print_layers(console: Console, found: Described, *, depth: int) -> None:
    """A tree of modules; runs of equal ones are shown once with how many they are. No MACs where products went uncounted."""
    root = found.root

    def line(layer: Layer, times: int, copies: int) -> str:
        name = f"{layer.name} … ×{times}" if times > 1 else layer.name
        shape = ", ".join(" × ".join(map(str, sizes)) for sizes in layer.shapes)
        what = f"[bold]{escape(name)}[/bold] {layer.kind}  [dim]{shape}[/dim]  {layer.params:,} params"
        if found.missed:
            return what
        share = f"{copies * layer.macs / root.macs:.1%}" if root.macs else ""
        return f"{what}, {layer.macs / 1e9:.4g} GMACs  [cyan]{share}[/cyan]"

    def grow(branch: Tree, layer: Layer, left: int, copies: int) -> None:
        if left:
            for _, run in groupby(layer.children, key=lambda child: (child.kind, child.shapes, child.params, child.macs)):
                same = list(run)
                grow(branch.add(line(same[0], len(same), copies * len(same))), same[0], left - 1, copies * len(same))

    tree = Tree(line(root, 1, 1))
    grow(tree, root, depth, 1)
    console.print(tree, highlight=False)
    if found.missed:
        missed = ", ".join(found.missed)
        console.print(f"[yellow]no MACs: {missed} went uncounted, and the figures would be too small[/yellow]", soft_wrap=True)
    else:
        console.print("[dim]MACs of convolutions, linear layers and attention for one image; shares are of all equal layers together[/dim]")
    if found.on_cpu:
        why = escape(found.on_cpu)
        console.print(f"[dim]built and run on the CPU, since the meta device has no values: {why}[/dim]", soft_wrap=True)


def print_findings(console: Console, findings: Iterable[Finding]) -> list[Finding]:
    """Each finding as soon as it is there, with what would mend it; returns them all."""
    found = []
    for one in findings:
        found.append(one)
        remedy = f"  [dim]→ {escape(one.remedy)}[/dim]" if one.remedy else ""
        console.print(f"{STYLES[one.status]}  {escape(one.what):<26}{escape(one.found)}{remedy}", highlight=False, soft_wrap=True)
    return found


def print_ledger(console: Console, ledger: Ledger) -> None:
    """Where the time of the timed part went."""
    if ledger.share is None:
        return
    total = ledger.seconds["rounds"]
    parts = {name: ledger.seconds.get(name, 0.0) / total for name in ("windows", "waking", "renewing")}
    rest = 1 - sum(parts.values())
    console.print(
        f"\ntime      set-up {ledger.seconds.get('set-up', 0.0):.0f} s, warm-up in it; rounds {total:.0f} s: "
        f"{parts['windows']:.0%} inside measuring windows, {parts['waking']:.0%} waking, {parts['renewing']:.0%} new processes, "
        f"{rest:.0%} the rest · {ledger.windows} windows, {ledger.disturbed} disturbed, {ledger.repeated} repeated",
        highlight=False,
        soft_wrap=True,
    )


def print_verdict(console: Console, verdict: Verdict) -> None:
    """What a self-check found out."""

    def line(right: bool, text: str) -> None:
        console.print(f"{'right' if right else 'WRONG'}  {text}", highlight=False, soft_wrap=True)

    alike, number = verdict.alike, len(verdict.alike.ratios)
    line(
        verdict.enough_covered,
        f"a network against itself, {number} short comparisons: {alike.covered} of the 95 % intervals hold 1 "
        f"(90 of 100 are needed), {alike.false_alarms} false alarms at 5 %",
    )
    line(verdict.known.holds(2.0), f"against itself run twice a call: {interval(verdict.known, places=3)}, has to hold 2")
    loaded, quiet = ([interval(ratio, places=3) for ratio in ratios] for ratios in (verdict.loaded, verdict.quiet))
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

    def __init__(self, console: Console) -> None:
        self.console = console
        self.latest: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[doing]}"),
            TextColumn("[dim]{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=1, doing="", left="", visible=False)
        self._last_line = ""

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def planned(self, machine: Machine, folder: Path, tasks: list[Task], open_tasks: list[Task]) -> None:
        versions = f"torch {machine.versions['torch']} · timm {machine.versions['timm']}"
        where = machine.accelerator or f"{machine.cpu}, {machine.cores} threads · no GPU"
        self.console.print(f"machine   {escape(where)} · {versions}", highlight=False)
        models = len({task.arm.model for task in tasks})
        names = ", ".join(dict.fromkeys(metric.name for task in tasks for metric in task.metrics))
        done = len(tasks) - len(open_tasks)
        self.console.print(f"plan      {models} models · {len(tasks)} arms · {names}", highlight=False)
        if not open_tasks:
            self.console.print(
                f"nothing to measure: all {len(tasks)} arms are finished in {folder}/records (--force measures again)", highlight=False
            )
            return
        if done:
            self.console.print(f"          {done} arms finished before, {len(open_tasks)} to go", highlight=False)
        if self.console.is_terminal:
            self._progress.start()

    def warn(self, text: str) -> None:
        self.console.print(f"warning: {escape(text)}", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    def step(self, name: str, arm: str, done: int, total: int, seconds_left: float | None) -> None:
        left = "" if seconds_left is None else f"{int(max(0, seconds_left)) // 60}:{int(max(0, seconds_left)) % 60:02d} left"
        doing = f"{arm}  {self.latest.get(arm, '')}".strip()
        self._progress.update(
            self._bar,
            description=f"{name} {min(done + (name != 'round'), total)}/{total}",
            completed=done,
            total=total,
            doing=escape(doing),
            left=left,
            visible=True,
        )
        self._plain(f"{name} {min(done + (name != 'round'), total)}/{total} {left}".rstrip())

    def _plain(self, line: str) -> None:
        """Where there is no terminal (a log file, CI) one line per step instead of a bar."""
        if not self.console.is_terminal and line.split(" left")[0] != self._last_line:
            self._last_line = line.split(" left")[0]
            self.console.print(line, highlight=False)

    def figure(self, arm: Arm, sample: Sample) -> None:
        from bench.lane import label

        factor, unit = scale(sample.unit)
        value = sorted(sample.values)[len(sample.values) // 2]
        self.latest[label(arm)] = f"{sample.metric} {number(value * factor)} {unit}"

    def failed(self, arm: Arm, failure: Failure) -> None:
        from bench.lane import label

        self.console.print(f"{escape(label(arm))}: {failure.status}: {escape(failure.error)}", highlight=False)
