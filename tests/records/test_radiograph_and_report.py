"""Radiograph's pixel contract, and reports read from text however badly written."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.records import Radiograph, Report, SpacingKind, Study, StudyHeader, View


def grey(value: float = 0.5) -> np.ndarray:
    return np.full((2, 3), value, np.float32)


@pytest.mark.parametrize(
    "pixels",
    [grey().astype(np.float64), grey()[None], grey()[:0], grey(1.01), grey(-0.1), grey(np.nan), grey(np.inf)],
)
def test_pixels_that_break_the_contract(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels"):
        Radiograph(pixels, "a")


def test_pixels_are_read_only_and_sizes_named() -> None:
    image = Radiograph(grey(), "a")
    assert (image.height, image.width) == (2, 3)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1
    with pytest.raises(ValueError, match="together"):
        Radiograph(grey(), "a", spacing_mm=(0.1, 0.1))
    assert Radiograph(grey(), "a", spacing_mm=(0.1, 0.2), spacing_kind=SpacingKind.DETECTOR).spacing_mm == (0.1, 0.2)


def test_identifiers_are_not_in_representations() -> None:
    header = StudyHeader(patient_id="SECRET-1", description="SECRET-2")
    study = Study("a", (Radiograph(grey(), "a", header=header),), header=header, indication="SECRET-3")
    assert "SECRET" not in repr(study)


def test_frontal_images() -> None:
    pa, lateral, unknown = (Radiograph(grey(), v, view=v) for v in (View.PA, View.LATERAL, View.UNKNOWN))
    assert Study("s", (unknown, lateral, pa)).frontals == (pa,)
    assert Study("s", (unknown, lateral)).frontals == (unknown,)
    assert Study("s", (lateral,)).frontals == ()
    with pytest.raises(ValueError, match="at least one"):
        Study("s", ())


def codes(report: Report) -> set[str]:
    return {problem.code for problem in report.problems}


@pytest.mark.parametrize(
    ("text", "findings", "impression", "problems"),
    [
        ("FINDINGS: a b. IMPRESSION: c.", "a b.", "c.", set()),
        ("findings:\na\n\nimpression:\n1. c\n2. d", "a", "1. c\n2. d", set()),
        ("1. **Findings**\na\n2) **Impression:** c", "a", "c", set()),
        ("## Findings\na\n## Impression\nc", "a", "c", set()),
        ("IMPRESSION: c\nFINDINGS: a", "a", "c", set()),
        ("FINDINGS: a\nCONCLUSION: c", "a", "c", set()),
        ("Findings - a\nImpression - c", "a", "c", set()),
        ("FINDING: a. Impressions: c", "a.", "c", set()),
        ("Findings are unchanged. The findings: none.", "Findings are unchanged. The findings: none.", "",
         {"no_sections"}),
        ("FINDINGS: a", "a", "", {"missing_impression"}),
        ("IMPRESSION: c", "", "c", {"missing_findings"}),
        ("FINDINGS: IMPRESSION: c", "", "c", {"missing_findings"}),
        ("Chest PA. FINDINGS: a IMPRESSION: c", "Chest PA.\na", "c", {"text_before_sections"}),
        ("FINDINGS: a IMPRESSION: b FINDINGS: c IMPRESSION: d", "a\nc", "b\nd",
         {"repeated_findings", "repeated_impression"}),
        ("FINDINGS AND IMPRESSION: normal", "normal", "", {"combined_sections"}),
        ("**Findings/Impression:** a. b.", "a. b.", "", {"combined_sections"}),
        ("Impression & Findings\na", "a", "", {"combined_sections"}),
        ("FINDINGS AND IMPRESSION: a IMPRESSION: b", "a", "b", {"combined_sections"}),
        ("Chest. FINDINGS / IMPRESSION: a", "Chest.\na", "", {"text_before_sections", "combined_sections"}),
        ("IMPRESSION AND CONCLUSION: c FINDINGS: a", "a", "c", set()),
        ("FINDING(S): a IMPRESSION(S): b", "a", "b", set()),
        ("FINDINGS:IMPRESSION:", "", "", {"missing_findings", "missing_impression"}),
        ("FINDINGS:a.IMPRESSION:b", "a.", "b", set()),
        ("1. FINDINGS: a 2. IMPRESSION: b", "a", "b", set()),
        ("Chest. 1) FINDINGS: a 2) IMPRESSION: b", "Chest.\na", "b", {"text_before_sections"}),
        ("FINDINGS: 1. a 2. b IMPRESSION: 1. c", "1. a 2. b", "1. c", set()),
        # a number that ends a sentence is no number of a heading
        ("FINDINGS: Silicosis of category 2. IMPRESSION: b", "Silicosis of category 2.", "b", set()),
        ("1. FINDINGS: Ratio 0.5. IMPRESSION: b", "Ratio 0.5.", "b", set()),
        ("Small findings and IMPRESSION: b", "Small findings and", "b", {"text_before_sections"}),
        ("Findings and impression are unchanged.", "Findings and impression are unchanged.", "", {"no_sections"}),
        ("", "", "", {"empty_report"}),
        ("   \n", "", "", {"empty_report"}),
    ],
)  # fmt: skip
def test_reading_reports(text: str, findings: str, impression: str, problems: set[str]) -> None:
    report = Report.parse(text)
    assert (report.findings_text, report.impression_text) == (findings, impression)
    assert codes(report) == problems
    assert report.raw == text


sentence = st.lists(
    st.sampled_from(["the", "lungs", "are", "clear", "heart", "size", "normal", "no", "effusion", "seen"]),
    min_size=1,
    max_size=8,
).map(lambda words: " ".join(words).capitalize() + ".")
section = st.lists(sentence, min_size=1, max_size=4)


@given(section, section, st.booleans())
def test_formatting_and_reading_is_a_round_trip(findings: list[str], impression: list[str], numbered: bool) -> None:
    points = [f"{i + 1}. {s}" for i, s in enumerate(impression)] if numbered else [" ".join(impression)]
    report = Report(" ".join(findings), "\n".join(points))
    again = Report.parse(report.format())
    assert (again.findings_text, again.impression_text) == (report.findings_text, report.impression_text)
    assert again.problems == ()


@given(st.text())
def test_any_text_can_be_read_and_read_again(text: str) -> None:
    report = Report.parse(text)
    assert report.raw == text
    once = Report.parse(report.format())
    assert once.format() == Report.parse(once.format()).format()


pieces = st.sampled_from(
    ["FINDINGS", "Finding(s)", "impression", "IMPRESSION", "Conclusion", " and ", "/", " & ", ":", "\n", " ", "1. ",
     "2) ", "3.", "**", "## ", "- ", "alpha", "beta", "gamma. "]
)  # fmt: skip


@given(st.lists(pieces, max_size=25).map("".join))
def test_whatever_the_headings_no_word_is_lost_or_moved_into_another(text: str) -> None:
    report = Report.parse(text)
    read = f"{report.findings_text}\n{report.impression_text}"
    assert sorted(re.findall("alpha|beta|gamma", read)) == sorted(re.findall("alpha|beta|gamma", text))
