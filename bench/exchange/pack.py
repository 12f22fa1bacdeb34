"""A results folder as one file, and whether such a file from a stranger can be accepted.

A pack is a zip archive of records and their arrays with a manifest: the format and SHA-256 of every file, and of the
manifest's own list. Whoever changes a sample, a count or a hash and not everything else is found out by that. A pack
is no signature: who forges all of it consistently is found out by the physics, if at all, so `verify` also holds the
records against what has to be true of them: their keys, the golden counts, the sentinel pair, the canary.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.analysis.run_quality import canary_drift, sentinel
from bench.analysis.summary import summarise
from bench.errors import UsageError, visible
from bench.exchange.known_counts import GOLDEN, TOLERANCE_GMACS
from bench.files import limits
from bench.files.files import read, write_whole
from bench.files.foreign_errors import content_of, refusing
from bench.files.unpacking import unpacked
from bench.record.arms import CountArm
from bench.record.arrays import arrays_in, check
from bench.record.reading import read_below
from bench.record.store import DamagedRecord, Record, parse, values_in
from bench.record.values import per_round

MANIFEST = "manifest.json"
PACK_FORMAT = 1
LARGEST = 256 << 20
"""Bytes that a pack may have unpacked; what claims to be larger is not opened."""
MOST_FILES = 50_000
DRIFT = 1.0
"""A canary that varied by more than its own median belongs to a machine that was doing something else."""
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass
class Checked:
    """What `verify` found: `problems` refuse a pack, `remarks` do not."""

    files: int
    records: int
    machines: list[str]
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """Those of `problems` that say nothing against the files: a machine that was too restless to be believed."""


def pack(results: Path, target: Path) -> tuple[int, list[DamagedRecord]]:
    """Write every sound record below `results`, with its arrays, into one file; returns how many files are in it, and what
    was left out.

    UsageError where there is nothing to write, or more than `verify` would read. What lies behind a link is left out: it is
    nobody's to send.
    """
    pieces, damaged = pieces_of(results)
    contents = {name: content for piece in pieces for name, content in piece.contents.items()}
    if (
        sum(map(len, contents.values())) > LARGEST
        or values(contents) > limits.VALUES
        or len(contents) > MOST_FILES
    ):
        most = f"{LARGEST >> 20} MB or {limits.VALUES:,} values"
        raise UsageError(
            f"pack: {results} has more than the {most} of one pack; pack fewer machines"
        )
    write_pack(target, contents)
    return len(contents), damaged


@dataclass(frozen=True)
class Piece:
    """A record with the arrays beside it, which no two packs may share out."""

    record: Record
    contents: dict[str, bytes]
    """The files by their names in a pack."""


def pieces_of(results: Path) -> tuple[list[Piece], list[DamagedRecord]]:
    """Return every sound record below `results`, and the damaged ones; UsageError where there is none."""
    if not results.is_dir():
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    records, damaged = read_below(results)
    if not records:
        raise (
            damaged[0]
            if damaged
            else UsageError(
                f"--results: {results} holds no records; `python -m bench run` measures some"
            )
        )
    mine = [record for record in records if record.path.parent.parent.parent == results]
    if not mine:
        raise UsageError(
            f"--results: {results} holds no machine's folder itself; give the folder that holds one folder per machine"
        )
    return [Piece(record, _contents(record, results)) for record in mine], damaged


def _contents(record: Record, results: Path) -> dict[str, bytes]:
    return {
        _named(path.relative_to(results).as_posix()): _whole_lines(path) for path in _files(record)
    }


def write_pack(target: Path, contents: dict[str, bytes]) -> None:
    """Write a pack of these files; the same files give the same bytes. UsageError where it cannot be written."""
    contents = dict(sorted(contents.items()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {MANIFEST: make_manifest(contents), **contents}.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    try:
        write_whole(target, buffer.getvalue())
    except OSError as error:
        raise UsageError(
            f"pack: {target} cannot be written ({error.strerror}); give a path that can"
        ) from None


def _named(name: str) -> str:
    """The name of a file in a pack; UsageError where `verify` would refuse it."""
    if not PACKED.fullmatch(name):
        raise UsageError(
            f"pack: {visible(name)} is no name that a run gives; move it away, or rename the folder with letters and digits"
        )
    return name


def _whole_lines(path: Path) -> bytes:
    """A file as it is packed: of a record, the line that a killed run left torn is nothing that was measured."""
    content = read(path)
    return content[: content.rfind(b"\n") + 1] if path.suffix == ".jsonl" else content


def _files(record: Record) -> list[Path]:
    """A record and the arrays beside it."""
    names = dict.fromkeys(line.arrays for line in record.rounds if line.arrays)
    return [record.path, *(record.path.with_name(name) for name in names)]


def values(contents: dict[str, bytes]) -> int:
    """About how many values the records among some files have together."""
    return sum(values_in(content) for name, content in contents.items() if name.endswith(".jsonl"))


def make_manifest(contents: dict[str, bytes]) -> bytes:
    """The list of a pack's files, with its own hash."""
    files = {
        name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())
    }
    whole = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return json.dumps({"format": PACK_FORMAT, "files": files, "sha256": whole}, indent=1).encode()


def verify(path: Path) -> Checked:
    """Everything that can be held against a pack; UsageError where it is none. Nothing in it is executed or written."""
    return read_pack(path)[0]


def read_pack(path: Path) -> tuple[Checked, dict[str, bytes]]:
    """What `verify` finds, and the files that it looked at, by name; the manifest is not among them."""
    contents = _opened(path)
    manifest = _read_manifest(path, contents.pop(MANIFEST, None))
    return _checked(manifest, contents), contents


def _checked(manifest: Manifest, contents: dict[str, bytes]) -> Checked:
    found = Checked(files=len(contents), records=0, machines=[])
    found.problems += _hashes(manifest, contents)
    machines: dict[str, list[Record]] = {}
    arrays = _Arrays(contents)
    for name in sorted(name for name in contents if name.endswith(".jsonl")):
        try:
            record = parse(Path(name), contents[name])
            check(record, arrays.beside)
        except UsageError as error:
            found.problems.append(str(error))
            continue
        machines.setdefault(name.split("/")[0], []).append(record)
        found.problems += [f"{name}: {problem}" for problem in _counts(record)]
        if record.torn:
            found.problems.append(f"{name}: cut short in its last line")
    found.problems += arrays.of_nobody()
    found.records = sum(map(len, machines.values()))
    if not found.records and not found.problems:
        found.problems.append("there is no record in it")
    found.machines = sorted(machines)
    for machine, records in machines.items():
        problems, remarks = _physics(records)
        found.doubts += [f"{machine}: {problem}" for problem in problems]
        found.remarks += [f"{machine}: {remark}" for remark in remarks]
    found.problems += found.doubts
    return found


@dataclass
class _Arrays:
    """The arrays of a pack, unpacked as they are asked for; all together no more than a pack may hold."""

    contents: dict[str, bytes]
    seen: set[str] = field(default_factory=set)
    size: int = 0

    def beside(self, record: Path, name: str) -> dict[str, Any]:
        """Those of one file beside a record; UsageError where they are missing, damaged or too many."""
        at = record.with_name(name).as_posix()
        self.seen.add(at)
        if at not in self.contents:
            raise UsageError(f"{at} is missing")
        arrays = arrays_in(
            self.contents[at], lambda words: UsageError(f"{at} cannot be read ({words})")
        )
        self.size += sum(int(one.nbytes) for one in arrays.values())
        if self.size > LARGEST:
            raise UsageError(f"{at}: more than {LARGEST >> 20} MB of arrays in one pack")
        return arrays

    def of_nobody(self) -> Iterator[str]:
        """What is wrong with those that no record has named."""
        for name in sorted(
            name for name in self.contents if name.endswith(".npz") and name not in self.seen
        ):
            try:
                self.beside(Path(name), Path(name).name)
            except UsageError as error:
                yield str(error)


PACKED = re.compile(
    r"manifest\.json|[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/"
    r"(records/[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.(jsonl|npz)|visit/[a-z0-9_]{1,100}\.(ndjson|log))",
    re.ASCII,
)
"""How the list, records, their arrays and what a visit says of itself are named by this program; nothing else is taken
out of a pack."""


def _opened(path: Path) -> dict[str, bytes]:
    """The files of a pack; UsageError for anything that is no pack, reaches out of its folder or would fill the memory."""

    def refuse(words: str) -> UsageError:
        return UsageError(
            f"verify: {path} is no pack ({words}); `python -m bench pack FILE` makes one"
        )

    content = content_of(path, LARGEST, refuse)
    contents = dict(
        unpacked(content, most=LARGEST, entries=MOST_FILES, allowed=PACKED, refuse=refuse)
    )
    if values(contents) > limits.VALUES:
        raise refuse(f"its records have more than {limits.VALUES:,} values together")
    return contents


def _read_manifest(path: Path, content: bytes | None) -> Manifest:
    def refuse(words: str) -> UsageError:
        return UsageError(
            f"verify: {path} has no readable {MANIFEST} ({words}); `python -m bench pack FILE` makes a pack"
        )

    if content is None or values_in(content) > 2 * MOST_FILES:
        raise refuse("it is missing" if content is None else "it is too long")
    with refusing(refuse):
        found = msgspec.json.decode(content, type=Manifest)
    if found.format != PACK_FORMAT:
        raise UsageError(
            f"verify: {path} is a pack of format {found.format}, and this version reads {PACK_FORMAT}"
        )
    return found


class Manifest(msgspec.Struct):
    """The list of a pack: SHA-256 by name, and that of the list itself."""

    format: int
    files: dict[str, str]
    sha256: str


def _hashes(manifest: Manifest, contents: dict[str, bytes]) -> Iterator[str]:
    files = manifest.files
    if hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest() != manifest.sha256:
        yield f"{MANIFEST}: its own hash is not that of its list"
    for name in sorted(files.keys() | contents.keys()):
        if name not in contents:
            yield f"{name}: in the manifest and not in the pack"
        elif name not in files:
            yield f"{name}: in the pack and not in the manifest"
        elif hashlib.sha256(contents[name]).hexdigest() != files[name]:
            yield f"{name}: not the file that was packed (its SHA-256 is another one)"


def _counts(record: Record) -> Iterator[str]:
    """Exact counts against the golden ones."""
    arm = record.arm
    if (
        not isinstance(arm, CountArm)
        or arm.model not in GOLDEN
        or (arm.image_size, arm.num_classes) != (224, 1000)
    ):
        return
    params, gmacs = GOLDEN[arm.model]
    for value in set(per_round(record, "params").values()) - {float(params)}:
        yield f"{value:,.0f} parameters; {arm.model} has {params:,}"
    for value in set(per_round(record, "macs").values()):
        if abs(value / 1e9 - gmacs) > TOLERANCE_GMACS:
            yield f"{value / 1e9:.3f} GMACs; {arm.model} has {gmacs:.3f}"


def _physics(records: list[Record]) -> tuple[list[str], list[str]]:
    """What has to be true of one machine's records: the sentinel pair is one graph, and the canary one workload."""
    if not any(record.runs for record in records):
        return ["no run in any record"], []
    summary = summarise(records, of_studies=True)
    problems, remarks = [], []
    if (pair := sentinel(summary)) is None:
        remarks.append("no sentinel pair was measured")
    elif (
        pair.low is not None
        and pair.high is not None
        and not (pair.low / 1.02 <= 1 <= pair.high * 1.02)
    ):
        problems.append(
            f"the sentinel pair, one graph under two names, has a ratio of {pair.value:.3f} [{pair.low:.3f}, {pair.high:.3f}]"
        )
    drift = canary_drift(summary)
    if drift is not None and drift > DRIFT:
        problems.append(f"the canary varied by {drift:.0%}: something else was running")
    return problems, remarks
