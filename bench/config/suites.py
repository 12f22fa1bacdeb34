"""Suites: files of TOML with the same fields as the flags of `bench run`."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.config.run_config import RunConfig
from bench.errors import UsageError
from bench.files.foreign_errors import content_of, refusing

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUITES = Path(__file__).parents[1] / "suites"
DEFAULT_SUITE = "quick"
LARGEST_SUITE = 256 << 10
"""Largest size of a suite file in bytes."""
MOST_DOTS = 500
"""Most dots in a line of a suite file: parsing a dotted key takes time quadratic in its parts."""


def suite_fields(name: str) -> dict[str, Any]:
    """Return the fields of a suite: a name from `bench/suites/` or a path to a TOML file.

    Raises UsageError if there is no such file, or if it cannot be read or has unknown fields.
    """
    path = _suite_file(name)
    content = _parsed_suite(path)
    if "address" in content:  # a cluster runs code in every program that joins it
        raise UsageError(
            f"--suite: {path} names a cluster to join; give --address on the command line instead"
        )
    known = [field.name for field in fields(RunConfig)]
    for key, value in content.items():
        if key.replace("-", "_") not in known:
            raise UsageError(
                f"--suite: {path} has an unknown field {key[:80]!r}; known are {', '.join(known)}"
            )
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in items):
            raise UsageError(
                f"--suite: {path}: {key} is a table or a list of lists; "
                "give a value or a list of values"
            )
    return content


def _suite_file(name: str) -> Path:
    path = Path(name) if name.endswith(".toml") else SUITES / f"{name}.toml"
    if path.exists() and not path.is_file():
        raise UsageError(f"--suite: {path} is a folder, a pipe or a device; give a TOML file")
    if not path.is_file():
        known = ", ".join(sorted(suite.stem for suite in SUITES.glob("*.toml")))
        raise UsageError(f"--suite: no suite {name!r}; give one of {known}, or a path to a .toml")
    return path


def _parsed_suite(path: Path) -> dict[str, Any]:
    text = content_of(
        path, LARGEST_SUITE, lambda words: UsageError(f"--suite: {path} cannot be read ({words})")
    )
    with refusing(lambda words: UsageError(f"--suite: {path} is not valid TOML: {words}")):
        if any(line.count(b".") > MOST_DOTS for line in text.split(b"\n")):
            raise ValueError(f"more than {MOST_DOTS} dots in a line")
        return tomllib.loads(text.decode())
