"""Floors take nothing from the patient they are for, and a system that is no better than one is told so."""

from __future__ import annotations

import pytest

from hilum.errors import DataError
from hilum.evaluation.card import Comparison
from hilum.evaluation.reports.floors import (
    CONSTANT_NORMAL,
    below_floors,
    constant_normal,
    most_frequent,
    random_training,
    sanity_rows,
)
from hilum.labeling import label
from hilum.records import NO_FINDING, LabelState


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
