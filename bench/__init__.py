"""The engine and the command line of convmixer-bench.

For notebooks: `bench.load(path)` reads records into a DataFrame, and `bench.report(path)` is the
report on them, which shows itself and draws its figures.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """`bench.load` and `bench.report`, imported when they are asked for.

    The command line does without pandas.
    """
    if name == "load":
        from bench.record.dataframe import load

        return load
    if name == "report":
        return import_module("bench.report")
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
