"""From a recipe to an input gate's checkpoint, and to the figures that say how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from hilum._version import __version__
from hilum.corpora.image_table import digest
from hilum.errors import DataError
from hilum.models.checkpoint import Capabilities, CheckpointInfo, GateSpec, write_info
from hilum.models.expert import WEIGHTS, Expert, load_expert
from hilum.models.gate import GateNetwork
from hilum.records import View
from hilum.training.gate_card import all_scores, card, figures
from hilum.training.gate_features import Progress, read_sets, without_duplicates
from hilum.training.gate_fit import Table, choose, fit_gate
from hilum.training.gate_pictures import ADULT_YEARS
from hilum.training.gate_recipe import GateRecipe

CARD = "MODEL_CARD.md"


def train_gate(
    recipe: GateRecipe,
    out: Path,
    *,
    expert: str | Path = "starter",
    card_file: Path | None = None,
    progress: Progress | None = None,
) -> CheckpointInfo:
    """Fit a gate to an expert's features, choose its thresholds, judge it, and write its checkpoint folder.

    Args:
        recipe: the settings.
        out: the folder to make; must be empty or absent.
        expert: whose features it looks at.
        card_file: Markdown file for the card, and beside it a JSON file with its numbers.
        progress: called now and then with numbers to show.

    Returns:
        What the checkpoint says of itself.

    Raises:
        DataError: data that cannot be used, or `out` is not empty.
        CheckpointError, CapabilityError: no such expert, or one that shows no features.
    """
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; give a new folder with --out.")
    eyes = load_expert(expert)
    sets, n_again = without_duplicates(read_sets(recipe, eyes, progress), recipe.data.duplicate)
    table = Table.of(sets, recipe)
    del sets
    network = _as_stored(fit_gate(table, recipe))
    kinds = choose(table, all_scores(network, table), recipe)
    found = figures(network, kinds, table, recipe, progress)
    spec = GateSpec(expert=eyes.info.name, expert_weights=eyes.info.files[WEIGHTS], kinds=kinds)
    text = card(f"{recipe.identity.name} {recipe.identity.version}", found, recipe)
    written = _write(out, network, text, _info(recipe, spec, eyes, found, n_again))
    if card_file is not None:
        card_file.parent.mkdir(parents=True, exist_ok=True)
        card_file.write_text(text, encoding="utf-8")
        document = {"schema": "hilum.gate_card/1", "recipe": _portable(recipe), **found}
        numbers = json.dumps(document, indent=1, allow_nan=False)
        card_file.with_suffix(".json").write_text(numbers + "\n", encoding="utf-8")
    return written


def _as_stored(network: GateNetwork) -> GateNetwork:
    """The network as it will be after being written in half precision, so that figures are those of what is written."""
    network.load_state_dict({name: _half(name, value).float() for name, value in network.state_dict().items()})
    return network


def _half(name: str, value: torch.Tensor) -> torch.Tensor:
    """Large tensors in half precision."""
    return value.half() if name in ("head.weight", "axes") else value.float()


def _write(folder: Path, network: GateNetwork, text: str, info: CheckpointInfo) -> CheckpointInfo:
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: _half(name, value).contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CARD).write_text(text, encoding="utf-8")
    return write_info(folder, info)


def _info(recipe: GateRecipe, spec: GateSpec, eyes: Expert, found: Mapping[str, Any], n_again: int) -> CheckpointInfo:
    identity, data = recipe.identity, recipe.data
    return CheckpointInfo(
        kind="gate",
        name=identity.name,
        version=identity.version,
        demonstration=identity.demonstration,
        gate=spec,
        capabilities=Capabilities(views=(View.PA, View.AP), max_images=1, min_age_years=ADULT_YEARS),
        provenance={
            "data": identity.data_source,
            "tables_sha256": {one.table: digest(data.root / one.table) for one in data.chests},
            "pictures": found["counts"],
            "pictures_left_out_as_duplicates": n_again,
            "expert": f"{eyes.info.name} {eyes.info.version}",
            "recipe": _portable(recipe),
            "hilum": __version__,
            "torch": torch.__version__.split("+")[0],
            "threads": torch.get_num_threads(),
        },
        licence=identity.licence,
    )


def _portable(recipe: GateRecipe) -> dict[str, Any]:
    """The recipe without this machine's paths."""
    raw = recipe.model_dump(mode="json", exclude_none=True)
    raw["data"].pop("root")
    raw["data"].pop("cache", None)
    return raw
