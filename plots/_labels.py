"""Names beside points, moved apart where they would overlap."""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

Side = Literal["left", "center", "right"]

# Offsets in points that are tried in turn: the corners, the sides, above and below; then the same further out.
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
OFFSETS = [
    (dx * reach, dy * reach, side) for reach in (1.0, 1.8, 2.8, 4.0, 5.5) for dx, dy, side in NEAR
]


def place(
    figure: Figure, axes: Axes, points: list[tuple[float, float, str, str]], obstacles: list[Bbox]
) -> None:
    """Write `text` in `colour` near each (x, y, text, colour), clear of the other texts, points and `obstacles`.

    Obstacles are boxes in display coordinates. Where no place is free the one with the least overlap is taken, with a
    thin line to its point.
    """
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    frame = axes.get_window_extent(renderer)
    taken = [*obstacles]
    for x, y, *_ in points:
        px, py = axes.transData.transform((x, y))
        taken.append(Bbox.from_extents(px - 7, py - 7, px + 7, py + 7))
    for x, y, text, colour in sorted(points, key=lambda point: -point[1]):
        best: tuple[float, float, float, Side] | None = None
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
        for dx, dy, ha in OFFSETS:
            cost = _cost(_moved(label, renderer, dx, dy, ha), taken, frame)
            if best is None or cost < best[0]:
                best = (cost, dx, dy, ha)
            if cost == 0:
                break
        assert best is not None
        taken.append(_moved(label, renderer, *best[1:]))
        if max(abs(best[1]), abs(best[2])) > 12:
            axes.annotate(
                "",
                (x, y),
                xytext=best[1:3],
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5},
            )
    figure.set_layout_engine(None)  # places were chosen within this arrangement


def _moved(label: Annotation, renderer: object, dx: float, dy: float, ha: Side) -> Bbox:
    label.set_horizontalalignment(ha)
    label.set_position((dx, dy))
    return label.get_window_extent(renderer).padded(1)  # type: ignore[arg-type]


def _cost(box: Bbox, taken: list[Bbox], frame: Bbox) -> float:
    """Overlapping area, and whatever sticks out of the axes."""
    cost = 0.0
    for other in taken:
        if (shared := Bbox.intersection(box, other)) is not None:
            cost += shared.width * shared.height
    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside is not None else 0.0)
    return cost + (outside * 3 if outside > 1e-6 else 0.0)
