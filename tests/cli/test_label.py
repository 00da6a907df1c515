"""`hilum label` through the command."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from hilum.cli.label import _BATCH
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
        ("empty.jsonl", b"\n \n", "empty.jsonl has no reports"),
        ("empty.csv", b"id,text\n", "empty.csv has no reports"),
        ("nothing.csv", b"", "no column id, text"),
        ("twice.csv", b"id,text,text\n1,a,b\n", "several columns text"),
        ("text.jsonl", b"No effusion.\n", "is not JSONL: line 1 does not begin with {"),
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


def test_words_are_marked_by_what_they_say_and_never_by_no_finding(hilum, tmp_path):
    (tmp_path / "x.txt").write_text("No effusion. No acute disease. Trachea midline.")
    done = hilum("label", tmp_path / "x.txt", "--explain", "--html", tmp_path / "x.html")
    assert "[- No effusion]. [- No acute disease]." in done.out
    assert "[+" not in done.out
    assert "+ No Finding: present" in done.out
    page = (tmp_path / "x.html").read_text()
    assert '<mark class="absent" title="Pleural Effusion">No effusion</mark>' in page
    assert '<mark class="absent" title="No Finding">No acute disease</mark>' in page
    assert '<mark class="present" title' not in page


def give(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


def test_standard_input_is_jsonl_in_utf8(hilum, monkeypatch):
    rows = [{"id": "a", "text": TEXT}, {"id": "b", "text": "No effusion, é."}]
    give(
        monkeypatch,
        "\ufeff".encode() + "\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode() + b"\n\xff\n",
    )
    done = hilum("label", "-")
    assert done.status == 3
    first, second, third = read_lines(done.out)
    check(first)
    assert second["labels"]["Pleural Effusion"]["state"] == "absent"
    assert "Line 3 is not UTF-8" in third["failed"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Standard input has no reports"),
        (b"No effusion.\n", "Standard input is not JSONL: line 1"),
        (b"id,text\n1,a\n", "CSV from a file that ends in .csv"),
    ],
)
def test_standard_input_that_is_no_jsonl(hilum, monkeypatch, content, said):
    give(monkeypatch, content)
    done = hilum("label", "-")
    assert done.status == 1
    assert said in done.err
    assert done.out == ""


def test_lines_made_to_break_a_parser_fail_alone(hilum, tmp_path):
    lines = [
        "[" * 100_000,
        '{"id": ' + "9" * 5000 + ', "text": "a"}',
        json.dumps({"id": "half", "text": "Effusion \ud800"}),
        '{"id": "lines", "text": "No\u2028effusion\u0085."}',
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = hilum("label", tmp_path / "r.jsonl", "--html", tmp_path / "r.html")
    assert done.status == 3
    deep, long, half, good = read_lines(done.out)
    assert "nested too deep" in deep["failed"]
    assert "a number too long" in long["failed"]
    assert "lone surrogate" in half["failed"]
    assert good["labels"]["Pleural Effusion"]["state"] == "absent"


def test_csv_is_read_strictly(hilum, tmp_path):
    (tmp_path / "r.csv").write_text(
        'id,text\n1,No effusion, small pneumothorax.\n2,"No effusion, no ""edema""."\n\n3\n4,"a" b,c\n'
        '5,"Two\nlines, no edema."\n6,"Effusion.\n7,No effusion.\n'
    )
    done = hilum("label", tmp_path / "r.csv")
    assert done.status == 3
    lines = read_lines(done.out)
    assert [bool(line.get("failed")) for line in lines] == [True, False, True, True, False, True]
    assert "Row 1 (line 2) has 3 fields, expected 2; put the text in double quotes" in lines[0]["failed"]
    assert "Row 3 (line 5) has 1 field, expected 2" in lines[2]["failed"]
    assert "Row 4 (line 6) cannot be read" in lines[3]["failed"]
    assert lines[4]["labels"]["Edema"]["state"] == "absent"
    assert "Row 6 (lines 9 to 10) cannot be read" in lines[5]["failed"]


def test_repeated_ids_are_labelled_and_told_of(hilum, tmp_path):
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps({"id": i, "text": TEXT}) for i in "abcab"))
    done = hilum("label", tmp_path / "r.jsonl")
    assert done.status == 0
    assert len(read_lines(done.out)) == 5
    assert "2 reports have the id of an earlier one (report 4 as 1, 5 as 2)" in done.err


@pytest.mark.parametrize(
    "options",
    [
        ("--model", "m"),
        ("--url", "http://127.0.0.1:8000/v1"),
        ("--allow-remote",),
        ("--cache", "kept"),
        ("--weights", "w.pth"),
        ("--tokenizer", "t"),
        ("--device", "cpu"),
        ("--backend", "llm", "--model", "m", "--rules", "r.toml"),
        ("--backend", "llm", "--model", "m", "--language", "en"),
        ("--backend", "chexbert", "--model", "m"),
        ("--rules", "r.toml", "--language", "en"),
    ],
)
def test_options_of_another_back_end_are_refused(hilum, rows, options):
    done = hilum("label", rows, *options)
    assert done.status == 2
    assert "leave" in done.err
    assert done.out == ""


def test_a_page_that_cannot_be_written_is_refused_before_the_work(hilum, rows, tmp_path):
    before = rows.read_text()
    for page, status in ((tmp_path / "none" / "page.html", 1), (tmp_path, 1), (rows, 2)):
        done = hilum("label", rows, "--html", page)
        assert done.status == status
        assert "--html" in done.err
        assert done.out == ""
    assert rows.read_text() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_stopped_has_printed_whole_lines_and_no_page(tmp_path, sent, status):
    command = [sys.executable, "-m", "hilum", "label", "-", "--html", tmp_path / "page.html"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # more than are labelled together: it waits for the rest when the signal comes
        process.stdin.write(b"".join(json.dumps({"id": n, "text": TEXT}).encode() + b"\n" for n in range(_BATCH + 9)))
        process.stdin.flush()
        out = [process.stdout.readline() for _ in range(_BATCH)]
        process.send_signal(sent)
        assert process.stdout.read() == b"", "and nothing after them"
        err = process.stderr.read().decode()
        assert process.wait(timeout=60) == status
    assert err == "hilum: stopped; the reports printed are whole and no page was written.\n"
    assert [json.loads(line)["id"] for line in out] == [str(n) for n in range(_BATCH)]
    assert not (tmp_path / "page.html").exists()


def test_a_report_in_another_language_is_failed(hilum, tmp_path):
    (tmp_path / "zh.txt").write_text("右侧大量气胸。", encoding="utf-8")
    done = hilum("label", tmp_path / "zh.txt")
    assert done.status == 3
    (line,) = read_lines(done.out)
    assert "script" in line["failed"]
    assert "labels" not in line


def test_no_server_is_said_once(hilum, tmp_path):
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps({"id": i, "text": TEXT}) for i in range(50)))
    started = time.monotonic()
    done = hilum("label", tmp_path / "r.jsonl", "--backend", "llm", "--model", "m", "--url", "http://127.0.0.1:9/v1")
    assert time.monotonic() - started < 4  # one report alone took as long, in tries
    assert done.status == 1
    assert done.err.count("Nothing answers at http://127.0.0.1:9/v1") == 1
    assert done.out == ""


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
