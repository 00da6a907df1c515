"""The build: what is kept, counted, refused, and not done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from corpora.tiny import Tiny
from hilum.corpora import build as module
from hilum.corpora.build import BuildOptions, build, read_build
from hilum.corpora.manifest import SCHEMA, check_manifest, read_manifest
from hilum.corpora.preparation import Preparation
from hilum.errors import DataError, UsageError

OPTIONS = BuildOptions(workers=1)


def built(corpus: Tiny, out: Path, options: BuildOptions = OPTIONS) -> pl.DataFrame:
    return build(corpus, corpus.root, out, options).manifest


def test_every_row_is_a_study_with_text_labels_and_prior(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    table = built(corpus, tmp_path / "out")
    assert table.schema == pl.Schema(SCHEMA)
    assert table.equals(read_manifest(tmp_path / "out"))
    assert table.height == 12
    assert check_manifest(table, images=True) == []
    first = table.filter(pl.col("patient") == "p000")
    assert first["study"].to_list() == ["s002", "s001", "s000"], "in the order of the dates"
    assert first["prior_study"].to_list() == [None, "s002", "s001"]
    assert first["order"].to_list() == [0, 1, 2]
    row = table.row(0, named=True)
    assert row["findings_text"] == "Moderate cardiomegaly. No pneumothorax."
    assert row["impression_text"] == "Moderate cardiomegaly."
    assert row["indication"] == "___F with cough"
    assert row["text_labels"]["Cardiomegaly"] == "present"
    assert row["text_labels"]["Pneumothorax"] == "absent"
    assert row["text_origin"].startswith("hilum-rules-en/")
    assert row["published_labels"] is None
    assert table.row(1, named=True)["published_labels"]["Edema"] == "present"
    assert row["images"] == [{"path": "images/2.png", "view": "PA", "id": "i2"}]


def test_every_loss_is_counted_with_its_reason(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    (corpus.root / "images" / "0.png").unlink()
    (corpus.root / "images" / "1.png").write_bytes(b"")
    (corpus.root / "reports" / "2.txt").unlink()  # no text and no labels: nothing is left of it
    (corpus.root / "reports" / "3.txt").unlink()  # labels are left
    (corpus.root / "reports" / "4.txt").write_text("a text without headings")
    (corpus.root / "reports" / "5.txt").write_bytes(b" IMPRESSION:\n Kein Erguss \xfc.\n")
    result = build(corpus, corpus.root, tmp_path / "out", OPTIONS)
    counts = result.counts
    assert counts["image_dropped: image_missing"] == 1
    assert counts["image_dropped: image_empty"] == 1
    assert counts["study_dropped: no_images"] == 2
    assert counts["report_dropped: report_missing"] == 2
    assert counts["row_dropped: duplicate_row"] == 1
    assert counts["row_dropped: report_not_utf8_replaced"] == 1
    assert counts["studies_found"] == 12
    assert counts["studies_kept"] == result.manifest.height
    assert result.examples["image_missing"] == ["i0"]
    again = read_build(tmp_path / "out")
    assert again is not None
    assert dict(again.counts) == dict(counts)


def test_a_prior_that_was_left_out_is_nobody_s_prior(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    (corpus.root / "images" / "1.png").unlink()
    first = built(corpus, tmp_path / "out").filter(pl.col("patient") == "p000")
    assert first["study"].to_list() == ["s002", "s000"]
    assert first["prior_study"].to_list() == [None, "s002"]


def test_a_patient_in_two_splits_is_refused_with_the_count(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c", leak=True).make()
    with pytest.raises(DataError, match=r"1 patients are in more than one split .*p003"):
        built(corpus, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.parquet").exists()


def test_without_an_official_split_patients_are_split_by_a_hash(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c", n=150, official=False).make()
    table = built(corpus, tmp_path / "out")
    assert check_manifest(table) == []
    shares = table.group_by("split").len().sort("split")["len"].to_list()
    assert shares[0] > shares[1] + shares[2]
    again = built(Tiny(tmp_path / "d", n=60, official=False).make(), tmp_path / "out2")
    both = again.join(table, on="study")
    assert both.filter(pl.col("split") != pl.col("split_right")).height == 0, "more patients move nobody"


def test_steps_of_the_preparation_can_be_left_out(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    kept = BuildOptions(workers=1, preparation=Preparation(masks=False, comparisons=False))
    assert "No significant change from ___." in built(corpus, tmp_path / "out", kept)["findings_text"][0]


def test_another_run_s_folder_is_refused(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    built(corpus, tmp_path / "out")
    built(corpus, tmp_path / "out")
    with pytest.raises(DataError, match="options differ"):
        built(corpus, tmp_path / "out", BuildOptions(workers=1, images="trust"))
    with pytest.raises(DataError, match="tables differ"):
        built(Tiny(corpus.root, n=9), tmp_path / "out")
    with pytest.raises(DataError, match="not empty"):
        built(corpus, corpus.root)


def test_shares_must_add_up() -> None:
    with pytest.raises(UsageError, match="add up to 1"):
        BuildOptions(shares=(0.8, 0.1, 0.2))


def test_a_corpus_of_which_nothing_can_be_used_says_why(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c", n=2)
    (corpus.root / "images").mkdir(parents=True)
    with pytest.raises(DataError, match="image_missing 2"):
        built(corpus, tmp_path / "out")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from corpora.tiny import Tiny
from hilum.corpora import build as module
module.PART = 5
if __name__ == "__main__":
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    module.build(Tiny(root, n=int(sys.argv[4])), root, out, module.BuildOptions(workers=1))
"""


def test_a_killed_build_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Tiny(tmp_path / "c", n=600).make()
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    tests = Path(__file__).parent.parent
    command = [sys.executable, str(script), str(corpus.root), str(tmp_path / "killed"), str(tests), "600"]
    process = subprocess.Popen(command)
    parts = tmp_path / "killed" / "parts"
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < 7:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was killed before its end"
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert 7 <= len(done) < 120
    monkeypatch.setattr(module, "PART", 5)
    (parts / "abc.part").write_bytes(b"half")  # as a kill in the middle of writing leaves it
    progress: list[tuple[int, int]] = []
    second = build(corpus, corpus.root, tmp_path / "killed", OPTIONS, lambda a, b: progress.append((a, b)))
    assert progress[0][0] >= 35, "what was done is not done again"
    assert progress[-1] == (600, 600)
    whole = build(corpus, corpus.root, tmp_path / "whole", OPTIONS)
    assert second.manifest.equals(whole.manifest)
    assert second.manifest["study"].n_unique() == 600
    assert dict(second.counts) == dict(whole.counts)
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["build.json", "manifest.parquet"]


def test_several_processes_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 5)
    corpus = Tiny(tmp_path / "c").make()
    one = built(corpus, tmp_path / "one")
    two = built(corpus, tmp_path / "two", BuildOptions(workers=2))
    assert one.equals(two)
    record = json.loads((tmp_path / "two" / "build.json").read_text())
    assert record["counts"]["studies_kept"] == 12
