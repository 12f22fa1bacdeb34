"""Tables, figures, page, files and citations, written from rows.

The package can be called: `bench.report("results")` is a report for a notebook
(`bench.report.notebook`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """This package; a function of its name could not stand beside it."""

    def __call__(self, path: str | Path = "results", **chosen: Any) -> Any:
        from bench.report.notebook import report

        return report(path, **chosen)


sys.modules[__name__].__class__ = _Package
