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

from hilum.records import NAMES, Assessment, Radiograph, Report, Study
from hilum.reporting import render_page
from hilum.reporting.result import UNTESTED_MAP, ImageSummary


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
    assert set(heat) == {"0"}
    assert set(heat["0"]) == {b["data-finding"] for b in buttons}


def test_a_heat_map_says_what_the_expert_says_it_is(result):
    """As `hilum.models.expert.Expert.heatmaps` has it: from the threshold to the picture's strongest place."""
    page = render_page(result)
    text = Elements(page).text
    assert "threshold strongest place" in text  # the two ends of the scale, and no 0 and 1 of a score
    assert "where in the picture the score comes from, not how strongly" in text
    assert "Not the outline of a lesion" in text
    assert "threshold" not in re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]  # values are drawn as they are


def test_an_untested_map_is_said_to_show_what_moved_the_score(result):
    page = Elements(render_page(replace(result, pointing=("Edema",))))
    says = {b["data-finding"]: b["data-says"] for b in page.all("button") if "data-finding" in b}
    assert [name for name in says if UNTESTED_MAP not in says[name]] == ["Edema"]


def test_maps_of_absent_findings_are_asked_for_and_called_absent(result):
    implied = tuple(replace(f, score=0.2) if f.name == "Lung Opacity" else f for f in result.findings)
    page = Elements(render_page(replace(result, findings=implied)))
    says = {b["data-finding"]: (b["data-present"], b["data-says"]) for b in page.all("button") if "data-finding" in b}
    assert says["Lung Lesion"] == ("true", f"Present: score 0.81, threshold 0.40. {UNTESTED_MAP}")
    assert says["Edema"][0] == "false"
    assert says["Edema"][1].startswith("Absent: score 0.12, threshold 0.40.")
    assert "its own score 0.20 is below the threshold 0.40" in says["Lung Opacity"][1]
    assert [name for name in says if says[name][0] == "true"] == list(says)[:2]  # present ones first
    (box,) = (i for i in page.all("input") if i["type"] == "checkbox")
    assert "checked" not in box
    assert "Offer maps of absent findings too" in page.text


def test_where_no_finding_is_absent_no_maps_of_absent_ones_are_offered(result):
    found = tuple(replace(f, present=True) if f.assessed else f for f in result.findings)
    page = Elements(render_page(replace(result, findings=found)))
    assert [i for i in page.all("input") if i["type"] == "checkbox"] == []
    assert all(b["data-present"] == "true" for b in page.all("button") if "data-finding" in b)


def test_of_several_images_with_maps_the_highest_score_is_said_to_be_that(result):
    maps = {(index, name): values for (_, name), values in result.heatmaps.items() for index in (0, 1)}
    page = Elements(render_page(replace(result, heatmaps=maps)))
    says = [b["data-says"] for b in page.all("button") if "data-finding" in b]
    assert all("the highest of the study's images" in words for words in says)


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


def test_what_nobody_looked_for_is_said_whoever_looked(result):
    given = tuple(
        Assessment(name, True, present=True) if name == "Edema" else Assessment.unassessed(name) for name in NAMES
    )
    text = Elements(render_page(replace(result, findings=given, findings_source="given", heatmaps={}))).text
    assert "Not assessed (which is not absent): No Finding, Enlarged Cardiomediastinum, Cardiomegaly" in text
    nobody = tuple(map(Assessment.unassessed, NAMES))
    for source, words in (("none", "No expert was asked"), ("given", "No finding was given as present.")):
        text = Elements(render_page(replace(result, findings=nobody, findings_source=source, heatmaps={}))).text
        assert words in text
        assert "Not assessed : all 14 findings; nobody looked for any." in text


def test_a_sentence_that_denies_what_was_found_is_marked_with_a_word(result):
    page = Elements(render_page(replace(result, report=Report("No nodule or mass. No fracture.", "Normal."))))
    titles = [mark["title"] for mark in page.all("mark")]
    assert titles[0] == "assessed as present: Lung Lesion"
    assert titles[1] == "not assessed: Fracture"
    assert titles[2].startswith("assessed as present: Lung Lesion, Lung Opacity; not assessed: Enlarged")
    assert "No nodule or mass. assessed as present: Lung Lesion" in page.text


def test_several_images_are_numbered(result):
    text = Elements(render_page(result)).text
    assert "1. PA" in text
    assert "2. lateral" in text
    assert "2. lateral.png: lateral" in text


def test_names_are_one_line(result):
    page = Elements(render_page(replace(result, source="a\nb\t.png")))
    assert r"a\nb\t.png" in page.text


def test_one_finger_scrolls_the_page(result):
    """A phone's viewer fills its width: a drag on it must not be taken for windowing unless a tool was chosen."""
    page = render_page(result)
    assert "touch-action: pan-y" in page
    assert re.search(r"\.viewer\.held\s*{[^}]*touch-action: none", page)


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
