"""Multiply-adds of an einsum, pair by pair in the order in which torch contracts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_letters

Sizes = dict[str, int]
"""Size by index of one operand."""


def macs(equation: str, shapes: Sequence[Sequence[int]], path: Sequence[int] | None = None) -> int:
    """Return the multiply-adds of `torch.einsum(equation, ...)` on operands of these shapes.

    `path` lists the two operands of each step, as torch takes it; without one, operands are
    contracted from the left. A step that sums over no index of both operands works element by
    element and does not count.
    """
    operands, result = _read(equation, shapes)
    steps = list(path or [])
    total = 0
    while len(operands) > 1:
        first, second = sorted((steps.pop(0), steps.pop(0))) if path else (0, 1)
        right, left = operands.pop(second), operands.pop(first)
        needed = set(result).union(*operands)
        total += _pair(left, right, needed)
        contracted = {
            index: size for index, size in _broadcast(left, right).items() if index in needed
        }
        operands.insert(len(operands) if path else 0, contracted)
    return total


def _broadcast(left: Sizes, right: Sizes) -> Sizes:
    """Return the sizes of all indices of two operands; a size of 1 is stretched to the other."""
    return {index: max(left.get(index, 1), right.get(index, 1)) for index in (*left, *right)}


def _pair(left: Sizes, right: Sizes, needed: set[str]) -> int:
    """Return the multiply-adds of one step.

    An index of one operand alone that is not needed later is summed first, without a product.
    """
    sizes = _broadcast(left, right)
    summed = set()
    for index in sizes.keys() - needed:
        if min(left.get(index, 1), right.get(index, 1)) > 1:
            summed.add(index)
    if not summed:
        return 0
    return math.prod(sizes[index] for index in summed | (sizes.keys() & needed))


def _read(equation: str, shapes: Sequence[Sequence[int]]) -> tuple[list[Sizes], str]:
    """Return the operands' sizes by index, and the indices of the result.

    Three dots are replaced by unused letters, as many as there are dimensions behind them.
    """
    terms, arrow, result = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    hidden = []
    for name, shape in zip(names, shapes, strict=True):
        named = len(name.replace("...", ""))
        hidden.append(len(shape) - named if "..." in name else 0)
    unused = [letter for letter in ascii_letters if letter not in equation]
    dots = "".join(unused[: max(hidden)])
    operands = []
    for name, shape, many in zip(names, shapes, hidden, strict=True):
        indices = name.replace("...", dots[len(dots) - many :])
        operands.append(dict(zip(indices, shape, strict=True)))
    if not arrow:
        plain = terms.replace("...", "").replace(",", "")
        once = [letter for letter in plain if plain.count(letter) == 1]
        result = "..." + "".join(sorted(once))
    return operands, result.replace("...", dots)
