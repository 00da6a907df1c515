"""Drawings of numbers with their intervals, and of curves, as inline SVG that reads in black and white.

What is drawn is told apart by shape and dash, never by colour alone; each drawing says its numbers to those who cannot
see it. The rows of a forest plot are as wide as their container and keep their shapes, since positions are percentages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

Shape = Literal["square", "box", "circle", "triangle", "diamond", "bar", "cross"]
Dash = Literal["solid", "dashed", "dotted"]
Point = tuple[float, float]

_SHAPES: dict[Shape, Markup] = {
    "square": Markup('<rect class="filled" x="-4.5" y="-4.5" width="9" height="9"/>'),
    "box": Markup('<rect class="hollow" x="-4" y="-4" width="8" height="8"/>'),
    "circle": Markup('<circle class="hollow" r="4"/>'),
    "triangle": Markup('<path class="hollow" d="M0 -4.6L4.6 3.6H-4.6Z"/>'),
    "diamond": Markup('<path class="hollow" d="M0 -5L4.4 0L0 5L-4.4 0Z"/>'),
    "bar": Markup('<path class="stroke" d="M0 -6V6"/>'),
    "cross": Markup('<path class="stroke" d="M-4 -4L4 4M-4 4L4 -4"/>'),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Where numbers lie on a line.

    Attributes:
        low, high: its ends.
        ticks: what is written at it.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The place in percent of the width; what lies beyond an end is put there."""
        return 100.0 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


UNIT = Scale(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))


def nice_scale(values: Iterable[float], *, holds: Sequence[float] = ()) -> Scale:
    """A scale with round ends that holds all finite values.

    Args:
        values: what is drawn; those that are not finite are passed over.
        holds: further values that it shall hold, as 0.
    """
    finite = [value for value in (*values, *holds) if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(i * step, 12) for i in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


@dataclass(frozen=True, slots=True)
class Mark:
    """One number of a row.

    Attributes:
        value: not drawn where not finite.
        shape: what it is told from the others by.
        label: what it is, for the tooltip and for those who cannot see it.
        low, high: its interval; none is drawn where not finite.
        lane: 0 the upper, 1 the lower line of the row.
    """

    value: float
    shape: Shape
    label: str
    low: float = math.nan
    high: float = math.nan
    lane: int = 0


def symbol(shape: Shape) -> Markup:
    """A shape alone, for a legend."""
    return Markup('<svg class="symbol" viewBox="-7 -7 14 14" aria-hidden="true">{}</svg>').format(_SHAPES[shape])


def forest_row(marks: Sequence[Mark], scale: Scale, *, reference: float | None = None) -> Markup:
    """One row of a forest plot: marks with their intervals, the ticks as thin lines.

    Args:
        marks: in the order they are said.
        scale: shared by the rows that stand below one `forest_axis`.
        reference: where a dashed line stands, as chance or no difference.

    Returns:
        An `<svg>` as wide as its container; classes `forest`, `grid`, `reference`, `whisker`.
    """
    lanes = 1 + max((mark.lane for mark in marks), default=0)
    height = 20 if lanes == 1 else 32
    parts = [_vertical("grid", scale.at(tick), height) for tick in scale.ticks]
    if reference is not None:
        parts.append(_vertical("reference", scale.at(reference), height))
    parts += [_drawn(mark, scale, 10 + 13 * mark.lane) for mark in marks if math.isfinite(mark.value)]
    said = "; ".join(mark.label for mark in marks) or "no number"
    return Markup('<svg class="forest" width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        height, said, Markup("").join(parts)
    )


def _vertical(name: str, x: float, height: int) -> Markup:
    return Markup('<line class="{0}" x1="{1:.2f}%" x2="{1:.2f}%" y1="0" y2="{2}"/>').format(name, x, height)


def _drawn(mark: Mark, scale: Scale, y: int) -> Markup:
    parts = [Markup("<title>{}</title>").format(mark.label)]
    if math.isfinite(mark.low) and math.isfinite(mark.high):
        ends = scale.at(mark.low), scale.at(mark.high)
        parts.append(Markup('<line class="whisker" x1="{0:.2f}%" x2="{1:.2f}%" y1="{2}" y2="{2}"/>').format(*ends, y))
        parts += [
            Markup('<line class="whisker" x1="{0:.2f}%" x2="{0:.2f}%" y1="{1}" y2="{2}"/>').format(end, y - 3, y + 3)
            for end in ends
        ]
    parts.append(
        Markup('<svg x="{:.2f}%" y="{}" overflow="visible">{}</svg>').format(
            scale.at(mark.value), y, _SHAPES[mark.shape]
        )
    )
    return Markup("<g>{}</g>").format(Markup("").join(parts))


def forest_axis(scale: Scale) -> Markup:
    """The tick labels above the rows of a forest plot."""
    labels = Markup("").join(
        Markup('<text x="{:.2f}%" y="11" text-anchor="{}">{:g}</text>').format(
            scale.at(tick), "start" if tick == scale.low else "end" if tick == scale.high else "middle", tick
        )
        for tick in scale.ticks
    )
    return Markup('<svg class="forest axis" width="100%" height="14" aria-hidden="true">{}</svg>').format(labels)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    Attributes:
        points: `(x, y)` in order; those that are not finite break it.
        dash: what it is told from the others by.
        label: what it is.
    """

    points: Sequence[Point]
    dash: Dash = "solid"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """The frame of a chart.

    Attributes:
        title: its heading.
        x_label, y_label: what the axes are.
        x, y: their scales.
    """

    title: str
    x_label: str
    y_label: str
    x: Scale = UNIT
    y: Scale = UNIT


_LEFT, _TOP, _SIDE = 46.0, 28.0, 244.0
_ROOM, _WIDTHS = 29.0, {".": 3.5, "-": 4.0}  # between the name of the upright axis and the axis; a digit takes 7
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def chart(
    frame: Chart, lines: Sequence[Line], *, band: Sequence[Point] = (), point: Point | None = None, says: str = ""
) -> Markup:
    """Lines over two axes: ROC, precision over recall, net benefit.

    Args:
        frame: title, axes.
        lines: drawn in this order.
        band: corners of an area behind them, as an interval's.
        point: a place marked by a cross, as the threshold's.
        says: what the chart shows, for those who cannot see it.

    Returns:
        An `<svg>` of 320 by 320 units; classes `chart`, `frame`, `band`, `line`, `solid`, `dashed`, `dotted`.
    """
    parts = [_frame(frame)]
    if band:
        parts.append(Markup('<polygon class="band" points="{}"/>').format(_points(frame, band)))
    for line in lines:
        parts += [
            Markup('<polyline class="line {}" points="{}"><title>{}</title></polyline>').format(
                line.dash, _points(frame, run), line.label
            )
            for run in _runs(line.points)
        ]
    if point is not None:
        x, y = _place(frame, point)
        parts.append(Markup('<g transform="translate({:.1f} {:.1f})">{}</g>').format(x, y, _SHAPES["cross"]))
    return Markup('<svg class="chart" viewBox="0 0 320 320" role="img" aria-label="{}">{}</svg>').format(
        f"{frame.title}. {says}" if says else frame.title, Markup("").join(parts)
    )


def _frame(frame: Chart) -> Markup:
    power = _power(frame.y.ticks)
    parts = [
        Markup('<rect class="frame" x="{}" y="{}" width="{}" height="{}"/>').format(_LEFT, _TOP, _SIDE, _SIDE),
        Markup('<text class="title" x="{}" y="16">{}</text>').format(_LEFT, frame.title),
        Markup('<text x="{}" y="314" text-anchor="middle">{}</text>').format(_LEFT + _SIDE / 2, frame.x_label),
        Markup('<text transform="translate(10 {}) rotate(-90)" text-anchor="middle">{}</text>').format(
            _TOP + _SIDE / 2, f"{frame.y_label} (10{str(power).translate(_RAISED)})" if power else frame.y_label
        ),
    ]
    for tick in frame.x.ticks:
        x, _ = _place(frame, (tick, frame.y.low))
        parts.append(Markup('<text x="{:.1f}" y="290" text-anchor="middle">{:g}</text>').format(x, tick))
    for tick in frame.y.ticks:
        _, y = _place(frame, (frame.x.low, tick))
        parts.append(Markup('<text x="42" y="{:.1f}" text-anchor="end">{}</text>').format(y + 4, _tick(tick, power)))
    return Markup("").join(parts)


def _power(ticks: Iterable[float]) -> int:
    """The power of ten taken out of tick labels, which would else reach into the name of their axis; 0 for none."""
    written = list(ticks)
    most = max((abs(tick) for tick in written), default=0.0)
    if most == 0 or all(sum(_WIDTHS.get(c, 7.0) for c in _tick(tick, 0)) <= _ROOM for tick in written):
        return 0
    return 3 * math.floor(math.log10(most) / 3 + 1e-9)


def _tick(value: float, power: int) -> str:
    return f"{value / 10.0**power:g}"


def _place(frame: Chart, point: Point) -> Point:
    return _LEFT + _SIDE * frame.x.at(point[0]) / 100, _TOP + _SIDE * (1 - frame.y.at(point[1]) / 100)


def _points(frame: Chart, points: Iterable[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(frame, point) for point in points))


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """The points cut where one is not finite."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if all(map(math.isfinite, point)):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def histogram(
    edges: Sequence[float], above: Sequence[int], below: Sequence[int], *, title: str, labels: tuple[str, str]
) -> Markup:
    """Two counts over the same bins, back to back: one upwards, one downwards, each as shares of its own.

    Args:
        edges: `[b + 1]`, from 0 to 1.
        above: `[b]`, drawn upwards and filled.
        below: `[b]`, drawn downwards and hollow.
        title: its heading.
        labels: what the two are.

    Raises:
        ValueError: the lengths do not fit.
    """
    if not len(edges) - 1 == len(above) == len(below):
        raise ValueError(f"{len(edges)} edges for {len(above)} and {len(below)} bins")
    frame = Chart(title, "score", "share of cases")
    middle, half = _TOP + _SIDE / 2, _SIDE / 2 - 6
    most = max([*(n / max(sum(above), 1) for n in above), *(n / max(sum(below), 1) for n in below), 1e-9])
    parts = [
        Markup('<rect class="frame" x="{}" y="{}" width="{}" height="{}"/>').format(_LEFT, _TOP, _SIDE, _SIDE),
        Markup('<text class="title" x="{}" y="16">{}</text>').format(_LEFT, title),
        Markup('<text x="{}" y="314" text-anchor="middle">score</text>').format(_LEFT + _SIDE / 2),
        Markup('<text x="{}" y="44" text-anchor="end">{} ({})</text>').format(_LEFT + _SIDE - 6, labels[0], sum(above)),
        Markup('<text x="{}" y="264" text-anchor="end">{} ({})</text>').format(
            _LEFT + _SIDE - 6, labels[1], sum(below)
        ),
        Markup('<line class="line solid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            _LEFT, _LEFT + _SIDE, middle, middle
        ),
    ]
    for tick in frame.x.ticks:
        x, _ = _place(frame, (tick, 0.0))
        parts.append(Markup('<text x="{:.1f}" y="290" text-anchor="middle">{:g}</text>').format(x, tick))
    for counts, name, up in ((above, "filled", True), (below, "hollow", False)):
        for left, right, n in zip(edges, edges[1:], counts, strict=False):
            height = half * n / max(sum(counts), 1) / most
            if n:
                parts.append(
                    Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                        name, _LEFT + _SIDE * left + 0.5, middle - height if up else middle,
                        _SIDE * (right - left) - 1, height,
                    )
                )  # fmt: skip
    return Markup('<svg class="chart" viewBox="0 0 320 320" role="img" aria-label="{}">{}</svg>').format(
        f"{title}: scores of {sum(above)} {labels[0]} and {sum(below)} {labels[1]} cases", Markup("").join(parts)
    )
