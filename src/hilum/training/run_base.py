"""What a stage starts from: the checkpoint of the stage before, or a fresh network at the recipe's sizes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import torch

from hilum.errors import UsageError
from hilum.models.checkpoint import CheckpointInfo, ImageTransform
from hilum.models.convert import write_reporter
from hilum.models.folders import Folder, open_folder
from hilum.models.janus import JanusReader, build_network
from hilum.training.fresh import fresh_network, write_tokenizer
from hilum.training.reporter_recipe import FreshNetwork, ReporterRecipe
from hilum.training.run_material import assessed_by
from hilum.training.studies import Material
from hilum.training.trainable import prepare_parts

Stage = Literal["stage1", "stage2", "stage3"]


def base_of(stage: Stage, recipe: ReporterRecipe, material: Material, out: Path) -> Folder:
    """The checkpoint to start from; a fresh network is written first, so that going on starts from the very same.

    Raises:
        UsageError: a stage after the first is given no reporter that has been through stage 1.
    """
    if recipe.model.base is not None:
        folder = open_folder(recipe.model.base)
        if stage != "stage1" and not history(folder.info) and not folder.info.name.startswith("Janus-Pro-CXR"):
            raise UsageError(
                f"{stage} goes on from a reporter that has been through stage 1; {folder.info.name} has no stage "
                "history. Give model.base = OUT/checkpoint of stage 1."
            )
        return folder
    if stage != "stage1":
        raise UsageError(
            f"{stage} goes on from a reporter, and the recipe asks for a network made from nothing ([model.fresh]). "
            "Remove the section [model.fresh] and give model.base = OUT/checkpoint of the stage before."
        )
    if recipe.model.fresh is None:  # the recipe has either; for the type checker
        raise UsageError("The recipe has neither model.base nor [model.fresh].")
    if not (out / "base").is_dir():
        _write_fresh(recipe.model.fresh, recipe, material, out)
    return open_folder(out / "base")


def _write_fresh(sizes: FreshNetwork, recipe: ReporterRecipe, material: Material, out: Path) -> None:
    """A tokenizer learnt from the answers and a network drawn from the seed, as `base/`, whole or not at all."""
    seed, staged, target = recipe.optimiser.seed, out / ".base", out / ".base-folder"
    for place in (staged, target):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    texts = [one.report.format() for one in material.train if one.report is not None]
    tokenizer = write_tokenizer(staged, assessed_by(recipe), sizes.vocabulary, seed, texts)
    network = fresh_network(sizes, tokenizer, seed)
    info = CheckpointInfo(
        kind="reporter",
        name="fresh",
        version="0",
        demonstration=True,
        prompt_version=recipe.model.prompt_version,
        image=ImageTransform(size=sizes.image_size),
    )
    write_reporter(target, network, Folder(staged, "hilum", network.config, info, tokenizer, None), info)
    target.rename(out / "base")
    shutil.rmtree(staged)


def network_of(recipe: ReporterRecipe, folder: Folder) -> JanusReader:
    """The network to train, on the CPU: the base's weights, adapters drawn from the seed."""
    torch.manual_seed(recipe.optimiser.seed)
    in_full = "full" in (recipe.model.language, recipe.model.aligner, recipe.model.vision)
    loaded = torch.bfloat16 if recipe.model.frozen_weights == "bfloat16" and not in_full else torch.float32
    network = build_network(folder, torch.device("cpu"), loaded)
    prepare_parts(network, recipe.model, recipe.lora, gradient_checkpointing=recipe.optimiser.gradient_checkpointing)
    return network


def history(info: CheckpointInfo) -> list[dict[str, Any]]:
    """The stages a checkpoint has been through."""
    found = info.provenance.get("stage_history", [])
    return [entry if isinstance(entry, dict) else {"stage": entry} for entry in found]
