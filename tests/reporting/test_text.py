"""The text for a person: complete, at most 80 columns, safe for a terminal, readable without block characters."""

import io
import re
from dataclasses import replace

import pytest

from hilum.records import NAMES, Assessment
from hilum.reporting.text import console_for, print_study


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
    nobody = tuple(map(Assessment.unassessed, NAMES))
    assert "none was asked" in render(replace(result, findings=nobody, findings_source="none", expert=None))


def test_a_finding_present_by_implication_says_so(result):
    implied = tuple(replace(f, score=0.2) if f.name == "Lung Opacity" else f for f in result.findings)
    assert re.search(r"Lung Opacity .*0\.20  present \(implied\)", render(replace(result, findings=implied)))
