"""Digests of source files that ignore comments, docstrings and layout."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

LEFT_OUT = ("kind", "type_comment", "type_ignores", "ctx")
"""Fields of a syntax tree that say nothing, or different things in different versions of Python."""


def digest(path: Path) -> str:
    """Return 12 hex digits over a file; for Python code over its syntax tree, in any version."""
    content = path.read_bytes()
    # Installed packages have many files, and those are seldom reformatted.
    if path.suffix == ".py" and "site-packages" not in path.parts:
        # A file that cannot be parsed counts byte by byte.
        with suppress(SyntaxError, ValueError, RecursionError):
            content = repr(_plain(ast.parse(content))).encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _plain(node: Any) -> Any:
    """Return a syntax tree as nested tuples.

    Empty fields are left out, because versions of Python differ in which ones they fill in.
    """
    if isinstance(node, list):
        return tuple(map(_plain, node))
    if not isinstance(node, ast.AST):
        return node
    parts: list[Any] = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if name not in LEFT_OUT and value is not None and value != []:
            parts.append((name, _plain(_without_docstring(node, name, value))))
    return tuple(parts)


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    if not (documented and name == "body" and isinstance(value[0], ast.Expr)):
        return value
    first = value[0].value
    return value[1:] if isinstance(first, ast.Constant) and isinstance(first.value, str) else value


def of_modules(modules: Iterable[ModuleType]) -> str:
    """Return 12 hex digits over the files of modules, regardless of their folders."""
    files = set()
    for module in modules:
        file = getattr(module, "__file__", None)
        if file and Path(file).is_file():
            files.add(Path(file))
    digests = sorted((file.name, digest(file)) for file in files)
    return hashlib.sha256(repr(digests).encode()).hexdigest()[:12]
