"""What every self-contained HTML page shares: escaping templates, inline SVG, the look. No torch, no network."""

from hilum.pages.plots import (
    UNIT,
    Chart,
    Line,
    Mark,
    Scale,
    chart,
    forest_axis,
    forest_row,
    histogram,
    nice_scale,
    symbol,
)
from hilum.pages.printable import printable, printable_name
from hilum.pages.svg import bar, reliability
from hilum.pages.template import render

__all__ = [
    "UNIT",
    "Chart",
    "Line",
    "Mark",
    "Scale",
    "bar",
    "chart",
    "forest_axis",
    "forest_row",
    "histogram",
    "nice_scale",
    "printable",
    "printable_name",
    "reliability",
    "render",
    "symbol",
]
