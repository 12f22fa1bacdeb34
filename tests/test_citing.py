"""methods.tex and references.bib: everything cited is there, and every figure is the records'."""

from __future__ import annotations

import re
from pathlib import Path

from bench.analysis.machines import machine_folders, read
from bench.analysis.rows import Summary
from bench.report.citations import bibliography, key_of, methods, sources


def summary(results: Path) -> Summary:
    return read(machine_folders(results)[0]).summary


def test_everything_cited_has_an_entry(results: Path) -> None:
    found = summary(results)
    entries = re.findall(r"^@\w+\{([^,]+),", bibliography(found), flags=re.MULTILINE)
    assert len(entries) == len(set(entries))
    cited = {
        key
        for group in re.findall(r"\\cite\{([^}]+)\}", methods(found))
        for key in group.split(",")
    }
    assert cited
    assert cited <= set(entries)


def test_every_published_source_is_cited(results: Path) -> None:
    found = summary(results)
    assert any(source.startswith("timm@") for source in sources(found))
    text = bibliography(found)
    for source in sources(found):
        assert f"{{{key_of(source)}," in text


def test_an_unknown_source_gets_an_entry_of_its_own() -> None:
    assert key_of("a table of somebody's") != key_of("another table")
    assert key_of("timm@aa4b585 results/x.csv") == "wightman2019timm"


def test_methods_say_the_machine_and_how_it_was_measured(results: Path) -> None:
    text = methods(summary(results))
    for part in ("Test CPU", "torch 2.6.0", "8 of them", "fp32", "recipe", "speed 1", r"95\,\%"):
        assert part in text, part
    assert text.count("{") == text.count("}")
