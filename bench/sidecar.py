"""Large arrays (per-image correctness, curves) lie beside the record in a file of their own."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from bench.record import write_whole


def write_arrays(record: Path, run: str, arrays: Mapping[str, object]) -> str:
    """Write `arrays` beside `record` as a compressed `.npz` without pickles; returns its file name."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: np.asarray(values) for name, values in arrays.items()})
    path = record.with_name(f"{record.stem}.{run}.npz")
    write_whole(path, buffer.getvalue())
    return path.name
