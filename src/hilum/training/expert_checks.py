"""What is refused before hours are spent, and which findings there is enough of to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hilum.corpora import published
from hilum.errors import DataError
from hilum.records import NAMES, NO_FINDING
from hilum.training.expert_bench import MINIMUM_MEASURED
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial
from hilum.training.expert_targets import Indices
from hilum.training.peer import read_peer


def check_before_training(recipe: ExpertRecipe, material: ExpertMaterial) -> None:
    """Refuse a recipe that these manifests cannot serve to its end.

    Raises:
        DataError: nothing can be learned; there is nothing to choose thresholds or weights on; a fold or a source
            leaves no study to learn from; the peer's table is of other pictures.
    """
    learned, _ = learned_findings(recipe, material)
    validate = material.of_split("validate")
    if not recipe.validation.folds and not material.learnable[validate].any():
        raise DataError(
            "validation.folds is 0 and no labelled study is in the split validate, so there is nothing to choose "
            "thresholds on; give folds, or a manifest with that split."
        )
    if recipe.validation.choose != "last":
        _check_choice(recipe, material, learned, validate)
    _check_parts(recipe, material)


def learned_findings(recipe: ExpertRecipe, material: ExpertMaterial) -> tuple[tuple[str, ...], dict[str, str]]:
    """The findings to learn, and why not the others.

    Raises:
        DataError: none can be learned.
    """
    wanted = recipe.targets.assessed
    train = material.of_split("train")
    positives = material.present[train[material.learnable[train]]].sum(axis=0)
    learned, why_not = [], {}
    for name, n in zip(NAMES, positives, strict=True):
        if name == NO_FINDING:
            why_not[name] = "derived from the other findings"
        elif (wanted is not None and name not in wanted) or (wanted is None and n == 0):
            why_not[name] = recipe.targets.unassessed_reason
        elif n < recipe.targets.minimum_positives:
            why_not[name] = f"{n} positive training studies; the recipe asks for {recipe.targets.minimum_positives}"
        else:
            learned.append(name)
    if not learned:
        raise DataError(
            f"No finding has {recipe.targets.minimum_positives} positive studies to train on (the most: "
            f"{NAMES[int(positives.argmax())]} with {positives.max()}); expected at least one."
        )
    return tuple(learned), why_not


def _check_choice(recipe: ExpertRecipe, material: ExpertMaterial, learned: tuple[str, ...], validate: Indices) -> None:
    """That the `validate` split can tell better weights from worse; else the first or last ones would just be kept."""
    choose = recipe.validation.choose
    if not validate.size:
        raise DataError(f"validation.choose = {choose!r} needs studies in the split validate.")
    columns = [NAMES.index(name) for name in learned]
    known = material.known[validate][:, columns]
    positives = (material.present[validate][:, columns] & known).sum(axis=0)
    fewer = np.minimum(positives, known.sum(axis=0) - positives)
    if choose == "auroc" and fewer.max() < MINIMUM_MEASURED:
        best = int(fewer.argmax())
        raise DataError(
            f"validation.choose = 'auroc' needs a finding with {MINIMUM_MEASURED} positives and {MINIMUM_MEASURED} "
            f"negatives in the split validate; the most have {learned[best]}: {positives[best]} positives and "
            f"{known[:, best].sum() - positives[best]} negatives. Give 'last', or more studies to that split."
        )
    if not known.any():
        raise DataError(
            f"validation.choose = {choose!r} needs labels in the split validate; its {validate.size} studies have "
            "none of the findings that are learned. Give 'last', or labels."
        )


def _check_parts(recipe: ExpertRecipe, material: ExpertMaterial) -> None:
    """That each network of the run has studies to learn from, and the peer's table is of these pictures."""
    train = material.of_split("train")
    learnable = material.learnable[train]
    if n := recipe.validation.folds:
        fold = material.folds(n)[train]
        for number in range(n):
            if not learnable[fold != number].any():
                raise DataError(
                    f"All labelled studies of the split train are in fold {number + 1} of {n} (a patient's studies are "
                    "in one fold), so no study is left to learn from; give studies of more patients, or "
                    "validation.folds = 0."
                )
    if recipe.peer is None:
        return
    names = [Path(one.files[0]).name for one in material.studies]
    known = read_peer(recipe.peer.table, names).known
    if not known.any():
        shown = f" (the first: {names[0]})" if published({one.corpus for one in material.studies}) else ""
        raise DataError(
            f"{recipe.peer.table.name} lists none of the manifests' {len(names)} pictures{shown}; "
            "expected their file names in its column image. Give peer.table of the same pictures, or leave [peer] out."
        )
    theirs = int((known[train] & learnable).sum())
    others = int(learnable.sum()) - theirs
    if recipe.validation.other_source and not (theirs and others):
        raise DataError(
            f"validation.other_source needs labelled studies of the split train with the peer's outputs and others "
            f"without; there are {theirs} and {others}. Leave it false: there is no other source here."
        )
