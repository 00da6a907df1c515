"""Which figures a validation cannot give: a card is written all the same, and says which are missing and why."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import PartialState

from hilum.errors import DataError
from hilum.records import NAMES
from hilum.training.expert_bench import Bench
from hilum.training.expert_cases import OutOfFold, cases_of, metadata_scores
from hilum.training.expert_checks import check_before_training, learned_findings
from hilum.training.expert_scores import read_scored
from hilum.training.expert_studies import read_expert_material
from hilum.training.expert_validation import from_scores
from hilum.training.expert_validation_folder import write_validation
from training.expert_runs import recipe, write_rows

N = 160
FINDINGS = ("Cardiomegaly", "Edema")


def rows(n: int = N, *, split: str = "train", present: Any = lambda i, k: (i // (k + 2)) % 2, view: Any = None) -> Any:
    """Studies of two to a patient with two findings; every sixth is AP."""
    return [
        {"study": f"{split}{i:03}", "patient": f"{split}{i // 2}", "split": split,
         "images": [(f"{split}{i:03}.png", view or ("PA", "AP")[i % 6 == 0])], "age": 30.0 + i % 40, "sex": "MF"[i % 2],
         "labels": {name: ("absent", "present")[bool(present(i, k))] for k, name in enumerate(FINDINGS)}}
        for i in range(n)
    ]  # fmt: skip


def with_peer(folder: Path, files: list[str], classes: tuple[str, ...] = ("Cardiomegaly", "Edema")) -> dict[str, Any]:
    """The [peer] of a recipe, its outputs drawn."""
    rng = np.random.default_rng(3)
    with (folder / "peer.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", *(f"prob_{name}" for name in classes)])
        writer.writerows([file, *rng.random(len(classes)).round(4)] for file in files)
    return {"table": str(folder / "peer.csv")}


def validated(folder: Path, table: list[dict[str, Any]], **changes: Any) -> tuple[str, dict[str, Any], Bench]:
    """The card, the figures and the bench of a run over studies, its networks' scores made up: they say something."""
    validation = {"folds": 2, "resamples": 20, **changes.pop("validation", {})}
    targets = {"assessed": FINDINGS, "minimum_positives": 1, **changes.pop("targets", {})}
    settings = recipe(write_rows(folder, table), targets=targets, validation=validation, **changes)
    material = read_expert_material(settings)
    check_before_training(settings, material)
    learned, _ = learned_findings(settings, material)
    bench = Bench(settings, material, None, learned, folder, {}, PartialState(cpu=True), True)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    scores = 0.4 * material.present + 0.6 * rng.random(material.present.shape)
    scores[:, [k for k, name in enumerate(NAMES) if name not in learned]] = np.nan
    held_out = None
    if n := settings.validation.folds:
        train = material.of_split("train")
        fold = material.folds(n)[train]
        cases = cases_of(material, train, settings)
        other = scores[train] if settings.validation.other_source else np.full((len(train), len(NAMES)), np.nan)
        held_out = OutOfFold(learned, fold, scores[train], metadata_scores(cases, fold, learned), other)
    verdicts, result = write_validation(bench, held_out, scores)
    place = folder / "validation"
    assert json.loads((place / "validation.json").read_text()) == json.loads(json.dumps(result))
    assert list(verdicts) == list(result["verdicts"]) == list(learned)
    return " ".join((place / "card.md").read_text().split()), result, bench


def test_without_a_peer_everything_else_is_there_and_the_comparison_is_said_to_be_missing(tmp_path: Path) -> None:
    text, result, _ = validated(tmp_path, rows())
    assert result["on_peer_pictures"]["findings"] == list(FINDINGS)
    assert "Macro AUC" in text
    assert "view, sex, age only" in text
    assert "of these PA only" in text
    assert "of these AP only" in text
    assert "What is missing, and why - A published classifier on the same pictures" in text
    assert "the recipe names no [peer]" in text
    assert "with the published classifier's outputs" not in text
    assert "noisy-or" not in text
    assert len(result["missing"]) == 1


def test_figures_made_anew_miss_the_same(tmp_path: Path) -> None:
    _, result, bench = validated(tmp_path, rows())
    scores = tmp_path / "validation" / "scores.csv"
    again = from_scores(bench.recipe, scores, result, tries=None)
    assert again["missing"] == result["missing"]
    assert again["on_peer_pictures"] == result["on_peer_pictures"]
    assert read_scored(bench.recipe, scores)[1].learned == FINDINGS


def test_without_folds_the_card_says_what_thresholds_rest_on_and_that_nothing_can_be_quoted(tmp_path: Path) -> None:
    table = [*rows(), *rows(100, split="validate")]
    text, result, _ = validated(tmp_path, table, validation={"folds": 0, "choose": "auroc"})
    assert "no figures to quote" in text
    assert "validation.folds is 0" in text
    assert "the weights were chosen on the split validate too" in text
    assert "The final network's scores of the split validate" in text
    assert "on_peer_pictures" not in result
    assert result["areas"]["Edema"]["auc"]["low"] > 0.5
    assert result["areas"]["Edema"]["n_positive"] + result["areas"]["Edema"]["n_negative"] == 100
    assert not (tmp_path / "validation" / "scores.csv").exists()


def test_too_few_positives_leave_no_figure_and_their_number_is_said(tmp_path: Path) -> None:
    text, result, _ = validated(tmp_path, rows(present=lambda i, k: i < 4 + k))
    assert result["on_peer_pictures"]["findings"] == []
    assert "no figures to quote" in text
    assert "it takes 10 positives and 10 negatives among the 160 studies" in text
    assert "Cardiomegaly 4 positive, 156 negative; Edema 5 positive, 155 negative" in text
    assert "not assessed: 4 positive validation pictures; a threshold needs 30" in text
    assert result["areas"]["Cardiomegaly"]["n_positive"] == 4
    assert (tmp_path / "validation" / "scores.csv").exists(), "the scores are there for whoever wants them"


def test_one_finding_with_too_few_is_left_out_of_the_mean_and_named(tmp_path: Path) -> None:
    text, result, _ = validated(tmp_path, rows(present=lambda i, k: i < 4 if k else i % 2))
    assert result["on_peer_pictures"]["findings"] == ["Cardiomegaly"]
    assert "The AUC of Edema: it takes 10 positives" in text
    assert "over one finding trained, Cardiomegaly" in text


def test_one_finding_alone_is_a_card_like_any(tmp_path: Path) -> None:
    files = [f"train{i:03}.png" for i in range(0, 2 * N, 2)]
    text, result, _ = validated(
        tmp_path,
        rows(2 * N, present=lambda i, _: i // 7 % 2),
        targets={"assessed": ["Edema"]},
        peer=with_peer(tmp_path, files),
        validation={"other_source": True},
    )
    assert "over one finding trained, Edema" in text
    assert result["on_peer_pictures"]["macro_auc"] == result["on_peer_pictures"]["by_finding"]["Edema"]["auc"]
    assert "missing" not in result


def test_everything_that_a_starters_card_needs_is_there_with_a_peer_and_another_source(tmp_path: Path) -> None:
    files = [f"train{i:03}.png" for i in range(0, N, 4)] + [f"train{i:03}.png" for i in range(2, N, 8)]
    text, result, _ = validated(
        tmp_path, rows(view=None), peer=with_peer(tmp_path, files), validation={"other_source": True}
    )
    for part in ("on_peer_pictures", "pa_only"):
        assert {"macro_auc", "macro_auc_metadata_only", "macro_auc_peer", "macro_auc_minus_peer"} <= set(result[part])
    sides = result["leave_one_source_out"]
    assert set(sides) == {"tested_on_peer_pictures", "tested_on_the_others"}
    first = sides["tested_on_peer_pictures"]
    assert first["macro_auc_minus_peer"]["estimate"] == pytest.approx(
        first["macro_auc"]["estimate"] - first["macro_auc_peer"]["estimate"], abs=2e-4
    )
    assert first["macro_auc_minus_cross_validated"]["n_clusters"] == result["on_peer_pictures"]["patients"]
    assert "macro_auc_peer" not in sides["tested_on_the_others"], "it was not run there"
    assert "| minus cross-validated | published classifier | minus published |" in text


def test_a_finding_that_the_peer_does_not_know_keeps_the_others_comparison(tmp_path: Path) -> None:
    files = [f"train{i:03}.png" for i in range(N)]
    text, result, _ = validated(tmp_path, rows(), peer=with_peer(tmp_path, files, ("Cardiomegaly",)))
    assert "minus_peer" in result["on_peer_pictures"]["by_finding"]["Cardiomegaly"]
    assert "macro_auc_minus_peer" not in result["on_peer_pictures"]
    assert result["findings_of_the_peer"]["findings"] == ["Cardiomegaly"]
    assert "macro_auc_minus_peer" in result["findings_of_the_peer"]
    assert "only the findings that the published classifier knows" in text
    assert "The published classifier's AUC of Edema, and its mean with them" in text
    assert "the peer's table lists every picture, so there is one source alone" in text


def test_another_source_that_no_network_was_tested_on_is_said(tmp_path: Path) -> None:
    files = [f"train{i:03}.png" for i in range(0, N, 2)]
    text, _, _ = validated(tmp_path, rows(), peer=with_peer(tmp_path, files))
    assert "validation.other_source is false" in text


def test_a_view_without_pictures_is_said(tmp_path: Path) -> None:
    text, _, _ = validated(tmp_path, rows(view="PA"))
    assert "AP pictures alone: no finding has 10 positives and 10 negatives among the 0 of them." in text


def test_one_class_alone_to_choose_thresholds_on_is_not_assessed(tmp_path: Path) -> None:
    for name, present, reason in (
        ("none", lambda _i, _k: False, "0 positive validation pictures"),
        ("all", lambda _i, _k: True, "a threshold needs"),
    ):
        (tmp_path / name).mkdir()
        table = [*rows(), *rows(50, split="validate", present=present)]
        text, result, _ = validated(tmp_path / name, table, validation={"folds": 0})
        assert all(one["auc"] is None for one in result["areas"].values())
        assert all(one["reason"] for one in result["verdicts"].values()), name
        assert "not assessed: " in text
        assert reason in text


def test_calls_that_no_other_fold_can_choose_a_threshold_for_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    material = read_expert_material(recipe(write_rows(folder, rows())))
    first = {one.study for one, fold in zip(material.studies, material.folds(2), strict=True) if fold == 0}
    table = rows(present=lambda i, k: f"train{i:03}" in first and i % 4 if k else i % 2)
    text, result, _ = validated(tmp_path, table)
    assert set(result["operating_points_cross_fitted"]) == {"Cardiomegaly"}
    assert "predictive values of Edema: one fold holds all positives" in text


# --- what is refused before hours are spent


def refused(folder: Path, table: list[dict[str, Any]], words: str, **changes: Any) -> None:
    targets = {"assessed": FINDINGS, "minimum_positives": 1}
    settings = recipe(write_rows(folder, table), targets=targets, **changes)
    with pytest.raises(DataError, match=words):
        check_before_training(settings, read_expert_material(settings))


def test_weights_cannot_be_chosen_where_nothing_tells_them_apart(tmp_path: Path) -> None:
    table = [*rows(), *rows(20, split="validate", present=lambda i, k: i < 3 + k)]
    refused(tmp_path, table, r"'auroc' needs .*Edema: 4 positives and 16 negatives", validation={"choose": "auroc"})
    bare = [*rows(), *({**row, "labels": None} for row in rows(4, split="validate"))]
    refused(tmp_path, bare, "4 studies have none of the findings", validation={"choose": "loss"})
    refused(tmp_path, rows(), "needs studies in the split validate", validation={"choose": "loss"})


def test_a_peer_of_other_pictures_is_refused(tmp_path: Path) -> None:
    peer = with_peer(tmp_path, ["a.png", "b.png"])
    refused(tmp_path, rows(), r"peer\.csv lists none of the manifests' 160 pictures; expected", peer=peer)


def test_another_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    peer = with_peer(tmp_path, [f"train{i:03}.png" for i in range(N)])
    refused(tmp_path, rows(), "there are 160 and 0", peer=peer, validation={"folds": 2, "other_source": True})


def test_folds_that_leave_nothing_to_learn_from_are_refused(tmp_path: Path) -> None:
    refused(
        tmp_path,
        rows(2, present=lambda i, k: i),
        r"All labelled studies of the split train are in fold \d of 2",
        validation={"folds": 2},
    )
