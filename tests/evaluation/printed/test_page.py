"""The page of a card: well-formed, self-contained, says first what matters, says what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evaluation.cards import bare_reports_card, findings_card, reports_card
from evaluation.made_up import made_up
from hilum.evaluation.card import Comparison, Number, Skipped, Verdict
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.printed.checklists import fill
from hilum.evaluation.printed.page import TEMPLATES, render_card
from hilum.evaluation.reports.floors import CONSTANT_NORMAL
from hilum.evaluation.reports.judge import JudgeOptions, judge_reports
from hilum.pages.template import HERE
from hilum.records import NAMES

CARDS = (reports_card, bare_reports_card, findings_card)
_VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Checks nesting; keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def words(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(read(page).text))


@pytest.fixture(params=CARDS, ids=lambda make: make.__name__)
def card(request):
    made = request.param()
    return made.with_checklist(fill(made))


def test_the_page_is_well_formed_and_fetches_nothing(card) -> None:
    page = render_card(card)
    reader = read(page)
    assert not reader.open
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in reader.tags)
    for tag, attributes in reader.tags:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("href", "src"):
            if value := attributes.get(name):
                assert value.startswith(("#", "data:image/png;base64,")), (tag, value)
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for _, a in reader.tags if (value := a.get("href")) and value.startswith("#")}
    assert targets <= set(ids), targets - set(ids)


def test_those_who_cannot_see_it_can_read_it(card) -> None:
    tags = read(render_card(card)).tags
    tables = [attributes for tag, attributes in tags if tag == "table"]
    assert sum(tag == "caption" for tag, _ in tags) == len(tables)
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")
    for tag, attributes in tags:
        if tag == "svg" and attributes.get("role") == "img":
            assert attributes["aria-label"]
        if attributes.get("class") == "wide":
            assert (attributes["tabindex"], attributes["role"]) == ("0", "region")
            assert attributes["aria-label"]


def test_the_headline_stands_before_everything_else(card) -> None:
    page = render_card(card)
    places = [page.index(f'id="{name}"') for name in ("verdicts", "headline", "baseline", "groups", "conventions")]
    assert places == sorted(places)
    first = words(page[: page.index("<nav")])
    assert str(card.data["studies"]) in first
    for verdict in card.verdicts:
        assert ("GRAVE: " if verdict.grave else "Note: ") in first


def test_grave_verdicts_are_told_by_word_and_shape() -> None:
    pairs = made_up(60)
    rows = tuple(replace(row, prediction=CONSTANT_NORMAL["both"]) for row in pairs.rows)
    options = JudgeOptions(resampling=Resampling(n_resamples=100, n_permutations=100), with_meteor=False)
    page = render_card(judge_reports(replace(pairs, rows=rows), options))
    first = page[: page.index("<nav")]
    assert "GRAVE: One normal report for everything" in words(first)
    assert first.count('class="verdict grave"') == first.count('class="sign"') >= 1
    assert "No grave verdict" not in first


def test_every_measure_of_a_card_of_reports_is_on_its_page() -> None:
    card = reports_card()
    text = words(render_card(card))
    for heading in ("What it invents and misses", "Made up", "Comparison without a prior", "Distinct reports",
                    "ROUGE-L", "Protocol r2gen", "Four-state agreement", "uncertain as present",
                    "Words outside"):  # fmt: skip
        assert heading in text
    for name in NAMES:
        assert name in text
    assert "Labeller's own F1" in text
    assert "It was not measured" in text, "the weights are said to be a convention"


def test_evidence_is_marked_by_more_than_colour() -> None:
    page = render_card(reports_card())
    assert "<mark>" in page
    assert "text-decoration: underline" in page
    assert "says nothing of it" in page


def test_what_comes_from_outside_is_escaped() -> None:
    card = reports_card()
    odd = Verdict("odd", "<script>alert(1)</script>")
    page = render_card(replace(card, verdicts=(odd,), skipped=(Skipped("<b>", "</td>"),)))
    read(page)
    assert "<script>alert" not in page
    assert "made &lt;up&gt; &amp; found" in page


def test_the_findings_page_draws_and_names_what_is_not_judged() -> None:
    page = render_card(findings_card())
    text = words(page)
    for heading in (
        "Not judged, which is not “absent”",
        "Pneumothorax",
        "Net benefit",
        "Heat maps",
        "coin",
        "2 examples did",
    ):
        assert heading in text
    for title in ("ROC", "Precision and recall", "Calibration", "Scores"):
        assert page.count(f">{title}</text>") == 3
    assert page.count('<image id="p1"') == 1
    assert "text is burned in" in text


def test_what_a_card_lacks_is_said(card) -> None:
    bare = replace(
        card, details={}, comparisons=(), checklist=(), numbers=(), verdicts=(), groups_left_out={}, skipped=()
    )
    text = words(render_card(bare))
    assert "Not available" in text
    assert "No baseline was given" in text
    assert "the card was written without checklists" in text


def test_half_a_detail_is_said_to_be_missing() -> None:
    card = findings_card()
    details = {
        **card.details,
        "findings": {"Edema": {"n_positive": 5, "n_negative": 6}},
        "gallery": None,
        "pointing": None,
    }
    text = words(render_card(replace(card, details=details)))
    assert "Not available: roc, precision recall, reliability, decision, scores" in text
    assert "no boxes were given" in text


def test_measures_from_elsewhere_have_a_place_too() -> None:
    card = bare_reports_card()
    new = Number("radgraph_f1", "learned", 0.3, 0.2, 0.4, 0.95, 60, 30, "radgraph:x", "bootstrap")
    assert "RadGraph F1" in words(render_card(replace(card, numbers=(*card.numbers, new))))


def test_every_convention_is_given_in_full_once() -> None:
    card = reports_card()
    page = render_card(card)
    for convention in {one.convention for one in card.numbers}:
        assert page.count(f'<p class="code">{convention.replace("&", "&amp;").replace(chr(39), "&#39;")}</p>') == 1


@pytest.mark.parametrize(
    ("low", "high", "better", "p_holm", "said"),
    [
        (0.1, 0.3, "higher", None, "judged"),
        (0.1, 0.3, "lower", None, "baseline"),
        (-0.1, 0.3, "higher", None, "not told apart"),
        (0.1, 0.3, "higher", 0.2, "judged, but not after Holm"),
        (0.1, 0.3, "none", None, "differs"),
    ],
)
def test_which_system_is_better(low, high, better, p_holm, said) -> None:
    row = Comparison("bleu_1", 0.5, 0.3, 0.2, low, high, 0.01, 60, "c", "m", p_holm, better)
    card = replace(bare_reports_card(), comparisons=(row,))
    assert f'data-label="Which is better">{said}<' in render_card(card)


def test_the_page_is_light(card) -> None:
    assert len(render_card(card).encode()) < 1_500_000


def test_a_card_says_what_its_references_are_and_shows_what_its_maker_notes():
    noted = (Verdict("composed_references", "Nobody wrote them."), Verdict("mine", "Of no weight.", grave=False))
    options = JudgeOptions(
        resampling=Resampling(n_resamples=100, n_permutations=100), with_meteor=False, references="sentences & labels",
        notes=noted,
    )  # fmt: skip
    card = judge_reports(made_up(40), options)
    assert card.data["references"] == "sentences & labels"
    assert [one for one in card.verdicts if one in noted] == list(noted)
    said = words(render_card(card))
    assert "draft reports against sentences & labels" in said
    assert "GRAVE: Not held against radiologists' reports" in said
    assert '<p class="who">Radiologist</p>' not in render_card(card)
    assert '<p class="who">Radiologist</p>' in render_card(bare_reports_card())
    answers = " ".join(item.answer or "" for item in fill(card))
    assert "Texts: no radiologist's, but sentences & labels" in answers
    assert "Reports: radiologists" in " ".join(item.answer or "" for item in fill(bare_reports_card()))
    assert "draft reports against radiologists' reports" in words(render_card(bare_reports_card()))


def rules(sheet) -> set[str]:
    return {line.strip() for line in sheet.read_text(encoding="utf-8").splitlines() if line.rstrip().endswith(" }")}


def test_a_rule_stands_in_one_sheet_alone() -> None:
    paper = rules(HERE / "paper.css")
    assert len(paper) > 50
    assert not paper & rules(HERE / "base.css")
    sheets = sorted(TEMPLATES.glob("*.css"))
    assert [sheet.stem for sheet in sheets] == ["card", "league"]
    for sheet in sheets:
        assert not rules(sheet) & (paper | rules(HERE / "base.css")), sheet.name
