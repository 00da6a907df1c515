"""The folder `validation` of a run: the card, its numbers, the scores behind them, and reliability plots.

A card is always written. What can be said with intervals needs out-of-fold scores and enough positives; where they are
not there, the card says so, and what the thresholds were chosen on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilum.records import NAMES
from hilum.statistics import auc
from hilum.training.expert_bench import Bench
from hilum.training.expert_card import reliability_plots, write_card
from hilum.training.expert_cases import Cases, Doubles, OutOfFold, cases_of
from hilum.training.expert_judge import Judge, rounded
from hilum.training.expert_missing import with_what_is_missing
from hilum.training.expert_scores import write_scores
from hilum.training.expert_studies import portable
from hilum.training.expert_validation import figures
from hilum.training.expert_verdicts import Verdict, verdict
from hilum.training.run_folder import versions, write_json


def write_validation(
    bench: Bench, held_out: OutOfFold | None, final: Doubles
) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """Judge a run, and write its folder `validation`.

    Args:
        bench: of the run.
        held_out: the scores of the `train` split from networks that never saw the patients; None without folds.
        final: ``[N, 14]``, the final network's scores of the other splits.

    Returns:
        What may be said of each finding, and the figures as in `validation.json`.
    """
    place = bench.out / "validation"
    place.mkdir(exist_ok=True)
    if held_out is None:
        verdicts, result = _of_the_validate_split(bench, final)
    else:
        verdicts, result = _out_of_fold(bench, held_out, place)
    write_json(result, place / "validation.json")
    write_card(place / "card.md", result)
    return verdicts, result


def _out_of_fold(bench: Bench, held_out: OutOfFold, place: Path) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """Figures of the labelled studies of the `train` split, cross-validated."""
    recipe, material = bench.recipe, bench.material
    train = material.of_split("train")
    labelled = np.array([material.studies[i].labels is not None for i in train])
    cases = cases_of(material, train[labelled], recipe)
    found = OutOfFold(
        held_out.learned, held_out.fold[labelled], held_out.scores[labelled], held_out.metadata[labelled],
        held_out.other_source[labelled],
    )  # fmt: skip
    judge = Judge(cases, found, resamples=recipe.validation.resamples, seed=recipe.optimiser.seed)
    write_scores(place / "scores.csv", cases, found)
    result = with_what_is_missing({**_made(bench, cases), **figures(judge, cases)}, judge, cases)
    if plots := judge.reliability(cases.in_peer):
        (place / "reliability.svg").write_text(reliability_plots(plots), encoding="utf-8")
    else:
        result["areas"] = _areas(cases, found.scores, bench.learned)
    return judge.verdicts(), result


def _of_the_validate_split(bench: Bench, final: Doubles) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """Without folds: what the thresholds were chosen on, and no figures that could be quoted."""
    recipe, chosen = bench.recipe, bench.learnable("validate")
    cases = cases_of(bench.material, chosen, recipe)
    verdicts = {name: verdict(cases, final[chosen], name) for name in bench.learned}
    missing = [
        "Every cross-validated figure (mean AUC with its interval, PA alone, AP alone, against view, sex and age, "
        "against a published classifier, leave one source out): validation.folds is 0, so no network scored studies "
        "of the split train that it had not seen."
    ]
    if recipe.validation.choose != "last":
        missing.append(
            f"An AUC that does not flatter: the weights were chosen on the split validate too (validation.choose = "
            f"{recipe.validation.choose!r})."
        )
    result = {
        **_made(bench, cases),
        "verdicts": {name: rounded(one) for name, one in verdicts.items()},
        "areas": _areas(cases, final[chosen], bench.learned),
        "missing": missing,
    }
    return verdicts, result


def _made(bench: Bench, cases: Cases) -> dict[str, Any]:
    """What the figures are of and were made with."""
    recipe = bench.recipe
    return {
        "schema": "hilum.expert_validation/1",
        "recipe": portable(recipe),
        "minimum_age_years": recipe.minimum_age_years,
        "folds": recipe.validation.folds,
        "resamples": recipe.validation.resamples,
        "cases_sha256": cases.digest(),
        "made_with": {"threads": torch.get_num_threads(), **versions()},
    }


def _areas(cases: Cases, scores: Doubles, learned: tuple[str, ...]) -> dict[str, Any]:
    """Counts and, where both classes are there, AUC with DeLong's interval, of the studies that a verdict rests on."""
    out: dict[str, Any] = {}
    for name in learned:
        column = NAMES.index(name)
        part = cases.usable & cases.in_peer & cases.known[:, column]
        labels = cases.labels[part, column]
        n_positive = int(labels.sum())
        out[name] = {"n_positive": n_positive, "n_negative": int(labels.size) - n_positive, "auc": None}
        if 0 < n_positive < labels.size:
            out[name]["auc"] = rounded(auc(labels, scores[part, column]))
    return out
