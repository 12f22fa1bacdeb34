"""Multiply-adds of an einsum: pair by pair, in the order in which torch contracts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_letters

Sizes = dict[str, int]
"""The size of each index of one operand."""


def macs(equation: str, shapes: Sequence[Sequence[int]], path: Sequence[int] | None = None) -> int:
    """Multiply-adds of `torch.einsum(equation, ...)` on operands of these shapes.

    `path` lists the two operands of each step, as torch is given it; without one they are contracted from the left. A
    step that sums over nothing that both operands have works element by element and is no product.
    """
    operands, result = _read(equation, shapes)
    steps = list(path or [])
    total = 0
    while len(operands) > 1:
        first, second = sorted((steps.pop(0), steps.pop(0))) if path else (0, 1)
        right, left = operands.pop(second), operands.pop(first)
        needed = set(result).union(*operands)
        total += _pair(left, right, needed)
        both = {
            index: max(left.get(index, 1), right.get(index, 1))
            for index in (*left, *right)
            if index in needed
        }
        operands.insert(len(operands) if path else 0, both)
    return total


def _pair(left: Sizes, right: Sizes, needed: set[str]) -> int:
    """Multiply-adds of one step. What only one operand has and nobody needs is summed first, which is no product."""
    summed = {
        index for index in left if index not in needed and min(left[index], right.get(index, 1)) > 1
    }
    if not summed:
        return 0
    kept = {index for index in (*left, *right) if index in needed}
    return math.prod(max(left.get(index, 1), right.get(index, 1)) for index in summed | kept)


def _read(equation: str, shapes: Sequence[Sequence[int]]) -> tuple[list[Sizes], str]:
    """The operands with the sizes of their indices, and the indices of the result. Dots are as many letters as needed."""
    terms, arrow, result = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    hidden = [
        len(shape) - len(name.replace("...", "")) if "..." in name else 0
        for name, shape in zip(names, shapes, strict=True)
    ]
    dots = "".join(letter for letter in ascii_letters if letter not in equation)[: max(hidden)]
    operands = []
    for name, shape, many in zip(names, shapes, hidden, strict=True):
        indices = name.replace("...", dots[len(dots) - many :])
        operands.append(dict(zip(indices, shape, strict=True)))
    if not arrow:
        plain = terms.replace("...", "").replace(",", "")
        result = "..." + "".join(sorted(letter for letter in plain if plain.count(letter) == 1))
    return operands, result.replace("...", dots)
