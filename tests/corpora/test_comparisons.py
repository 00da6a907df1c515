"""Comparisons with priors go, findings stay."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.corpora.comparisons import without_comparisons
from hilum.corpora.open_i import OpenI
from hilum.labeling import Labelling, RuleLabeller

LABELLER = RuleLabeller()


def without(text: str) -> tuple[str, Counter[str]]:
    counts: Counter[str] = Counter()
    return without_comparisons(text, LABELLER, counts), counts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Stable moderate cardiomegaly.", "Moderate cardiomegaly."),
        ("Moderate left pleural effusion, unchanged from the prior study.", "Moderate left pleural effusion."),
        ("Cardiac silhouette is enlarged but unchanged.", "Cardiac silhouette is enlarged."),
        ("Central venous catheter is again noted.", "Central venous catheter is present."),
        ("Interval development of left lower lobe airspace disease.", "There is left lower lobe airspace disease."),
        ("No change in the small right upper lobe nodule.", "There is small right upper lobe nodule."),
        ("No pneumothorax. No significant change from the prior examination.", "No pneumothorax."),
        ("1. Stable chest. 2. Small effusion.", "2. Small effusion."),
        ("Comparison with the previous film shows no change.", ""),
    ],
)
def test_sentences(text: str, left: str) -> None:
    assert without(text)[0] == left


@pytest.mark.parametrize("text", ["Small left effusion.", "The lungs are clear.", "", "No acute bony changes."])
def test_what_compares_nothing_stays_as_it_is(text: str) -> None:
    assert without(text) == (text, Counter())


def test_a_sentence_that_cannot_be_labelled_alone_is_read_with_the_others() -> None:
    label = LABELLER.label

    class Cautious:
        rules = LABELLER.rules

        def label(self, texts: list[str]) -> list[Labelling]:
            return [Labelling(failed="Is it English?") if len(text) < 40 else label([text])[0] for text in texts]

    counts: Counter[str] = Counter()
    text = "The heart and both of the lungs are clear. Mortise stable. Bones are intact. The mortise is stable."
    ready = without_comparisons(text, Cautious(), counts)  # type: ignore[arg-type]
    assert ready == "The heart and both of the lungs are clear. Bones are intact."
    assert counts == {"comparison_sentences_removed": 2}


def test_what_cannot_be_mended_is_counted_apart() -> None:
    text, counts = without("Interval resolution of previously described right midlung opacity suggesting infection.")
    assert text == ""
    assert counts == {"finding_sentences_removed": 1}


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    without(" ".join(text.split()))


@pytest.mark.shared
def test_no_report_of_open_i_compares_afterwards_or_says_what_it_did_not_say(shared: Path) -> None:
    counts: Counter[str] = Counter()
    compared = 0
    for study in OpenI(shared / "data" / "open_i").studies():
        sections = getattr(study, "sections", None)
        for section in (sections or ("", "", ""))[1:]:
            text = " ".join(re.sub(r"X{3,}", " ", section).split())
            here: Counter[str] = Counter()
            ready = without_comparisons(text, LABELLER, here)
            before, after = LABELLER.label([text])[0], LABELLER.label([ready])[0]
            compared += any(claim.kind == "prior" for claim in before.claims)
            if ready:
                assert not [claim for claim in after.claims if claim.kind == "prior"], ready
            if not here["finding_sentences_removed"] and ready:
                said = {(m.concept, m.state) for m in before.mentions if m.findings}
                assert {(m.concept, m.state) for m in after.mentions if m.findings} == said, text
            counts += here
    assert compared > 1000
    # most that name a finding can be mended
    assert counts["finding_sentences_removed"] < 0.2 * counts["comparison_words_removed"]
