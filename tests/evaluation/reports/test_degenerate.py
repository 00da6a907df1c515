"""Collapsed systems are named, real reports are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hilum.corpora.contract import CorpusStudy
from hilum.corpora.open_i import OpenI
from hilum.errors import DataError
from hilum.evaluation.reports.degenerate import verdicts
from hilum.evaluation.reports.floors import constant_normal, sanity_rows
from hilum.evaluation.reports.habits import habits

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
