"""What every self-contained HTML page shares: escaping templates, inline SVG, the look. No torch, no network."""

from hilum.pages.printable import printable, printable_name
from hilum.pages.svg import bar, reliability
from hilum.pages.template import render

__all__ = ["bar", "printable", "printable_name", "reliability", "render"]
