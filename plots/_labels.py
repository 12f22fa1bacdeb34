"""Names beside points, moved apart where they would overlap."""

from __future__ import annotations

import math
from itertools import product
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

Side = Literal["left", "center", "right"]

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
REACHES = (1.0, 1.8, 2.8, 4.0, 5.5)


def place(
    figure: Figure, axes: Axes, points: list[tuple[float, float, str, str]], obstacles: list[Bbox]
) -> None:
    """Write the text of each point (x, y, text, colour) near it, clear of texts, points, obstacles.

    Obstacles are boxes in display coordinates. If no place is free, that with the least overlap is
    taken. Texts far from their points get a thin line to them.
    """
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axes.get_window_extent(renderer)
    taken = [*obstacles]
    for x, y, *_ in points:
        px, py = axes.transData.transform((x, y))
        taken.append(Bbox.from_extents(px - 7, py - 7, px + 7, py + 7))
    for x, y, text, colour in sorted(points, key=lambda point: -point[1]):
        label = axes.annotate(
            text,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=7.5,
            color=colour,
            va="center",
        )
        label.set_in_layout(False)
        dx, dy, side = _best_offset(label, renderer, taken, frame)
        taken.append(_moved(label, renderer, dx, dy, side))
        if max(abs(dx), abs(dy)) > 12:
            axes.annotate(
                "",
                (x, y),
                xytext=(dx, dy),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5},
            )
    figure.set_layout_engine(None)  # the places hold for this arrangement only


def _best_offset(
    label: Annotation, renderer: object, taken: list[Bbox], frame: Bbox
) -> tuple[float, float, Side]:
    """Return the first offset without overlap, else that with the least."""
    least, best = math.inf, NEAR[0]
    for reach, (dx, dy, side) in product(REACHES, NEAR):
        offset = (dx * reach, dy * reach, side)
        cost = _cost(_moved(label, renderer, *offset), taken, frame)
        if cost < least:
            least, best = cost, offset
        if cost == 0:
            break
    return best


def _moved(label: Annotation, renderer: object, dx: float, dy: float, ha: Side) -> Bbox:
    label.set_horizontalalignment(ha)
    label.set_position((dx, dy))
    return label.get_window_extent(renderer).padded(1)  # type: ignore[arg-type]


def _cost(box: Bbox, taken: list[Bbox], frame: Bbox) -> float:
    """Return the area of overlaps, and three times the area outside the axes, in pixels."""
    cost = 0.0
    for other in taken:
        shared = Bbox.intersection(box, other)
        if shared is not None:
            cost += shared.width * shared.height
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside is not None else 0.0)
    return cost + (outside * 3 if outside > 1e-6 else 0.0)
