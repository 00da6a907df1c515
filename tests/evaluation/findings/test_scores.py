"""Labels and scores joined by study: bad cells are named errors or counted exclusions, unassessed is never absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hilum.corpora.manifest import SCHEMA as MANIFEST
from hilum.errors import DataError, UsageError
from hilum.evaluation.findings.cases import LabelRule, cases_of, closed, never_mentioned
from hilum.evaluation.findings.scores import COLUMNS, NO_CALL, read_scored, refuse_overlap, scored
from hilum.evaluation.labelled import STATES
from hilum.records import NAMES, LabelState, close_upward
from hilum.reporting.predict import SCHEMA as PREDICTIONS

REFERENCES = [
    {"study": "1", "patient": "a", "view": "PA", "sex": "F", "age_years": 60.0, "Edema": "present", "Pneumonia": "1"},
    {"study": "2", "patient": "a", "view": "AP", "sex": "F", "age_years": 61.0, "Edema": "absent", "Pneumonia": "0"},
    {"study": "3", "patient": "b", "view": None, "sex": "M", "age_years": None, "Edema": "uncertain", "Pneumonia": ""},
    {"study": "4", "patient": "c", "view": "PA", "sex": None, "age_years": 7.0, "Edema": "", "Pneumonia": "-1"},
]
SCORES = [
    {"study": "4", "Edema": 0.1, "Pneumonia": 0.9},
    {"study": "1", "Edema": 0.8, "Pneumonia": 0.7},
    {"study": "2", "Edema": 0.3, "Pneumonia": 0.2},
    {"study": "3", "Edema": 0.5, "Pneumonia": 0.4},
]
E, P = NAMES.index("Edema"), NAMES.index("Pneumonia")


def _jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _read(folder: Path, references=REFERENCES, predictions=SCORES, **options):
    return read_scored(_jsonl(folder / "r.jsonl", references), _jsonl(folder / "p.jsonl", predictions), **options)


def _changed(rows: list[dict], study: str, **cells) -> list[dict]:
    return [{**row, **cells} if row["study"] == study else row for row in rows]


def test_joined_in_the_order_of_the_references(tmp_path: Path) -> None:
    studies = _read(tmp_path)
    assert [row.study for row in studies.rows] == ["1", "2", "3", "4"]
    assert studies.scores[:, E].tolist() == [0.8, 0.3, 0.5, 0.1]
    assert [STATES[code] for code in studies.states[:, E]] == ["present", "absent", "uncertain", "not_mentioned"]
    assert [STATES[code] for code in studies.states[:, P]] == ["present", "absent", "not_mentioned", "uncertain"]
    assert studies.label_source == COLUMNS
    assert studies.patients_repeat
    assert [row.view for row in studies.rows] == ["PA", "AP", None, "PA"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_every_kind_of_table_gives_the_same(tmp_path: Path, suffix: str) -> None:
    write = {".csv": "write_csv", ".parquet": "write_parquet", ".jsonl": "write_ndjson"}[suffix]
    for name, rows in (("r", REFERENCES), ("p", SCORES)):
        getattr(pl.DataFrame(rows), write)(tmp_path / f"{name}{suffix}")
    studies, same = read_scored(tmp_path / f"r{suffix}", tmp_path / f"p{suffix}"), _read(tmp_path)
    assert studies.rows == same.rows
    assert np.array_equal(studies.states, same.states)
    assert np.array_equal(studies.scores, same.scores, equal_nan=True)


def test_columns_may_be_written_small_and_with_underscores() -> None:
    rows = scored({"1": {"pleural_effusion": True}}, {"1": {"PLEURAL EFFUSION": "0.5"}})
    assert rows.assessed == ("Pleural Effusion",)
    assert STATES[rows.states[0, NAMES.index("Pleural Effusion")]] is LabelState.PRESENT


def test_what_hilum_predict_writes_and_a_manifest(tmp_path: Path) -> None:
    def manifest(study: str, patient: str, labels: dict | None, text: dict | None) -> dict:
        full = lambda states: None if states is None else {**dict.fromkeys(NAMES, "not_mentioned"), **states}  # noqa: E731
        return {
            **dict.fromkeys(MANIFEST),
            "corpus": "c", "root": "/pictures", "centre": "here", "patient": patient, "study": study, "split": "test",
            "images": [{"path": f"{study}.png", "view": "AP", "id": study}],
            "published_labels": full(labels), "published_origin": "them", "text_labels": full(text),
            "text_origin": "us",
        }  # fmt: skip

    def predicted(study: str, scores: dict, present: dict, failed: str | None = None) -> dict:
        return {**dict.fromkeys(PREDICTIONS), "corpus": "c", "study": study, "split": "test", "failed": failed,
                "scores": {**dict.fromkeys(NAMES), **scores},
                "present": {**dict.fromkeys(NAMES), **present}}  # fmt: skip

    references = [
        manifest("1", "a", {"Edema": "present"}, {"Edema": "absent"}),
        manifest("2", "b", {"Edema": "absent"}, None),
        manifest("3", "c", None, None),
    ]
    predictions = [
        predicted("1", {"Edema": 0.8}, {"Edema": True}),
        predicted("2", {}, {}, "damaged: x"),
        predicted("3", {"Edema": 0.1}, {"Edema": False}),
    ]
    pl.DataFrame(references, schema=MANIFEST).write_parquet(tmp_path / "manifest.parquet")
    pl.DataFrame(predictions, schema=PREDICTIONS).write_parquet(tmp_path / "p.parquet")
    studies = read_scored(tmp_path, tmp_path / "p.parquet")
    assert (studies.label_source, studies.label_origin) == ("published_labels", "them")
    assert studies.failed == {"c/2": "damaged: x"}
    assert studies.without_labels == ("c/3",)
    assert studies.calls[:, E].tolist() == [1, NO_CALL, 0]
    assert studies.rows[0].images == ("/pictures/1.png",)
    assert studies.rows[0].view == "AP"
    assert studies.assessed == ("Edema",)
    assert "no score in any of the 2 studies" in studies.not_assessed["Fracture"]
    assert cases_of(studies, "Edema", LabelRule()).left_out == {"no labels": 1, "prediction failed": 1}
    from_text = read_scored(tmp_path, tmp_path / "p.parquet", labels="text_labels")
    assert from_text.label_origin == "us"
    assert from_text.without_labels == ("c/2", "c/3")
    with pytest.raises(UsageError, match="expected one of published_labels"):
        read_scored(tmp_path, tmp_path / "p.parquet", labels="gold")
    with pytest.raises(DataError, match="no study in the split"):
        read_scored(tmp_path, tmp_path / "p.parquet", split="validate")


def test_labels_asked_for_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labels in text_labels"):
        _read(tmp_path, labels="text_labels")


def test_mismatched_ids_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p.jsonl lacks 1 study \(3\).*a row without scores"):
        _read(tmp_path, predictions=SCORES[:3])
    with pytest.raises(DataError, match=r"p.jsonl has 1 study \(9\) that r.jsonl has not"):
        _read(tmp_path, predictions=[*SCORES, {"study": "9", "Edema": 0.5, "Pneumonia": 0.5}])


def test_duplicate_ids_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p.jsonl has 1 study \(4\) more than once"):
        _read(tmp_path, predictions=[*SCORES, SCORES[0]])


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        _read(tmp_path, predictions=[])


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes("study,Edema\nJosé,0.5\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_scored(_jsonl(tmp_path / "r.jsonl", REFERENCES), tmp_path / "p.csv")


@pytest.mark.parametrize("value", [1.5, -0.1])
def test_scores_outside_0_and_1_are_named(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match=rf"1 score \(Edema of 2: {value}\) outside 0..1.*sigmoid"):
        _read(tmp_path, predictions=_changed(SCORES, "2", Edema=value))


def test_a_score_that_is_no_number(tmp_path: Path) -> None:
    wrong = [{**row, "Edema": str(row["Edema"])} for row in SCORES]
    with pytest.raises(DataError, match="Edema of 2: 'high'"):
        _read(tmp_path, predictions=_changed(wrong, "2", Edema="high"))


def test_a_label_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 cell \(Edema of 1: 'maybe'\) that are no label"):
        _read(tmp_path, references=_changed(REFERENCES, "1", Edema="maybe"))


def test_cells_that_are_not_finite_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "study,Edema,Pneumonia\n1,nan,0.7\n2,inf,0.2\n3,0.5,0.4\n4,,0.9\n"
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    studies = read_scored(_jsonl(tmp_path / "r.jsonl", REFERENCES), tmp_path / "p.csv")
    assert studies.not_finite == {"Edema": 2}
    assert studies.failed == {}
    left = cases_of(studies, "Edema", LabelRule(uncertain="positive")).left_out
    assert left == {"no usable score": 3}, "an empty cell is no score, and none of them is a zero"


def test_a_study_without_any_score_has_failed(tmp_path: Path) -> None:
    studies = _read(tmp_path, predictions=_changed(SCORES, "1", Edema=None, Pneumonia=None))
    assert studies.failed == {"1": "no score for any finding"}
    cases = cases_of(studies, "Edema", LabelRule())
    assert cases.left_out == {"uncertain label": 1, "prediction failed": 1}
    assert cases.failed.tolist() == [0]
    assert cases.failed_labels.tolist() == [True]


def test_a_finding_unknown_is_left_out_and_named(tmp_path: Path) -> None:
    studies = _read(tmp_path, predictions=[{**row, "Cardiomegali": 0.5, "note": "text"} for row in SCORES])
    assert studies.unknown_columns == ("Cardiomegali",)
    with pytest.raises(DataError, match=r"none of the 14 findings; it has Cardiomegali.*Pleural Effusion"):
        _read(tmp_path, predictions=[{"study": row["study"], "Cardiomegali": 0.5} for row in SCORES])


def test_two_columns_of_one_finding() -> None:
    with pytest.raises(DataError, match="two columns for Edema"):
        scored({"1": {"Edema": 1}}, {"1": {"Edema": 0.5, "edema": 0.4}})


@pytest.mark.parametrize(
    ("rule", "labels", "rows"),
    [
        (LabelRule(), [True, False, False], [0, 1, 3]),
        (LabelRule(uncertain="negative"), [True, False, False, False], [0, 1, 2, 3]),
        (LabelRule(uncertain="positive"), [True, False, True, False], [0, 1, 2, 3]),
        (LabelRule(not_mentioned="excluded"), [True, False], [0, 1]),
    ],
)
def test_what_a_label_counts_as(tmp_path: Path, rule: LabelRule, labels: list[bool], rows: list[int]) -> None:
    cases = cases_of(_read(tmp_path), "Edema", rule)
    assert cases.labels.tolist() == labels
    assert cases.rows.tolist() == rows
    assert rule.convention.startswith(f"uncertain:{rule.uncertain}|not_mentioned:{rule.not_mentioned}")


def test_closing_upward_is_that_of_the_records() -> None:
    rng = np.random.default_rng(3)
    states = rng.integers(0, 4, (300, len(NAMES))).astype(np.int8)
    for before, after in zip(states, closed(states), strict=True):
        expected = close_upward({name: STATES[code] for name, code in zip(NAMES, before, strict=True)})
        assert [STATES[code] for code in after] == [expected[name] for name in NAMES]


def test_a_finding_that_no_reference_mentions(tmp_path: Path) -> None:
    studies = _read(tmp_path)
    assert never_mentioned(studies, "Fracture")
    assert not never_mentioned(studies, "Edema")


def test_thresholds_may_not_come_from_the_same_patients(tmp_path: Path) -> None:
    studies = _read(tmp_path)
    with pytest.raises(DataError, match=r"1 study \(2\) of the validation files"):
        refuse_overlap(studies.part([0]), studies.part([1]))
    refuse_overlap(studies.part([0, 1]), studies.part([2, 3]))
