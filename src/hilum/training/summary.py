"""What a run is about to do, in lines for people: what is trained, from what, on which studies, where, how long.

The lines come one by one, so that the first is there before a manifest is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from hilum.errors import CheckpointError, Reason, UsageError
from hilum.models.expert import load_expert
from hilum.training.conditioning import read_scores
from hilum.training.expert_checks import check_before_training, learned_findings
from hilum.training.expert_network import start_network
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial
from hilum.training.pictures import missing_pictures
from hilum.training.reporter_recipe import Conditioning, ReporterRecipe
from hilum.training.run_base import Stage, base_of, history
from hilum.training.run_material import require_pictures
from hilum.training.stream import Order
from hilum.training.studies import Material, SourceSummary


def stage_lines(
    stage: Stage, recipe: ReporterRecipe, device: str, read: Callable[[], Material], *, whole: bool = False
) -> Iterator[str]:
    """The lines of a reporter's stage.

    Args:
        stage: which.
        recipe: its settings.
        device: auto, cpu or cuda.
        read: gives what the manifests hold.
        whole: also read the expert and its scores, and look whether the pictures are there.

    Raises:
        UsageError: the stage cannot start from what the recipe says, or there is no such device. CheckpointError: the
            base cannot be read. DataError: manifests, pictures or scores cannot be used.
    """
    identity, options = recipe.identity, recipe.optimiser
    place = _device(device)
    yield f"{stage} of a reporter: {identity.name} {identity.version}, from {_start(stage, recipe)}, on {place}."
    if whole:
        yield _told(recipe.conditioning)
    material = read()
    yield from _sources([one.manifest for one in recipe.data], material.sources, "left out")
    if whole:
        require_pictures(material, recipe)
    one_pass = _pass_length([one.source for one in material.train], recipe)
    passes = options.steps * options.batch / one_pass
    yield f"{options.steps:,} steps of {options.batch:,} studies, {passes:.3g} passes over what is trained on."


def expert_lines(
    recipe: ExpertRecipe, device: str, read: Callable[[], ExpertMaterial], *, whole: bool = False
) -> Iterator[str]:
    """The lines of an expert.

    Args:
        recipe: its settings.
        device: auto, cpu or cuda.
        read: gives what the manifests hold.
        whole: also read the weights that it starts from, look whether the pictures are there, and do what checks there
            are before training.

    Raises:
        UsageError: there is no such device. CheckpointError, DependencyError: the start cannot be used. DataError:
            manifests or pictures cannot be used, or no finding can be learned from them.
    """
    identity, options, network = recipe.identity, recipe.optimiser, recipe.network
    place = _device(device)
    if whole:
        start_network(network, 1, options.seed)
    start = "ImageNet weights" if network.start == "imagenet" else network.start
    yield f"An expert: {identity.name} {identity.version}, from {start}, on {place}."
    material = read()
    yield from _sources([one.manifest for one in recipe.data], material.sources, "not learned from")
    if whole:
        missing = missing_pictures([file for one in material.studies for file in one.files])
        material.readable(dict.fromkeys(missing, "there is no such file."), missing)
        check_before_training(recipe, material)
    yield f"Findings learned: {', '.join(learned_findings(recipe, material)[0])}."
    train = [one for one, ok in zip(material.studies, material.learnable, strict=True) if ok and one.split == "train"]
    one_pass = _pass_length([one.source for one in train for _ in one.files], recipe)
    steps = max(1, round(options.epochs * one_pass / options.batch))
    folds = f"; before that {recipe.validation.folds} networks, each without a fold of the patients"
    yield (
        f"{steps:,} steps of {options.batch:,} pictures, {options.epochs:g} passes over what is trained on"
        f"{folds if recipe.validation.folds else ''}."
    )


def _pass_length(sources: Sequence[int], recipe: ReporterRecipe | ExpertRecipe) -> int:
    """Samples in a pass over what is trained on, from the source of each."""
    weights = [source.weight for source in recipe.data]
    return Order([1.0] * len(sources), sources, weights, recipe.optimiser.batch, recipe.optimiser.seed).epoch_length


def _sources(manifests: Sequence[Path], sources: Sequence[SourceSummary], without: str) -> Iterator[str]:
    """A line for each source: how many studies of how many patients, and which are not used."""
    for manifest, one in zip(manifests, sources, strict=True):
        n, patients = one.studies, one.patients
        left = ", ".join(f"{count:,} {why}" for why, count in one.left_out.items())
        yield (
            f"{manifest} ({', '.join(one.corpora)}): train {n['train']:,} studies of {patients['train']:,} patients, "
            f"validate {n['validate']:,} of {patients['validate']:,}; {without}: {left or 'none'}."
        )


def _device(device: str) -> str:
    """Where the run computes, and on how many processes."""
    found = torch.cuda.is_available()
    if device == "cuda" and not found:
        raise UsageError("No CUDA device was found by torch; use --device cpu or auto.")
    n = int(os.environ.get("WORLD_SIZE", "1"))  # set by torchrun
    place = "the CPU" if device == "cpu" or not found else torch.cuda.get_device_name()
    return f"{place}, {n} processes" if n > 1 else f"{place}, one process"


def _start(stage: Stage, recipe: ReporterRecipe) -> str:
    """What a stage starts from, in words; the base's configuration and tokenizer are read, its weights are not."""
    if stage == "stage1" and recipe.model.base is None:
        return "nothing (a fresh network)"
    try:
        # studies and folder are asked for where a fresh network is written, which stage 1 alone does
        info = base_of(stage, recipe, Material((), (), ()), Path()).info
    except CheckpointError as error:
        if error.code is not Reason.DOWNLOAD_REFUSED:
            raise
        base = recipe.model.base
        raise CheckpointError(
            f"The base {base} is neither a folder nor on this machine, and training downloads nothing. Give its folder "
            f"with --set model.base=DIR; `hilum models convert {base} DIR --download` fetches it into one.",
            Reason.DOWNLOAD_REFUSED,
        ) from None
    stages = [str(entry["stage"]) for entry in history(info)]
    been = f", after {', '.join(stages)}" if stages else ""
    return f"{info.name} {info.version} ({recipe.model.base}{been})"


def _told(options: Conditioning) -> str:
    """Whose findings the prompts tell."""
    if options.findings == "oracle":
        return "The prompts tell the labels themselves (conditioning.findings = 'oracle')."
    info = load_expert(options.expert).info
    if options.scores is None:
        return f"The prompts tell the findings of {info.name} {info.version}, which is asked about every study."
    n = len(read_scores(options.scores))
    return (
        f"The prompts tell the findings of {info.name} {info.version}: scores of {n:,} studies stand in "
        f"{options.scores}, it is asked about the others."
    )
