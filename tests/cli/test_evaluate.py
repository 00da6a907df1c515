"""`hilum evaluate` through the command: two tables to a card, bad input to one clear line."""

import csv
import json
import random

import pytest

from evaluation.made_up import made_up
from hilum.records import NAMES

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
    assert "micro_f1_14" in done.out
    assert "floors: constant normal" in done.out
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
    rows = [json.loads(line) | {"text": "The lungs are clear."} for line in good.read_text().splitlines()]
    done = hilum(
        "evaluate", "reports", "--references", references, "--predictions", write_jsonl(tmp_path / "p.jsonl", rows),
        "--out", tmp_path / "card", *FEW,
    )  # fmt: skip
    assert done.status == 0
    assert done.out.splitlines()[1].startswith("!! ")


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
