"""Two tables joined by study: nothing lost, nothing twice, nothing judged that has no reference."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import DataError, UsageError
from hilum.evaluation.pairs import read_pairs, read_training

REFERENCES = [
    {"study": "1", "patient": "a", "findings_text": "Clear lungs.", "impression_text": "Normal.", "view": "PA"},
    {"study": "2", "patient": "a", "findings_text": "Left effusion.", "impression_text": "", "view": "AP"},
    {"study": "3", "patient": "b", "findings_text": "", "impression_text": "No change.", "view": None},
]
PREDICTIONS = [
    {"study": "3", "findings_text": "", "impression_text": "Stable."},
    {"study": "1", "findings_text": "Lungs are clear.", "impression_text": "Normal chest."},
    {"study": "2", "findings_text": "Effusion.", "impression_text": None},
]


def _jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _tables(folder: Path, references=REFERENCES, predictions=PREDICTIONS) -> tuple[Path, Path]:
    return _jsonl(folder / "r.jsonl", references), _jsonl(folder / "p.jsonl", predictions)


def test_joined_by_study_in_the_order_of_the_references(tmp_path: Path) -> None:
    pairs = read_pairs(*_tables(tmp_path))
    assert [(r.study, r.patient, r.reference, r.prediction) for r in pairs.rows] == [
        ("1", "a", "Clear lungs.\n\nNormal.", "Lungs are clear.\n\nNormal chest."),
        ("2", "a", "Left effusion.", "Effusion."),
        ("3", "b", "No change.", "Stable."),
    ]
    assert pairs.patients_known
    assert [r.view for r in pairs.rows] == ["PA", "AP", None]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_every_kind_of_file_gives_the_same(tmp_path: Path, suffix: str) -> None:
    r, p = (pl.DataFrame(rows) for rows in (REFERENCES, PREDICTIONS))
    write = {".csv": "write_csv", ".parquet": "write_parquet", ".jsonl": "write_ndjson"}[suffix]
    for name, table in (("r", r), ("p", p)):
        getattr(table, write)(tmp_path / f"{name}{suffix}")
    pairs = read_pairs(tmp_path / f"r{suffix}", tmp_path / f"p{suffix}")
    assert pairs == read_pairs(*_tables(tmp_path))


def test_a_study_without_reference_text_is_left_out_and_named(tmp_path: Path) -> None:
    pairs = read_pairs(*_tables(tmp_path), sections="findings")
    assert [r.study for r in pairs.rows] == ["1", "2"]
    assert pairs.without_reference == ("3",)


def test_an_empty_prediction_is_kept_and_named(tmp_path: Path) -> None:
    pairs = read_pairs(*_tables(tmp_path), sections="impression")
    assert [r.study for r in pairs.rows] == ["1", "3"]
    _, p = _tables(
        tmp_path, predictions=[{"study": str(i), "findings_text": " ", "impression_text": ""} for i in "123"]
    )
    empty = read_pairs(tmp_path / "r.jsonl", p)
    assert empty.empty_predictions == ("1", "2", "3")
    assert len(empty.rows) == 3


def test_a_whole_report_is_split_only_where_a_section_is_judged(tmp_path: Path) -> None:
    text = "FINDINGS: Clear lungs.\nIMPRESSION: Normal."
    r, p = _tables(tmp_path, [{"id": "x", "text": text}], [{"id": "x", "report": text}])
    assert read_pairs(r, p).rows[0].reference == text
    assert read_pairs(r, p, sections="impression").rows[0].prediction == "Normal."
    assert not read_pairs(r, p).patients_known


@pytest.mark.parametrize(
    ("references", "predictions", "says"),
    [
        (REFERENCES, PREDICTIONS[:2], r"p\.jsonl lacks 1 study \(2\)"),
        (
            REFERENCES[:2],
            [{**PREDICTIONS[0], "study": "x2"}],
            r"lacks 2 studies \(1, 2\) of r\.jsonl, but has 1 study \(x2\)",
        ),
        (REFERENCES[:1], PREDICTIONS, r"has 2 studies \(3, 2\)"),
        (REFERENCES, [*PREDICTIONS, PREDICTIONS[0]], r"1 study \(3\) more than once"),
        ([*REFERENCES, REFERENCES[1]], PREDICTIONS, r"1 study \(2\) more than once"),
        ([{"study": "1"}], PREDICTIONS, "has no text"),
        ([{"name": "1", "text": "x"}], PREDICTIONS, "no column study"),
        ([{"study": None, "text": "x"}], PREDICTIONS, "row 1 has no study"),
        ([{"study": "1", "text": 3}], [{"study": "1", "text": "x"}], "no text; expected a string"),
        (
            [{"study": "1", "text": "x", "age_years": "045Y"}],
            [{"study": "1", "text": "x"}],
            "age_years of study 1 is '045Y'",
        ),
        ([{"study": "1", "text": "  "}], [{"study": "1", "text": "x"}], "no study with text"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(tmp_path, references, predictions, says) -> None:
    with pytest.raises(DataError, match=says):
        read_pairs(*_tables(tmp_path, references, predictions))


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    good, _ = _tables(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "latin.csv").write_bytes(b"study,text\n1,\xe9\n")
    (tmp_path / "broken.jsonl").write_text('{"study": "1", "text": "a"}\n{"study": \n')
    (tmp_path / "list.jsonl").write_text('[{"study": "1", "text": "a"}]\n')
    (tmp_path / "fake.parquet").write_text("no")
    (tmp_path / "commas.csv").write_text("study,text\n1,clear\n2,clear, no effusion, no nodule\n")
    (tmp_path / "quotes.csv").write_text('study,text\n1,"a "b" c"\n2,"d\n')
    (tmp_path / "semicolons.csv").write_text("study;text\n1;clear, no effusion\n")
    (tmp_path / "twice.csv").write_text("study,text,text\n1,a,b\n")
    (tmp_path / "head.csv").write_text("study,text\n")
    for name, says in (
        ("empty.jsonl", "is empty"),
        ("latin.csv", r"not UTF-8 \(byte 13\)"),
        ("broken.jsonl", "cannot be read as jsonl \\(line 2 is no JSON: Expecting value\\)"),
        ("list.jsonl", "cannot be read as jsonl \\(line 1 is a list, no object"),
        ("commas.csv", "line 3 has 4 cells, the heading 2; a text with a comma"),
        ("quotes.csv", "in line 2: .* a double quote within a text is written twice"),
        ("semicolons.csv", "its heading is separated by ';', not by commas"),
        ("twice.csv", "two columns text"),
        ("fake.parquet", "cannot be read as parquet"),
        ("head.csv", "has no rows"),
        ("absent.csv", "cannot be read"),
    ):
        with pytest.raises(DataError, match=says):
            read_pairs(tmp_path / name, good)
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv or \.parquet"):
        read_pairs(tmp_path / "r.txt", good)


def test_a_split_is_chosen_and_other_predictions_do_not_matter(tmp_path: Path) -> None:
    rows = [{**row, "split": split} for row, split in zip(REFERENCES, ("test", "train", "test"), strict=True)]
    pairs = read_pairs(*_tables(tmp_path, rows), split="test")
    assert [r.study for r in pairs.rows] == ["1", "3"]
    with pytest.raises(DataError, match="has test, train"):
        read_pairs(*_tables(tmp_path, rows), split="validate")
    with pytest.raises(DataError, match="no column split"):
        read_pairs(*_tables(tmp_path), split="test")


def test_the_same_study_id_of_two_corpora_is_two_studies(tmp_path: Path) -> None:
    rows = [{"corpus": c, "study": "1", "patient": "p", "text": f"of {c}"} for c in ("a", "b")]
    pairs = read_pairs(*_tables(tmp_path, rows, list(reversed(rows))))
    assert [(r.study, r.patient, r.prediction) for r in pairs.rows] == [
        ("a/1", "a/p", "of a"),
        ("b/1", "b/p", "of b"),
    ]


def test_what_a_manifest_knows_comes_along(tmp_path: Path) -> None:
    row = {
        "corpus": "c", "root": "/data", "study": "1", "patient": "p", "text": "x", "sex": "F", "age_years": 40.5,
        "centre": "north", "prior_study": None,
        "images": [{"path": "l.png", "view": "lateral", "id": "1"}, {"path": "f.png", "view": "AP", "id": "2"}],
    }  # fmt: skip
    found = read_pairs(*_tables(tmp_path, [row], [{"study": "1", "text": "y"}])).rows[0]
    assert (found.view, found.sex, found.age_years, found.centre, found.has_prior) == ("AP", "F", 40.5, "north", False)
    assert found.images == ("/data/l.png", "/data/f.png")


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1), unique_by=str.strip)
)
def test_no_study_is_lost_or_changed(tmp_path_factory, ids) -> None:
    ids = [each for each in ids if each.strip()]
    if not ids:
        return
    folder = tmp_path_factory.mktemp("pairs")
    rows = [{"study": each, "text": f"report {n}"} for n, each in enumerate(ids)]
    pairs = read_pairs(*_tables(folder, rows, list(reversed(rows))))
    assert [r.study for r in pairs.rows] == ids
    assert all(r.reference == r.prediction for r in pairs.rows)


def test_the_digest_is_of_studies_and_references_alone(tmp_path: Path) -> None:
    one = read_pairs(*_tables(tmp_path))
    said_otherwise = read_pairs(*_tables(tmp_path, predictions=[{**row, "findings_text": "x"} for row in PREDICTIONS]))
    turned = read_pairs(*_tables(tmp_path, references=REFERENCES[::-1]))
    other = read_pairs(*_tables(tmp_path, references=[{**REFERENCES[0], "findings_text": "y"}, *REFERENCES[1:]]))
    assert one.digest() == said_otherwise.digest() == turned.digest() != other.digest()


def test_training_reports_are_those_of_the_training_split(tmp_path: Path) -> None:
    rows = [{**row, "split": split} for row, split in zip(REFERENCES, ("train", "test", "train"), strict=True)]
    assert read_training(_jsonl(tmp_path / "t.jsonl", rows)) == ["Clear lungs.\n\nNormal.", "No change."]
    assert read_training(_jsonl(tmp_path / "t.jsonl", REFERENCES), sections="impression") == ["Normal.", "No change."]
    with pytest.raises(DataError, match="no report with text"):
        read_training(_jsonl(tmp_path / "t.jsonl", [{"study": "1", "text": " "}]))


@pytest.mark.parametrize(
    ("references", "predictions", "found"),
    [
        (("a", "b"), ("a", "b"), {}),
        (("a", "b"), ("a", None), {"IMPRESSION": "predictions"}),
        (("a", ""), ("a", "b"), {"IMPRESSION": "references"}),
        (("", "b"), ("a", ""), {"FINDINGS": "references", "IMPRESSION": "predictions"}),
        (("a", "b"), ("", ""), {}),
    ],
)
def test_a_section_that_one_side_alone_has_is_known(tmp_path: Path, references, predictions, found) -> None:
    rows = [
        [{"study": str(i), "findings_text": one, "impression_text": other} for i in range(2)]
        for one, other in (references, predictions)
    ]
    assert read_pairs(*_tables(tmp_path, *rows)).one_sided == found
    whole = [{"study": str(i), "text": "a"} for i in range(2)]
    assert read_pairs(*_tables(tmp_path, rows[0], whole)).one_sided == {}


def test_a_prior_in_a_table_of_text(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("study,text,prior_study\n1,a,0\n2,a,False\n3,a,\n4,a,s7\n5,a,1\n")
    (tmp_path / "p.csv").write_text("study,text\n1,a\n2,a\n3,a\n4,a\n5,a\n")
    rows = read_pairs(tmp_path / "r.csv", tmp_path / "p.csv").rows
    assert [row.has_prior for row in rows] == [False, False, False, True, True]
