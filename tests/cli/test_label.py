"""`hilum label` through the command."""

import json
from pathlib import Path

import polars as pl
import pytest

from hilum.records import NAMES

TEXT = "FINDINGS: Small left pleural effusion. No pneumothorax.\nIMPRESSION: Possible pneumonia."


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "reports.jsonl"
    lines = [{"id": "a", "text": TEXT}, {"id": 7, "text": "Normal heart size."}]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    return path


def read_lines(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def check(first: dict) -> None:
    assert first["id"] == "a"
    labels = first["labels"]
    assert list(labels) == list(NAMES)
    assert labels["Pleural Effusion"]["state"] == "present"
    assert labels["Pneumothorax"] == {
        "state": "absent",
        "evidence": [{"start": 39, "end": 54, "text": "No pneumothorax"}],
    }
    assert labels["Pneumonia"]["state"] == "uncertain"
    assert labels["Edema"] == {"state": "not_mentioned", "evidence": []}
    for label in labels.values():
        for span in label["evidence"]:
            assert TEXT[span["start"] : span["end"]] == span["text"]


def test_jsonl_csv_and_parquet_give_the_same(hilum, rows, tmp_path):
    table = pl.DataFrame({"id": ["a", "7"], "text": [TEXT, "Normal heart size."]})
    table.write_csv(tmp_path / "reports.csv")
    table.write_parquet(tmp_path / "reports.parquet")
    seen = []
    for path in (rows, tmp_path / "reports.csv", tmp_path / "reports.parquet"):
        done = hilum("label", path)
        assert done.status == 0, done.err
        seen.append(read_lines(done.out))
    assert seen[0] == seen[1] == seen[2]
    check(seen[0][0])
    assert seen[0][1]["id"] == "7"


def test_a_text_file_is_one_report(hilum, tmp_path):
    (tmp_path / "chest one.txt").write_text(TEXT)
    (line,) = read_lines(hilum("label", tmp_path / "chest one.txt").out)
    check({**line, "id": "a"})
    assert line["id"] == "chest one"


def test_bad_rows_fail_alone_and_the_status_says_so(hilum, tmp_path):
    path = tmp_path / "r.jsonl"
    good = json.dumps({"id": "a", "text": TEXT})
    path.write_text(
        "\n".join([good, "{cut", '{"text": "no id"}', '{"id": "b"}', "[1]", '{"id": "c", "text": "  "}', good])
    )
    done = hilum("label", path)
    assert done.status == 3
    lines = read_lines(done.out)
    assert len(lines) == 7
    assert [bool(line.get("failed")) for line in lines] == [False, True, True, True, True, True, False]
    assert [line["id"] for line in lines] == ["a", None, None, "b", None, "c", "a"]
    assert not any("labels" in line for line in lines[1:6])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "cannot be read"),
        ("empty.txt", b" \n", "is empty"),
        ("latin.txt", b"Erg\xfcsse", "not UTF-8"),
        ("other.csv", b"study,report\n1,x\n", "no column id, text"),
        ("bad.parquet", b"nothing", "cannot be read as Parquet"),
    ],
)
def test_files_that_cannot_be_used(hilum, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = hilum("label", tmp_path / name)
    assert done.status == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_explain_marks_the_words_without_colour(hilum, rows, tmp_path):
    done = hilum("label", rows, "--explain", "--html", tmp_path / "page.html")
    assert "[- No pneumothorax]" in done.out
    assert "[? Possible pneumonia]" in done.out
    assert "+ Pleural Effusion: present" in done.out
    page = (tmp_path / "page.html").read_text()
    assert '<mark class="absent" title="Pneumothorax">No pneumothorax</mark>' in page


def test_a_page_escapes_what_a_report_says(hilum, tmp_path):
    (tmp_path / "x.txt").write_text("No pneumothorax <script>alert(1)</script> & more.")
    hilum("label", tmp_path / "x.txt", "--html", tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_the_other_back_ends_say_what_they_need(hilum, rows, tmp_path):
    done = hilum("label", rows, "--backend", "llm", "--url", "http://192.0.2.1/v1", "--model", "m")
    assert done.status == 2
    assert "patient data" in done.err
    done = hilum("label", rows, "--backend", "llm")
    assert done.status == 2
    assert "--model" in done.err
    done = hilum("label", rows, "--backend", "chexbert")
    assert done.status == 2
    assert "--weights" in done.err
    done = hilum("label", rows, "--backend", "chexbert", "--weights", tmp_path / "no.pth", "--tokenizer", tmp_path)
    assert done.status == 1
    assert "does not exist" in done.err
    done = hilum("label", rows, "--language", "xx")
    assert done.status == 2
    assert "there are: en" in done.err
