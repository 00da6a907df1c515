"""Recipes: mistakes are refused with the place and the expectation; `--set` reaches arrays of tables too."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hilum.errors import DataError
from hilum.training.recipe import load_recipe
from hilum.training.reporter_recipe import FreshNetwork, ReporterRecipe
from training.runs import TINY

TEXT = """
assessed = ["Edema"]

[identity]
name = "made"
version = "1"

[model]
base = "base"

[[data]]
manifest = "one.parquet"

[[data]]
manifest = "two.parquet"
weight = 0.5

[optimiser]
steps = 10
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "recipe.toml").write_text(TEXT)
    return tmp_path / "recipe.toml"


def load(file: Path, **changes: str) -> ReporterRecipe:
    return load_recipe(file, ReporterRecipe, {key.replace("__", "."): value for key, value in changes.items()})


def made(**changes: Any) -> ReporterRecipe:
    """The tiny recipe with values at dotted places, `__` for dots."""
    raw: dict[str, Any] = {**deepcopy(TINY), "data": [{"manifest": "m.parquet"}]}
    for key, value in changes.items():
        *sections, leaf = key.split("__")
        place = raw
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    return ReporterRecipe.model_validate(raw)


# --- files and --set


def test_a_recipe_is_read_and_changed(file: Path) -> None:
    recipe = load(file, optimiser__steps="7", images__most="2", model__base="other/folder", identity__name='"a b"')
    assert recipe.optimiser.steps == 7
    assert recipe.images.most == 2
    assert recipe.model.base == "other/folder"
    assert recipe.identity.name == "a b"
    assert [source.manifest for source in recipe.data] == [Path("one.parquet"), Path("two.parquet")]


def test_the_recipes_of_the_repository_are_read(repository: Path) -> None:
    recipes = {
        file.stem: load_recipe(file, ReporterRecipe) for file in (repository / "recipes").glob("reporter-*.toml")
    }
    assert {"reporter-stage1", "reporter-stage2", "reporter-stage3", "reporter-starter"} <= recipes.keys()
    assert recipes["reporter-stage1"].lora.rank == 64, "the paper's first version"


def test_an_entry_of_an_array_of_tables_is_changed_by_its_number(file: Path) -> None:
    recipe = load(file, data__0__manifest="three.parquet", data__1__text="grammar", data__1__weight="2")
    assert [(s.manifest.name, s.text, s.weight) for s in recipe.data] == [
        ("three.parquet", "report", 1.0),
        ("two.parquet", "grammar", 2.0),
    ]


def test_the_number_after_the_last_adds_an_entry(file: Path) -> None:
    recipe = load(file, data__2__manifest="three.parquet", data__2__weight="3", assessed__1="Fracture")
    assert [(s.manifest.name, s.weight) for s in recipe.data] == [
        ("one.parquet", 1.0),
        ("two.parquet", 0.5),
        ("three.parquet", 3.0),
    ]
    assert recipe.assessed == ("Edema", "Fracture")


def test_a_recipe_without_data_takes_it_from_the_command(file: Path) -> None:
    file.write_text(TEXT.replace("[[data]]", "[[other]]"))
    with pytest.raises(DataError, match="data"):
        load(file)
    file.write_text("\n".join(line for line in TEXT.splitlines() if not line.startswith(("[[", "manifest", "weight"))))
    assert [s.manifest.name for s in load(file, data__0__manifest="a", data__1__manifest="b").data] == ["a", "b"]
    assert load(file, data='[{manifest = "c"}]').data[0].manifest == Path("c")


@pytest.mark.parametrize("key", ["data.manifest", "data.3.manifest", "data.-1.manifest", "data.x.manifest", "data.5"])
def test_an_array_of_tables_wants_a_number(file: Path, key: str) -> None:
    with pytest.raises(DataError, match=rf"--set {key}: data is a list of 2 in .*data\.0 .*data\.2 for a new one"):
        load_recipe(file, ReporterRecipe, {key: "x"})


def test_a_value_is_no_section(file: Path) -> None:
    for key in ("optimiser.steps.more", "optimiser.steps.0", "data.0.manifest.x", "assessed.0.x"):
        with pytest.raises(DataError, match=rf"--set {key}: .* is a value, not a section"):
            load_recipe(file, ReporterRecipe, {key: "1"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimiser.stepps", "1"),
        ("more.section", "1"),
        ("data.0.manifesto", "x"),
        ("data.2.weight", "1"),  # a new entry without a manifest
        ("data.0", "x"),
        ("optimiser.steps", "0"),
        ("optimiser.steps", "many"),
        ("optimiser.learning_rate", "nan"),
        ("optimiser.learning_rate", "inf"),
        ("optimiser.betas", "[0.9, 1.0]"),
        ("data.1.weight", "0"),
        ("data.1.weight", "inf"),
        ("data.1.text", "prose"),
        ("images.single", "1.5"),
        ("conditioning.corrupted", "-0.1"),
        ("model.language", "half"),
        ("lora.dropout", "1.0"),
        ("validation.metric", "bleu"),
    ],
)
def test_a_mistake_is_refused_with_its_place(file: Path, key: str, value: str) -> None:
    with pytest.raises(DataError) as found:
        load_recipe(file, ReporterRecipe, {key: value})
    place = {"data.2.weight": "data.2.manifest", "optimiser.betas": "optimiser.betas.1", "more.section": "more"}
    assert f"recipe.toml: {place.get(key, key)}: " in str(found.value)
    assert len(str(found.value)) < 400 + len(str(file))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml", ReporterRecipe)
    for text in (b"[a", b"a = 1\na = 2", b"name = \xff\xfe"):
        (tmp_path / "a.toml").write_bytes(text)
        with pytest.raises(DataError, match="not valid TOML"):
            load_recipe(tmp_path / "a.toml", ReporterRecipe)


def test_a_rule_over_sections_says_itself_and_not_the_whole_recipe(file: Path) -> None:
    with pytest.raises(DataError, match=r"must be a multiple of optimiser\.micro_batch") as found:
        load(file, optimiser__batch="24")
    assert len(str(found.value)) < 400 + len(str(file))


# --- rules over several settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__base": "x"}, "either base"),
        ({"model__fresh": None}, "either base"),
        ({"model__language": "lora"}, "trained in full"),
        ({"model__aligner": "frozen"}, "trained in full"),
        ({"model": {"base": "x", "language": "frozen"}}, "nothing is trained"),
        ({"model__frozen_weights": "bfloat16"}, "needs optimiser.precision"),
        ({"optimiser__batch": 5}, "multiple of optimiser.micro_batch"),
        ({"conditioning__random_findings": 0.5}, "'grammar' only"),
        ({"conditioning__without_expert": 0.6, "conditioning__corrupted": 0.5}, "exceed 1 together"),
        ({"images__lateral": True}, "most must be at least 2"),
        ({"images__prior": True}, "most must be at least 2"),
        ({"validation__report_studies": 0}, "needs reports"),
        ({"data": []}, "at least 1"),
        ({"model__fresh__image_size": 100}, "multiple of patch_size"),
        ({"model__fresh__vision_heads": 5}, "multiple of vision_heads"),
        ({"model__fresh__language_width": 66}, "multiple of twice language_heads"),
        ({"model__fresh__language_layers": 0}, "greater than 0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        made(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimiser__batch": 8, "optimiser__micro_batch": 16},  # a micro-batch is never larger than a batch
        {"optimiser__batch": 6},
        {"model__frozen_weights": "bfloat16", "optimiser__precision": "bfloat16"},
        {"model": {"base": "x", "language": "frozen", "vision": "lora"}},
        {"images__lateral": True, "images__most": 2},
        {"validation__report_studies": 0, "validation__metric": "loss"},
        {"data": [{"manifest": "m", "text": "grammar"}], "conditioning__random_findings": 0.5},
        {"conditioning__without_expert": 0.5, "conditioning__corrupted": 0.5},
    ],
)
def test_settings_that_go_together_are_taken(changes: dict[str, Any]) -> None:
    recipe = made(**changes)
    assert ReporterRecipe.model_validate(recipe.model_dump(mode="json")) == recipe, "as run.json keeps it"


def test_the_default_sizes_are_sizes() -> None:
    sizes = FreshNetwork()
    assert sizes.image_size % sizes.patch_size == 0
    assert sizes.language_width % sizes.language_heads == 0
