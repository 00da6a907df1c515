"""The build: what is kept, counted, refused, and not done twice."""

import json
import math
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
from hilum.corpora.qc import qc_page
from hilum.errors import DataError, UsageError
from hilum.labeling import Labelling, RuleLabeller

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
    with pytest.raises(DataError, match=r"1 patients are in more than one split") as caught:
        built(corpus, tmp_path / "out")
    assert "p003" not in caught.value.message, "who is not published by anybody may be a patient's number"
    assert not (tmp_path / "out" / "manifest.parquet").exists()


def test_without_an_official_split_patients_are_split_by_a_hash(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c", n=150, official=False).make()
    result = build(corpus, corpus.root, tmp_path / "out", OPTIONS)
    table = result.manifest
    assert result.split.startswith("made here by a hash of the patient: 0.8 to train")
    assert result.split in qc_page(table, corpus.about, split=result.split)
    assert json.loads((tmp_path / "out" / "build.json").read_text())["split"] == result.split
    assert build(corpus, corpus.root, tmp_path / "out", BuildOptions(workers=1, shares=(0.8, 0.1, 0.1))).split
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
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "build.json").write_text('{"name": "a project of mine"}')
    with pytest.raises(DataError, match="not empty and holds no manifest of ours"):
        built(corpus, tmp_path / "other")
    assert "mine" in (tmp_path / "other" / "build.json").read_text()


def test_a_failed_build_leaves_nothing_that_stands_in_the_way(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c", leak=True).make()
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "out", tmp_path / "there"):
        with pytest.raises(DataError, match="more than one split"):
            built(corpus, out)
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "there").iterdir()) == []
    assert built(Tiny(corpus.root), tmp_path / "out").height == 12
    # as an earlier version, or a kill, leaves it: begun, and no part finished
    left = tmp_path / "left"
    (left / "parts").mkdir(parents=True)
    for name in ("parts/000000.json", "parts/x.part", "build.json"):
        (left / name).write_text(json.dumps({"corpus": "tiny", "labeller": "x", "hilum": "0"}))
    assert built(Tiny(corpus.root), left).height == 12
    assert sorted(path.name for path in left.iterdir()) == ["build.json", "manifest.parquet"]


def test_parts_of_which_nothing_could_be_used_are_not_taken_up(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    (corpus.root / "images").rename(tmp_path / "images")
    with pytest.raises(DataError, match="image_missing 12"):
        built(corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "images").rename(corpus.root / "images")
    assert built(corpus, tmp_path / "out").height == 12
    (corpus.root / "images").rename(tmp_path / "images")
    with pytest.raises(DataError, match="image_missing 12"):
        built(corpus, tmp_path / "out")
    assert read_manifest(tmp_path / "out").height == 12, "what was there stays"


def test_the_unfinished_work_of_another_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 5)
    corpus = Tiny(tmp_path / "c").make()

    def stop(done: int, n: int) -> None:
        if done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(corpus, corpus.root, tmp_path / "out", OPTIONS, stop)
    with pytest.raises(DataError, match=r"the unfinished manifest of something else \(options differ\)"):
        built(corpus, tmp_path / "out", BuildOptions(workers=1, images="trust"))
    assert built(corpus, tmp_path / "out").height == 12


def test_a_root_is_the_same_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Tiny(tmp_path / "c").make()
    monkeypatch.chdir(tmp_path)
    table = build(corpus, Path("c"), Path("out"), OPTIONS).manifest
    assert table["root"].unique().to_list() == [str(corpus.root.resolve())]
    assert json.loads(Path("out/build.json").read_text())["root_given"] == "c"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert check_manifest(read_manifest(tmp_path / "out"), images=True) == []
    (tmp_path / "link").symlink_to(corpus.root)
    for root in (corpus.root, Path("../c"), tmp_path / "link"):
        assert build(corpus, root, tmp_path / "out", OPTIONS).manifest.equals(table)


@pytest.mark.parametrize("out", ["a file", "a file/out"])
def test_a_file_where_the_folder_should_be_is_said(tmp_path: Path, out: str) -> None:
    (tmp_path / "a file").write_text("mine")
    with pytest.raises(DataError, match=r"a file is a file; expected a folder to make"):
        built(Tiny(tmp_path / "c").make(), tmp_path / out)


def test_two_builds_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    refused = []

    def another(done: int, n: int) -> None:
        with pytest.raises(DataError, match=r"Another process is at work on .*out; wait") as busy:
            built(corpus, tmp_path / "out")
        refused.append(busy)

    assert build(corpus, corpus.root, tmp_path / "out", OPTIONS, another).manifest.height == 12
    assert len(refused) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["build.json", "manifest.parquet"]


def test_text_that_the_labeller_cannot_label_has_no_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label = RuleLabeller.label

    def fail(self: RuleLabeller, texts: list[str]) -> list[Labelling]:
        return [Labelling(failed="Not English.") if "Kein" in text else label(self, [text])[0] for text in texts]

    monkeypatch.setattr(RuleLabeller, "label", fail)
    corpus = Tiny(tmp_path / "c").make()
    for k in (3, 4):
        (corpus.root / "reports" / f"{k}.txt").write_text(" IMPRESSION:\n Kein Erguss im Vergleich.\n")
    result = build(corpus, corpus.root, tmp_path / "out", OPTIONS)
    assert result.counts["value_dropped: text_not_labelled"] == 2
    assert sorted(result.examples["text_not_labelled"]) == ["s003", "s004"]
    rows = {row["study"]: row for row in result.manifest.iter_rows(named=True)}
    for study in ("s003", "s004"):
        assert rows[study]["impression_text"] == "Kein Erguss im Vergleich."
        assert (rows[study]["text_labels"], rows[study]["text_origin"]) == (None, None)
    assert rows["s005"]["text_labels"]["Cardiomegaly"] == "present"
    assert "text not labelled" in qc_page(result.manifest, corpus.about, result.counts, result.examples)


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (math.nan, 0.5, 0.5), (1.2, -0.1, -0.1), (math.inf, 0.0, 0.0)])
def test_shares_must_add_up(shares: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="add up to 1"):
        BuildOptions(shares=shares)


def test_a_build_goes_on_only_with_the_same_choice_of_the_corpus(tmp_path: Path) -> None:
    corpus = Tiny(tmp_path / "c").make()
    built(corpus, tmp_path / "out", BuildOptions(workers=1, choices={"labels": "a"}))
    with pytest.raises(DataError, match="options differ"):
        built(corpus, tmp_path / "out", BuildOptions(workers=1, choices={"labels": "b"}))


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
