"""`hilum train`: a recipe, changes to it, a checkpoint that reads."""

import csv
import json
import sys

import pytest

from image_files import write_png

SMALL = {
    "network.image_size": 64,
    "network.vision_width": 32,
    "network.vision_layers": 1,
    "network.vision_heads": 2,
    "network.language_width": 64,
    "network.language_layers": 1,
    "network.language_heads": 2,
    "network.language_ffn": 64,
    "network.vocabulary": 600,
    "network.name": "from-the-command",
    "warm_up.epochs": 0,
    "optimiser.steps": 3,
    "optimiser.batch": 4,
    "optimiser.warmup": 1,
    "data.labels": "labels",
}


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    with (root / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "patient_id", "age_years", "sex", "view", "labels"])
        for n in range(10):
            write_png(root / "images" / f"{n}.png", n, (300, 280))
            writer.writerow([f"{n}.png", f"p{n}", 40, "F", "PA", "Edema" if n % 2 else "No Finding"])
    return root


def test_stage1_makes_a_reporter_that_reads(hilum, repository, data, tmp_path):
    changes = [word for key, value in (SMALL | {"data.root": data}).items() for word in ("--set", f"{key}={value}")]
    recipe = repository / "recipes" / "reporter-starter.toml"
    done = hilum("train", "stage1", recipe, "--out", tmp_path / "new", *changes)
    assert done.status == 0
    assert done.out.startswith(f"Written to {tmp_path / 'new'}: from-the-command ")
    assert "step 0, loss" in done.err
    picture = data / "images" / "0.png"
    read = hilum(
        "read", picture, "--model", tmp_path / "new", "--findings", "Edema", "--max-new-tokens", 4, "--format", "json"
    )
    (study,) = json.loads(read.out)["studies"]
    assert study["models"]["reporter"]["name"] == "from-the-command"
    assert len(study["models"]["reporter"]["digest"]) == 64


@pytest.mark.parametrize("command", ["expert", "stage1"])
def test_what_a_recipe_lacks_is_said_in_one_line(hilum, tmp_path, command):
    done = hilum("train", command, tmp_path / "none.toml", "--out", tmp_path / "x")
    assert (done.status, done.out) == (1, "")
    assert "none.toml cannot be read" in done.err
    wrong = hilum("train", command, tmp_path / "none.toml", "--out", tmp_path / "x", "--set", "optimiser.seed")
    assert wrong.status == 2
    assert "expected KEY=VALUE" in wrong.err


def test_the_expert_is_asked_the_same_way(hilum, repository, data, tmp_path):
    recipe = repository / "recipes" / "expert-starter.toml"
    done = hilum(
        "train", "expert", recipe, "--out", tmp_path / "x", "--set", f"data.root={data}", "--set", "network.surprise=1"
    )
    assert (done.status, done.out) == (1, "")
    assert "network.surprise" in done.err


def test_what_only_training_needs_is_named_where_it_is_missing(hilum, repository, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("hilum.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in [name for name in sys.modules if name.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, name)
    done = hilum("train", "expert", repository / "recipes" / "expert-starter.toml", "--out", tmp_path / "x")
    assert (done.status, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert 'pip install "hilum[train]"' in done.err
    assert "sklearn" in done.err


def test_scores_that_are_not_there_are_one_line(hilum, repository, tmp_path):
    recipe = repository / "recipes" / "reporter-starter.toml"
    done = hilum("train", "arms", recipe, "--scores", tmp_path / "nosuch.csv", "--out", tmp_path / "x")
    assert (done.status, done.out) == (1, "")
    assert "nosuch.csv cannot be read" in done.err
    assert done.err.count("\n") == 1
