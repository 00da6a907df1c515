"""The text for a person: complete, at most 80 columns, safe for a terminal, readable without block characters."""

import io
import re
from dataclasses import replace

import pytest

from hilum.errors import Reason
from hilum.records import NAMES, Assessment, Report
from hilum.reporting import Failure
from hilum.reporting.checks import check_draft
from hilum.reporting.text import console_for, print_failure, print_study


def render(result, encoding="utf-8"):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_study(console_for(stream), result)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_lines_fit_80_columns_and_end_without_spaces(result, encoding):
    lines = render(result, encoding).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)


def test_no_colour_or_control_character_off_a_terminal(result):
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\ud800-\udfff]", render(result))


def test_every_part_is_there(result):
    text = " ".join(render(result).split())
    for words in (
        "AI draft, not for diagnosis",
        "FINDINGS Masses",
        "IMPRESSION 1. Masses.",
        "intact. [not assessed: Fracture]",
        "Not assessed: No Finding, Enlarged Cardiomediastinum, Fracture, Support Devices",
        "younger than 18",
        "expert-x 1.0, sha256 abababababab",
        "reporter-x 2.0",
        "decode 0.50",
        "PA, 48 x 60 pixels, spacing unknown",
        "lateral, 30 x 40 pixels, 0.143 x 0.144 mm",
    ):
        assert words in text, words


def test_present_findings_come_first_with_score_threshold_and_word(result):
    lines = [line for line in render(result).splitlines() if "│" in line and "0." in line]
    assert [line.split("  ")[0] for line in lines[:2]] == ["● Lung Lesion", "● Lung Opacity"]
    assert all("0.81" in line and line.endswith("present") for line in lines[:2])
    # 0.81 of 24 cells is 19; the tick stands over the cell of the threshold 0.4
    assert lines[0].count("█") == 18
    assert lines[0].index("│") - lines[0].index("█") == 9
    assert all("present" not in line for line in lines[2:])


def test_ascii_bars_where_the_encoding_has_no_blocks(result):
    text = render(result, "ascii")
    assert "#########|#########....." in text
    assert "* Lung Lesion" in text


def test_given_findings_and_no_findings_say_so(result):
    given_findings = tuple(
        Assessment(name, True, present=True) if name == "Edema" else Assessment.unassessed(name) for name in NAMES
    )
    text = render(replace(result, findings=given_findings, findings_source="given", expert=None))
    assert "FINDINGS GIVEN  by the caller" in text
    assert "\n  Edema\n" in text
    assert "Expert    none" in text
    assert "Not assessed: No Finding, Enlarged" in " ".join(text.split())
    nobody = tuple(map(Assessment.unassessed, NAMES))
    text = " ".join(render(replace(result, findings=nobody, findings_source="none", expert=None)).split())
    assert "none was asked" in text
    assert "Not assessed: all 14 findings; nobody looked for any." in text
    text = " ".join(render(replace(result, findings=nobody, findings_source="given", expert=None)).split())
    assert "No finding was given as present. Not assessed: all 14 findings; nobody looked for any." in text


def test_what_contradicts_the_assessments_is_marked_and_warned_of(result):
    checked = check_draft(result.report, result.findings, "expert")
    text = " ".join(render(replace(result, warnings=(*result.warnings, *checked.notices))).split())
    assert "Masses <img" in text
    assert "No pneumothorax. The bones are intact. [not assessed: Fracture]" in text
    denying = replace(result, report=Report("No nodule or mass.", ""))
    checked = check_draft(denying.report, denying.findings, "expert")
    text = " ".join(render(replace(denying, warnings=(*result.warnings, *checked.notices))).split())
    assert "No nodule or mass. [assessed as present: Lung Lesion]" in text
    assert '- "No nodule or mass." denies Lung Lesion, which the expert calls present.' in text


def test_a_name_cannot_forge_lines(result):
    forged = "a.png\nDRAFT REPORT  signed\tby\u2028nobody\x85"
    image = replace(result.radiographs[0], file=forged)
    text = render(replace(result, source=forged, radiographs=(image, result.radiographs[1])))
    assert text.splitlines()[0] == r"a.png\nDRAFT REPORT  signed\tby\u2028nobody\x85"
    assert [line for line in text.splitlines() if line.startswith("DRAFT REPORT")] == [
        "DRAFT REPORT  AI draft, not for diagnosis"
    ]
    stream = io.StringIO()
    print_failure(console_for(stream), Failure(forged, Reason.NOT_FOUND, "Gone.\nRead: b.png"))
    assert len(stream.getvalue().splitlines()) == 2


def test_images_are_numbered_where_there_are_several(result):
    lines = [line.strip() for line in render(result).splitlines()]
    assert any(line.startswith("2. lateral.png: lateral") for line in lines)


def test_a_finding_present_by_implication_says_so(result):
    implied = tuple(replace(f, score=0.2) if f.name == "Lung Opacity" else f for f in result.findings)
    assert re.search(r"Lung Opacity .*0\.20  present \(implied\)", render(replace(result, findings=implied)))


@pytest.mark.parametrize("padding", range(90))
def test_no_length_of_a_name_makes_it_a_heading(result, padding):
    forged = replace(result, source="x" * padding + "DRAFT REPORT  signed")
    assert "\nDRAFT REPORT  signed" not in "\n" + render(forged) or padding == 0
