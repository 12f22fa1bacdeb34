"""What a paper needs next to the figures: methods as `methods.tex`, sources as `references.bib`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from operator import attrgetter

from bench.analysis import published
from bench.analysis.accuracy_groups import Contestant, Protocol, contestants_by_protocol
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
"""A part of a source's text, and the key of its entry."""
SOURCE = attrgetter("source")
ALWAYS = ("trockman2023patches", "wightman2019timm", "fvcore")
COUNTED = (
    "Multiply-adds are those of convolutions, linear layers and attention, without normalisation, "
    r"counted with fvcore~\cite{fvcore} and checked against PyTorch's own counter."
)


def key_of(source: str) -> str:
    """Return the key that a source is cited by; an unknown source has an entry of its own."""
    for part, key in SOURCES:
        if part in source:
            return key
    content = source.encode("utf-8", "backslashreplace")  # a file's name need not be text
    return f"source{hashlib.sha256(content).hexdigest()[:8]}"


def sources(summary: Summary) -> list[str]:
    """Return the sources of every published value in the report."""
    shapes = {(row.about.timm_name, row.image_size) for row in summary.rows}
    imported = summary.imported
    found: set[str] = set()
    for name, size in shapes:
        on_imagenet = published.of(name, size, imported.accuracies)
        elsewhere = published.elsewhere(name, size, imported.accuracies)
        found.update(map(SOURCE, (*on_imagenet, *elsewhere)))
    architectures = {name for name, _ in shapes}
    for speed in (*published.speeds(), *imported.speeds, *imported.trainings):
        if speed.architecture in architectures:
            found.add(speed.source)
    return sorted(found)


def bibliography(summary: Summary) -> str:
    """Return BibTeX of everything that `methods.tex` cites, and of published values' sources."""
    entries = _entries()
    wanted = dict.fromkeys([*ALWAYS, *_methods_cited(summary)])
    more = []
    for source in sources(summary):
        key = key_of(source)
        if key in entries:
            wanted[key] = None
        else:
            more.append(_entry(key, source))
    return "\n\n".join([*(entries[key] for key in wanted), *dict.fromkeys(more)]) + "\n"


def _entry(key: str, source: str) -> str:
    note = "source of published values, as recorded"
    return f"@misc{{{key},\n  title = {{{in_latex(source)}}},\n  note  = {{{note}}}\n}}"


def _entries() -> dict[str, str]:
    """Return the entries of the file of known sources, by key."""
    text = (resources.files("bench.report") / "references.bib").read_text(encoding="utf-8")
    entries = {}
    for part in map(str.strip, re.split(r"\n(?=@)", text)):
        key = re.match(r"@\w+\{([^,]+),", part)
        if key:
            entries[key[1]] = part
    return entries


def _methods_cited(summary: Summary) -> Iterator[str]:
    """Yield the keys of the statistical methods that were used."""
    trust = worst(summary)
    if trust and _has_intervals(summary):
        yield "satterthwaite1946"
        if trust.marks:
            yield "holm1979"
    if summary.accuracies:
        yield "wilson1927"


def methods(summary: Summary) -> str:
    """Return one to three paragraphs of LaTeX. Every number in them is read from the records."""
    parts = [
        "% Written by bench report from records; the protocols are those of docs/METHOD.md.",
        _setting(summary),
    ]
    if rounds_behind(summary.rows):
        parts.append(_timing(summary))
    if any(row.value("macs") for row in summary.rows):
        parts.append(COUNTED)
    for protocol, contestants in contestants_by_protocol(summary).items():
        if protocol.recipe:
            parts.append(_training(protocol, contestants))
    cited = sorted(set(map(key_of, sources(summary))))
    if cited:
        keys = ",".join(cited)
        parts.append(
            f"Published values are shown apart and were not measured here~\\cite{{{keys}}}."
        )
    return "\n\n".join(parts) + "\n"


def _setting(summary: Summary) -> str:
    """Return the sentences on the machine, its versions and settings."""
    machine = summary.machine
    memory = f"{machine.memory_bytes / 1e9:.0f}\\,GB"
    protocols = ", ".join(map(" ".join, sorted(summary.protocols)))
    versions = _listed(machine.versions.items())
    return (
        f"All figures were measured with convmixer-bench (measuring protocols: "
        f"{in_latex(protocols)}) on {in_latex(machine.hardware)} ({in_latex(machine.cpu)}, "
        f"{machine.cores} cores, {memory}), with {versions}. "
        f"Settings: {_listed(sorted(machine.settings.items()))}."
    )


def _listed(pairs: Iterable[tuple[str, object]]) -> str:
    """Return names with their values, in LaTeX."""
    return ", ".join(f"{in_latex(name)} {in_latex(str(value))}" for name, value in pairs)


def _training(protocol: Protocol, contestants: list[Contestant]) -> str:
    """Return the sentence on the training runs under one protocol."""
    seeds = [len(one.measured) for one in contestants]
    recipe = f"{in_latex(str(protocol.recipe))} {in_latex(str(protocol.recipe_hash))}"
    how = "; ".join([recipe, *map(in_latex, protocol.adjustments)])
    noun = "seed" if max(seeds) == 1 else "seeds"
    return (
        f"On {in_latex(protocol.data)} every model was trained under one recipe ({how}), "
        f"{span(min(seeds), max(seeds), places=0)} {noun} each; top-1 is that of the last "
        "checkpoint on a test split that nothing else read, with Student's interval over seeds, "
        r"else Wilson's binomial one~\cite{wilson1927}."
    )


def _timing(summary: Summary) -> str:
    """Return the sentences on speeds, which claim no more than the run's own checks allow."""
    timed = list(filter(attrgetter("rounds"), summary.rows))
    rounds, processes, trust = rounds_behind(timed), processes_behind(timed), worst(summary)
    policies = ", ".join(map(in_latex, dict.fromkeys(map(attrgetter("policy"), timed))))
    text = (
        f"Models were timed in interleaved rounds ({span(min(rounds), max(rounds), places=0)} of "
        f"them), each in {span(min(processes), max(processes), places=0)} processes of its own, in "
        f"a fresh random order every round, under {policies}; speeds are medians over rounds, "
        "ratios are paired by round."
    )
    if _has_intervals(summary):
        text += (
            r" 95\,\% intervals have process and round as random effects with degrees of freedom "
            r"after Satterthwaite~\cite{satterthwaite1946}"
        )
        holm = r", and comparisons of many pairs are corrected after Holm~\cite{holm1979}"
        text += f"{holm if trust and trust.marks else ''}."
    if trust:
        text += f" {' '.join(_checks(summary, trust))}"
    return text


def _has_intervals(summary: Summary) -> bool:
    """True if a speed has an interval."""
    timed = [row for row in summary.rows if rounds_behind([row])]
    return len(without_interval(timed)) < len(timed)


def _checks(summary: Summary, trust: Grade) -> Iterator[str]:
    """Yield the outcome of the run's own checks, and what follows from bad ones."""
    pair = sentinel(summary)
    if pair:
        ratio = in_latex(interval(pair))
        yield f"Two names of one graph, measured along, differ by a factor of {ratio}."
    drift = canary_drift(summary)
    if drift is not None:
        yield (
            f"A fixed workload varied by {100 * drift:.0f}\\,\\% (5th to 95th percentile) during "
            "the runs."
        )
    if trust.marks and trust.resolves is not None:
        yield f"These runs cannot resolve differences below {in_latex(percent(trust.resolves))}."
    if not trust.marks:
        yield f"These speeds are not fit to rank models by ({in_latex(trust.line)})."
