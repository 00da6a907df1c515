"""Inline drawings: well-formed, escaped, true to their numbers."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.pages import bar, reliability
from hilum.statistics import reliability as measure


def elements(svg, name):
    return [e for e in ET.fromstring(str(svg)).iter() if name in e.get("class", "").split()]


unit = st.floats(0, 1, allow_nan=False)


@given(unit, unit, st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20))
def test_bar_is_well_formed_and_says_which_side_of_the_threshold(value, threshold, label):
    svg = bar(value, threshold, label=label)
    root = ET.fromstring(str(svg))
    assert root.get("aria-label") == label
    assert bool(elements(svg, "above")) == (value >= threshold)
    (tick,) = elements(svg, "tick")
    assert 0 <= float(tick.get("x")) + 0.5 <= 200


def test_bar_length_is_the_value():
    (track,) = elements(bar(0.25, None, label="x"), "track")
    (value,) = elements(bar(0.25, None, label="x"), "value")
    assert float(value.get("width")) / float(track.get("width")) == pytest.approx(0.25)
    assert not elements(bar(None, 0.5, label="x"), "value")


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_bar_refuses_numbers_off_its_scale(wrong):
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        bar(wrong, None, label="x")
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        bar(None, wrong, label="x")


def test_reliability_puts_each_bin_at_its_score_and_share():
    rng = np.random.default_rng(7)
    scores = rng.random(500)
    result = measure((rng.random(500) < scores).astype(int), scores, n_bins=5)
    svg = reliability(result, title="Edema <b>")
    points = elements(svg, "point")
    assert len(points) == len(result.bins)
    for point, b in zip(points, result.bins, strict=True):
        assert (float(point.get("cx")) - 46) / 244 == pytest.approx(b.mean_score, abs=1e-3)
        assert 1 - (float(point.get("cy")) - 28) / 244 == pytest.approx(b.observed.estimate, abs=1e-3)
    assert "500 cases" in ET.fromstring(str(svg)).get("aria-label")
