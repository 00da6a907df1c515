"""A stage of a reporter, from its recipe to a checkpoint folder: what the run folder holds, and going on after a kill.

``OUT`` holds `run.json` (what the run is made of), `told.json` (what the expert said), `pictures/`, `checkpoints/`,
`best/`, `log.jsonl`, `tensorboard/`, `samples.jsonl`, `index.html`, and at the end `checkpoint/`. The same command
again goes on where it stopped; another recipe is refused.

The parts stand beside this file: `run_base` (where it starts), `run_material` (what is prepared before the first
step), `run_checkpoint` (what it leaves), `run_folder` (what is kept meanwhile), `run_page` (how it is shown).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from hilum.errors import UsageError
from hilum.models.checkpoint import MANIFEST, CheckpointInfo, sha256_of
from hilum.models.expert import load_expert
from hilum.models.folders import Folder, open_folder
from hilum.models.janus import Reporter
from hilum.training.reporter_recipe import ReporterRecipe
from hilum.training.run_base import Stage, base_of, history, network_of
from hilum.training.run_checkpoint import history_entry, info_of, write_checkpoint
from hilum.training.run_folder import Best, Log, Progress, check_run_folder, same_run, versions
from hilum.training.run_material import Prepared, assessed_by, fitting, prepare_run, require_pictures
from hilum.training.run_page import write_page
from hilum.training.stream import Order, SampleMaker, SampleStream, length_of
from hilum.training.studies import Material, read_material
from hilum.training.trainable import AnswerLoss, load_weights, trained_weights
from hilum.training.trainer import ReporterTrainer, newest_checkpoint
from hilum.training.validation import Validator

_log = logging.getLogger(__name__)


def train_reporter(
    stage: Stage,
    recipe: ReporterRecipe,
    out: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    material: Material | None = None,
) -> CheckpointInfo:
    """Train a stage, or go on with it, and write its checkpoint.

    Under torchrun every process calls this; the first one writes. Where nothing can be validated, a warning is logged.

    Args:
        stage: which; written into the checkpoint's history. Stages 2 and 3 need a base that has been through stage 1.
        recipe: everything else.
        out: the run's folder.
        device: auto, cpu or cuda.
        progress: told of logged rows, in the first process.
        material: what the recipe's manifests hold, where it was read already.

    Returns:
        What the checkpoint says of itself.

    Raises:
        UsageError: `out` holds another run. DataError: manifests, scores or pictures cannot be used. CheckpointError:
            the base cannot be. TrainingError: the gradient is not a number, or a checkpoint could not be written; the
            last one is whole.
    """
    cpu = device == "cpu" or not torch.cuda.is_available()
    if device == "cuda" and cpu:
        raise UsageError("No CUDA device was found by torch; use --device cpu or auto.")
    check_run_folder(out)
    state = PartialState(cpu=cpu)
    material = material or read_material(recipe.data, recipe.images, recipe.minimum_age_years)
    finished = out / "checkpoint"
    if not finished.is_dir():  # one that is finished may have lost its pictures since
        require_pictures(material, recipe)
    with state.main_process_first():
        out.mkdir(parents=True, exist_ok=True)
        folder = base_of(stage, recipe, material, out)
        same_run(_identity(stage, recipe, material, folder), out)
        if finished.is_dir():
            return open_folder(finished).info
        first = state.is_main_process
        ready = prepare_run(material, recipe, folder, out, first=first, progress=progress if first else None)
    run = _Run(recipe, folder, info_of(recipe, folder), out, state, cpu, progress)
    material, best = _train(run, ready)
    if state.is_main_process:
        entry = history_entry(stage, recipe, material, folder, ready.about, best, state)
        info = run.info.model_copy(update={"provenance": {"stage_history": [*history(folder.info), entry]}})
        network = network_of(recipe, folder)
        load_weights(AnswerLoss(network), best.weights)
        write_checkpoint(network, recipe, folder, info, finished)
        write_page(out)
    state.wait_for_everyone()
    return open_folder(finished).info


@dataclass(frozen=True, slots=True)
class _Run:
    """What every part of a run needs to know of it.

    Attributes:
        recipe: the settings.
        folder: the checkpoint it starts from.
        info: what its own will say of itself, but for the history.
        out: its folder.
        state: this process among others.
        cpu: whether a GPU is left alone.
        progress: told of logged rows, in the first process.
    """

    recipe: ReporterRecipe
    folder: Folder
    info: CheckpointInfo
    out: Path
    state: PartialState
    cpu: bool
    progress: Progress | None


def _train(run: _Run, ready: Prepared) -> tuple[Material, Best]:
    """Take every step of the run, or those that are left.

    Returns:
        The studies it learnt from, and which weights were the best.
    """
    recipe, folder, options, out = run.recipe, run.folder, run.recipe.optimiser, run.out
    network = network_of(recipe, folder)
    reporter = Reporter(replace(folder, info=run.info), network)
    material = fitting(ready.material, reporter, recipe)
    maker = SampleMaker(
        reporter, ready.store, ready.told, assessed_by(recipe), recipe.images, recipe.conditioning, recipe.data
    )
    order = _order(material, reporter, recipe)
    best = Best(out / "best", recipe.validation.metric)
    log = Log(out, steps=options.steps, batch=options.batch, epoch_length=order.epoch_length, progress=run.progress)
    validator = _validator(run, reporter, maker, material)

    def validate(trained: torch.nn.Module, step: int) -> dict[str, float]:
        figures = validator(trained, step) if material.validate else {}
        best.offer(lambda: trained_weights(trained), step, figures, write=run.state.is_main_process)
        return figures

    trainer = ReporterTrainer(
        AnswerLoss(network),
        SampleStream(material.train, maker, order, options.steps * options.batch, options.seed),
        options,
        recipe.checkpoints,
        out / "checkpoints",
        pad=reporter.tokenizer.pad,
        validate=validate,
        validate_every=recipe.validation.every,
        log=log,
        cpu=run.cpu,
    )
    newest = newest_checkpoint(out / "checkpoints")
    if run.state.is_main_process:
        if not material.validate:
            _log.warning(
                "No study is left to validate on (the manifests' split validate): nothing is validated, and the last "
                "weights will be kept, however they do. Build the manifests with that split to have the best chosen."
            )
        log.begin(0 if newest is None else int(newest.name.rpartition("-")[2]))
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    run.state.wait_for_everyone()
    if run.state.is_main_process:
        log.close()
    return material, best


def _order(material: Material, reporter: Reporter, recipe: ReporterRecipe) -> Order:
    """Which study comes when."""
    return Order(
        [length_of(one, reporter.image_tokens) for one in material.train],
        [one.source for one in material.train],
        [source.weight for source in recipe.data],
        recipe.optimiser.batch,
        recipe.optimiser.seed,
    )


def _validator(run: _Run, reporter: Reporter, maker: SampleMaker, material: Material) -> Validator:
    """Measures the network while it is trained."""
    options = run.recipe.optimiser
    return Validator(
        reporter,
        maker,
        material.validate,
        run.recipe.validation,
        micro_batch=options.micro_batch,
        seed=options.seed,
        samples=run.out / "samples.jsonl",
        bfloat16=options.precision == "bfloat16",
    )


def _identity(stage: Stage, recipe: ReporterRecipe, material: Material, folder: Folder) -> dict[str, Any]:
    """What a run is made of: two runs of the same end with the same weights on the same machine."""
    scores = recipe.conditioning.scores
    manifest = folder.path / MANIFEST
    return {
        "stage": stage,
        "recipe": recipe.model_dump(mode="json"),
        "manifests": [one.manifest_sha256 for one in material.sources],
        "scores": sha256_of(scores) if scores and scores.is_file() else None,
        "expert": _expert_digest(recipe),
        "base": sha256_of(manifest) if manifest.is_file() else str(folder.path),
        **versions(),
    }


def _expert_digest(recipe: ReporterRecipe) -> str | None:
    """What the expert's checkpoint says of itself, hashed; None where none is asked."""
    if recipe.conditioning.findings == "oracle" and recipe.assessed is not None:
        return None
    return sha256(load_expert(recipe.conditioning.expert).info.model_dump_json().encode()).hexdigest()
