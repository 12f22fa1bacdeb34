"""The engine and the command line of convmixer-bench.

`bench.load(path)` reads records into a DataFrame.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`bench.load`, imported when it is asked for: the command line does without pandas."""
    if name == "load":
        from bench.record.dataframe import load

        return load
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
