"""Collapsed systems are named, real reports are not, and floors take nothing from the patient they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.errors import DataError
from hilum.evaluation.card import Comparison
from hilum.evaluation.reports.degenerate import (
    CONSTANT_NORMAL,
    below_floors,
    constant_normal,
    habits,
    most_frequent,
    random_training,
    sanity_rows,
    verdicts,
)
from hilum.labeling import label
from hilum.records import NO_FINDING, LabelState

SECTIONS = ("findings", "impression", "both")


@pytest.fixture(scope="session")
def open_i(shared: Path) -> dict[str, list[str]]:
    """All references by section."""
    texts: dict[str, list[str]] = {name: [] for name in SECTIONS}
    for study in OpenI(shared / "data" / "open_i").studies():
        assert isinstance(study, CorpusStudy)
        assert study.sections is not None
        _, findings, impression = study.sections
        for name, text in zip(SECTIONS, (findings, impression, f"{findings} {impression}".strip()), strict=True):
            if text:
                texts[name].append(text)
    return texts


def codes(*args: object, **more: object) -> list[str]:
    return [verdict.code for verdict in verdicts(*args, **more)]  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# floors
# ---------------------------------------------------------------------------------------------------------------------


def test_the_constant_report_is_normal() -> None:
    for sections, text in CONSTANT_NORMAL.items():
        states = label(text).states
        assert states[NO_FINDING] is LabelState.PRESENT, sections
        assert [name for name, state in states.items() if state is LabelState.PRESENT] == [NO_FINDING]
        assert constant_normal(2, sections) == (text, text)


def test_the_most_frequent_report_is_never_the_patient_s_own() -> None:
    references = ["Normal.", "normal", "Effusion.", "Effusion.", "Edema."]
    assert most_frequent(references, ["a", "a", "b", "c", "d"]) == (
        "Effusion.",
        "Effusion.",
        "Normal.",
        "Normal.",
        "Normal.",
    )
    assert most_frequent(references, list("abcde"), ["Stable.", "Mass.", "STABLE"]) == ("Stable.",) * 5


def test_the_random_report_is_another_patient_s_and_seeded() -> None:
    references = [f"Report {i}." for i in range(200)]
    patients = [str(i // 2) for i in range(200)]
    one, again, other = (random_training(references, patients, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert all(references.index(text) // 2 != i // 2 for i, text in enumerate(one))
    assert set(random_training(references, patients, ["t1", "t2"])) == {"t1", "t2"}


def test_all_rows() -> None:
    rows = sanity_rows(["Normal.", "Mass."], ["a", "b"], sections="impression", seed=3)
    assert [row.name for row in rows] == ["constant_normal", "most_frequent", "random_training", "self"]
    assert all(len(row.texts) == 2 and row.how for row in rows)
    assert rows[3].texts == ("Normal.", "Mass.")
    assert "seed 3" in rows[2].how
    with pytest.raises(DataError, match="one patient"):
        sanity_rows(["Normal.", "Mass."], ["a", "a"])
    with pytest.raises(DataError, match="2 references of 1 patients"):
        sanity_rows(["Normal.", "Mass."], ["a"])


# ---------------------------------------------------------------------------------------------------------------------
# habits
# ---------------------------------------------------------------------------------------------------------------------


def test_habits_by_hand() -> None:
    texts = ["Lungs clear. Heart big.", "lungs clear; heart big", "", "Lungs clear. No views views views views seen."]
    references = ["Lungs clear today.", "a b", "c", "d e f"]
    found = habits(texts, references)
    assert found.distinct == 3
    assert found.distinct_share == 0.75
    assert (found.most_frequent, found.most_frequent_count) == ("Lungs clear. Heart big.", 2)
    assert found.value("most_frequent_share") == 0.5
    assert found.templates == (("lungs clear", 2),)
    assert found.value("template_share") == pytest.approx(2 / 5)
    assert found.value("length_ratio") == pytest.approx((4 + 4 + 0 + 8) / (3 + 2 + 1 + 3))
    assert found.value("looping_share") == 0.25
    assert found.value("empty_share") == 0.25
    for one in found.measures:
        assert one.values.shape[0] == 4
        assert np.isfinite(one.values).all()
    with pytest.raises(DataError, match="4 texts and 1 references"):
        habits(texts, ["a"])


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("views views views", True),
        ("no effusion no effusion no effusion", True),
        ("The heart is big. The heart is big. The heart is big.", True),
        ("the the heart", False),
        ("XXXX XXXX XXXX ___ ___ ___ [**a**] [**a**] [**a**]", False),
        ("No effusion, no edema, no mass, no nodule.", False),
        ("", False),
    ],
)
def test_loops(text: str, loops: bool) -> None:
    assert habits([text], ["a"]).value("looping_share") == float(loops)


def test_repetition_counts_what_was_said_before() -> None:
    once, twice = "the heart is normal in size", "the heart is normal in size. The heart is normal in size."
    assert habits([once], ["a"]).value("repeated_share") == 0.0
    assert habits([twice], ["a"]).value("repeated_share") == pytest.approx(3 / 9)


# ---------------------------------------------------------------------------------------------------------------------
# verdicts
# ---------------------------------------------------------------------------------------------------------------------

REFERENCES = [f"Opacity number {i} in the left lung." for i in range(30)] + ["Clear lungs."] * 10


def test_each_degenerate_is_named() -> None:
    n = len(REFERENCES)
    assert codes(REFERENCES, REFERENCES) == []
    assert codes(constant_normal(n), REFERENCES) == ["constant_normal"]
    assert codes(["Clear lungs"] * n, REFERENCES) == ["copier"]
    assert codes(["Stable mass."] * n, REFERENCES, training=["Stable mass.", "stable mass", "Clear."]) == ["copier"]
    assert codes(["Large left effusion."] * n, REFERENCES) == ["constant_report"]
    assert codes([text + " views" * 5 for text in REFERENCES], REFERENCES) == ["repeating_system"]
    assert codes([f"{text} Stop. {text}" for text in REFERENCES], REFERENCES) == ["repeating_system"]
    assert codes([""] * n, REFERENCES) == ["empty_system"]
    assert codes(["", *REFERENCES[1:]], REFERENCES) == []
    assert codes([f"Edema {i % 3}." for i in range(n)], REFERENCES) == ["few_reports"]
    assert codes(["views views views views"] * n, REFERENCES) == ["constant_report", "repeating_system"]


def test_the_abnormal_studies_decide_where_they_are_known() -> None:
    """A system with one text for all normal studies is none that does not look."""
    references = [f"Report {i} of a normal chest." for i in range(80)] + [f"Mass number {i}." for i in range(20)]
    abnormal = np.arange(100) >= 80
    template = ["Normal chest."] * 80 + references[80:]
    blind = ["Normal chest."] * 85 + references[85:]
    blinder = ["Normal chest."] * 95 + references[95:]
    assert codes(template, references, abnormal=abnormal) == []
    assert codes(blind, references, abnormal=abnormal) == []
    (verdict,) = verdicts(blinder, references, abnormal=abnormal)
    assert verdict.code == "constant_normal"
    assert "75 % of those for abnormal studies" in verdict.text
    with pytest.raises(DataError, match="3 marks"):
        verdicts(template, references, abnormal=[True, False, True])


@pytest.mark.shared
@pytest.mark.parametrize("sections", SECTIONS)
def test_radiologists_are_not_degenerate(open_i: dict[str, list[str]], sections: str) -> None:
    references = open_i[sections]
    found = habits(references, references)
    print(
        sections,
        {name: round(found.value(name), 4) for one in found.measures for name in one.names},
        round(found.distinct_share, 3),
    )
    assert codes(references, references) == []
    shifted = references[1:] + references[:1]
    assert codes(shifted, references) == []
    for start in range(0, 3000, 500):
        few = references[start : start + 40]
        assert codes(few, few) == []


@pytest.mark.shared
@pytest.mark.parametrize("sections", SECTIONS)
def test_degenerates_beside_open_i(open_i: dict[str, list[str]], sections: str) -> None:
    references = open_i[sections]
    rows = {
        row.name: row.texts
        for row in sanity_rows(references, [str(i) for i in range(len(references))], sections=sections)  # type: ignore[arg-type]
    }
    assert codes(rows["random_training"], references) == []
    # Open-I's most frequent impression is the constant normal one
    assert codes(rows["constant_normal"], references) == ["copier" if sections == "impression" else "constant_normal"]
    assert codes(rows["most_frequent"], references) == ["copier"]
    assert codes([t if i % 5 else "" for i, t in enumerate(references)], references) == ["empty_system"]
    assert codes([t if i % 20 else t + " lungs lungs lungs" for i, t in enumerate(references)], references) == [
        "repeating_system"
    ]


def _row(name: str, judged: float, baseline: float, half: float, better: str = "higher") -> Comparison:
    d = judged - baseline
    return Comparison(
        name=name,
        judged=judged,
        baseline=baseline,
        difference=d,
        low=d - half,
        high=d + half,
        p=0.5,
        n=50,
        convention="c",
        method="m",
        better=better,  # type: ignore[arg-type]
    )


def test_a_system_below_a_floor_is_told_so() -> None:
    good = [_row("bleu_4", 0.3, 0.1, 0.05), _row("empty_share", 0.0, 0.5, 0.1, "lower")]
    even = [_row("bleu_4", 0.11, 0.1, 0.05), _row("rouge_l", 0.2, 0.21, 0.05)]
    bad = [_row("bleu_4", 0.05, 0.1, 0.01), _row("looping_share", 0.5, 0.0, 0.1, "lower")]
    found = below_floors({"constant_normal": good, "most_frequent": even, "random_training": bad, "self": bad})
    assert [(v.code, v.grave) for v in found] == [("at_floor", True), ("below_floor", True)]
    assert "floor “most frequent”: bleu_4 0.110 against 0.100; rouge_l" in found[0].text
    assert "“random training” in 2 of 2 measures: bleu_4 0.050 against 0.100" in found[1].text
    (mixed,) = below_floors({"constant_normal": [*good, bad[0]]})
    assert (mixed.code, mixed.grave) == ("below_floor", False)
    assert "it is better in 2" in mixed.text
    assert below_floors({"constant_normal": [_row("length_ratio", 0.5, 1.0, 0.1, "none")]}) == []
