"""Source files by what they say: comments, docstrings and layout are no part of it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

LEFT_OUT = ("kind", "type_comment", "type_ignores", "ctx")
"""Fields of a syntax tree that say nothing, or not the same thing in every version of Python."""


def digest(path: Path) -> str:
    """Twelve hex digits over a file: over its syntax tree where it is Python, alike in every version of it."""
    content = path.read_bytes()
    if (
        path.suffix == ".py" and "site-packages" not in path.parts
    ):  # installed files are many, and seldom reformatted
        with suppress(
            SyntaxError, ValueError, RecursionError
        ):  # such a file is what it is, byte by byte
            content = repr(_plain(ast.parse(content))).encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples, empty fields left out: Python's versions differ in what they fill in."""
    if isinstance(node, ast.AST):
        values = ((name, value) for name, value in ast.iter_fields(node) if name not in LEFT_OUT)
        filled = [(name, value) for name, value in values if value is not None and value != []]
        return (
            type(node).__name__,
            *((name, _plain(_without_docstring(node, name, value))) for name, value in filled),
        )
    if isinstance(node, list):
        return tuple(_plain(one) for one in node)
    return node


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    if not (documented and name == "body" and isinstance(value[0], ast.Expr)):
        return value
    first = value[0].value
    return value[1:] if isinstance(first, ast.Constant) and isinstance(first.value, str) else value


def of_modules(modules: Iterable[ModuleType]) -> str:
    """Twelve hex digits over the files of modules, wherever they lie."""
    files = {Path(file) for module in modules if (file := getattr(module, "__file__", None))}
    found = sorted((file.name, digest(file)) for file in files if file.is_file())
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]
