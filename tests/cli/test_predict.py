"""`hilum predict` through the command: a split of a manifest to one file of rows, stopped and taken up again."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from rich.progress import Progress

from corpora.fixtures.mimic_cxr import USUAL, Exam, make_mimic_jpg
from corpora.fixtures.taken import built
from hilum import read as hilum_read
from hilum.corpora import open_corpus
from hilum.corpora.outputs import alone
from hilum.imaging import example_path, read_radiograph
from hilum.records import NAMES
from hilum.reporting.predict import SCHEMA

STUDIES = [str(50000300 + n) for n in range(6)]


@pytest.fixture(scope="module")
def picture():
    """The bundled radiograph, small."""
    pixels = read_radiograph(example_path()).pixels[::6, ::6]
    return Image.fromarray(np.uint8(255 * pixels))


@pytest.fixture
def manifest(tmp_path, picture):
    """Six studies to test on, the third with a lateral, and one to train on."""
    exams = [
        Exam(10000300 + n, int(study), "test", 21990301, "101010.0",
             [("PA", ""), ("LATERAL", "")] if n == 2 else [("PA", "")], USUAL)
        for n, study in enumerate(STUDIES)
    ]  # fmt: skip
    exams.append(Exam(10000400, 50000400, "train", 21990301, "101010.0", [("AP", "")], USUAL))
    root = make_mimic_jpg(tmp_path / "mimic", exams)
    for n, path in enumerate(sorted(root.rglob("*.jpg"))):
        picture.rotate(n).save(path, quality=95)
    built(open_corpus("mimic_cxr", root), root, tmp_path / "manifest")
    return tmp_path / "manifest"


@pytest.fixture
def predict(hilum, manifest, expert):
    """Run it with sentences of a small expert's findings; both need next to no time."""

    def run(*arguments):
        return hilum("predict", manifest, "--model", "template", "--expert", expert, *arguments)

    return run


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def same_as_json(table):
    """Rows of a table as JSON lines have them."""
    return json.loads(json.dumps(table.to_dicts()))


def picture_of(manifest, study):
    table = pl.read_parquet(manifest / "manifest.parquet").filter(pl.col("study") == study)
    return Path(table["root"][0]) / table["images"][0][0]["path"]


def test_parquet_and_json_lines_hold_the_same_rows(predict, tmp_path):
    for name in ("rows.parquet", "rows.jsonl"):
        done = predict("--out", tmp_path / name)
        assert (done.status, done.out) == (0, "")
        assert done.err.strip() == f"Written to {tmp_path / name}: 6 studies, 0 of them failed."
    table = pl.read_parquet(tmp_path / "rows.parquet")
    assert table.schema == pl.Schema(SCHEMA)
    assert table["study"].to_list() == STUDIES
    assert table["split"].unique().to_list() == ["test"], "the default"
    assert lines(tmp_path / "rows.jsonl") == same_as_json(table)
    assert not list(tmp_path.glob("*part*"))
    for row in table.iter_rows(named=True):
        assert (row["corpus"], row["failed"]) == ("mimic_cxr", None)
        assert list(row["scores"]) == list(row["present"]) == list(NAMES)
        assert [name for name, present in row["present"].items() if present] == ["Cardiomegaly", "Lung Opacity"]
        assert 0 < row["scores"]["Cardiomegaly"] < 1
        assert row["scores"]["Fracture"] is None, "the small expert does not assess it"
        assert "Lung opacity is present." in row["findings_text"]
        assert "ai_draft" in row["warnings"]
    views = {row["study"]: "lateral" in row["warnings"] for row in table.iter_rows(named=True)}
    assert [study for study, said in views.items() if said] == [STUDIES[2]], "the manifest's view counts"


def test_each_row_tells_of_its_own_picture(predict, manifest, tmp_path):
    # the small expert says the same of every picture
    predict("--out", tmp_path / "rows.parquet", "--expert", "starter")
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert rows["scores"].struct.field("Cardiomegaly").n_unique() == len(STUDIES)
    alone = hilum_read(picture_of(manifest, STUDIES[4]), model="template").studies[0].findings
    assert rows.row(4, named=True)["scores"] == {finding.name: finding.score for finding in alone}


def test_the_starter_models_write_a_draft_and_no_expert_leaves_the_scores_out(hilum, manifest, tmp_path):
    out = tmp_path / "rows.jsonl"
    assert hilum("predict", manifest, "--split", "train", "--out", out).status == 0
    (row,) = lines(out)
    assert row["study"] == "50000400"
    assert row["findings_text"]
    assert "Expert analysis" in row["prompt"]
    assert sum(score is not None for score in row["scores"].values()) >= 8
    done = hilum("predict", manifest, "--split", "train", "--out", out, "--no-expert", "--overwrite")
    assert done.status == 0, done.err
    (alone,) = lines(out)
    assert set(alone["scores"].values()) == set(alone["present"].values()) == {None}
    assert alone["findings_text"]
    assert "Expert analysis" not in alone["prompt"]
    assert "image_alone" in alone["warnings"]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test_a_study_without_its_picture_is_a_row_with_the_reason_and_status_3(predict, manifest, tmp_path, name):
    picture_of(manifest, STUDIES[1]).unlink()
    picture_of(manifest, STUDIES[4]).write_bytes(b"no picture")
    out = tmp_path / name
    done = predict("--out", out)
    assert done.status == 3
    assert "6 studies, 2 of them failed" in done.err
    rows = lines(out) if out.suffix == ".jsonl" else same_as_json(pl.read_parquet(out))
    assert [row["study"] for row in rows] == STUDIES, "in the order of the manifest, none left out"
    failed = {row["study"]: row for row in rows if row["failed"]}
    assert {study: row["warnings"] for study, row in failed.items()} == {
        STUDIES[1]: ["not_found"],
        STUDIES[4]: ["unknown_format"],
    }
    for row in failed.values():
        assert row["failed"].startswith(f"{row['warnings'][0]}: ")
        assert (row["findings_text"], row["impression_text"], row["raw"], row["prompt"]) == ("", "", "", None)
        assert set(row["scores"].values()) == {None}


def stop_after(monkeypatch, n):
    """Interrupt the command, as Ctrl-C does, when so many studies are done; returns what the bar was told."""
    told = []
    update = Progress.update

    def and_stop(self, task, **more):
        told.append(more["completed"])
        update(self, task, **more)
        if more["completed"] == n:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", and_stop)
    return told


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test_an_interrupted_run_goes_on_and_gives_what_an_unbroken_one_gives(
    predict, manifest, tmp_path, monkeypatch, name
):
    picture_of(manifest, STUDIES[1]).unlink()
    (tmp_path / "whole").mkdir()
    whole, out, work = tmp_path / "whole" / name, tmp_path / name, tmp_path / f"{name}.partial"
    assert predict("--out", whole).status == 3
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        done = predict("--out", out)
    assert done.status == 130
    assert done.err == "hilum: stopped. The same command goes on where it stopped.\n"
    assert not out.exists()
    assert [row["study"] for row in lines(work)[1:]] == STUDIES[:3]
    work.write_bytes(work.read_bytes()[:-25])  # the third row was cut in the middle
    with monkeypatch.context() as patch:
        told = stop_after(patch, None)
        done = predict("--out", out)
    assert done.status == 3
    assert told == [3, 4, 5, 6], "two were done and are not read again"
    assert out.read_bytes() == whole.read_bytes()
    assert not work.exists()


KILLED = """
import os, signal, sys
from rich.progress import Progress
from hilum.cli import main

update = Progress.update

def and_die(self, task, **more):
    update(self, task, **more)
    if more["completed"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Progress.update = and_die
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_process_leaves_its_rows(predict, manifest, expert, tmp_path):
    whole, out, work = tmp_path / "whole.jsonl", tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.partial"
    assert predict("--out", whole).status == 0
    arguments = ["predict", manifest, "--model", "template", "--expert", expert, "--out", out]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [row["study"] for row in lines(work)[1:]] == STUDIES[:3]
    assert not out.exists()
    assert predict("--out", out).status == 0
    assert out.read_bytes() == whole.read_bytes()


def test_the_work_of_another_run_is_not_taken_up(predict, hilum, manifest, expert, tmp_path, monkeypatch):
    out, work = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.partial"
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        predict("--out", out)
    before = work.read_bytes()
    for other, word in (
        (["--max-new-tokens", 8], "max_new_tokens"),
        (["--split", "train"], "studies"),
        (["--expert", "starter"], "expert"),
    ):
        done = predict("--out", out, *other)
        assert done.status == 1
        assert f"rows.jsonl.partial was begun with something else ({word} differ)" in done.err
        assert "Traceback" not in done.err
    assert work.read_bytes() == before
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--split", "tests", "--out", "rows.jsonl"], 1, "no study in the split 'tests'; it has test, train."),
        (["--split", "validate", "--out", "rows.jsonl"], 1, "no study in the split 'validate'; it has test, train."),
        (["--out", "rows.csv"], 2, "rows.csv: expected a name that ends in .parquet or .jsonl."),
        (["--out", "rows"], 2, "rows: expected a name that ends in .parquet or .jsonl."),
        (["--out", "rows.jsonl", "--no-expert"], 2, "leave the expert on, or give findings."),
        (["--out", "nowhere/rows.jsonl"], 1, "The folder nowhere of rows.jsonl does not exist; make it first"),
        (["--out", "a file/rows.jsonl"], 1, "The folder a file of rows.jsonl is a file; make it first"),
        (["--out", "rows.jsonl", "--model", "nowhere"], 1, "nowhere"),
        (["--out", "rows.jsonl", "--expert", "a file"], 1, "a file"),
        ([], 2, "--out"),
    ],
)
def test_what_cannot_start_is_said_and_leaves_nothing(
    predict, manifest, tmp_path, monkeypatch, arguments, status, words
):
    here = tmp_path / "here"
    here.mkdir()
    (here / "a file").write_text("mine")
    monkeypatch.chdir(here)
    done = predict(*arguments)
    assert (done.status, done.out) == (status, "")
    assert words in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert [path.name for path in here.rglob("*")] == ["a file"]


def test_a_work_file_without_rows_stands_in_nobody_s_way(predict, tmp_path):
    out, work = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.partial"
    for left in ("", json.dumps({"model": "wrong"}) + "\n", '{"model": "wrong"}\n{"corpus": "mimic'):
        work.write_text(left)
        done = predict("--out", out, "--overwrite")
        assert done.status == 0, done.err
        assert [row["study"] for row in lines(out)] == STUDIES
        assert not work.exists()
    work.write_text("mine\nand mine\n")
    done = predict("--out", tmp_path / "rows.jsonl", "--overwrite")
    assert (done.status, work.read_text()) == (1, "mine\nand mine\n")
    assert "rows.jsonl.partial is no work file of ours" in done.err


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test_what_is_done_is_neither_done_again_nor_replaced_unless_asked(predict, manifest, tmp_path, monkeypatch, name):
    out = tmp_path / name
    picture_of(manifest, STUDIES[1]).unlink()
    assert predict("--out", out).status == 3
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        told = stop_after(patch, None)
        again = predict("--out", out)
    assert (again.status, told) == (3, [])
    assert again.err.strip() == f"{out} is done already: 6 studies, 1 of them failed."
    for other in (["--max-new-tokens", 8], ["--split", "train"], ["--expert", "starter"]):
        done = predict("--out", out, *other)
        assert done.status == 2
        assert f"{name} exists and is of another run" in done.err
        assert "--overwrite" in done.err
    assert out.read_bytes() == before
    assert predict("--out", out, "--split", "train", "--overwrite").status == 0
    assert out.read_bytes() != before
    for mine in (b"mine", b""):
        out.write_bytes(mine)
        assert predict("--out", out).status == 2
        assert out.read_bytes() == mine


def test_a_checkpoint_that_was_trained_anew_is_another_run(hilum, manifest, expert, tmp_path):
    mine = shutil.copytree(expert, tmp_path / "mine")
    command = ["predict", manifest, "--model", "template", "--expert", mine, "--out", tmp_path / "rows.jsonl"]
    assert hilum(*command).status == 0
    assert "done already" in hilum(*command).err
    card = json.loads((mine / "hilum.json").read_text())
    (mine / "hilum.json").write_text(json.dumps(card, indent=7))
    assert "is of another run" in hilum(*command).err


def test_two_runs_into_one_file_do_not_mix(predict, tmp_path):
    out = tmp_path / "rows.jsonl"
    with alone(tmp_path / "rows.jsonl.lock", out):
        done = predict("--out", out)
    assert done.status == 1
    assert f"Another process is at work on {out}" in done.err
    assert predict("--out", out).status == 0
    assert [path.name for path in tmp_path.glob("rows*")] == ["rows.jsonl"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_one_line(predict, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = predict("--out", locked / "rows.jsonl")
    assert done.status == 1
    assert "Permission denied" in done.err
    assert "Traceback" not in done.err


def test_what_is_no_manifest_is_one_line(hilum, tmp_path):
    (tmp_path / "other.parquet").write_bytes(b"nothing")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "table.parquet")
    for name, words in (
        ("none", "does not exist; expected a manifest"),
        ("other.parquet", "cannot be read as Parquet"),
        ("table.parquet", "is no manifest"),
    ):
        done = hilum("predict", tmp_path / name, "--out", tmp_path / "rows.jsonl")
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert words in done.err
