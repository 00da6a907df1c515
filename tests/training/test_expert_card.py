"""The figures of a cross-validation made anew from its out-of-fold scores, without pictures or networks."""

import csv
import json

import numpy as np
import pytest

from hilum.corpora import open_corpus
from hilum.corpora.build import BuildOptions, build
from hilum.errors import DataError
from hilum.records import NAMES
from hilum.training.expert_card import remake, write_card
from hilum.training.expert_judge import Judge
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_scores import read_scored
from hilum.training.expert_validation import from_scores
from hilum.training.recipe import load_recipe
from training.expert_runs import write_rows

N = 240
FINDINGS = ("Cardiomegaly", "Edema", "Pleural Effusion")


@pytest.fixture
def root(tmp_path):
    """A table of 120 patients without pictures worth the name, a peer for most of them, and scores in five folds.

    Cardiomegaly's scores say something, Edema's nothing; Pleural Effusion's are its labels but for one in eight.
    """
    rng = np.random.default_rng(5)
    rows, scores, peer = [], [], []
    for i in range(N):
        name, shown = f"{i:03}.png", [bool(rng.random() < 0.4) for _ in FINDINGS]
        labels = {n: "present" if there else "absent" for n, there in zip(FINDINGS, shown, strict=True)}
        rows.append({"study": name, "patient": i // 2, "images": [(name, ("PA", "AP")[i % 3 == 0])],
                     "age": float(rng.integers(20, 80)), "sex": "MF"[i % 2], "labels": labels})  # fmt: skip
        right = shown[2] if i % 8 else not shown[2]
        scores.append(
            [name, i // 2 % 5, 0.3 * shown[0] + 0.6 * rng.random(), rng.random(), 0.5 * right + 0.4 * rng.random()]
        )
        if i < 200:
            peer.append([name, *(round(0.4 * there + 0.5 * rng.random(), 4) for there in shown)])
    write_rows(tmp_path, rows)
    for file, head, lines in (
        ("scores.csv", ["image", "fold", *FINDINGS], scores),
        ("peer.csv", ["image", "prob_Cardiomegaly", "prob_Edema", "prob_Effusion"], peer),
    ):
        with (tmp_path / file).open("w", newline="") as stream:
            csv.writer(stream).writerows([head, *lines])
    return tmp_path


@pytest.fixture
def recipe(repository, root):
    changes = {
        "data.0.manifest": str(root),
        "peer.table": str(root / "peer.csv"),
        "validation.resamples": "200",
    }
    return load_recipe(repository / "recipes" / "expert-starter.toml", ExpertRecipe, changes)


@pytest.fixture
def before(root, recipe):
    """What an earlier cross-validation wrote and scores alone cannot give."""
    return {
        "schema": "hilum.expert_validation/1",
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "minimum_age_years": 18.0,
        "folds": 5,
        "cases_sha256": read_scored(recipe, root / "scores.csv")[0].digest(),
        "made_with": {"threads": 1},
        "leave_one_source_out": {},
    }


@pytest.fixture
def result(recipe, root, before):
    return from_scores(recipe, root / "scores.csv", before, tries=17)


def test_operating_points_are_cross_fitted(result, recipe, root):
    fitted = result["operating_points_cross_fitted"]
    assert set(fitted) == set(result["operating_points"]) == {"Cardiomegaly", "Pleural Effusion"}
    assert (
        fitted["Pleural Effusion"]["sensitivity"]["n"]
        == result["operating_points"]["Pleural Effusion"]["sensitivity"]["n"]
    )
    assert len(fitted["Cardiomegaly"]["fold_thresholds"]) == 5
    # a threshold is chosen without the labels of the fold that it is applied to
    data, found = read_scored(recipe, root / "scores.csv")
    data.labels[found.fold == 2] ^= True
    turned = Judge(data, found, resamples=200, seed=0).cross_fitted_points(data.in_peer)["Cardiomegaly"][
        "fold_thresholds"
    ]
    kept = fitted["Cardiomegaly"]["fold_thresholds"]
    assert turned[2] == kept[2]
    assert sum(a != b for a, b in zip(turned, kept, strict=True)) >= 1


def test_cross_fitted_points_do_not_flatter_noise(recipe, root):
    data, found = read_scored(recipe, root / "scores.csv")
    judge = Judge(data, found, resamples=200, seed=0)
    every = np.ones(N, dtype=bool)
    column = NAMES.index("Cardiomegaly")
    gaps = []
    for seed in range(20):
        found.scores[:, column] = np.where(data.labels[:, column], 0.05, 0) + np.random.default_rng(seed).random(N)
        same, fitted = judge.operating_points(every), judge.cross_fitted_points(every)
        if "Cardiomegaly" in same:
            gaps.append(same["Cardiomegaly"]["f1"] - fitted["Cardiomegaly"]["f1"])
    assert np.mean(gaps) > 0


def test_the_macro_over_what_the_checkpoint_assesses_stands_beside_that_over_all(result):
    assert result["on_peer_pictures"]["findings"] == list(FINDINGS)
    said = result["assessed_only"]["on_peer_pictures"]
    assert said["findings"] == ["Cardiomegaly", "Pleural Effusion"]
    every = result["on_peer_pictures"]["by_finding"]
    mean = np.mean([every[name]["auc"]["estimate"] for name in said["findings"]])
    assert said["macro_auc"]["estimate"] == pytest.approx(mean, abs=2e-4)


def test_differences_by_finding_resample_patients(result):
    for one in result["on_peer_pictures"]["by_finding"].values():
        assert one["minus_peer"]["method"] == "percentile bootstrap over clusters"
        assert one["minus_peer"]["n_clusters"] == 100
        assert one["minus_peer"]["estimate"] == pytest.approx(
            one["auc"]["estimate"] - one["auc_peer"]["estimate"], abs=2e-4
        )


def test_the_card_says_what_flatters(result, tmp_path):
    write_card(tmp_path / "card.md", result)
    text = " ".join((tmp_path / "card.md").read_text().split())
    for words in (
        "over the 3 findings trained",
        "Over the 2 that the checkpoint assesses",
        "dropped on these same pictures",
        "best of 17 tries on these same folds",
        "the intervals leave that choice out",
        "threshold of each fold is chosen on the other folds",
        "python -m hilum.training.expert_card",
    ):
        assert words in text, words


def test_other_studies_or_missing_scores_are_refused(recipe, root, before):
    with pytest.raises(DataError, match="expected 000000000000"):
        from_scores(recipe, root / "scores.csv", before | {"cases_sha256": "0" * 64}, tries=None)
    lines = (root / "scores.csv").read_text().splitlines()
    (root / "scores.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=r"239\.png"):
        from_scores(recipe, root / "scores.csv", before, tries=None)


def test_a_masked_label_counts_nowhere(recipe, root):
    """What is masked may be anything: neither areas nor thresholds nor counts move."""
    data, found = read_scored(recipe, root / "scores.csv")
    column = NAMES.index("Cardiomegaly")
    data.known[::3, column] = False
    data.labels[~data.known] = False
    judge = Judge(data, found, resamples=50, seed=0)
    every = np.ones(N, dtype=bool)
    first = judge.part(every), judge.cross_fitted_points(every), judge.verdicts(), judge.reliability(every)
    found.scores[::3, column] = 1 - found.scores[::3, column]
    again = judge.part(every), judge.cross_fitted_points(every), judge.verdicts(), judge.reliability(every)
    assert first == again


def test_a_card_is_remade_where_it_lies_beside_other_cards_or_in_a_run(result, root, repository):
    recipe = repository / "recipes" / "expert-starter.toml"
    changes = {"data.0.manifest": str(root), "peer.table": str(root / "peer.csv"), "validation.resamples": "200"}
    scores = (root / "scores.csv").read_text()
    for page, figures, table in (
        ("cards/name.md", "cards/name.json", "cards/name-scores.csv"),
        ("validation/card.md", "validation/validation.json", "validation/scores.csv"),
    ):
        (root / page).parent.mkdir()
        with pytest.raises(DataError, match=r"neither .*\.json nor validation\.json"):
            remake(recipe, root / page, changes)
        (root / figures).write_text(json.dumps(result))
        (root / table).write_text(scores)
        remake(recipe, root / page, changes)
        assert json.loads((root / figures).read_text()) == json.loads(json.dumps(result))
        assert "Macro AUC" in (root / page).read_text()


@pytest.mark.shared
def test_the_committed_card_is_made_from_the_committed_scores(repository, shared, tmp_path):
    """Intervals need 2,000 resamples and half a minute; what does not depend on them is compared."""
    cards = repository / "docs" / "cards"
    committed = json.loads((cards / "starter-expert.json").read_text())
    pictures = shared / "data" / "nih_chestxray14"
    corpus = open_corpus("site", pictures, config=repository / "recipes" / "nih-shared.toml")
    build(corpus, pictures, tmp_path / "nih", BuildOptions(workers=1))
    changes = {
        "data.0.manifest": str(tmp_path / "nih"),
        "peer.table": str(pictures / "chexnet_probabilities.csv"),
        "validation.resamples": "5",
    }
    recipe = load_recipe(repository / "recipes" / "expert-starter.toml", ExpertRecipe, changes)
    made = from_scores(recipe, cards / "starter-expert-scores.csv", committed, tries=committed["tries"])

    def fixed(value):
        if isinstance(value, dict):
            return {k: fixed(v) for k, v in value.items() if "n_resamples" not in value or k == "estimate"}
        return value

    same = {key: fixed(value) for key, value in made.items() if key not in ("recipe", "resamples")}
    assert same == {key: fixed(value) for key, value in committed.items() if key not in ("recipe", "resamples")}
    write_card(tmp_path / "card.md", committed)
    assert (tmp_path / "card.md").read_text() == (cards / "starter-expert.md").read_text()
