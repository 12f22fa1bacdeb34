"""Packs as an attacker would make them: a few kilobytes each, and opening one must cost no more."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.exchange.pack import MANIFEST, make_manifest, write_pack
from bench.exchange.pieces import pieces_of

from .conftest import MACHINE, resealed, speed_record

RECORDS = f"{MACHINE.name}/records"


def zipped(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sealed(contents: dict[str, bytes]) -> bytes:
    """A pack whose list fits what is in it."""
    return zipped({MANIFEST: make_manifest(contents), **contents})


def unchecked(results: Path, target: Path) -> Path:
    """Write a pack of every record below a folder, of those that `bench pack` leaves out too."""
    contents: dict[str, bytes] = {}
    for piece in pieces_of(results)[0]:
        contents |= piece.contents
    write_pack(target, contents)
    return target


def honest(folder: Path, arrays: bytes | None = None) -> dict[str, bytes]:
    """The files of a pack of one record, with something in the place of its arrays."""
    path = speed_record(folder, "vit_s16", [10.0, 11.0, 12.0])
    content = path.read_bytes()
    if arrays is None:
        return {f"{RECORDS}/{path.name}": content}
    name = f"{path.stem}.r1.npz"
    content = resealed(content.replace(b'"arrays":null', b'"arrays":"%b"' % name.encode(), 1))
    return {f"{RECORDS}/{path.name}": content, f"{RECORDS}/{name}": arrays}


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A `.npy` file whose header says whatever it likes."""
    text = header.encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def header(shape: str, kind: str = "<f8") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n"


def patched(archive: bytes, at: int, new: bytes) -> bytes:
    """Replace bytes in every file header; `at` counts from the local one's compression method."""
    out = bytearray(archive)
    for signature, start in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = out.find(signature)
        while place >= 0:
            out[place + start + at : place + start + at + len(new)] = new
            place = out.find(signature, place + 4)
    return bytes(out)


@lru_cache
def bomb(size: int) -> bytes:
    """So many bytes of nothing as one deflated file, which says of itself that it has ten."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    whole = zipped({"a.npy": b"0123456789"})
    local = bytearray(whole[: whole.index(b"PK\x01\x02")][:30]) + b"a.npy" + data
    local[18:22] = struct.pack("<I", len(data))
    central = bytearray(whole[whole.index(b"PK\x01\x02") :])
    central[20:24] = struct.pack("<I", len(data))
    end = central.index(b"PK\x05\x06")
    central[end + 16 : end + 20] = struct.pack("<I", len(local))
    return bytes(local + central)


def link() -> bytes:
    """An archive with a symbolic link to the password file in the place of a record."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(f"{RECORDS}/vit.speed.0.jsonl")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def doubled() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for content in ("one", "two"):
            archive.writestr(f"{RECORDS}/vit.speed.0.jsonl", content)
    return buffer.getvalue()


def crowded(number: int) -> bytes:
    return zipped({f"{RECORDS}/{place}.jsonl": b"" for place in range(number)}, zipfile.ZIP_STORED)


def with_array(content: bytes) -> Callable[[Path], bytes]:
    """A pack whose record has this as its one array."""
    return lambda folder: sealed(honest(folder, zipped({"a.npy": content})))


DEEP_LIST = b'{"format":1,"files":' + b"[" * 100_000
PACKS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "arrays_are_hello": (lambda folder: sealed(honest(folder, b"hello")), "not a zip file"),
    "arrays_are_a_bomb": (lambda folder: sealed(honest(folder, bomb(1 << 30))), "cannot be read"),
    "arrays_say_they_are_a_bomb": (with_array(bytes(100 << 20)), "unpacks to 105 MB"),
    "a_bomb": (
        lambda folder: zipped({f"{RECORDS}/a.jsonl": bytes(200 << 20)}),
        "unpacks to 210 MB",
    ),
    "shape_lies": (
        lambda folder: sealed(honest(folder, zipped({"a.npy": npy(header("(1000000000000,)"))}))),
        "8,000,000,000,000 bytes, but there are 0",
    ),
    "shape_negative": (with_array(npy(header("(-1,)"), bytes(8))), "cannot be read"),
    "shape_is_text": (with_array(npy(header("'x'"))), "cannot be read"),
    "header_is_deep": (with_array(npy("(" * 9000)), "cannot be read"),
    "objects": (with_array(npy(header("(1,)", "|O"), bytes(8))), "numbers and booleans"),
    "array_is_hello": (with_array(b"hello"), "cannot be read"),
    "array_outside": (
        lambda folder: sealed(honest(folder, zipped({"../a.npy": b"hello"}))),
        "refused unread",
    ),
    "encrypted": (lambda folder: patched(sealed(honest(folder)), -2, b"\x01"), "is encrypted"),
    "unknown_method": (lambda folder: patched(sealed(honest(folder)), 0, b"\x63"), "method 99"),
    "bzip2": (lambda folder: zipped(honest(folder), zipfile.ZIP_BZIP2), "method 12"),
    "deep_list": (
        lambda folder: zipped({MANIFEST: DEEP_LIST, **honest(folder)}),
        "no readable manifest.json",
    ),
    "list_is_a_list": (
        lambda folder: zipped({MANIFEST: b"[]", **honest(folder)}),
        "no readable manifest.json",
    ),
    "list_of_numbers": (
        lambda folder: zipped(
            {MANIFEST: b'{"format":1,"files":{"a":1},"sha256":"0"}', **honest(folder)}
        ),
        "no readable",
    ),
    "format_is_text": (
        lambda folder: zipped({MANIFEST: b'{"format":"1","files":{},"sha256":"0"}'}),
        "no readable manifest.json",
    ),
    "a_link": (lambda folder: link(), "a link"),
    "two_of_one_name": (lambda folder: doubled(), "two files with the name"),
    "crowded": (lambda folder: crowded(50_100), "more than 50,000 files"),
    "absolute": (lambda folder: zipped({"/etc/records/a.jsonl": b""}), "refused unread"),
    "above": (lambda folder: zipped({"../a/records/a.jsonl": b""}), "refused unread"),
    "a_folder": (lambda folder: zipped({f"{RECORDS}/": b""}), "refused unread"),
    "record_is_deep": (
        lambda folder: sealed({f"{RECORDS}/a.jsonl": b"[" * 100_000 + b"\n"}),
        "line 1 is damaged",
    ),
    "record_of_commas": (
        lambda folder: sealed({f"{RECORDS}/a.jsonl": b"[" + b"0," * 5_000_000 + b"0]\n"}),
        "values",
    ),
}


def bad_stream(folder: Path) -> bytes:
    """An archive whose deflated bytes are none."""
    whole = bytearray(sealed(honest(folder)))
    start = whole.index(b".jsonl") + 40
    whole[start : start + 20] = bytes(20)
    return bytes(whole)


PACKS["bad_stream"] = (bad_stream, "is not a pack")


def curves(**changes: object) -> bytes:
    """Arrays of a training of 360 test images, some of them others'."""
    buffer = io.BytesIO()
    arrays = {"correct": np.arange(360) < 300, "top5_correct": np.ones(360, bool), **changes}
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
