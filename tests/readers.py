"""Everything that reads a file: a sound input of each, how it is changed, how reading is judged.

A reader may return, or refuse in one line (UsageError). Anything else is a failure, and so is a
reader that takes over two seconds, a file that changed other than the one that was read, or an open
of a file elsewhere.

`tests/by_hand/mutated.py` changes inputs at random, `tests/fuzz` by what they make the program do.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import resource
import sys
import tarfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.analysis.published_csv import parsed
from bench.analysis.summary import summarise
from bench.analysis.weights import rows_of
from bench.cli.app import app
from bench.config import suite_fields
from bench.datasets import _layout, imagenet
from bench.datasets._sources import FileSource, Texts
from bench.datasets.webdataset import shards
from bench.errors import UsageError
from bench.exchange import pack
from bench.forecast import past_runs
from bench.measure import machine
from bench.plugins import datasets, families, metrics, models, policies, studies
from bench.plugins.recipe import recipes
from bench.record import arms, store
from bench.record.reading import read_folder
from bench.report import written_files
from bench.report.tables.reading_order import all_tables
from bench.report.tables.weights import compare
from bench.training import checkpoint
from bench.training.fitting import load_weights
from bench.training.images.splits import Pictures
from bench.training.weights import read_real
from bench.training.weights_file import weights_from
from bench.visit.journal import Folder
from tests.bad_packs import curves
from tests.conftest import accuracy_record, count_record, probe_record, resealed, speed_record
from tests.pictures import Named

SECONDS, MEMORY = 2.0, 1 << 30
WORDS = [
    b"0",
    b"-1",
    b"1e999",
    b"1e308",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"../../x"',
    b"\0",
    b"9" * 400,
    b"=1+1",
    b"\xff",
]
DEEP = [
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"a.b." * 5_000 + b"c = 1\n",
    b"a = " + b"[" * 20_000,
    b"(" * 20_000,
]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The same with one to three changes."""
    for _ in range(draw.choice([1, 1, 2, 3])):
        at = draw.randrange(len(content) + 1)
        until = min(len(content), at + draw.choice([0, 1, 2, 8, 100]))
        match draw.randrange(7):
            case 0:
                new = bytes([draw.randrange(256)])
            case 1:
                new = draw.choice(WORDS)
            case 2:
                new = draw.choice(DEEP)
            case 3:
                new, until = b"", len(content)
            case 4:
                new = content[at : at + 2000] * 2
            case 5:
                new = bytes(draw.randrange(256) for _ in range(until - at))
            case _:
                new, at, until = draw.choice(WORDS), *_number(content, draw)
        content = content[:at] + new + content[until:]
    return content


def _number(content: bytes, draw: random.Random) -> tuple[int, int]:
    """Where a value of some text lies, as far as one is found."""
    start = (
        content.find(draw.choice([b":", b"=", b",", b"["]), draw.randrange(len(content) + 1)) + 1
    )
    end = start
    while end < len(content) and content[end : end + 1] not in (b",", b"}", b"]", b"\n"):
        end += 1
    return start, end


def sealed(content: bytes, draw: random.Random) -> bytes:
    """Return a changed record, most of them with checksums that fit.

    Half of them have another value at one place and no other change.
    """
    if draw.random() < 0.5:
        start, end = _number(content, draw)
        value = draw.choice(
            [*WORDS, b"%d" % draw.randrange(-5, 2000), b"%r" % draw.uniform(-1, 20)]
        )
        return resealed(content[:start] + value + content[end:])
    found = mutated(content, draw)
    return resealed(found) if draw.random() < 0.5 else found


def repacked(content: bytes, draw: random.Random) -> bytes:
    """Return a changed pack: its bytes, a file of it with a list that fits, or a file's name."""
    if draw.random() < 0.4:
        return mutated(content, draw)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name != pack.MANIFEST}
    name = draw.choice(sorted(files))
    changed = mutated(files[name], draw)
    files[name] = resealed(changed) if name.endswith("jsonl") and draw.random() < 0.7 else changed
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    ) as archive:
        listed = pack.make_manifest(files)
        for one, data in {
            pack.MANIFEST: mutated(listed, draw) if draw.random() < 0.2 else listed,
            **files,
        }.items():
            archive.writestr(one, data)
    return buffer.getvalue()


def arrays(content: bytes, draw: random.Random) -> bytes:
    """Arrays that are changed inside their archive, or with it."""
    if draw.random() < 0.4:
        return mutated(content, draw)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, mutated(source.read(name), draw))
    return buffer.getvalue()


def restated(content: bytes, draw: random.Random) -> bytes:
    """A safetensors file whose header is changed and whose length fits it."""
    if draw.random() < 0.4:
        return mutated(content, draw)
    length = int.from_bytes(content[:8], "little")
    header = mutated(content[8 : 8 + length], draw)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def rezipped(content: bytes, draw: random.Random) -> bytes:
    """A torch file whose pickle is changed and whose archive fits it."""
    return mutated(content, draw) if draw.random() < 0.4 else arrays(content, draw)


@dataclass
class Reader:
    """What is read, how it is changed, and how it is read."""

    name: str
    content: bytes
    read: Callable[[Path], object]
    file: str
    change: Callable[[bytes, random.Random], bytes] = mutated
    share: int = 1
    counts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    grown: int = 0


def shown(path: Path) -> None:
    """A record as a report reads it: with its arrays, into tables."""
    records, damaged = read_folder(path.parent)
    for error in damaged:
        raise error
    if any(one.runs for one in records):
        list(all_tables(summarise(records)))


def answers(path: Path) -> None:
    rows, damaged = rows_of(path.parent.parent, None)
    for error in damaged:
        raise error
    if len(rows) > 1:
        compare(*rows[:2])


def verified(path: Path) -> None:
    if pack.verify(path).problems:
        raise UsageError("problems")


def suite(path: Path) -> None:
    """As a command takes it, up to where a run would begin."""
    from cyclopts import CycloptsError

    suite_fields(str(path))
    try:
        app.parse_args(["run", "--suite", str(path)], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UsageError(str(error)) from None


def names(path: Path) -> None:
    """Look up a file's text as a name of every kind.

    Code runs by `file.py:build` alone, and there is no such file.
    """
    text = path.read_bytes().decode("utf-8", "replace")
    if ".py" in text:
        return
    refused = 0
    for ask in (
        models.get,
        families.get,
        metrics.get,
        policies.get,
        datasets.get,
        studies.get,
        recipes.get,
    ):
        try:
            ask(text)
        except UsageError:
            refused += 1
    store.path_of(Path("/r"), arms.CountArm(model=text, image_size=8, num_classes=10), {})
    if refused == 7:
        raise UsageError("unknown")


def labels(path: Path) -> None:
    part = Pictures(Named("val_{}.JPEG"), torch.arange(1, 4), torch.zeros(3))
    read_real(f"real:{path}", part)


def weights(path: Path) -> None:
    found = weights_from(path)
    load_weights(torch.nn.Linear(3, 2), found.tensors, where=str(path), prefix=None)


def readers(home: Path) -> list[Reader]:
    """Everything that reads a file, each with a sound one."""
    folder = home / "sound" / "records"
    made = [
        (
            "record of a speed",
            speed_record(folder, "vit_s16", [10.0, 11.0, 12.0, 11.0, 10.0, 11.0]),
        ),
        ("record of counts", count_record(folder, "vit_s17", 1000, 2000)),
        ("record of an accuracy", accuracy_record(folder, "vit_s16", 300)),
        ("record of a probe", probe_record(folder, [0.1] * 8)),
    ]
    found = [
        Reader(name, path.read_bytes(), shown, f"m/records/{path.name}", sealed, share=2)
        for name, path in made
    ]
    pack.pack(home, home / "pack.zip")
    training: dict[str, Any] = {
        name: np.linspace(0, 1, 20)
        for name in ("loss", "learning_rate", "select_seconds", "select_top1")
    }
    beside = curves(**training, select_step=np.arange(20))
    checkpoint.save(
        home / "w.safetensors",
        {"weight": torch.ones(2, 3), "bias": torch.ones(2)},
        {"model": "vit_s16", "step": 3},
    )
    torch.save({"state_dict": {"weight": torch.ones(2, 3), "bias": torch.ones(2)}}, home / "w.pt")
    torch.save(
        {"weight": torch.ones(2, 3), "bias": torch.ones(2)},
        home / "old.pt",
        _use_new_zipfile_serialization=False,
    )
    text = io.StringIO()
    csv.writer(text).writerows(
        [["model", "img_size", "top1", "dataset"], ["vit_small.x", "224", "81.1", "imagenet"]] * 2
    )
    cost = (
        b'{"run":"r","took":30.0,"expected":20.0,"counts":3,"counting":3.0,"windows":9.0,"rounds":12.0}\n'
        * 3
    )
    toml = (
        b'models = ["vit_s16", "resnet50"]\nrounds = 6\nbatch_sizes = [1, 2]\n'
        b'time_budget = 60.0\ndevice = "cpu"\n'
    )
    return [
        *found,
        Reader("arrays beside a record", beside, answers, "m/records/ARRAYS", arrays, share=2),
        Reader("pack", (home / "pack.zip").read_bytes(), verified, "pack.zip", repacked, share=3),
        Reader("suite", toml, suite, "suite.toml", share=2),
        Reader("name", b"vit_s16", names, "name"),
        Reader("published table", text.getvalue().encode(), parsed, "t.csv"),
        Reader(
            "checkpoint, safetensors",
            (home / "w.safetensors").read_bytes(),
            weights,
            "w.safetensors",
            restated,
        ),
        Reader("checkpoint, torch", (home / "w.pt").read_bytes(), weights, "w.pt", rezipped),
        Reader("checkpoint, torch of old", (home / "old.pt").read_bytes(), weights, "w.pt"),
        Reader("labels", json.dumps([[1], [2, 3], []]).encode(), labels, "real.json"),
        Reader(
            "costs",
            cost,
            lambda path: past_runs.habits(past_runs.read(path.parent)),
            past_runs.NAME,
        ),
        Reader(
            "name of an installation",
            b"a1b2\n",
            lambda path: machine.installation(path.parent),
            ".installation",
        ),
        Reader("shard", shard(), lambda path: shards([path], "--data"), "train.tar"),
        Reader("archive of classes", tarred({"a/1.png": b"x", "b/1.png": b"y"}), listed, "t.tar"),
        Reader(
            "list of classes",
            "".join(f"{at}\t{name}\n" for at, name in enumerate(imagenet.synsets())).encode(),
            lambda path: imagenet.by_mapping(list(map(str, range(1000))), path),
            imagenet.MAPPING,
        ),
        Reader(
            "list of annotations",
            b"1.png\ta\n2.png\tb\n",
            lambda path: listed(path.parent),
            _layout.ANNOTATIONS,
        ),
        Reader("picture", picture(), pictured, "1.png"),
        Reader("journal of a visit", entry(), lambda path: Folder(path.parent).entries(), JOURNAL),
        Reader(
            "list of a report's files",
            b'{"files":{"tables/a.csv":"0"}}',
            lambda path: written_files._read(path.parent),
            written_files.NAME,
        ),
        Reader("spelled name", b"\n".join(SPELLED), spelled, "name"),
    ]


SPELLED = [
    *(b"convmixer_256_8_k5_p2", b"vit_384_12_p16_h6_m1536", b"resnet_64_3-4-6-3_bottleneck_s7"),
    *(b"mixer_512_8_p16_t256_m2048", b"skeleton_384_12_depthwise_pyramid_bn", b"timm:resnet18"),
]
JOURNAL = "steps.ndjson"


def spelled(path: Path) -> None:
    """Look up and count every name in a file, as a dry run does."""
    refused = 0
    for name in path.read_bytes().decode("utf-8", "replace").split("\n"):
        if ".py" in name:
            continue
        try:
            found = models.get(name)
            if found.shape is not None:
                found.shape.counts(224, 1000)
        except UsageError:
            refused += 1
    if refused:
        raise UsageError("unknown")


def listed(path: Path) -> None:
    _layout.list_images(path, "--data")


def pictured(path: Path) -> None:
    """Read a picture as a split does: whatever Pillow raises makes it an unreadable one."""
    part = Pictures(FileSource(str(path.parent), Texts.of([path.name])), *torch.zeros(2, 1).long())
    if trouble := part.trouble(0):
        raise UsageError(trouble)


def entry() -> bytes:
    """A journal of one step."""
    about = {"step": "a", "command": "b", "why": "c", "outcome": "ok", "started": "2026-01-01"}
    return json.dumps(about | {"given_s": 1.0, "seconds": 1.0}).encode() + b"\n"


def picture() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "png")
    return buffer.getvalue()


def shard() -> bytes:
    """A WebDataset shard of two images."""
    image = picture()
    return tarred({"0.png": image, "0.cls": b"1", "1.png": image, "1.cls": b"0"})


def tarred(files: dict[str, bytes]) -> bytes:
    """An uncompressed archive of some files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


HEARD = (
    "open",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "subprocess.Popen",
    "os.system",
    "socket.connect",
)


class Watch:
    """Notes which files outside a case's folder are opened while it is read.

    Those of Python and its packages do not count.
    """

    def __init__(self) -> None:
        self.home: Path | None = None
        self.elsewhere: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.home is None or event not in HEARD:
            return
        path = arguments[0]
        if event == "open":
            writes = isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            if not isinstance(path, str | bytes | os.PathLike) or (
                not writes and _ours(os.fsdecode(path))
            ):
                return
        if not os.path.abspath(os.fsdecode(path)).startswith(str(self.home)):
            self.elsewhere.append(f"{event} {path!r}")

    @contextmanager
    def within(self, home: Path) -> Iterator[None]:
        self.home, self.elsewhere = home, []
        try:
            yield
        finally:
            self.home = None


def _ours(path: str) -> bool:
    """True if a file is the program's or the system's: code, packages, facts about the CPU."""
    root = Path(__file__).resolve().parent.parent
    return path.startswith(
        (str(root), sys.prefix, sys.base_prefix, "/proc/", "/sys/", "/usr/", "/etc/mime", "/dev/")
    )


def prepared(reader: Reader, home: Path, content: bytes, beside: bytes) -> Path:
    """The folder of a case: its input, and what has to lie beside it."""
    name = reader.file
    if name.endswith("ARRAYS"):
        for model, correct in (("vit_s16", 300), ("resnet50", 300)):
            path = accuracy_record(home / "m" / "records", model, correct)
            sidecar = f"{path.stem}.r1.npz"
            said = path.read_bytes().replace(b'"arrays":null', b'"arrays":"%b"' % sidecar.encode())
            path.write_bytes(
                resealed(
                    said.replace(
                        b'"train_s":12.0',
                        b'"train_s":12.0,"epochs":1.0,"steps":20,"images_per_s":9.0',
                    )
                )
            )
            path.with_name(sidecar).write_bytes(content if model == "vit_s16" else beside)
        return home / "m" / "records" / sidecar
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if name == _layout.ANNOTATIONS:
        (home / "images").mkdir()
        for image in ("1.png", "2.png"):
            (home / "images" / image).touch()
    return path


def one_case(reader: Reader, home: Path, content: bytes, watch: Watch) -> str | None:
    """Read a changed input; returns what went wrong."""
    path = prepared(reader, home, content, reader.content)
    before = {found: found.stat().st_mtime_ns for found in home.rglob("*") if found.is_file()}
    began, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with watch.within(home), redirect_stdout(io.StringIO()):
            reader.read(path)
        reader.counts["read"] += 1
    except UsageError:
        reader.counts["refused"] += 1
    except BaseException:
        return traceback.format_exc(limit=-3)
    took = time.process_time() - began
    reader.slowest = max(reader.slowest, took)
    reader.grown = max(
        reader.grown, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) << 10
    )
    if took > SECONDS:
        return f"took {took:.1f} s of the processor"
    if watch.elsewhere:
        return f"reached elsewhere: {watch.elsewhere[0]}"
    if {found: found.stat().st_mtime_ns for found in home.rglob("*") if found.is_file()} != before:
        return "changed a file"
    return None
