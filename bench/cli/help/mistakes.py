"""Mistyped command lines in words: what the parser says, or what was probably meant."""

from __future__ import annotations

from cyclopts import CycloptsError, UnusedCliTokensError

from bench.analysis.timm_names import TIMM_NAMES
from bench.errors import UsageError
from bench.plugins import models

MODEL_FLAGS = {"run": "--models", "eval": "--model", "match": "--reference"}
"""The flag of each command that a model is given with."""


def in_words(error: CycloptsError) -> str:
    """Return the message for an error of the parser; a bare model is told its flag."""
    command = " ".join(error.command_chain or ())
    unused = error.unused_tokens or []
    if isinstance(error, UnusedCliTokensError) and command in MODEL_FLAGS and unused:
        return _bare(command, ",".join(unused))
    return str(error)


def _bare(command: str, words: str) -> str:
    """Return what to write instead of words without a flag."""
    flag, names = MODEL_FLAGS[command], words.split(",")
    if all(map(_is_model, names)):
        are = "is a model" if len(names) == 1 else "are models"
        return f"{command}: {words!r} {are}; write {flag} {words}"
    likely = models.suggestion(words)
    hint = f"did you mean {flag} {likely}?" if likely else f"models follow {flag}"
    return f"{command}: {words!r} follows no flag; {hint}"


def _is_model(name: str) -> bool:
    """True for the name of a model, and for one that is spelled like a path; runs no such file."""
    plain = name.partition("@")[0]
    if ":" in plain or plain in TIMM_NAMES:  # known without importing torch
        return True
    try:
        models.get(plain)
    except UsageError:
        return False
    return True
