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
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from lzma import LZMAError
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.disk import read, regular, write_whole
from bench.errors import UsageError, one_line
from bench.golden import GOLDEN, TOLERANCE_GMACS
from bench.paths import inside
from bench.record import CountArm, Record, load, per_round
from bench.summary import summarise
from bench.trust import canary_drift, sentinel

MANIFEST = "manifest.json"
PACK_FORMAT = 1
LARGEST = 512 << 20
"""Bytes that a pack may have unpacked; what claims to be larger is not opened."""
MOST_FILES = 100_000
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


def pack(results: Path, target: Path) -> int:
    """Write every record below `results`, with its arrays, into one file; returns how many files are in it.

    UsageError where a link leads out of `results`: what lies there is nobody's to send.
    """
    if not results.is_dir():
        raise UsageError(f"--results: {results} is not a folder; `python -m bench run` makes one")
    paths = sorted(path for path in results.glob("*/records/*") if path.suffix in (".jsonl", ".npz"))
    if not paths:
        raise UsageError(f"--results: {results} holds no records; `python -m bench run` measures some")
    contents = {path.relative_to(results).as_posix(): read(inside(results, path)) for path in paths}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {MANIFEST: _manifest(contents), **contents}.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)  # the same records, the same bytes
    try:
        write_whole(target, buffer.getvalue())
    except OSError as error:
        raise UsageError(f"pack: {target} cannot be written ({error.strerror}); give a path that can") from None
    return len(contents)


def _manifest(contents: dict[str, bytes]) -> bytes:
    files = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    whole = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return json.dumps({"format": PACK_FORMAT, "files": files, "sha256": whole}, indent=1).encode()


def verify(path: Path) -> Checked:
    """Everything that can be held against a pack; UsageError where it is none. Nothing in it is executed or written outside."""
    regular(path)
    contents = _opened(path)
    manifest = _read_manifest(path, contents.pop(MANIFEST, None))
    found = Checked(files=len(contents), records=0, machines=[])
    found.problems += _hashes(manifest, contents)
    with TemporaryDirectory(prefix="bench-verify-") as folder:
        machines: dict[str, list[Record]] = {}
        for name, content in contents.items():
            at = Path(folder) / name
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
        for name in sorted(contents):
            if not name.endswith(".jsonl"):
                found.problems += _arrays(name, contents[name])
                continue
            try:
                record = load(Path(folder) / name)
            except UsageError as error:
                found.problems.append(str(error).replace(f"{folder}/", ""))
                continue
            found.records += 1
            machines.setdefault(name.split("/")[0], []).append(record)
            found.problems += [f"{name}: {problem}" for problem in _counts(record)]
            if record.torn:
                found.problems.append(f"{name}: cut short in its last line")
            missing = {line.arrays for line in record.rounds if line.arrays and f"{Path(name).parent}/{line.arrays}" not in contents}
            found.problems += [f"{name}: its arrays {one} are missing" for one in sorted(missing)]
        found.machines = sorted(machines)
        for machine, records in machines.items():
            problems, remarks = _physics(records)
            found.problems += [f"{machine}: {problem}" for problem in problems]
            found.remarks += [f"{machine}: {remark}" for remark in remarks]
    return found


def _opened(path: Path) -> dict[str, bytes]:
    """The files of a pack; UsageError for anything that is no pack or reaches out of its folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > MOST_FILES or sum(info.file_size for info in infos) > LARGEST:
                raise UsageError(f"verify: {path} unpacks to more than {LARGEST >> 20} MB or {MOST_FILES:,} files; no pack of records does")
            names = [info.filename for info in infos]
            for name in names:
                _safe(path, name)
            if len(set(names)) < len(names):
                raise UsageError(f"verify: {path} has two files of one name; no pack does")
            return {info.filename: archive.read(info) for info in infos}
    except (OSError, zipfile.BadZipFile, zlib.error, LZMAError, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"verify: {path} is no pack ({one_line(error, 100)}); `python -m bench pack FILE` makes one") from None


PACKED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/records/[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.(jsonl|npz)", re.ASCII)
"""How records and their arrays are named by this program; nothing else is taken out of a pack."""


def _safe(path: Path, name: str) -> None:
    if name != MANIFEST and not PACKED.fullmatch(name):
        raise UsageError(f"verify: {path} holds {name[:80]!r}, which is neither a record nor its arrays; it is refused unread")


def _read_manifest(path: Path, content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"")
        assert isinstance(found, dict) and isinstance(found["files"], dict)
        if found["format"] != PACK_FORMAT:
            raise UsageError(f"verify: {path} is a pack of format {found['format']}, and this version reads {PACK_FORMAT}")
        return found
    except (ValueError, KeyError, AssertionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"verify: {path} has no readable {MANIFEST}; `python -m bench pack FILE` makes a pack") from None


def _hashes(manifest: dict[str, Any], contents: dict[str, bytes]) -> Iterator[str]:
    files: dict[str, str] = manifest["files"]
    if hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest() != manifest.get("sha256"):
        yield f"{MANIFEST}: its own hash is not that of its list"
    for name in sorted(files.keys() | contents.keys()):
        if name not in contents:
            yield f"{name}: in the manifest and not in the pack"
        elif name not in files:
            yield f"{name}: in the pack and not in the manifest"
        elif hashlib.sha256(contents[name]).hexdigest() != files[name]:
            yield f"{name}: not the file that was packed (its SHA-256 is another one)"


def _arrays(name: str, content: bytes) -> Iterator[str]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            for key in file.files:
                file[key]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        yield f"{name}: cannot be read ({one_line(error, 100)})"


def _counts(record: Record) -> Iterator[str]:
    """Exact counts against the golden ones."""
    arm = record.arm
    if not isinstance(arm, CountArm) or arm.model not in GOLDEN or (arm.image_size, arm.num_classes) != (224, 1000):
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
    elif pair.low is not None and pair.high is not None and not (pair.low / 1.02 <= 1 <= pair.high * 1.02):
        problems.append(f"the sentinel pair, one graph under two names, has a ratio of {pair.value:.3f} [{pair.low:.3f}, {pair.high:.3f}]")
    drift = canary_drift(summary)
    if drift is not None and drift > DRIFT:
        problems.append(f"the canary varied by {drift:.0%}: something else was running")
    return problems, remarks
