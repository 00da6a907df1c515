"""The page of a study: one file, escaped, light, nothing fetched, heat maps off at first."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from hilum.records import Assessment, Radiograph, Study
from hilum.reporting import render_page
from hilum.reporting.result import ImageSummary


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.found, self.words, self._inside = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_nothing_is_fetched_and_nothing_foreign_runs(result):
    page = render_page(result)
    elements = Elements(page)
    for _, attributes in elements.found:
        assert not any(name.startswith("on") or name in ("style", "href", "action") for name in attributes)
        assert attributes.get("src", "data:image/png").startswith("data:image/png")
    scripts = elements.all("script")
    assert [s.get("type") for s in scripts] == ["application/json", None]
    assert "url(" not in page
    assert not re.search(r"https?://", page)


def test_what_files_and_models_say_is_text_not_markup(result):
    page = render_page(result)
    assert "alert(1)" in page
    for attack in ("<script>alert", "<img src=x", "</script><script>"):
        assert attack not in page
    page.encode("utf-8")  # lone surrogates of a path are disarmed


def test_the_picture_inside_is_the_radiograph(result):
    pictures = Elements(render_page(result)).all("img")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]["src"].partition(",")[2]))))
    assert np.array_equal(shown, np.rint(result.study.radiographs[0].pixels * 255).astype(np.uint8))
    assert [(p["width"], p["height"]) for p in pictures] == [("48", "60"), ("30", "40")]


def test_heat_maps_are_there_and_off(result):
    page = render_page(result)
    buttons = [b for b in Elements(page).all("button") if "data-finding" in b]
    assert {b["data-finding"] for b in buttons} == {f.name for f in result.findings if f.assessed}
    assert all(b["aria-pressed"] == "false" for b in buttons)
    heat = json.loads(re.search(r'id="heat">(.*?)</script>', page, re.DOTALL)[1])
    assert set(heat["maps"]["0"]) == {b["data-finding"] for b in buttons}
    assert "1" not in heat["maps"]
    assert set(heat["thresholds"].values()) == {0.4}


def test_it_says_what_a_reader_must_know(result):
    text = Elements(render_page(result)).text
    for words in (
        "AI draft, not for diagnosis",
        "not assessed: Fracture",
        "which is not absent",
        "No <b>spacing</b>.",
        "younger than 18",
        "expert-x 1.0",
        "reporter-x 2.0",
        "Scores are not probabilities",
    ):
        assert words in text, words
    assert result.study_uid not in text


def test_a_derived_no_finding_says_so(result):
    derived = tuple(
        Assessment("No Finding", True, present=False) if f.name == "No Finding" else f for f in result.findings
    )
    assert "No Finding derived from the others no" in Elements(render_page(replace(result, findings=derived))).text


def test_a_large_noisy_picture_is_reduced_until_the_page_is_light(result):
    rng = np.random.default_rng(3)
    image = Radiograph(pixels=rng.random((2600, 2200), dtype=np.float32), source="large.png")
    large = replace(
        result,
        radiographs=(ImageSummary.of(image),),
        study=Study("large.png", (image,)),
        heatmaps={},
        source="large.png",
    )
    page = render_page(large)
    assert len(page) < 5_000_000
    (picture,) = Elements(page).all("img")
    assert picture["height"] == "1536"
    assert "2200 × 2600 pixels, spacing unknown; shown at 1300 × 1536" in Elements(page).text


def test_without_images_there_is_no_page(result):
    with pytest.raises(ValueError, match="holds no images"):
        render_page(result.without_images())
