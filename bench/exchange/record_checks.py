"""Check the records of a pack: their damage, their arrays, and what must be true of any record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.analysis.run_quality import canary_drift, sentinel
from bench.analysis.summary import summarise
from bench.errors import UsageError
from bench.exchange.known_counts import GOLDEN, TOLERANCE_GMACS
from bench.record.arms import CountArm
from bench.record.arrays import arrays_in, check
from bench.record.store import Record, parse
from bench.record.values import per_round
from bench.stats.formatting import interval
from bench.stats.intervals import Estimate

NO_RUN = "no run in any record"
DRIFT = 1.0
"""Largest spread of the drift check, of its median: beyond it, the machine did something else."""
OFF = 1.02
"""Factor by which the interval of the A/A pair may miss 1: few sound ones miss it by more."""


def read_records(
    contents: dict[str, bytes], problems: list[str], *, largest: int
) -> dict[str, list[Record]]:
    """Return the records of a pack by machine, and add what is wrong with them to `problems`.

    `contents` are its files by name, `largest` the most bytes that their arrays may have.
    """
    by_machine: dict[str, list[Record]] = {}
    arrays = _Arrays(contents, largest)
    for name in _with_suffix(contents, ".jsonl"):
        try:
            record = parse(Path(name), contents[name])
            check(record, arrays.beside)
        except UsageError as error:
            problems.append(str(error))
            continue
        by_machine.setdefault(name.partition("/")[0], []).append(record)
        problems += [f"{name}: {problem}" for problem in wrong_counts(record)]
        if record.torn:
            problems.append(f"{name}: cut short in its last line")
    problems += arrays.of_nobody()
    return by_machine


def _with_suffix(contents: dict[str, bytes], suffix: str) -> list[str]:
    return sorted(name for name in contents if name.endswith(suffix))


@dataclass
class _Arrays:
    """The arrays of a pack, unpacked when asked for, and together no larger than a pack may be."""

    contents: dict[str, bytes]
    largest: int
    seen: set[str] = field(default_factory=set)
    size: int = 0

    def beside(self, record: Path, name: str) -> dict[str, Any]:
        """Return the arrays of one file next to a record.

        Raises UsageError if it is missing or damaged, or if there are too many in the pack.
        """
        at = record.with_name(name).as_posix()
        self.seen.add(at)
        if at not in self.contents:
            raise UsageError(f"{at} is missing")

        def refuse(words: str) -> UsageError:
            return UsageError(f"{at} cannot be read ({words})")

        arrays = arrays_in(self.contents[at], refuse)
        self.size += sum(int(array.nbytes) for array in arrays.values())
        if self.size > self.largest:
            raise UsageError(f"{at}: more than {self.largest >> 20} MB of arrays in one pack")
        return arrays

    def of_nobody(self) -> Iterator[str]:
        """Yield what is wrong with the files of arrays that no record has named."""
        for name in _with_suffix(self.contents, ".npz"):
            if name not in self.seen:
                try:
                    self.beside(Path(name), Path(name).name)
                except UsageError as error:
                    yield str(error)


def wrong_counts(record: Record) -> Iterator[str]:
    """Yield how a record's counts differ from the known ones."""
    arm = record.arm
    if not isinstance(arm, CountArm) or arm.model not in GOLDEN:
        return
    if (arm.image_size, arm.num_classes) != (224, 1000):
        return
    params, gmacs = GOLDEN[arm.model]
    for value in set(per_round(record, "params").values()) - {float(params)}:
        yield f"{value:,.0f} parameters; {arm.model} has {params:,}"
    for value in set(per_round(record, "macs").values()):
        if abs(value / 1e9 - gmacs) > TOLERANCE_GMACS:
            yield f"{value / 1e9:.3f} GMACs; {arm.model} has {gmacs:.3f}"


def faults_of_machine(records: list[Record]) -> tuple[list[str], list[str]]:
    """Return problems and remarks about what must be true of one machine's records.

    The A/A pair is one network, and the drift check one workload.
    """
    if not any(record.runs for record in records):
        return [NO_RUN], []
    summary = summarise(records, of_studies=True)
    problems, remarks = [], []
    pair = sentinel(summary)
    if pair is None:
        remarks.append("no A/A pair was measured")
    elif _is_off(pair):
        problems.append(
            f"the A/A pair, one network under two names, has a ratio of {interval(pair, places=3)}"
        )
    drift = canary_drift(summary)
    if drift is not None and drift > DRIFT:
        problems.append(f"the drift check varied by {drift:.0%}: something else was running")
    return problems, remarks


def _is_off(pair: Estimate) -> bool:
    """True if the interval of an A/A pair's ratio is not around 1."""
    if pair.low is None or pair.high is None:
        return False
    return pair.low > OFF or pair.high < 1 / OFF
