"""`hilum ablate` through the command, with the bundled starter models."""

import csv
import json
import re
import signal
import sys
from importlib.resources import files

import jsonschema
import pytest

from evaluation.ablation.pictures import make_manifest, picture_of

SCHEMA = json.loads(files("hilum.evaluation").joinpath("ablation.schema.json").read_text(encoding="utf-8"))
QUICK = ["--resamples", 100, "--permutations", 100]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def ablate(hilum, manifest):
    def run(what, *arguments):
        return hilum("ablate", what, "--manifest", manifest, *QUICK, *arguments)

    return run


def test_the_starter_says_what_its_prompt_says(ablate, tmp_path):
    out = tmp_path / "run"
    done = ablate("expert", "--out", out, "--flips", 2)
    assert (done.status, done.err.strip()) == (0, f"Written to {out}: index.html, ablation.json, ablation.csv.")
    assert "6 studies of 5 patients" in done.out
    assert "!! 6 studies of 5 patients are too few for any conclusion" in done.out
    assert "The picture changes nothing measurable" in done.out
    assert "Text is read by hilum-rules-en/" in done.out
    assert "micro-13 F1" in done.out

    made = json.loads((out / "ablation.json").read_text(encoding="utf-8"))
    assert (made["schema"], made["experiment"]) == ("hilum.ablation/1", "expert")
    jsonschema.validate(made, SCHEMA)
    arms = {arm["key"] for arm in made["arms"]}
    assert arms == {"none/true", "predicted/true", "wrong/true", "oracle/true", "none/blank", "none/shuffled",
                    "predicted/blank", "predicted/shuffled"}  # fmt: skip
    by = {(n["system"], n["name"]): n for n in made["numbers"]}
    assert by["oracle/true", "micro_f1_told"]["estimate"] > 0.9
    assert by["none/true", "micro_f1_told"]["estimate"] is None
    for number in made["numbers"]:
        if number["estimate"] is not None:
            assert number["low"] <= number["estimate"] <= number["high"], number["name"]
    flips = [p for p in made["propagation"] if p["origin"] == "flip" and p["finding"] is None]
    assert {p["direction"] for p in flips} == {"false_negative", "false_positive"}
    for one in made["propagation"]:
        assert sum(one["texts"].values()) == one["errors"]
        assert one["propagation"]["estimate"] + one["rescue"]["estimate"] == pytest.approx(1)
    assert {d["measure"] for d in made["differences"]} == {"micro_f1_labels", "macro_f1_labels"}
    assert made["facts"]["files"]["manifest"]["sha256"]
    assert made["facts"]["labeller_f1"]["micro-13"]

    rows = list(csv.DictReader((out / "ablation.csv").open(encoding="utf-8")))
    assert {row["kind"] for row in rows} == {"number", "difference", "propagation"}
    assert len(rows) == len(made["numbers"]) + len(made["differences"]) + sum(
        sum(one[key] is not None for key in ("propagation", "rescue", "wrong_though_told_right", "caused"))
        for one in made["propagation"]
    )
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert page.count('<svg class="forest"') > 20
    assert not re.search(r"https?://|<script|style=", page)
    assert all(word in page for word in ("Propagation", "Rescue", "hilum-starter-reporter", "GRAVE"))
    # no patient stands in what is handed on
    assert "100003" not in page + done.out + (out / "ablation.json").read_text()

    again = ablate("expert", "--out", out, "--flips", 2)
    assert (again.status, again.out) == (0, done.out)
    other = ablate("expert", "--out", out, "--flips", 1)
    assert other.status == 2
    assert "holds another run (flips differ); give another --out." in other.err


def test_a_study_that_is_left_out_is_status_3(hilum, tmp_path):
    manifest = make_manifest(tmp_path)
    picture_of(manifest, "50000301").write_bytes(b"no picture")
    done = hilum("ablate", "expert", "--manifest", manifest, "--out", tmp_path / "run", "--flips", 0, *QUICK)
    assert done.status == 3
    assert "Studies left out: unknown_format 1." in done.out
    assert "unknown_format 1" in (tmp_path / "run" / "index.html").read_text()


def test_a_few_patients_can_be_drawn(ablate, tmp_path):
    done = ablate("expert", "--out", tmp_path / "run", "--flips", 0, "--patients", 3, "--seed", 7)
    assert done.status == 0
    assert "of 3 patients" in done.out


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_that_it_goes_on(ablate, tmp_path, monkeypatch, sent, status):
    from hilum.models.janus import Reporter

    def interrupted(*_, **__):
        signal.raise_signal(sent)
        raise AssertionError("it went on")

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "generate_from", interrupted)
        done = ablate("expert", "--out", tmp_path / "run", "--flips", 0)
    assert done.status == status
    assert done.err.strip() == "hilum: stopped. The same command goes on where it stopped."
    assert not (tmp_path / "run" / "ablation.json").exists()
    assert ablate("expert", "--out", tmp_path / "run", "--flips", 0).status == 0


@pytest.mark.parametrize("what", [["expert"], ["stage", "--model", "a=starter", "--model", "b=template"]])
def test_a_bad_out_is_the_status_of_all_commands(ablate, tmp_path, what):
    (tmp_path / "file").write_text("")
    done = ablate(*what, "--out", tmp_path / "file" / "run")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "file is a file; expected a folder" in done.err
    (tmp_path / "file").rename(tmp_path / "letter.txt")
    done = ablate(*what, "--out", tmp_path)
    assert (done.status, "holds something else (letter.txt); give another --out." in done.err) == (2, True)


def test_memory_that_does_not_hold_a_batch_is_one_line(ablate, tmp_path, monkeypatch):
    from hilum.models.janus import Reporter

    def out_of_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Reporter, "generate_from", out_of_memory)
    done = ablate("expert", "--out", tmp_path / "run", "--flips", 0)
    assert (done.status, done.err.strip()) == (
        1, "hilum: Memory does not hold a batch of 8 prompts; give a smaller --batch.",
    )  # fmt: skip


def test_stages_side_by_side(ablate, tmp_path):
    out = tmp_path / "run"
    models = ["--model", "first=starter", "--model", "sentences=template", "--model", "same=starter"]
    done = ablate("stage", *models, "--out", out)
    assert done.status == 0, done.err
    assert "same is not told from first in any of 9 measures." in done.out
    assert "BLEU-4" in done.out
    made = json.loads((out / "ablation.json").read_text(encoding="utf-8"))
    assert (made["schema"], made["experiment"]) == ("hilum.ablation/1", "stage")
    jsonschema.validate(made, SCHEMA)
    for wrong in ({"systems": ["first"]}, {"experiment": "expert"}, {"arms": []}, {"failed": {"first": -1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**made, **wrong}, SCHEMA)
    assert made["systems"] == ["first", "sentences", "same"]
    assert made["failed"] == {"first": 0, "sentences": 0, "same": 0}
    measures = {"micro_f1_14", "macro_f1_14", "micro_f1_5", "macro_f1_5", "bleu_4", "rouge_l", "cider",
                "outside_word_share", "colloquial_report_share"}  # fmt: skip
    assert {n["name"] for n in made["numbers"]} == measures
    assert {n["system"] for n in made["numbers"]} == {"first", "sentences", "same"}
    for one in made["differences"]:
        assert one["second"] == "first"
        if one["first"] == "same":
            assert one["difference"] == 0
        assert one["p_holm"] >= one["p"]
    assert len(made["differences"]) == 2 * len(measures)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "CIDEr" in page
    assert not re.search(r"https?://|<script|style=", page)
    assert sorted(path.name for path in out.glob("*.parquet")) == [
        "first.parquet", "same.parquet", "sentences.parquet", "studies.parquet",
    ]  # fmt: skip
    refused = ablate("stage", *models[:4], "--out", out)
    assert (refused.status, "models differ" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["stage", "--model", "a=starter"], 2, "1 --model was given; a comparison needs two or more"),
        (["stage", "--model", "a=starter", "--model", "a=template"], 2, "--model a was given twice"),
        (["stage", "--model", "starter", "--model", "b=starter"], 2, "expected NAME=CKPT"),
        (["stage", "--model", "../a=starter", "--model", "b=starter"], 2, "expected NAME=CKPT"),
        (["stage", "--model", "a=starter", "--model", "b=starter", "--split", "validate"], 1, "it has test, train"),
        (["expert", "--split", "validate"], 1, "no study in the split 'validate'"),
        (["expert", "--model", "nowhere"], 1, "nowhere"),
        (["expert", "--scores", "nowhere.csv"], 1, "nowhere.csv"),
    ],
)
def test_what_cannot_start_is_one_line(ablate, tmp_path, arguments, status, words):
    done = ablate(*arguments, "--out", tmp_path / "run")
    assert (done.status, done.out) == (status, "")
    assert words in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists(), "nothing stands in the way of the right command"
