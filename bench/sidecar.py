"""Large arrays (per-image correctness, curves) lie beside the record in a file of their own."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.disk import write_whole
from bench.errors import UsageError, one_line


def write_arrays(record: Path, run: str, arrays: Mapping[str, object]) -> str:
    """Write `arrays` beside `record` as a compressed `.npz` without pickles; returns its file name."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: np.asarray(values) for name, values in arrays.items()})
    path = record.with_name(f"{record.stem}.{run}.npz")
    write_whole(path, buffer.getvalue())
    return path.name


def read_arrays(record: Path, name: str) -> dict[str, Any]:
    """The arrays of a file beside `record`; UsageError where it is missing or damaged. Nothing in it is executed."""
    import numpy as np

    path = record.with_name(Path(name).name)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error, 100)}); restore it from where its record came from") from None
