"""A stage of a reporter, from its recipe to a checkpoint folder: what the run folder holds, and going on after a kill.

``OUT`` holds `run.json` (what the run is made of), `told.json` (what the expert said), `pictures/`, `checkpoints/`,
`best/`, `log.jsonl`, `tensorboard/`, `samples.jsonl`, `index.html`, and at the end `checkpoint/`. The same command
again goes on where it stopped; another recipe is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState

from hilum.errors import DataError, UsageError
from hilum.models.checkpoint import MANIFEST, Capabilities, CheckpointInfo, ImageTransform, sha256_of
from hilum.models.convert import write_reporter
from hilum.models.expert import load_expert
from hilum.models.folders import Folder, open_folder
from hilum.models.janus import JanusReader, Reporter, build_network
from hilum.records import NAMES, NO_FINDING, View
from hilum.training.conditioning import Told, told_findings
from hilum.training.fresh import fresh_network, write_tokenizer
from hilum.training.pictures import PictureStore, prepare_pictures
from hilum.training.reporter_recipe import ReporterRecipe
from hilum.training.run_folder import Best, Log, Progress, check_run_folder, same_run, versions
from hilum.training.run_page import write_page
from hilum.training.stream import Order, SampleMaker, SampleStream, assessed_findings, length_of
from hilum.training.studies import Material, SourceSummary, TrainingStudy, read_material
from hilum.training.trainable import (
    AnswerLoss,
    load_weights,
    merge_adapters,
    prepare_parts,
    trained_weights,
)
from hilum.training.trainer import ReporterTrainer, newest_checkpoint
from hilum.training.validation import Validator

Stage = Literal["stage1", "stage2", "stage3"]
_MOST_UNREADABLE = 0.02


def train_reporter(
    stage: Stage, recipe: ReporterRecipe, out: Path, *, device: str = "auto", progress: Progress | None = None
) -> CheckpointInfo:
    """Train a stage, or go on with it, and write its checkpoint.

    Under torchrun every process calls this; the first one writes.

    Args:
        stage: which; written into the checkpoint's history. Stages 2 and 3 need a base that has been through stage 1.
        recipe: everything else.
        out: the run's folder.
        device: auto, cpu or cuda.
        progress: told of logged rows, in the first process.

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
    material = read_material(recipe.data, recipe.images, recipe.minimum_age_years)
    finished = out / "checkpoint"
    with state.main_process_first():
        out.mkdir(parents=True, exist_ok=True)
        folder = _base(stage, recipe, material, out)
        same_run(_identity(stage, recipe, material, folder), out)
        if finished.is_dir():
            return open_folder(finished).info
        store = _pictures(material, recipe, folder, out, progress if state.is_main_process else None)
        material = _readable(material, store)
        told, about = _told(material, recipe, folder, out)
    info = _info(recipe, folder)
    network = _network(recipe, folder)
    reporter = Reporter(
        Folder(folder.path, folder.format, folder.config, info, folder.tokenizer, folder.chat_template), network
    )
    material = _fitting(material, reporter, recipe)
    options = recipe.optimiser
    maker = SampleMaker(reporter, store, told, _assessed(recipe), recipe.images, recipe.conditioning, recipe.data)
    order = Order(
        [length_of(one, reporter.image_tokens) for one in material.train],
        [one.source for one in material.train],
        [source.weight for source in recipe.data],
        options.batch,
        options.seed,
    )
    validator = Validator(
        reporter,
        maker,
        material.validate,
        recipe.validation,
        micro_batch=options.micro_batch,
        seed=options.seed,
        samples=out / "samples.jsonl",
        bfloat16=options.precision == "bfloat16",
    )
    model = AnswerLoss(network)
    best = Best(out / "best", recipe.validation.metric)
    log = Log(out, steps=options.steps, batch=options.batch, epoch_length=order.epoch_length, progress=progress)

    def validate(trained: torch.nn.Module, step: int) -> dict[str, float]:
        figures = validator(trained, step) if material.validate else {}
        best.offer(lambda: trained_weights(trained), step, figures, write=state.is_main_process)
        return figures

    trainer = ReporterTrainer(
        model,
        SampleStream(material.train, maker, order, options.steps * options.batch, options.seed),
        options,
        recipe.checkpoints,
        out / "checkpoints",
        pad=reporter.tokenizer.pad,
        validate=validate,
        validate_every=recipe.validation.every,
        log=log,
        cpu=cpu,
    )
    newest = newest_checkpoint(out / "checkpoints")
    if state.is_main_process:
        log.begin(0 if newest is None else int(newest.name.rpartition("-")[2]))
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    state.wait_for_everyone()
    if state.is_main_process:
        log.close()
        entry = _history_entry(stage, recipe, material, folder, about, best, state)
        info = info.model_copy(update={"provenance": {"stage_history": [*_history(folder.info), entry]}})
        del trainer, model
        network = _network(recipe, folder)
        load_weights(AnswerLoss(network), best.weights)
        _write_checkpoint(network, recipe, folder, info, finished)
        write_page(out)
    state.wait_for_everyone()
    return open_folder(finished).info


def _network(recipe: ReporterRecipe, folder: Folder) -> JanusReader:
    """The network to train, on the CPU: the base's weights, adapters drawn from the seed."""
    torch.manual_seed(recipe.optimiser.seed)
    in_full = "full" in (recipe.model.language, recipe.model.aligner, recipe.model.vision)
    loaded = torch.bfloat16 if recipe.model.frozen_weights == "bfloat16" and not in_full else torch.float32
    network = build_network(folder, torch.device("cpu"), loaded)
    prepare_parts(network, recipe.model, recipe.lora, gradient_checkpointing=recipe.optimiser.gradient_checkpointing)
    return network


def _assessed(recipe: ReporterRecipe) -> tuple[str, ...]:
    """What a text may deny and a corrupted prompt may add."""
    if recipe.assessed is not None:
        return assessed_findings(recipe.assessed)
    return assessed_findings([f.name for f in load_expert(recipe.conditioning.expert).info.findings if f.assessed])


def _base(stage: Stage, recipe: ReporterRecipe, material: Material, out: Path) -> Folder:
    """The checkpoint to start from; a fresh network is written first, so that going on starts from the very same."""
    if recipe.model.base is not None:
        folder = open_folder(recipe.model.base)
        if stage != "stage1" and not _history(folder.info) and not folder.info.name.startswith("Janus-Pro-CXR"):
            raise UsageError(
                f"{stage} goes on from a reporter that has been through stage 1; {folder.info.name} has no stage "
                "history. Give model.base = OUT/checkpoint of stage 1."
            )
        return folder
    if stage != "stage1":
        raise UsageError(f"{stage} goes on from a reporter; give model.base = OUT/checkpoint of the stage before.")
    fresh, place = recipe.model.fresh, out / "base"
    if fresh is None:  # the recipe has either; for the type checker
        raise UsageError("The recipe has neither model.base nor [model.fresh].")
    if not place.is_dir():
        staged = out / ".base"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        texts = [one.report.format() for one in material.train if one.report is not None]
        tokenizer = write_tokenizer(staged, _assessed(recipe), fresh.vocabulary, recipe.optimiser.seed, texts)
        network = fresh_network(fresh, tokenizer, recipe.optimiser.seed)
        info = CheckpointInfo(
            kind="reporter",
            name="fresh",
            version="0",
            demonstration=True,
            prompt_version=recipe.model.prompt_version,
            image=ImageTransform(size=fresh.image_size),
        )
        target = out / ".base-folder"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        write_reporter(target, network, Folder(staged, "hilum", network.config, info, tokenizer, None), info)
        target.rename(place)
        shutil.rmtree(staged)
    return open_folder(place)


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


def _told(
    material: Material, recipe: ReporterRecipe, folder: Folder, out: Path
) -> tuple[dict[str, Told], dict[str, Any]]:
    """What the expert says of every study; asked once, then kept."""
    file = out / "told.json"
    if not file.exists():
        version = recipe.model.prompt_version if recipe.model.fresh else folder.info.prompt_version
        told, about = told_findings(
            [*material.train, *material.validate],
            recipe.conditioning,
            version or "janus-pro-cxr/1",
            NAMES if recipe.assessed is None else recipe.assessed,
        )
        staged = file.with_suffix(".part")
        staged.write_text(json.dumps({"about": about, "told": told}, ensure_ascii=False), encoding="utf-8")
        staged.replace(file)
    kept = json.loads(file.read_text(encoding="utf-8"))
    return {key: tuple(names) for key, names in kept["told"].items()}, kept["about"]


def _pictures(
    material: Material, recipe: ReporterRecipe, folder: Folder, out: Path, progress: Progress | None
) -> PictureStore:
    """Every picture of the material, prepared."""
    if folder.info.image is None:
        raise DataError(f"{folder.path} does not say how pictures are prepared.")
    files = list(dict.fromkeys(file for one in (*material.train, *material.validate) for file in one.files))

    def told(done: int, n: int) -> None:
        if progress and (done % 200 == 0 or done == n):
            progress({"pictures prepared": float(done), "of": float(n)})

    return prepare_pictures(files, folder.info.image, recipe.images.cache or out / "pictures", told)


def _readable(material: Material, store: PictureStore) -> Material:
    """The studies whose pictures can all be shown.

    Raises:
        DataError: more than 2 % of the studies cannot be: that is no odd file, it is a wrong folder.
    """

    def whole(studies: tuple[TrainingStudy, ...]) -> tuple[TrainingStudy, ...]:
        return tuple(one for one in studies if all(file in store.rows for file in one.files))

    train, validate = whole(material.train), whole(material.validate)
    lost = len(material.train) + len(material.validate) - len(train) - len(validate)
    if lost > _MOST_UNREADABLE * (len(material.train) + len(material.validate)) or not train:
        why = next(iter(store.unreadable.values()), "unknown")
        raise DataError(
            f"{lost} studies have a picture that cannot be read, more than {_MOST_UNREADABLE:.0%}; the first: {why} "
            "Look with `hilum corpus check MANIFEST --read-images`."
        )
    return Material(train, validate, _noted(material, "with an unreadable picture, over all sources", lost))


def _fitting(material: Material, reporter: Reporter, recipe: ReporterRecipe) -> Material:
    """The studies whose prompt and answer the model can hold, and whose grammar text says something.

    Raises:
        UsageError: no draft of the length asked for would fit. DataError: nothing is left to train on.
    """
    assessed = set(_assessed(recipe))
    longest = max((*material.train, *material.validate), key=lambda one: len(one.files))
    prompt = len(reporter.input_ids(reporter.prompt(longest.study, [n for n in NAMES if n != NO_FINDING])))
    if prompt + recipe.validation.max_new_tokens > reporter.context:
        raise UsageError(
            f"A prompt has up to {prompt} tokens and validation.max_new_tokens is {recipe.validation.max_new_tokens}, "
            f"more than the {reporter.context} this model holds; lower it, or images.most."
        )

    def fits(one: TrainingStudy) -> bool:
        text = one.report.format() if one.report is not None else ""
        room = reporter.context - prompt - 2
        return len(text) <= room or len(reporter.tokenizer.tokenizer.encode(text, add_special_tokens=False).ids) <= room

    def says(one: TrainingStudy) -> bool:
        return one.report is not None or any(name in assessed for name in one.labels)

    parts = {}
    long = silent = 0
    for split, studies in (("train", material.train), ("validate", material.validate)):
        speaking = [one for one in studies if says(one)]
        parts[split] = tuple(one for one in speaking if fits(one))
        silent += len(studies) - len(speaking)
        long += len(speaking) - len(parts[split])
    if not parts["train"]:
        raise DataError(
            f"No study is left to train on ({long} too long, {silent} without a label of assessed findings)."
        )
    sources = _noted(material, "too long for the model, over all sources", long)
    noted = Material(parts["train"], parts["validate"], sources)
    return Material(
        noted.train, noted.validate, _noted(noted, "without a label of assessed findings, over all sources", silent)
    )


def _noted(material: Material, why: str, n: int) -> tuple[SourceSummary, ...]:
    """The sources' summaries with `n` more studies left out."""
    first, *others = material.sources
    return (replace(first, left_out={**first.left_out, why: n}), *others) if n else material.sources


def _expert_digest(recipe: ReporterRecipe) -> str | None:
    """What the expert's checkpoint says of itself, hashed; None where none is asked."""
    if recipe.conditioning.findings == "oracle" and recipe.assessed is not None:
        return None
    return sha256(load_expert(recipe.conditioning.expert).info.model_dump_json().encode()).hexdigest()


def _info(recipe: ReporterRecipe, folder: Folder) -> CheckpointInfo:
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


def _history(info: CheckpointInfo) -> list[dict[str, Any]]:
    """The stages a checkpoint has been through."""
    found = info.provenance.get("stage_history", [])
    return [entry if isinstance(entry, dict) else {"stage": entry} for entry in found]


def _history_entry(
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
        "processes": state.num_processes,
        "device": state.device.type,
        **versions(),
    }


def _write_checkpoint(network: Any, recipe: ReporterRecipe, folder: Folder, info: CheckpointInfo, target: Path) -> None:
    """Merge the adapters and write the folder, whole or not at all."""
    merge_adapters(network)
    network.requires_grad_(False)
    network.to(torch.bfloat16 if recipe.model.stored_weights == "bfloat16" else torch.float32)
    staged = target.with_name("." + target.name)
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    write_reporter(staged, network, folder, info)
    staged.rename(target)
