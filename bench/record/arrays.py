"""Large arrays of a record (answers per image, curves, receptive fields), in files next to it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
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
"""Largest size in bytes of the arrays next to a record, compressed or not."""
MOST = 100
"""Largest number of arrays next to a record."""
ARRAY = re.compile(r"[A-Za-z0-9_.-]{1,100}\.npy", re.ASCII)
STEP_CURVES = ("loss", "learning_rate")
"""Arrays of a training run with one value per step."""
LOOK_CURVES = ("select_step", "select_seconds", "select_top1")
"""Arrays of a training run with one value per evaluation on the validation split."""
CURVES = (*STEP_CURVES, *LOOK_CURVES)
OF_CURVES = ("train_s", "epochs", "steps", "images_per_s")
"""Details of a training run that are needed to draw its curves."""
MOST_LOOKS = 10_000
"""Largest number of evaluations on the validation split in one training run."""
CURVE_RANGES = {
    "learning_rate": 1e9,
    "select_step": 1e18,
    "select_seconds": 1e9,
    "select_top1": 1.0,
}
"""Largest value of each; the smallest is 0."""


def write_arrays(record: Path, run: str, arrays: Mapping[str, object]) -> str:
    """Write arrays next to `record` as a compressed `.npz` without pickles; return its name."""
    import numpy as np

    buffer = io.BytesIO()
    converted = {name: np.asarray(values) for name, values in arrays.items()}
    np.savez_compressed(buffer, allow_pickle=False, **converted)
    path = record.with_name(f"{record.stem}.{run}.npz")
    write_whole(path, buffer.getvalue())
    return path.name


def read_arrays(record: Path, name: str) -> dict[str, Any]:
    """Return the arrays of a file next to `record`, by name. Nothing in the file is executed.

    Raises UsageError if it is missing, damaged or a link.
    """
    path = record.with_name(Path(name).name)

    def refuse(words: str) -> UsageError:
        return UsageError(
            f"{path}: cannot be read ({words}); restore it from where its record came from"
        )

    if path.is_symlink():
        raise refuse("it is a link, and nothing is read behind links")
    return arrays_in(content_of(path, LARGEST, refuse), refuse)


def arrays_in(content: bytes, refuse: Refusal) -> dict[str, Any]:
    """Return the arrays of an `.npz` file, by name.

    If it is not one, raises what `refuse` returns for the reason.
    """
    files = unpacked(content, most=LARGEST, entries=MOST, allowed=ARRAY, refuse=refuse)
    return {name.removesuffix(".npy"): array_of(data, refuse) for name, data in files}


def check(record: Record, read: Callable[[Path, str], dict[str, Any]] = read_arrays) -> None:
    """Compare the arrays next to a record with what it says about them.

    Raises UsageError for arrays that are missing, damaged or those of something else.
    """
    for line in record.rounds:
        if line.arrays is not None:
            for fault in _faults(line, read(record.path, line.arrays)):
                raise UsageError(f"{line.arrays}: {fault}")


def _faults(line: RoundLine, arrays: dict[str, Any]) -> Iterator[str]:
    """Yield in which ways arrays are not those of a round."""
    for sample in line.samples:
        if sample.metric == "top1":
            yield from _answer_faults(arrays, sample.detail)
            yield from _curve_faults(arrays, sample.detail)
        elif sample.metric == "receptive_field":
            for name, field in sample.detail.items():
                if isinstance(field, dict):
                    yield from _field_faults(arrays, name, field)


def _answer_faults(arrays: dict[str, Any], detail: dict[str, Any]) -> Iterator[str]:
    """Check which images were right: as many as the record counts."""
    for name in ("correct", "top5_correct"):
        if name not in arrays:
            continue
        answers = arrays[name]
        if answers.shape != (detail["images"],) or answers.dtype.kind != "b":
            yield (
                f"{name} is {answers.dtype} of the shape {answers.shape}, "
                f"and {detail['images']} images were shown"
            )
        elif int(answers.sum()) != detail.get(name, int(answers.sum())):
            yield f"{name} counts {int(answers.sum())}, and the record {detail[name]}"


def _curve_faults(arrays: dict[str, Any], detail: dict[str, Any]) -> Iterator[str]:
    """Check the curves of a training run: all or none, with the details to draw them.

    Those of the validation split have one length, and their values are in range.
    """
    import numpy as np

    if not any(name in arrays for name in CURVES):
        return
    lacking = [name for name in CURVES if name not in arrays]
    lacking += [name for name in OF_CURVES if name not in detail]
    if lacking:
        yield f"a training's curves lack {', '.join(lacking)}"
        return
    curves = {name: arrays[name] for name in CURVES}
    if any(curve.ndim != 1 or curve.dtype.kind not in "iuf" for curve in curves.values()):
        yield "a training's curves are lists of numbers, and these are not"
        return
    for names in (STEP_CURVES, LOOK_CURVES):
        if len({len(curves[name]) for name in names}) != 1:
            yield "a training's curves are of different lengths"
            return
    if len(curves["select_step"]) > MOST_LOOKS:
        yield f"more than {MOST_LOOKS:,} evaluations on the validation split"
        return
    for name, most in CURVE_RANGES.items():
        if not bool(np.all((curves[name] >= 0) & (curves[name] <= most))):
            yield f"{name} is not between 0 and {most:g}"


def _field_faults(arrays: dict[str, Any], name: str, field: dict[str, Any]) -> Iterator[str]:
    """Check a map of gradients: as large as its canvas, never negative, not 0 everywhere."""
    import numpy as np

    array = f"field_{name}"
    if array not in arrays:
        yield f"{array} is missing"
        return
    found, side = arrays[array], field["canvas"]
    if found.shape != (side, side) or found.dtype.kind != "f":
        yield (
            f"{array} is {found.dtype} of the shape {found.shape}, "
            f"and its canvas has {side} pixels a side"
        )
    elif not bool(np.all((found >= 0) & (found <= 1e30)) and found.max() > 0):
        yield f"{array} contains values that no gradient has"
