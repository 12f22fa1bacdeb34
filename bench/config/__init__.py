"""The options of a run: one frozen dataclass behind the flags and the TOML suites."""

from __future__ import annotations

from bench.config.flags import (
    HOW,
    HOW_LONG,
    IMAGES,
    MINUTES,
    SECONDS,
    TRAINING,
    WHAT,
    WHERE,
    CropMode,
    Interpolation,
    Names,
    Numbers,
    Plain,
    Shares,
    Switch,
)
from bench.config.run_config import (
    COMMAND,
    RunConfig,
    check_batch_sizes,
    check_shape,
    check_view,
)
from bench.config.suites import DEFAULT_SUITE, SUITES, suite_fields

__all__ = [
    "COMMAND",
    "DEFAULT_SUITE",
    "HOW",
    "HOW_LONG",
    "IMAGES",
    "MINUTES",
    "SECONDS",
    "SUITES",
    "TRAINING",
    "WHAT",
    "WHERE",
    "CropMode",
    "Interpolation",
    "Names",
    "Numbers",
    "Plain",
    "RunConfig",
    "Shares",
    "Switch",
    "check_batch_sizes",
    "check_shape",
    "check_view",
    "suite_fields",
]
