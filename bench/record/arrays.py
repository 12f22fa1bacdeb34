"""Large arrays (per-image correctness, curves, receptive fields) lie beside the record in a file of their own."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.files.files import write_whole
from bench.files.foreign_errors import content_of
from bench.files.unpacking import Refusal, array_of, unpacked

if TYPE_CHECKING:
    from bench.record.schema import RoundLine
    from bench.record.store import Record

LARGEST = 128 << 20
"""Bytes of arrays beside one record; packed or not."""
MOST = 100
"""Arrays beside one record."""
ARRAY = re.compile(r"[A-Za-z0-9_.-]{1,100}\.npy", re.ASCII)
CURVES = ("loss", "learning_rate", "select_step", "select_seconds", "select_top1")
"""Per step, and per look at the select split, what a training looked like."""
OF_CURVES = ("train_s", "epochs", "steps", "images_per_s")
"""Details that curves are drawn with."""


def write_arrays(record: Path, run: str, arrays: Mapping[str, object]) -> str:
    """Write `arrays` beside `record` as a compressed `.npz` without pickles; returns its file name."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{name: np.asarray(values) for name, values in arrays.items()}
    )
    path = record.with_name(f"{record.stem}.{run}.npz")
    write_whole(path, buffer.getvalue())
    return path.name


def read_arrays(record: Path, name: str) -> dict[str, Any]:
    """The arrays of a file beside `record`; UsageError where it is missing or damaged. Nothing in it is executed."""
    path = record.with_name(Path(name).name)

    def refuse(words: str) -> UsageError:
        return UsageError(
            f"{path}: cannot be read ({words}); restore it from where its record came from"
        )

    if path.is_symlink():
        raise refuse("it is a link, and nothing is read behind links")
    return arrays_in(content_of(path, LARGEST, refuse), refuse)


def arrays_in(content: bytes, refuse: Refusal) -> dict[str, Any]:
    """The arrays of an `.npz` file by name; what `refuse` makes of the reason where it is none."""
    files = unpacked(content, most=LARGEST, entries=MOST, allowed=ARRAY, refuse=refuse)
    return {name.removesuffix(".npy"): array_of(data, refuse) for name, data in files}


def check(record: Record, read: Callable[[Path, str], dict[str, Any]] = read_arrays) -> None:
    """Hold the arrays beside a record against what it says; UsageError for what is missing, damaged or of something else."""
    for line in record.rounds:
        if line.arrays is not None:
            for why in _wrong(line, read(record.path, line.arrays)):
                raise UsageError(f"{line.arrays}: {why}")


def _wrong(line: RoundLine, arrays: dict[str, Any]) -> list[str]:
    """In which ways arrays are not those of a round."""
    found = []
    for sample in line.samples:
        if sample.metric == "top1":
            found += _answers(arrays, sample.detail) + _curves(arrays, sample.detail)
        elif sample.metric == "receptive_field":
            found += [
                why
                for name, said in sample.detail.items()
                if isinstance(said, dict)
                if (why := _field(arrays, name, said))
            ]
    return found


def _answers(arrays: dict[str, Any], detail: dict[str, Any]) -> list[str]:
    """Which images were right: as many as the record counts."""
    wrong = []
    for name in ("correct", "top5_correct"):
        if name not in arrays:
            continue
        found = arrays[name]
        if found.shape != (detail["images"],) or found.dtype.kind != "b":
            wrong.append(
                f"{name} is {found.dtype} of the shape {found.shape}, and {detail['images']} images were shown"
            )
        elif int(found.sum()) != detail.get(name, int(found.sum())):
            wrong.append(f"{name} counts {int(found.sum())}, and the record {detail[name]}")
    return wrong


def _curves(arrays: dict[str, Any], detail: dict[str, Any]) -> list[str]:
    """All curves of a training or none, each look with all its values, the details that they are drawn with beside them."""
    import numpy as np

    there = [name for name in CURVES if name in arrays]
    if not there:
        return []
    if lacking := [name for name in CURVES if name not in there] + [
        name for name in OF_CURVES if name not in detail
    ]:
        return [f"a training's curves lack {', '.join(lacking)}"]
    if any(arrays[name].ndim != 1 or arrays[name].dtype.kind not in "iuf" for name in CURVES):
        return ["a training's curves are lists of numbers, and these are not"]
    if (
        len({len(arrays[name]) for name in CURVES[2:]}) != 1
        or len({len(arrays[name]) for name in CURVES[:2]}) != 1
    ):
        return ["a training's curves are of different lengths"]
    ranges = {"select_step": 1e18, "select_seconds": 1e9, "select_top1": 1.0}
    return [
        f"{name} is not between 0 and {most:g}"
        for name, most in ranges.items()
        if not bool(np.all((arrays[name] >= 0) & (arrays[name] <= most)))
    ]


def _field(arrays: dict[str, Any], name: str, said: dict[str, Any]) -> str | None:
    """A map of gradients: as large as its canvas, nowhere negative, somewhere above nothing."""
    import numpy as np

    found = arrays.get(f"field_{name}")
    if found is None:
        return f"field_{name} is missing"
    if found.shape != (said["canvas"], said["canvas"]) or found.dtype.kind != "f":
        return f"field_{name} is {found.dtype} of the shape {found.shape}, and its canvas has {said['canvas']} pixels a side"
    if not bool(np.all((found >= 0) & (found <= 1e30)) and found.max() > 0):
        return f"field_{name} holds what no gradient is"
    return None
