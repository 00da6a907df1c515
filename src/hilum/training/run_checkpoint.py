"""What a stage leaves behind: its checkpoint, with what the checkpoint says of itself and of how it came about."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from hilum.models.checkpoint import Capabilities, CheckpointInfo
from hilum.models.convert import write_reporter
from hilum.models.folders import Folder
from hilum.models.janus import JanusReader
from hilum.records import View
from hilum.training.reporter_recipe import ReporterRecipe
from hilum.training.run_base import Stage
from hilum.training.run_folder import Best, versions
from hilum.training.studies import Material
from hilum.training.trainable import merge_adapters

NOT_VALIDATED = "nothing was validated: the last weights were kept"


def info_of(recipe: ReporterRecipe, folder: Folder) -> CheckpointInfo:
    """What the checkpoint will say of itself, but for its history."""
    base, images = folder.info, recipe.images
    views = (View.PA, View.AP, View.LATERAL) if images.lateral else (View.PA, View.AP)
    return CheckpointInfo(
        kind="reporter",
        name=recipe.identity.name,
        version=recipe.identity.version,
        demonstration=recipe.identity.demonstration,
        prompt_version=base.prompt_version,
        conversation=base.conversation,
        image=base.image,
        capabilities=Capabilities(
            views=views,
            max_images=images.most,
            prior=images.prior,
            indication=False,
            intensity=images.intensity,
            min_age_years=recipe.minimum_age_years,
        ),
        licence=recipe.identity.licence or base.licence,
    )


def history_entry(
    stage: Stage,
    recipe: ReporterRecipe,
    material: Material,
    folder: Folder,
    about: Mapping[str, Any],
    best: Best,
    state: PartialState,
) -> dict[str, Any]:
    """What this stage was, for `hilum.json`. Of paths the names alone: places on a machine tell nobody anything."""
    kept = recipe.model_dump(mode="json")
    for source in kept["data"]:
        source["manifest"] = Path(source["manifest"]).name
    if kept["conditioning"]["scores"]:
        kept["conditioning"]["scores"] = Path(kept["conditioning"]["scores"]).name
    kept["images"].pop("cache")
    kept["model"]["base"] = kept["conditioning"]["expert"] = None
    return {
        "stage": stage,
        "base": f"{folder.info.name} {folder.info.version}",
        "sources": [one.as_dict() for one in material.sources],
        "findings": dict(about),
        "recipe": kept,
        "best": best.as_dict(),
        **({} if material.validate else {"warning": NOT_VALIDATED}),
        "processes": state.num_processes,
        "device": state.device.type,
        **versions(),
    }


def write_checkpoint(
    network: JanusReader, recipe: ReporterRecipe, folder: Folder, info: CheckpointInfo, target: Path
) -> None:
    """Merge the adapters and write the folder, whole or not at all."""
    merge_adapters(network)
    network.requires_grad_(False)
    network.to(torch.bfloat16 if recipe.model.stored_weights == "bfloat16" else torch.float32)
    staged = target.with_name("." + target.name)
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    write_reporter(staged, network, folder, info)
    staged.rename(target)
