"""Numbers as text, CSV and LaTeX: rounded alike everywhere, escaped, nothing lost."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.cards import findings_card, reports_card
from hilum.evaluation.card import Number
from hilum.evaluation.printed.page import render_card
from hilum.evaluation.printed.tables import card_csv, card_latex, ends, escaped, p_value, rounded, signed, with_interval


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (0.50349, "bleu_1", "0.503"),
        (37.04, "sacrebleu", "37.0"),
        (57.0, "n_reference_edema", "57"),
        (2.0516, "cider", "2.052"),
        (math.nan, "", "–"),
        (None, "", "–"),
        (-0.0001, "", "0.000"),
        (math.inf, "", "∞"),
        (1234.56, "", "1234.6"),
    ],
)
def test_rounding(value, name, expected) -> None:
    assert rounded(value, name) == expected


def test_differences_p_values_and_intervals() -> None:
    assert (signed(0.0123), signed(-0.0123), signed(0.0), signed(0.00001)) == ("+0.012", "-0.012", "0.000", "0.000")
    assert (p_value(0.0009), p_value(0.04), p_value(None), p_value(math.nan)) == ("<0.001", "0.040", "", "–")
    assert ends(0.1, 0.2) == "[0.100, 0.200]"
    assert ends(math.nan, math.nan) == ""


def test_the_csv_holds_every_attribute_of_every_number() -> None:
    card = reports_card()
    rows = list(csv.DictReader(io.StringIO(card_csv(card))))
    assert len(rows) == len(card.numbers)
    for row, number in zip(rows, card.numbers, strict=True):
        assert (row["name"], row["system"], row["convention"]) == (number.name, number.system, number.convention)
        assert row["group"] == (number.group or "")
        assert row["estimate"] == ("" if math.isnan(number.estimate) else repr(number.estimate))
        assert row["shown"] == with_interval(number)


def test_page_csv_and_latex_print_a_number_alike() -> None:
    card = reports_card()
    number = card.number("micro_f1_14")
    shown, interval = with_interval(number).split(" ", 1)
    assert f"{shown} {interval}" in card_latex(card)
    assert f'{shown} <span class="ci">{interval}</span>' in render_card(card)
    assert with_interval(number) in card_csv(card)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_escaped_text_has_no_bare_special(text) -> None:
    made = escaped(text)
    without = re.sub(r"\\(text[a-z]+\{\}|ldots\{\}|[{}&%$#_])|\$\\infty\$", "", made)
    assert not re.search(r"[\\{}&%$#_~^<>|]", without)


@pytest.mark.parametrize("make", [reports_card, findings_card])
def test_latex_is_balanced_and_regular(make) -> None:
    made = card_latex(make())
    for kind in ("table*", "tabular"):
        assert made.count(rf"\begin{{{kind}}}") == made.count(rf"\end{{{kind}}}") == 3
    plain = re.sub(r"\\[{}&%$#_]", "", "\n".join(line for line in made.splitlines() if not line.startswith("%")))
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    for head, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", plain, re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows
        assert {row.count("&") for row in rows} == {len(head) - 1}
    assert make().system not in made or make().system == escaped(make().system)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("make", [reports_card, findings_card])
def test_latex_compiles(make, tmp_path) -> None:
    head = "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{card_latex(make())}\\end{{document}}\n", encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_a_number_without_interval_is_printed_alone() -> None:
    number = Number("x", "f", 0.5, math.nan, math.nan, 0.95, 10, 10, "c", "none")
    assert with_interval(number) == "0.500"
    assert with_interval(None) == "–"
