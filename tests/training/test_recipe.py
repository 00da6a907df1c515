"""Recipes: mistakes are refused with the place and the expectation; `--set` reaches arrays of tables too."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hilum.errors import DataError, UsageError
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.gate_recipe import GateRecipe
from hilum.training.recipe import MARKS, RecipeError, Settings, load_recipe
from hilum.training.recipe_page import section_of, write_page
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
    with pytest.raises(UsageError, match=rf"--set {key}: data is a list of 2 in .*data\.0 .*data\.2 for a new one"):
        load_recipe(file, ReporterRecipe, {key: "x"})


def test_a_value_is_no_section(file: Path) -> None:
    for key, has in {
        "optimiser.steps.more": r"\[optimiser\] has batch, micro_batch, .*, steps, warmup",
        "optimiser.steps.0": r"\[optimiser\] has batch, ",
        "data.0.manifest.x": r"\[data\.0\] has manifest, text, labels, weight",
        "assessed.0.x": "the top of a recipe has identity, model, .*, assessed",
    }.items():
        with pytest.raises(UsageError, match=rf"--set {key}: .* is a value, not a section .*; {has}"):
            load_recipe(file, ReporterRecipe, {key: "1"})


@pytest.mark.parametrize("key", ["data..manifest", ".seed", "optimiser."])
def test_a_key_has_no_empty_part(file: Path, key: str) -> None:
    with pytest.raises(UsageError, match=rf"--set {key}: found a dot too many; expected SECTION\.KEY=VALUE"):
        load_recipe(file, ReporterRecipe, {key: "x"})


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


FAULTY = """
assesed = ["Edema"]

[identity]
name = "made"
version = 2

[model]
base = "base"
language = "half"
vison = "lora"

[[data]]
text = "prose"
weight = 0

[[data]]
manifest = 3

[optimiser]
batch = 0
betas = [0.9, 1.0]
learning_rate = nan
precision = ["float32"]

[conditioning]
without_expert = 0.6
corrupted = 0.5

[lora]
surprise = { a = 1 }
"""


def test_every_fault_is_shown_with_its_place(file: Path) -> None:
    file.write_text(FAULTY)
    with pytest.raises(RecipeError) as found:
        load_recipe(file, ReporterRecipe)
    heading, *lines, advice = found.value.lines
    assert heading == f"The recipe {file} has 15 faults:"
    assert [line.strip() for line in lines] == [
        "model.vison: there is no such key; did you mean model.vision?",
        "lora.surprise: there is no such key; [lora] has rank, alpha, dropout",
        "assesed: there is no such key; did you mean assessed?",
        "identity.version: expected text in quotes, found 2",
        'model.language: expected one of "frozen", "lora", "full", found "half"',
        "data.0.manifest: missing, expected a path in quotes",
        'data.0.text: expected one of "report", "grammar", found "prose"',
        "data.0.weight: expected a number above 0, found 0",
        "data.1.manifest: expected a path in quotes, found 3",
        "conditioning: without_expert and corrupted are shares of the same samples and exceed 1 together",
        "optimiser.batch: expected a whole number above 0, found 0",
        "optimiser.learning_rate: expected a finite number, found nan",
        "optimiser.betas.1: expected a number from 0 and below 1, found 1.0",
        'optimiser.precision: expected one of "float32", "bfloat16", found a list',
        "optimiser.steps: missing, expected a whole number above 0",
    ]
    assert "docs/recipes.md" in advice
    message = found.value.message
    assert "\n" not in message, "one line for who has no more room"
    assert all(line.strip() in message for line in (*lines, advice))


def test_a_section_that_is_missing_or_no_section_says_what_it_needs(file: Path) -> None:
    file.write_text('identity = "x"\n[model]\nbase = "b"\n[[data]]\nmanifest = "m"\n')
    with pytest.raises(RecipeError) as found:
        load_recipe(file, ReporterRecipe)
    assert [line.strip() for line in found.value.lines[1:-1]] == [
        'identity: expected a section with name, version, found "x"',
        "optimiser: missing, expected a section with steps",
    ]


def test_members_of_a_union_are_one_fault(repository: Path) -> None:
    file = repository / "recipes" / "expert-starter.toml"
    with pytest.raises(RecipeError) as found:
        load_recipe(file, ExpertRecipe, {"targets.positive_weight": "heavy", "targets.finding_weights.Edema": "much"})
    assert [line.strip() for line in found.value.lines[1:-1]] == [
        'targets.positive_weight: expected a number or "balanced", found "heavy"',
        'targets.finding_weights.Edema: expected a number, found "much"',
    ]


KINDS: dict[str, type[Settings]] = {"reporter": ReporterRecipe, "expert": ExpertRecipe, "gate": GateRecipe}
OTHERS = {
    "expert.toml": "an expert's recipe (it has [network] and [targets] and [head]), .* `hilum train expert`",
    "reporter-stage2.toml": "a reporter's recipe (it has [model] and [lora] and [conditioning]), .* stage1, stage2 or",
    "gate-starter.toml": "a gate's recipe (it has [fit] and [operating]), .* `hilum train gate`",
    "nih-shared.toml": "a description of a hospital's table (it has [table] and [columns]), .* `hilum corpus build",
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_of_another_kind_is_recognised(repository: Path, name: str, kind: str) -> None:
    file = repository / "recipes" / name
    if name.startswith(kind):
        load_recipe(file, KINDS[kind])
        return
    with pytest.raises(UsageError, match=OTHERS[name].replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")):
        load_recipe(file, KINDS[kind])


def test_marks_tell_the_kinds_apart() -> None:
    for kind in KINDS.values():
        (own,) = [one for one in MARKS if one[0] <= kind.model_fields.keys()]
        assert not any(one[0] & kind.model_fields.keys() for one in MARKS if one is not own)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml", ReporterRecipe)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"[a", r" at its end, line 1 \(\"\[a\"\): expected ']'"),
        (b"a = 1\na = 2\n", r" in line 2, column 6 \(\"a = 2\"\): cannot overwrite a value"),
        (b"[a]\n\nname = made\n", r" in line 3, column 8 \(\"name = made\"\): invalid value\. .* name = \"mine\""),
        (b"a = 1\nname = \xff\xfe", ": line 2 holds a byte that is not UTF-8"),
    ],
)
def test_what_is_no_toml_is_shown_where_it_stands(tmp_path: Path, text: bytes, place: str) -> None:
    (tmp_path / "a.toml").write_bytes(text)
    with pytest.raises(DataError, match=f"not valid TOML{place}"):
        load_recipe(tmp_path / "a.toml", ReporterRecipe)


def test_a_rule_over_sections_says_itself_and_not_the_whole_recipe(file: Path) -> None:
    with pytest.raises(DataError, match=r"must be a multiple of optimiser\.micro_batch") as found:
        load(file, optimiser__batch="24")
    assert len(str(found.value)) < 400 + len(str(file))


# --- rules over several settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__base": "x"}, r"both base and .* remove \[model\.fresh\]"),
        ({"model__fresh": None}, r"neither base nor \[model\.fresh\]"),
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


# --- the page


def test_the_page_of_recipes_is_what_the_models_say(repository: Path, tmp_path: Path) -> None:
    write_page(tmp_path / "recipes.md")
    made, kept = (file.read_text("utf-8") for file in (tmp_path / "recipes.md", repository / "docs" / "recipes.md"))
    assert kept == made, "write it anew: python -m hilum.training.recipe_page docs/recipes.md"


def test_every_setting_says_what_it_means() -> None:
    def silent(kind: type[Settings], place: str) -> list[str]:
        found = []
        for name, field in kind.model_fields.items():
            if section := section_of(field.annotation):
                found += silent(section, f"{place}.{name}")
            elif not field.description:
                found.append(f"{place}.{name}")
        return found

    assert [place for name, kind in KINDS.items() for place in silent(kind, name)] == []
