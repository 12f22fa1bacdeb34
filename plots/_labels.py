"""Names beside points, clear of each other and of everything drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import STEP_LOOKUP_MAP
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from bench.report.palette import readable

from ._style import arrange

Side = Literal["left", "center", "right"]
Boxes: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
"""Boxes in display coordinates, one per row: left, bottom, right, top."""

# Offsets in points, tried in turn: the corners, the sides, above and below; then the same further
# out.
NEAR: list[tuple[float, float, Side]] = [
    (6, 8, "left"),
    (6, -8, "left"),
    (-6, 8, "right"),
    (-6, -8, "right"),
    (8, 0, "left"),
    (-8, 0, "right"),
    (0, 10, "center"),
    (0, -10, "center"),
]
REACHES = (1.0, 1.4, 1.8, 2.3, 2.8, 3.4, 4.0, 4.7, 5.5, 7.0, 9.0)
LEADING = 12
"""Names further from their points, in points along one axis, get a thin line to them."""
HALF = 6
"""Half the height of a name, in points."""
STEP = 6.0
"""Lines are covered by boxes at most this far apart, in pixels."""
BOXES, LONGEST = 5_000, 1e5
"""A longer line, or a piece of so many pixels, has its boxes further apart: each takes time."""
LINE, MARKER = 3.0, 7.0
"""Half the space that a line and a marker need, in pixels."""


def place(figure: Figure, axes: Axes, points: list[tuple[float, float, str, str]]) -> None:
    """Write the text of each point (x, y, text, colour) near it, clear of texts, points and lines.

    If no place is free, that with the least overlap is taken. A name further out gets a dotted line
    to its point, which looks like no interval. Nothing may be drawn or moved later.
    """
    arrange(figure)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axes.get_window_extent(renderer)
    marks = [axes.transData.transform((x, y)) for x, y, *_ in points]
    drawn = np.array([*_drawn(axes), *(_around(mark, MARKER) for mark in marks)])
    texts = np.empty((0, 4))
    for x, y, text, colour in sorted(points, key=lambda point: -point[1]):
        shade = readable(colour)
        label = axes.annotate(
            text,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=7.5,
            color=shade,
            va="center",
        )
        label.set_in_layout(False)
        mark = axes.transData.transform((x, y))
        dx, dy, side = _best_offset(label, renderer, mark, (drawn, texts), frame)
        texts = np.vstack([texts, _moved(label, renderer, dx, dy, side).extents])
        if _leads(dx, dy):
            end = _end(dx, dy, side)
            drawn = np.vstack([drawn, *_leader(label, mark, end)])
            axes.annotate(
                "",
                (x, y),
                xytext=end,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": "#777777", "lw": 0.7, "ls": ":"},
            )


def _drawn(axes: Axes) -> Iterator[tuple[float, ...]]:
    """Yield the boxes around lines and markers."""
    for line in axes.lines:
        yield from _around_line(line)
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            for segment in collection.get_segments():
                yield from _along(collection.get_transform().transform(segment))


def _around_line(line: Line2D) -> Iterator[tuple[float, ...]]:
    x, y = line.get_xdata(), line.get_ydata()
    transform = line.get_transform()
    if line.get_marker() not in ("None", None, "", " "):
        for vertex in transform.transform(np.column_stack([x, y])):
            yield _around(vertex, MARKER)
    if line.get_linestyle() not in ("None", "", " "):
        stepped = STEP_LOOKUP_MAP[line.get_drawstyle()](x, y)
        yield from _along(transform.transform(np.column_stack(stepped)))


def _along(vertices: Iterable[Any]) -> Iterator[tuple[float, ...]]:
    """Yield small boxes that cover a polyline."""
    path = np.asarray(list(vertices))
    lengths = np.hypot(*np.diff(path, axis=0).T)
    covered = lengths[np.isfinite(lengths)].clip(max=LONGEST)
    step = max(STEP, float(covered.sum()) / BOXES)
    for (start, end), length in zip(pairwise(path), lengths, strict=True):
        if math.isfinite(length):
            for share in np.linspace(0, 1, 2 + int(min(length, LONGEST) / step)):
                yield _around(start + share * (end - start), LINE)


def _around(place: Any, reach: float) -> tuple[float, ...]:
    """Return the box around a place."""
    x, y = map(float, place)
    return x - reach, y - reach, x + reach, y + reach


def _leads(dx: float, dy: float) -> bool:
    return max(abs(dx), abs(dy)) > LEADING


def _end(dx: float, dy: float, side: Side) -> tuple[float, float]:
    """Return where the line to a name ends: at its side, or at its edge above or below a point."""
    return (dx, dy - math.copysign(HALF, dy)) if side == "center" else (dx, dy)


def _leader(label: Annotation, mark: Any, end: tuple[float, float]) -> list[tuple[float, ...]]:
    """Return the boxes along the line from a point to the end at its name."""
    pixels = label.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    return list(_along([mark, mark + np.array(end) * pixels]))


def _best_offset(
    label: Annotation, renderer: object, mark: Any, taken: tuple[Boxes, Boxes], frame: Bbox
) -> tuple[float, float, Side]:
    """Return the first offset without overlap, else that with the least.

    `taken` are the boxes of what is drawn and of the names so far; a leader may cross lines only.
    """
    least, best = math.inf, NEAR[0]
    drawn, texts = taken
    for reach, (dx, dy, side) in product(REACHES, NEAR):
        offset = (dx * reach, dy * reach, side)
        box = _moved(label, renderer, *offset)
        cost = _shared(box, drawn) + _shared(box, texts) + _outside(box, frame)
        if cost < least and len(texts) and _leads(*offset[:2]):
            for piece in _leader(label, mark, _end(*offset)):
                cost += _shared(Bbox.from_extents(*piece), texts)
        if cost < least:
            least, best = cost, offset
        if cost == 0:
            break
    return best


def _moved(label: Annotation, renderer: object, dx: float, dy: float, ha: Side) -> Bbox:
    label.set_horizontalalignment(ha)
    label.set_position((dx, dy))
    return label.get_window_extent(renderer).padded(1)  # type: ignore[arg-type]


def _shared(box: Bbox, taken: Boxes) -> float:
    """Return the area that a box shares with others, in square pixels."""
    width = np.minimum(taken[:, 2], box.x1) - np.maximum(taken[:, 0], box.x0)
    height = np.minimum(taken[:, 3], box.y1) - np.maximum(taken[:, 1], box.y0)
    return float(np.sum(np.clip(width, 0, None) * np.clip(height, 0, None)))


def _outside(box: Bbox, frame: Bbox) -> float:
    """Return three times the area of a box outside the axes, in square pixels."""
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside is not None else 0.0)
    return outside * 3 if outside > 1e-6 else 0.0
