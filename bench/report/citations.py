"""What a paper needs beside the figures: `methods.tex`, how they came about, and `references.bib`, whose they are."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

from bench.analysis import published
from bench.analysis.accuracy_groups import trained_rows
from bench.analysis.grade import Grade, percent, worst
from bench.analysis.rows import Summary
from bench.analysis.run_quality import (
    canary_drift,
    processes_behind,
    rounds_behind,
    sentinel,
    without_interval,
)
from bench.report.formats import in_latex
from bench.stats.formatting import interval, span

SOURCES = (
    ("WTF-Benchmark", "nauen2023wtf"),
    ("ResMLP paper", "touvron2021resmlp"),
    ("MLP-Mixer paper", "tolstikhin2021mixer"),
    ("2201.09792", "trockman2023patches"),
    ("mmpretrain", "mmpretrain2023"),
    ("timm@", "wightman2019timm"),
)
"""What a source's text contains, and the entry of it."""
ALWAYS = ("trockman2023patches", "wightman2019timm", "fvcore")


def key_of(source: str) -> str:
    """The entry that a source is cited by; one that is not known gets an entry of its own."""
    known = next((key for part, key in SOURCES if part in source), None)
    content = source.encode("utf-8", "backslashreplace")  # a file's name may be no text
    return known or f"source{hashlib.sha256(content).hexdigest()[:8]}"


def sources(summary: Summary) -> list[str]:
    """Of every published value that the report shows."""
    shapes = {(row.about.timm_name, row.image_size) for row in summary.rows}
    more = summary.imported.accuracies
    accuracies = [
        one
        for name, size in shapes
        for one in (*published.of(name, size, more), *published.elsewhere(name, size, more))
    ]
    names = {name for name, _ in shapes}
    speeds = [
        one
        for one in (*published.speeds(), *summary.imported.speeds, *summary.imported.trainings)
        if one.architecture in names
    ]
    return sorted({one.source for one in accuracies} | {one.source for one in speeds})


def bibliography(summary: Summary) -> str:
    """BibTeX of what `methods.tex` cites and of every published value's source."""
    entries = _entries()
    wanted = dict.fromkeys([*ALWAYS, *_methods_cited(summary)])
    more = []
    for source in sources(summary):
        key = key_of(source)
        if key in entries:
            wanted[key] = None
        else:
            more.append(
                f"@misc{{{key},\n  title = {{{in_latex(source)}}},\n  note  = {{source of published values, as recorded}}\n}}"
            )
    return "\n\n".join([*(entries[key] for key in wanted), *dict.fromkeys(more)]) + "\n"


def _entries() -> dict[str, str]:
    text = (resources.files("bench.report") / "references.bib").read_text(encoding="utf-8")
    parts = [part.strip() for part in re.split(r"\n(?=@)", text) if part.strip()]
    return {re.match(r"@\w+\{([^,]+),", part)[1]: part for part in parts}  # type: ignore[index]


def _methods_cited(summary: Summary) -> list[str]:
    trust = worst(summary)
    found = ["satterthwaite1946"] if trust and _has_intervals(summary) else []
    found += ["holm1979"] if found and trust and trust.marks else []
    return [*found, *(["wilson1927"] if summary.accuracies else [])]


def methods(summary: Summary) -> str:
    """A paragraph or three of LaTeX; every figure in it is read from the records."""
    machine = summary.machine
    versions = ", ".join(
        f"{in_latex(name)} {in_latex(version)}" for name, version in machine.versions.items()
    )
    settings = ", ".join(
        f"{in_latex(name)} {in_latex(str(value))}"
        for name, value in sorted(machine.settings.items())
    )
    device = in_latex(machine.hardware)
    protocols = ", ".join(f"{kind} {number}" for kind, number in sorted(summary.protocols))
    cited = sorted({key_of(source) for source in sources(summary)})
    parts = [
        "% Written by bench report from records; the protocols are those of docs/METHOD.md.",
        f"All figures were measured with convmixer-bench (measuring protocols: {in_latex(protocols)}) on {device} "
        f"({in_latex(machine.cpu)}, {machine.cores} cores, {machine.memory_bytes / 1e9:.0f}\\,GB), with {versions}. Settings: {settings}.",
    ]
    if rounds_behind(summary.rows):
        parts.append(_timing(summary))
    if any(row.value("macs") for row in summary.rows):
        parts.append(
            "Multiply-adds are those of convolutions, linear layers and attention, without normalisation, counted with fvcore~"
            r"\cite{fvcore} and checked against PyTorch's own counter."
        )
    trained = [
        (key, found)
        for key, found in trained_rows(summary).items()
        if found and found[0].rows[0].arm.recipe
    ]
    for key, contestants in trained:
        seeds = [len(one.measured) for one in contestants]
        count = span(min(seeds), max(seeds), places=0)
        rest = "; ".join(in_latex(part) for part in key[3:] if part)
        parts.append(
            f"On {in_latex(key[0])} every model was trained under one recipe ({in_latex(key[2].removeprefix('recipe '))}"
            f"{'; ' + rest if rest else ''}), {count} seeds each; top-1 is that of the last checkpoint on a test split that nothing "
            r"else read, with Student's interval over seeds, else Wilson's binomial one~\cite{wilson1927}."
        )
    if cited:
        parts.append(
            f"Published values are shown apart and were not measured here~\\cite{{{','.join(cited)}}}."
        )
    return "\n\n".join(parts) + "\n"


def _timing(summary: Summary) -> str:
    """How speeds were taken, with what the run's own checks allow to say and no more."""
    timed = [row for row in summary.rows if row.rounds]
    rounds, processes, trust = rounds_behind(timed), processes_behind(timed), worst(summary)
    policies = ", ".join(in_latex(policy) for policy in dict.fromkeys(row.policy for row in timed))
    text = (
        f"Models were timed in interleaved rounds ({span(min(rounds), max(rounds), places=0)} of them), each in "
        f"{span(min(processes), max(processes), places=0)} processes of its own, in a fresh random order every round, "
        f"under {policies}; speeds are medians over rounds, ratios are paired by round."
    )
    if _has_intervals(summary):
        text += (
            r" 95\,\% intervals have process and round as random effects with degrees of freedom after "
            r"Satterthwaite~\cite{satterthwaite1946}"
        )
        text += (
            r", and comparisons of many pairs are corrected after Holm~\cite{holm1979}."
            if trust and trust.marks
            else "."
        )
    if trust:
        text += f" {_checks(summary, trust)}"
    return text


def _has_intervals(summary: Summary) -> bool:
    """Whether any speed has one."""
    timed = [row for row in summary.rows if rounds_behind([row])]
    return len(without_interval(timed)) < len(timed)


def _checks(summary: Summary, trust: Grade) -> str:
    """What the A/A pair and the canary say, and what follows where it is bad."""
    text = []
    if pair := sentinel(summary):
        text.append(
            f"Two names of one graph, measured along, differ by a factor of {in_latex(interval(pair))}."
        )
    if (drift := canary_drift(summary)) is not None:
        text.append(
            f"A fixed workload varied by {100 * drift:.0f}\\,\\% (5th to 95th percentile) during the runs."
        )
    if trust.marks and trust.resolves is not None:
        text.append(
            f"Differences below {in_latex(percent(trust.resolves))} cannot be told by these runs."
        )
    if not trust.marks:
        text.append(f"These speeds are not fit to rank models by ({in_latex(trust.line)}).")
    return " ".join(text)
