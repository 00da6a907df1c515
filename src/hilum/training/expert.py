"""An expert from its recipe to a checkpoint folder, out-of-fold scores and figures; going on after a kill.

``OUT`` holds `run.json` (what the run is made of), `pictures/`, `unreadable.json`, `head-features.safetensors`, one run
folder for each fold in `folds/`, and of the final network `checkpoints/`, `best/`, `log.jsonl`, `tensorboard/` and
`index.html`; at the end `scores.parquet` (what the expert says of studies it never learnt from), `validation/` (card
and figures, and which are missing and why) and `checkpoint/`. The same command again goes on where it stopped; another
recipe is refused.

The parts stand beside this file: `expert_checks` (what is refused before hours are spent), `expert_preparation` (the
pictures), `expert_bench` (one network of the run), `expert_folds` (the networks that score what they never saw),
`expert_validation_folder` (card and figures), `expert_checkpoint` (what it leaves).
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from hilum.errors import TrainingError, UsageError
from hilum.models.checkpoint import MANIFEST, CheckpointInfo, read_info, sha256_of
from hilum.training.expert_bench import Bench, Trained
from hilum.training.expert_checkpoint import info_of, specs_of, write_expert
from hilum.training.expert_checks import check_before_training, learned_findings
from hilum.training.expert_folds import out_of_fold
from hilum.training.expert_network import only_findings
from hilum.training.expert_preparation import prepare_material
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_scores import write_scores_to_tell
from hilum.training.expert_studies import ExpertMaterial, read_expert_material
from hilum.training.expert_validation_folder import write_validation
from hilum.training.run_folder import Progress, check_run_folder, same_run, versions
from hilum.training.run_page import write_page

_log = logging.getLogger(__name__)


def train_expert(
    recipe: ExpertRecipe,
    out: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    material: ExpertMaterial | None = None,
) -> CheckpointInfo:
    """Train an expert, or go on with it, and write its checkpoint, its scores and its figures.

    Under torchrun every process calls this; the first one writes. Figures that cannot be had are logged as a warning.

    Args:
        recipe: the settings.
        out: the run's folder.
        device: auto, cpu or cuda.
        progress: told of logged rows, in the first process.
        material: what the recipe's manifests hold, where it was read already.

    Returns:
        What the checkpoint says of itself; which figures could not be had, and why, is in its provenance
        (`figures_missing`) and in `validation/card.md`.

    Raises:
        UsageError: `out` holds another run. DataError: manifests, pictures or the peer's table cannot be used.
        CheckpointError, DependencyError: the start cannot be used. TrainingError: the gradient is not a number, or a
            checkpoint could not be written; the last one is whole.
    """
    cpu = device == "cpu" or not torch.cuda.is_available()
    if device == "cuda" and cpu:
        raise UsageError("No CUDA device was found by torch; use --device cpu or auto.")
    check_run_folder(out)
    state = PartialState(cpu=cpu)
    if recipe.network.batch_norm == "learned" and state.num_processes > 1 and cpu:
        raise TrainingError(
            "network.batch_norm = 'learned' takes statistics over all processes, which torch does on CUDA alone; give "
            "'frozen', or one process."
        )
    told = progress if state.is_main_process else None
    material = material or read_expert_material(recipe)
    check_before_training(recipe, material)
    finished, identity = out / "checkpoint", _identity(recipe, material)
    with state.main_process_first():
        out.mkdir(parents=True, exist_ok=True)
        same_run(identity, out)
        if finished.is_dir():
            return read_info(finished)
        material, store = prepare_material(material, recipe, out, told, first=state.is_main_process)
    learned, why_not = learned_findings(recipe, material)
    bench = Bench(recipe, material, store, learned, out, identity, state, cpu)
    with state.main_process_first():
        bench.write_features(told)
    _train(bench, why_not, finished, told)
    state.wait_for_everyone()
    return read_info(finished)


def _train(bench: Bench, why_not: dict[str, str], finished: Path, told: Progress | None) -> None:
    """The networks of the folds, the final one, and all that is written at the end."""
    held_out = out_of_fold(bench, told)
    material, train = bench.material, bench.learnable("train")
    network, best = bench.network(train, bench.out, material.of_split("validate"), told)
    final = np.concatenate([material.of_split(split) for split in ("validate", "test")])
    scores = np.full(material.present.shape, np.nan)
    scores[final] = bench.scores(network, final)
    if not bench.state.is_main_process:
        return
    verdicts, result = write_validation(bench, held_out, scores)
    if held_out is not None:
        scores[material.of_split("train")] = held_out.scores
    said = [name for name, one in verdicts.items() if one.reason is None]
    write_scores_to_tell(bench.out / "scores.parquet", material, scores, said, bench.recipe.validation.folds)
    info = info_of(bench, specs_of(bench, train, verdicts, why_not), best, result)
    _write_checkpoint(network, info, finished)
    write_page(bench.out)
    if missing := result.get("missing"):
        _log.warning("Missing in %s:\n- %s", bench.out / "validation" / "card.md", "\n- ".join(missing))


def _write_checkpoint(network: Trained, info: CheckpointInfo, finished: Path) -> None:
    """Write the folder, whole or not at all."""
    only_findings(network.loss.network.cpu(), network.targets.mixing)
    staged = finished.with_name("." + finished.name)
    shutil.rmtree(staged, ignore_errors=True)
    write_expert(staged, network.loss.network, info)
    staged.rename(finished)


def _identity(recipe: ExpertRecipe, material: ExpertMaterial) -> dict[str, Any]:
    """What a run is made of: two runs of the same end with the same weights on the same machine."""
    start = Path(recipe.network.start) / MANIFEST
    return {
        "stage": "expert",
        "recipe": recipe.model_dump(mode="json"),
        "manifests": [one.manifest_sha256 for one in material.sources],
        "peer": sha256_of(recipe.peer.table) if recipe.peer and recipe.peer.table.is_file() else None,
        "start": sha256_of(start) if start.is_file() else recipe.network.start,
        **versions(),
    }
