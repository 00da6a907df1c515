"""Stage 1: samples say what they should, and a tiny run learns, is repeatable and leaves a whole checkpoint."""

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hilum.corpora.image_table import held_out, read_image_table
from hilum.errors import DataError, TrainingError, UsageError
from hilum.labeling import read_back
from hilum.models.checkpoint import verify
from hilum.models.janus import load_reporter
from hilum.models.prompt import NOTHING_FOUND, WITHOUT_EXPERT, instruction
from hilum.models.tokens import JanusTokenizer
from hilum.records import NAMES, LabelState
from hilum.records.findings import ancestors
from hilum.training.fresh import fresh_network, write_tokenizer
from hilum.training.recipe import Conditioning, Stage1Recipe, load_recipe
from hilum.training.samples import IGNORED, Sample, SampleMaker, augment, collate, corrupt
from hilum.training.stage1 import answer_loss, train_stage1

ASSESSED = ["Lung Lesion", "Lung Opacity", "Pleural Effusion"]
SMALL = {
    "network.image_size": "64",
    "network.vision_width": "32",
    "network.vision_layers": "1",
    "network.vision_heads": "2",
    "network.language_width": "64",
    "network.language_layers": "2",
    "network.language_heads": "2",
    "network.language_ffn": "128",
    "network.vocabulary": "700",
    "warm_up.epochs": "1",
    "optimiser.steps": "8",
    "optimiser.batch": "8",
    "optimiser.warmup": "2",
    "data.labels": "labels",
    "assessed": str(ASSESSED).replace("'", '"'),
}


def recipe(repository: Path, root: Path, **changes: str) -> Stage1Recipe:
    settings = {**SMALL, "data.root": str(root), **{k.replace("__", "."): v for k, v in changes.items()}}
    return load_recipe(repository / "recipes" / "reporter-starter.toml", Stage1Recipe, settings)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> JanusTokenizer:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"), ASSESSED, 700)


@given(st.lists(st.sampled_from(NAMES[1:]), unique=True), st.integers(0, 1000))
def test_corruption_changes_exactly_one_label(present: list[str], seed: int) -> None:
    changed = corrupt(present, NAMES, random.Random(seed))
    assert len(set(changed) ^ set(present)) == 1
    assert changed == [name for name in NAMES if name in changed]


@given(st.text(max_size=80))
def test_the_tokenizer_writes_any_text(tokenizer: JanusTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_samples_answer_the_labels_whatever_the_prompt_says(made_pictures: Path, tokenizer: JanusTokenizer) -> None:
    images = read_image_table(made_pictures / "labels.csv", made_pictures / "images", "labels")
    maker = SampleMaker(
        images, ASSESSED, tokenizer, 16, Conditioning(language_only=0, without_expert=0.3, corrupted=0.3), "hilum/1"
    )
    rng, prompts = random.Random(1), set()
    for index in list(range(24)) * 5:
        sample = maker.make(index, rng)
        assert sample.answer[-1] == tokenizer.eos
        said = read_back(tokenizer.decode(sample.answer))
        present = {name for name, state in said.states.items() if state is LabelState.PRESENT}
        assert not said.unknown_sentences
        assert present == images[index].labels & set(ASSESSED)
        assert sample.prompt.count(tokenizer.image) == 16
        prompts.add(tokenizer.decode(sample.prompt))
    assert any(WITHOUT_EXPERT in prompt for prompt in prompts)
    assert any(NOTHING_FOUND in prompt for prompt in prompts)
    assert any("Lung Lesion, Lung Opacity present." in prompt for prompt in prompts)


def test_language_samples_say_what_their_prompt_says(made_pictures: Path, tokenizer: JanusTokenizer) -> None:
    images = read_image_table(made_pictures / "labels.csv", made_pictures / "images", "labels")
    maker = SampleMaker(images, ASSESSED, tokenizer, 16, Conditioning(language_only=1), "hilum/1")
    rng, sets, shown = random.Random(2), set(), []
    for _ in range(120):
        sample = maker.make(0, rng)
        shown.append(sample.image)
        said = read_back(tokenizer.decode(sample.answer)).states
        present = [name for name in NAMES if said.get(name) is LabelState.PRESENT]
        assert instruction(present, "hilum/1") in tokenizer.decode(sample.prompt)
        absent = {name for name, state in said.items() if state is LabelState.ABSENT}
        assert absent <= set(ASSESSED)
        assert not absent & {parent for name in present for parent in ancestors(name)}
        sets.add(tuple(present))
    said_alone = {present[0] for present in sets if len(present) == 1}
    assert said_alone - set(ASSESSED), "findings that no picture is labelled with are said too"
    assert () in sets
    assert 30 < shown.count(None) < 90
    assert set(shown) == {0, None}


def test_the_loss_sees_answers_only(tokenizer: JanusTokenizer, repository: Path, made_pictures: Path) -> None:
    a, b = Sample(0, [5, 6, 7], [8, 9]), Sample(1, [5], [8, 9, 10, 11, 12])
    ids, mask, targets = collate([a, b], pad=0)
    assert ids.tolist() == [[5, 6, 7, 8, 9, 0], [5, 8, 9, 10, 11, 12]]
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0], [1] * 6]
    assert targets.tolist() == [[IGNORED] * 3 + [8, 9, IGNORED], [IGNORED, 8, 9, 10, 11, 12]]
    network = fresh_network(recipe(repository, made_pictures).network, tokenizer, 0).eval()
    image = [tokenizer.boi, *[tokenizer.image] * 16, tokenizer.eoi]
    samples = [Sample(0, [*image, 5, 6], [8, 9]), Sample(1, [*image, 5], [8, 9, 10])]
    ids, mask, targets = collate(samples, tokenizer.pad)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ours = answer_loss(network, ids, mask, targets, pixels)
    theirs = network(input_ids=ids, attention_mask=mask, pixel_values=pixels, labels=targets).loss
    torch.testing.assert_close(ours, theirs)


def test_augmentation_never_mirrors() -> None:
    left = torch.full((32, 3, 40, 40), -1.0)
    left[..., :12] = 1.0
    out = augment(left, torch.Generator().manual_seed(3), 1.0)
    assert (out[..., :20].mean((1, 2, 3)) > out[..., 20:].mean((1, 2, 3))).all()
    assert out.min() >= -1
    assert out.max() <= 1
    assert torch.equal(augment(left, torch.Generator(), 0.0), left)


def test_a_run_is_repeatable_and_leaves_a_whole_checkpoint(
    repository: Path, made_pictures: Path, tmp_path: Path
) -> None:
    settings = recipe(repository, made_pictures)
    told: list[dict[str, float]] = []
    info = train_stage1(settings, tmp_path / "a", told.append)
    again = train_stage1(settings, tmp_path / "b")
    assert info.files == again.files
    assert verify(tmp_path / "a") == info
    assert info.demonstration
    assert str(made_pictures) not in (tmp_path / "a" / "hilum.json").read_text()
    assert {"epoch", "step"} <= {key for row in told for key in row}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    images = read_image_table(made_pictures / "labels.csv", made_pictures / "images", "labels")
    kept = [i for i in images if not held_out(i.patient, 0.2) and i.age_years >= 18]
    assert info.provenance["pictures"] == len(kept)
    assert 0 < info.provenance["held_out_patients"] < 12
    reporter = load_reporter(tmp_path / "a", device="cpu")
    assert {p.dtype for p in reporter.network.parameters()} == {torch.bfloat16}
    with pytest.raises(UsageError, match="not empty"):
        train_stage1(settings, tmp_path / "a")


def test_it_learns(repository: Path, made_pictures: Path, tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    train_stage1(
        recipe(repository, made_pictures, optimiser__steps="60", optimiser__learning_rate="0.003"),
        tmp_path / "a",
        told.append,
    )
    losses = [row["loss"] for row in told if "step" in row]
    assert losses[-1] < 0.75 * losses[0]


def test_a_loss_that_is_no_number_stops_with_nothing_written(
    repository: Path, made_pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="learning rate"):
        train_stage1(
            recipe(repository, made_pictures, optimiser__learning_rate="1e30", optimiser__gradient_clip="1e30"),
            tmp_path / "a",
        )
    assert list(tmp_path.iterdir()) == []


def test_recipes_are_checked(repository: Path, made_pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"optimiser\.batch"):
        recipe(repository, made_pictures, optimiser__batch="0")
    with pytest.raises(DataError, match="surprise"):
        recipe(repository, made_pictures, optimiser__surprise="1")
    with pytest.raises(DataError, match="is a value"):
        recipe(repository, made_pictures, held_out__x="1")
    (tmp_path / "bad.toml").write_text("a = ")
    with pytest.raises(DataError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml", Stage1Recipe)
    with pytest.raises(DataError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml", Stage1Recipe)
    with pytest.raises(DataError, match="no picture to train on"):
        train_stage1(recipe(repository, made_pictures, minimum_age_years="99"), tmp_path / "out")
