"""Forest rows, axes and charts: well-formed, escaped, true to their numbers, told apart without colour."""

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.pages import UNIT, Chart, Line, Mark, chart, forest_axis, forest_row, histogram, nice_scale, symbol

finite = st.floats(-1e6, 1e6)


def drawn(svg):
    return ET.fromstring(str(svg))


def of_class(svg, name):
    return [e for e in drawn(svg).iter() if name in e.get("class", "").split()]


@given(st.lists(finite, min_size=1, max_size=8))
def test_a_nice_scale_holds_what_it_shows(values):
    scale = nice_scale(values, holds=[0.0])
    unseen = 1e-6 * (max(*values, 0.0) - min(*values, 0.0) + 1)
    assert scale.low <= min(*values, 0.0) + unseen
    assert scale.high >= max(*values, 0.0) - unseen
    assert len(scale.ticks) <= 8
    assert list(scale.ticks) == sorted(set(scale.ticks))
    assert all(0 <= scale.at(value) <= 100 for value in values)


def test_a_nice_scale_of_nothing_is_a_scale():
    assert nice_scale([math.nan]).low < nice_scale([math.nan]).high
    assert nice_scale([0.3]).low < 0.3 < nice_scale([0.3]).high


def test_a_mark_stands_at_its_value_and_its_whisker_at_its_interval():
    svg = forest_row([Mark(0.5, "square", "system .5", 0.25, 0.75), Mark(0.1, "circle", "floor .1", lane=1)], UNIT)
    line, *caps = of_class(svg, "whisker")
    assert (line.get("x1"), line.get("x2")) == ("25.00%", "75.00%")
    assert len(caps) == 2
    places = [e.get("x") for e in drawn(svg) if e.tag == "g" for e in e if e.tag == "svg"]
    assert places == ["50.00%", "10.00%"]
    assert drawn(svg).get("aria-label") == "system .5; floor .1"


def test_what_is_not_known_is_not_drawn_but_said():
    svg = forest_row([Mark(math.nan, "square", "undefined")], UNIT, reference=0.5)
    assert not of_class(svg, "filled")
    assert drawn(svg).get("aria-label") == "undefined"
    assert len(of_class(svg, "reference")) == 1


def test_shapes_differ():
    shapes = {str(symbol(shape)) for shape in ("square", "box", "circle", "triangle", "diamond", "bar", "cross")}
    assert len(shapes) == 7


def test_the_axis_names_its_ticks():
    assert [e.text for e in drawn(forest_axis(UNIT))] == ["0", "0.25", "0.5", "0.75", "1"]


def test_a_chart_draws_its_lines_and_escapes_its_words():
    frame = Chart("Edema <b>", "1 - specificity", "sensitivity")
    svg = chart(frame, [Line([(0, 0), (1, 1)]), Line([(0, 0), (0.5, math.nan), (1, 0)], "dashed", "chance")],
                band=[(0, 0), (1, 0), (1, 1)], point=(0.5, 0.5), says="AUROC .9")  # fmt: skip
    assert drawn(svg).get("aria-label") == "Edema <b>. AUROC .9"
    solid, *dashed = of_class(svg, "line")
    assert solid.get("points") == "46.0,272.0 290.0,28.0"
    assert len(dashed) == 2, "a point that is not known breaks the line"
    assert len(of_class(svg, "band")) == 1
    assert len(of_class(svg, "stroke")) == 1


@pytest.mark.parametrize(
    ("most", "name", "ticks"),
    [
        (1.0, "rate", ["0", "0.25", "0.5", "0.75", "1"]),
        (8.0, "rate", ["0", "2", "4", "6", "8"]),
        (0.002, "rate (10⁻³)", ["0", "0.5", "1", "1.5", "2"]),
        (3e-5, "rate (10⁻⁶)", ["0", "10", "20", "30"]),
        (100_000.0, "rate (10³)", ["0", "25", "50", "75", "100"]),
    ],
)
def test_no_tick_reaches_into_the_name_of_its_axis(most, name, ticks):
    svg = drawn(chart(Chart("Learning rate", "step", "rate", y=nice_scale([most, 0.0])), []))
    written = [e for e in svg.iter() if e.tag == "text"]
    assert [e.text for e in written if "rotate" in e.get("transform", "")] == [name]
    assert [e.text for e in written if e.get("x") == "42"] == ticks


@given(st.lists(finite, min_size=1, max_size=8))
def test_tick_labels_are_short_and_differ(values):
    scale = nice_scale(values, holds=[0.0])
    svg = drawn(chart(Chart("", "", "", y=scale), []))
    written = [e.text for e in svg.iter() if e.tag == "text" and e.get("x") == "42"]
    assert len(set(written)) == len(scale.ticks)


def test_a_histogram_draws_one_bar_for_each_bin_that_holds_something():
    svg = histogram([0, 0.5, 1], [0, 3], [2, 2], title="Scores", labels=("positive", "negative"))
    assert len(of_class(svg, "filled")) == 1
    assert len(of_class(svg, "hollow")) == 2
    with pytest.raises(ValueError, match="edges"):
        histogram([0, 1], [1, 2], [1, 2], title="", labels=("", ""))
