"""`hilum evaluate` through the command: two tables to a card, bad input to one clear line."""

import csv
import errno
import json
import os
import random
import signal
import sys
from pathlib import Path

import polars as pl
import pytest

import tiny_language
from evaluation.made_up import made_up
from hilum.corpora.manifest import SCHEMA, write_manifest
from hilum.models.checkpoint import read_info
from hilum.records import NAMES
from hilum.reporting.result import digest_of
from image_files import write_dicom, write_png

FINDINGS = ("Edema", "Fracture")
FEW = ("--resamples", 100, "--permutations", 100, "--no-meteor")


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """References, predictions and a worse system's of 80 studies."""
    folder = tmp_path_factory.mktemp("tables")
    good, bad = made_up(80, right=0.8), made_up(80, right=0.1)
    rows = [{"study": r.study, "patient": r.patient, "view": r.view, "text": r.reference} for r in good.rows]
    return (
        write_jsonl(folder / "references.jsonl", rows),
        write_jsonl(folder / "good.jsonl", [{"study": r.study, "text": r.prediction} for r in good.rows]),
        write_jsonl(folder / "bad.jsonl", [{"study": r.study, "text": r.prediction} for r in bad.rows]),
    )


def test_a_card_and_its_tables(hilum, tables, tmp_path):
    references, good, bad = tables
    done = hilum(
        "evaluate", "reports", "--references", references, "--predictions", good, "--baseline", bad,
        "--out", tmp_path / "card", *FEW,
    )  # fmt: skip
    assert (done.status, done.err.count("\n")) == (0, 1)
    assert "Micro F1, 14 findings" in done.out
    table = done.out.splitlines()[-11:]
    assert [line.split() for line in table[:2]] == [["constant", "most"], ["bad", "normal", "frequent", "random"]]
    assert max(map(len, table)) <= 80 + 10, "80 columns, and 10 for a baseline"
    card = json.loads((tmp_path / "card" / "card.json").read_text(encoding="utf-8"))
    assert card["schema"] == "hilum.card/1"
    assert card["data"]["studies"] == 80
    assert card["provenance"]["files"]["predictions"]["name"] == "good.jsonl"
    assert card["comparisons"]
    assert card["checklist"]
    page = (tmp_path / "card" / "card.html").read_text(encoding="utf-8")
    assert "good" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    rows = list(csv.DictReader((tmp_path / "card" / "numbers.csv").open(encoding="utf-8")))
    assert len(rows) == len(card["numbers"])
    assert r"\begin{tabular}" in (tmp_path / "card" / "tables.tex").read_text(encoding="utf-8")


def test_a_collapsed_system_is_named_on_the_first_lines(hilum, tables, tmp_path):
    references, good, _ = tables
    text = "The lungs\n\x1b[31mare clear."
    rows = [json.loads(line) | {"text": text} for line in good.read_text().splitlines()]
    done = hilum(
        "evaluate", "reports", "--references", references, "--predictions", write_jsonl(tmp_path / "p.jsonl", rows),
        "--out", tmp_path / "card", *FEW,
    )  # fmt: skip
    assert done.status == 0
    assert done.out.splitlines()[1].startswith("!! ")
    assert r"“The lungs \x1b[31mare clear.”" in done.out, "a draft must not steer the terminal or forge lines"
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ('{"study": "s0", "text": "x"}\n', "lacks 79 studies"),
        ('{"study": "s0", "text": "x"}\n{"study": "s0", "text": "x"}\n', "more than once"),
        ('{"study": "s0"}\n', "has no text"),
        ("no json\n", "cannot be read as jsonl"),
    ],
)
def test_bad_predictions_are_one_clear_line_and_no_card(hilum, tables, tmp_path, content, says):
    (tmp_path / "p.jsonl").write_text(content)
    done = hilum(
        "evaluate", "reports", "--references", tables[0], "--predictions", tmp_path / "p.jsonl", "--out",
        tmp_path / "card",
    )  # fmt: skip
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert says in done.err
    assert not (tmp_path / "card").exists()


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Labels and scores of two findings in 120 studies, and of another system that guesses."""
    folder, rng = tmp_path_factory.mktemp("scores"), random.Random(1)
    labels = [{"study": f"s{i}", "patient": f"p{i}", "Edema": i % 3 == 0, "Fracture": i % 4 == 0} for i in range(120)]

    def scored(weight):
        return [
            {"study": row["study"], **{n: weight * row[n] / 2 + (1 - weight / 2) * rng.random() for n in FINDINGS}}
            for row in labels
        ]

    rows = [{**row, **{name: int(row[name]) for name in FINDINGS}} for row in labels]
    return (
        write_jsonl(folder / "labels.jsonl", rows),
        write_jsonl(folder / "good.jsonl", scored(1.0)),
        write_jsonl(folder / "guess.jsonl", scored(0.0)),
    )


def test_a_card_of_findings(hilum, scores, tmp_path):
    labels, good, guess = scores
    (tmp_path / "thresholds.toml").write_text("Edema = 0.5\nFracture = 0.6\n")
    done = hilum(
        "evaluate", "findings", "--references", labels, "--predictions", good, "--baseline", guess,
        "--thresholds", tmp_path / "thresholds.toml", "--out", tmp_path / "card", "--resamples", 100,
    )  # fmt: skip
    assert done.status == 0, done.err
    card = json.loads((tmp_path / "card" / "card.json").read_text(encoding="utf-8"))
    named = {number["name"] for number in card["numbers"]}
    assert {"auroc_edema", "sensitivity_fracture"} <= named
    assert {row["name"] for row in card["skipped"]} >= set(NAMES) - {"Edema", "Fracture"} - {"No Finding"}
    assert card["comparisons"]


@pytest.mark.parametrize(("value", "says"), [(1.5, "0..1"), ("high", "")])
def test_scores_that_are_none(hilum, scores, tmp_path, value, says):
    rows = [json.loads(line) for line in scores[1].read_text().splitlines()]
    rows[3]["Edema"] = value
    path = tmp_path / "p.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = hilum("evaluate", "findings", "--references", scores[0], "--predictions", path, "--out", tmp_path / "card")
    assert done.status == 1
    assert says in done.err
    assert not (tmp_path / "card").exists()


def test_thresholds_come_from_one_place(hilum, scores, tmp_path):
    done = hilum(
        "evaluate", "findings", "--references", scores[0], "--predictions", scores[1], "--out", tmp_path / "card",
        "--validation-references", scores[0],
    )  # fmt: skip
    assert done.status == 2
    done = hilum(
        "evaluate", "findings", "--references", scores[0], "--predictions", scores[1], "--out", tmp_path / "card",
        "--validation-references", scores[0], "--validation-predictions", scores[1],
    )  # fmt: skip
    assert done.status == 1
    assert "other patients" in done.err


def test_cards_side_by_side(hilum, tables, tmp_path):
    references, *systems = tables
    for path in systems:
        hilum(
            "evaluate",
            "reports",
            "--references",
            references,
            "--predictions",
            path,
            "--out",
            tmp_path / path.stem,
            *FEW,
        )
    done = hilum("evaluate", "compare", tmp_path / "good", tmp_path / "bad" / "card.json", "--out", tmp_path / "league")
    assert done.status == 0, done.err
    assert "good" in done.out
    assert (tmp_path / "league" / "league.html").stat().st_size > 1000
    assert (tmp_path / "league" / "league.csv").stat().st_size > 100


def test_what_is_no_card(hilum, tmp_path):
    (tmp_path / "card.json").write_text("{}")
    done = hilum("evaluate", "compare", tmp_path, tmp_path)
    assert done.status == 1
    assert "no report card" in done.err


def test_a_folder_that_cannot_be_made_is_said_before_any_work(hilum, scores, tmp_path, monkeypatch):
    def work(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("hilum.evaluation.findings.run.read_scored", work)
    monkeypatch.setattr("hilum.evaluation.card.read_card", work)
    (tmp_path / "file").write_text("")
    out = ("--out", tmp_path / "file" / "card")
    for arguments in (("findings", "--references", scores[0], "--predictions", scores[1]), ("compare", "a", "b")):
        done = hilum("evaluate", *arguments, *out)
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert "file is a file; expected a folder" in done.err


def test_a_bad_out_is_one_status_everywhere(hilum, tables, expert, tmp_path):
    (tmp_path / "file").write_text("")
    out = ("--out", tmp_path / "file" / "card")
    references, good, _ = tables
    for words in (
        ("evaluate", "reports", "--references", references, "--predictions", good),
        ("evaluate", "card", "starter-expert", "--data", tmp_path, "--scores", good),
        ("evaluate", "compare", tmp_path, tmp_path),
        ("adapt", "run", tmp_path, "--model", expert),
    ):
        done = hilum(*words, *out)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1), words
        assert "file is a file; expected a folder" in done.err, words


def test_a_folder_that_became_closed_is_the_same_status(hilum, tables, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    references, good, _ = tables
    done = hilum(
        "evaluate", "reports", "--references", references, "--predictions", good, "--out", tmp_path / "card", *FEW
    )
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "cannot be written to (No space left on device); give another --out." in done.err
    assert not list((tmp_path / "card").iterdir()), "no half of a file stays"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_judgement_that_is_stopped_writes_no_card(hilum, tables, scores, tmp_path, monkeypatch, sent, status):
    def stopped(*_, **__):
        signal.raise_signal(sent)
        raise AssertionError("it went on")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("hilum.evaluation.reports.run.judge_reports", stopped)
    monkeypatch.setattr("hilum.evaluation.findings.run.judge_findings", stopped)
    for what, (references, good, _) in (("reports", tables), ("findings", scores)):
        done = hilum("evaluate", what, "--references", references, "--predictions", good, "--out", tmp_path / "card")
        assert (done.status, done.out, done.err) == (status, "", "hilum: stopped; no card was written.\n")
        assert not (tmp_path / "card").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_cards_of_one_name_are_told_apart_by_their_folders(hilum, tables, tmp_path):
    for name in ("first", "second"):
        hilum(
            "evaluate", "reports", "--references", tables[0], "--predictions", tables[1], "--system", "mine",
            "--out", tmp_path / name / "card", *FEW,
        )  # fmt: skip
    done = hilum("evaluate", "compare", tmp_path / "first" / "card", tmp_path / "second" / "card" / "card.json")
    assert [line.partition(":")[0] for line in done.out.splitlines()[:2]] == ["mine (first)", "mine (second)"]
    assert tmp_path.name not in done.out, "no more of the path than it takes"


# ---------------------------------------------------------------------------------------------------------------------
# Learned metrics


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A text encoder and a CheXbert, tiny, in the layouts of the real ones."""
    root = tmp_path_factory.mktemp("networks")
    tiny_language.bert(root / "encoder")
    tiny_language.chexbert(root / "chexbert")
    return root


def card_of(folder):
    return json.loads((folder / "card.json").read_text(encoding="utf-8"))


def numbers_of(card, name, system):
    return [n for n in card["numbers"] if (n["name"], n["system"], n["group"]) == (name, system, None)]


def test_learned_metrics_are_numbers_like_all_others(hilum, tables, networks, tmp_path):
    references, good, bad = tables
    done = hilum(
        "evaluate", "reports", "--references", references, "--predictions", good, "--baseline", bad,
        "--out", tmp_path / "card", "--bertscore", networks / "encoder", "--bertscore-layer", 2,
        "--chexbert", networks / "chexbert", "--chexbert-tokenizer", networks / "chexbert" / "bert",
        "--device", "cpu", *FEW,
    )  # fmt: skip
    assert done.status == 0, done.err
    card = card_of(tmp_path / "card")
    for system in ("judged", "baseline"):
        (bertscore,) = numbers_of(card, "bertscore", system)
        assert bertscore["low"] < bertscore["estimate"] < bertscore["high"]
        assert "|layer:2|" in bertscore["convention"]
        by_rules, by_chexbert = [
            n for n in numbers_of(card, "micro_f1_14", system) if "uncertain:negative" in n["convention"]
        ]
        assert by_rules["convention"].startswith("labeller:hilum-rules")
        assert by_chexbert["convention"].startswith("labeller:chexbert/")
    (row,) = [row for row in card["comparisons"] if row["name"] == "bertscore"]
    assert row["low"] < row["difference"] < row["high"]
    assert row["p"] == pytest.approx(1 / 101), "the better system is better in every permutation"
    skipped = {row["name"]: row["why"] for row in card["skipped"]}
    assert set(skipped) == {"meteor", "radgraph", "radcliq_v1", "green", "ratescore"}
    page = (tmp_path / "card" / "card.html").read_text(encoding="utf-8")
    further, missing = (page.partition(f'id="{name}"')[2].partition("</section>")[0] for name in ("further", "skipped"))
    assert "BERTScore F1" in further
    assert f"The same by another labeller: {by_chexbert['convention'].split('|')[0].partition(':')[2]}" in page
    assert "BERTScore F1" in page.partition('id="baseline"')[2].partition("<details>")[0], "among the main differences"
    for name in ("RadGraph F1", "RadCliQ-v1", "GREEN", "RaTEScore"):
        assert name in missing
    assert "pip install radeval" in missing


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--bertscore", "nowhere", "--bertscore-layer", 2), 1, "config.json does not exist"),
        (("--bertscore", "nowhere"), 2, "depends on the layer"),
        (("--chexbert", "nowhere"), 1, "expected chexbert.pth"),
        (("--radgraph", "nowhere"), 2, "radgraph was given without radgraph_encoder"),
        (("--radcliq", "nowhere"), 2, "radcliq was given without chexbert, radgraph, radgraph_encoder"),
        (("--green", "nowhere"), 1, "config.json does not exist"),
        (("--ratescore", "nowhere"), 2, "ratescore was given without ratescore_encoder"),
        (("--ratescore-encoder", "nowhere"), 2, "ratescore_encoder was given without ratescore"),
        (("--bertscore-idf",), 2, "bertscore_idf was given without bertscore"),
    ],
)
def test_a_learned_metric_that_is_not_there_is_said_before_any_work(
    hilum, tables, tmp_path, monkeypatch, arguments, status, says
):
    def work(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("hilum.evaluation.reports.run.read_pairs", work)
    done = hilum(
        "evaluate", "reports", "--references", tables[0], "--predictions", tables[1], "--out", tmp_path / "card",
        *arguments, *FEW,
    )  # fmt: skip
    assert (done.status, done.err.count("\n")) == (status, 1), done.err
    assert says in done.err
    assert not (tmp_path / "card").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def test_pictures_stand_beside_the_differences(hilum, tables, tmp_path):
    references, _, bad = tables
    images = tmp_path / "images"
    (images / "s1").mkdir(parents=True)
    write_png(images / "s0.png", 0)
    write_png(images / "s1" / "frontal.png", 1)
    write_dicom(images / "s2.dcm", 2, BurnedInAnnotation="YES", PatientName="QUACKENBUSH")
    (images / "s3.png").write_bytes(b"no picture")
    for n in range(4, 60):
        write_png(images / f"s{n}.png", n)
    done = hilum(
        "evaluate", "reports", "--references", references, "--predictions", bad, "--out", tmp_path / "card",
        "--images", images, *FEW,
    )  # fmt: skip
    assert done.status == 0, done.err
    card = card_of(tmp_path / "card")
    shown = {row["study"] for row in card["details"]["worst_differences"]}
    held = card["details"]["pictures"]
    assert held["studies"] == len(shown)
    lacking = {study for study in shown if int(study[1:]) >= 60}
    assert lacking
    assert held["missing"] == len(lacking)
    assert set(held["of"]) == shown - lacking - {"s2", "s3"}
    assert {study for study, why in held["blank"].items() if "no picture of this study" in why} == lacking
    for study, why in (("s2", "burned"), ("s3", "cannot be shown")):
        assert study not in shown or why in held["blank"][study]
    page = (tmp_path / "card" / "card.html").read_text(encoding="utf-8")
    assert f"Of {len(lacking)} of the {len(shown)} studies shown here there is no picture." in page
    assert page.count("<image id=") == len(held["pictures"]) == len(held["of"])
    assert "QUACKENBUSH" not in page


@pytest.mark.parametrize(("made", "says"), [(False, "is no folder"), (True, "holds no picture")])
def test_a_folder_without_pictures_is_said_before_any_work(hilum, tables, tmp_path, made, says):
    if made:
        (tmp_path / "images").mkdir()
    done = hilum(
        "evaluate", "reports", "--references", tables[0], "--predictions", tables[1], "--out", tmp_path / "card",
        "--images", tmp_path / "images",
    )  # fmt: skip
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert says in done.err
    assert not (tmp_path / "card").exists()


# ---------------------------------------------------------------------------------------------------------------------
# A checkpoint in place of predictions

NORMAL, ABNORMAL = "Heart size is normal. The lungs are clear.", "Moderate cardiomegaly."


@pytest.fixture
def judged(hilum, expert, tmp_path):
    """Judge sentences of a small expert's findings; both need next to no time."""

    def run(*arguments):
        return hilum(
            "evaluate", "reports", "--model", "template", "--expert", expert, "--out", tmp_path / "card", *arguments,
            *FEW,
        )  # fmt: skip

    return run


def references_of(path, n=6):
    rows = [{"study": f"s{i}", "patient": f"p{i}", "view": "PA", "text": (NORMAL, ABNORMAL)[i % 2]} for i in range(n)]
    return write_jsonl(path, rows)


def test_a_checkpoint_reads_pictures_of_a_folder(judged, expert, tmp_path):
    references = references_of(tmp_path / "references.jsonl")
    images = tmp_path / "images"
    (images / "s4").mkdir(parents=True)
    for n in range(4):
        write_png(images / f"s{n}.png", n)
    write_dicom(images / "s4" / "a.dcm", 4)
    done = judged("--references", references, "--images", images)
    assert done.status == 3, "one study has no picture"
    assert "6 studies, 1 of them failed" in done.err
    drafts = [json.loads(line) for line in (tmp_path / "card" / "predictions.jsonl").read_text().splitlines()]
    assert [row["study"] for row in drafts] == [f"s{n}" for n in range(6)]
    assert [bool(row["findings_text"]) for row in drafts] == [True] * 5 + [False]
    card = card_of(tmp_path / "card")
    assert (card["data"]["studies"], card["data"]["empty_predictions"]) == (6, 1)
    notes = {row["code"]: row["text"] for row in card["verdicts"]}
    assert notes["without_picture"].startswith("Of 1 of 6 studies there is no picture")
    held = card["provenance"]
    info = read_info(expert)
    assert card["system"] == held["checkpoint"] == f"template {held['hilum']}"
    assert (held["expert"], held["expert_digest"]) == ("tiny-expert 0", digest_of(info.files))
    assert held["files"]["predictions"]["name"] == "predictions.jsonl"
    assert "tiny-expert 0" in (tmp_path / "card" / "card.html").read_text(encoding="utf-8")
    assert card["details"]["pictures"]["pictures"], "what it read is shown too"
    before = (tmp_path / "card" / "predictions.jsonl").read_bytes()
    again = judged("--references", references, "--images", images)
    assert "is done already: 6 studies" in again.err
    write_png(images / "s5.png", 5)
    other = judged("--references", references, "--images", images)
    assert (other.status, (tmp_path / "card" / "predictions.jsonl").read_bytes()) == (2, before)
    assert "is of another run" in other.err
    whole = judged("--references", references, "--images", images, "--overwrite", "--system", "ours")
    assert whole.status == 0, whole.err
    assert (card_of(tmp_path / "card")["system"], card_of(tmp_path / "card")["data"]["empty_predictions"]) == (
        "ours",
        0,
    )


@pytest.fixture
def manifest(tmp_path):
    """A manifest of six studies to test on and three to train on."""
    rows = []
    for n in range(9):
        write_png(tmp_path / f"{n}.png", n)
        rows.append(
            dict.fromkeys(SCHEMA) | {
                "corpus": "site", "root": str(tmp_path), "patient": f"p{n}", "study": f"s{n}", "order": 0,
                "split": "test" if n < 6 else "train", "images": [{"path": f"{n}.png", "view": "PA", "id": str(n)}],
                "indication": "", "findings_text": (NORMAL, ABNORMAL)[n % 2], "impression_text": "",
            }
        )  # fmt: skip
    write_manifest(pl.DataFrame(rows, schema=SCHEMA, orient="row"), tmp_path / "manifest" / "manifest.parquet")
    return tmp_path / "manifest"


def test_a_checkpoint_reads_a_split_as_predict_does(judged, hilum, expert, manifest, tmp_path):
    done = judged("--manifest", manifest, "--split", "test", "--training", manifest)
    assert done.status == 0, done.err
    drafts = tmp_path / "card" / "predictions.jsonl"
    hilum("predict", manifest, "--model", "template", "--expert", expert, "--out", tmp_path / "rows.jsonl")
    assert drafts.read_bytes() == (tmp_path / "rows.jsonl").read_bytes()
    card = card_of(tmp_path / "card")
    assert (card["data"]["studies"], card["provenance"]["split"]) == (6, "test")
    assert card["provenance"]["training_reports"] == 3
    assert card["provenance"]["files"]["references"]["name"] == "manifest.parquet"
    assert "manifest" not in card["provenance"]["files"]


def test_references_may_be_others_than_the_manifest_s(judged, manifest, tmp_path):
    references = references_of(tmp_path / "references.jsonl", 4)
    done = judged("--manifest", manifest, "--references", references)
    assert done.status == 0, done.err
    card = card_of(tmp_path / "card")
    assert (card["data"]["studies"], card["provenance"]["split"]) == (4, "test")
    assert card["provenance"]["files"]["manifest"]["name"] == "manifest.parquet"
    assert len((tmp_path / "card" / "predictions.jsonl").read_text().splitlines()) == 4
    more = references_of(tmp_path / "more.jsonl", 8)
    done = judged("--manifest", manifest, "--references", more)
    assert done.status == 1
    assert "lacks 2 studies (s6, s7) of more.jsonl in its split test" in done.err


def test_a_stopped_run_goes_on(judged, manifest, tmp_path, monkeypatch):
    from hilum.reporting import predict

    made = predict._row

    def stopping(row, *rest):
        if row["study"] == "s3":
            raise KeyboardInterrupt
        return made(row, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(predict, "_row", stopping)
        done = judged("--manifest", manifest)
    assert done.status == 130
    assert "The same command goes on" in done.err
    assert [path.name for path in (tmp_path / "card").iterdir()] == ["predictions.jsonl.partial"]
    asked = []
    monkeypatch.setattr(predict, "_row", lambda row, *rest: asked.append(row["study"]) or made(row, *rest))
    assert judged("--manifest", manifest).status == 0
    assert asked == ["s3", "s4", "s5"]


def test_a_real_reporter_is_named_by_version_and_digest(hilum, manifest, tmp_path):
    done = hilum(
        "evaluate", "reports", "--model", "starter", "--manifest", manifest, "--out", tmp_path / "card",
        "--max-new-tokens", 8, "--device", "cpu", *FEW,
    )  # fmt: skip
    assert done.status == 0, done.err
    starter = Path("src/hilum/models/starters").resolve()
    held = card_of(tmp_path / "card")["provenance"]
    for what, folder in (("checkpoint", "reporter"), ("expert", "expert")):
        info = read_info(starter / folder)
        assert (held[what], held[f"{what}_digest"]) == (f"{info.name} {info.version}", digest_of(info.files))


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "--predictions or from --model, one of the two; neither was given"),
        (("--predictions", "references.jsonl", "--model", "template"), 2, "one of the two; both were given"),
        (("--predictions", "references.jsonl"), 2, "Give --references"),
        (
            ("--predictions", "references.jsonl", "--references", "references.jsonl", "--expert", "starter"),
            2,
            "--expert is for --model",
        ),
        (("--predictions", "references.jsonl", "--manifest", "m", "--overwrite"), 2, "--manifest, --overwrite are for"),
        (("--model", "template", "--references", "references.jsonl"), 2, "--manifest, or --references with --images"),
        (("--model", "template", "--images", "images"), 2, "--manifest, or --references with --images"),
        (("--model", "template", "--manifest", "nowhere.parquet"), 1, "does not exist"),
        (("--model", "template", "--no-expert", "--manifest", "manifest"), 2, "leave the expert on"),
        (("--model", "template", "--manifest", "manifest", "--split", "validate"), 1, "no study in the split"),
        (("--model", "nowhere", "--manifest", "manifest"), 1, "no such model folder"),
        (("--model", "template", "--expert", "nowhere", "--manifest", "manifest"), 1, "no such folder"),
        (
            ("--model", "template", "--references", "references.jsonl", "--images", "images"),
            1,
            "There is no picture of any of the 6 studies",
        ),
        (("--model", "template", "--manifest", "manifest", "--baseline", "few.jsonl"), 1, "few.jsonl lacks"),
    ],
)
def test_what_cannot_start_is_said_before_any_work(hilum, manifest, tmp_path, monkeypatch, arguments, status, says):
    monkeypatch.chdir(tmp_path)
    references_of(tmp_path / "references.jsonl")
    references_of(tmp_path / "few.jsonl", 1)
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "other.png")
    done = hilum("evaluate", "reports", "--out", "card", *arguments, *FEW)
    assert (done.status, done.err.count("\n")) == (status, 1), done.err
    assert says in done.err
    assert not (tmp_path / "card").exists()
