"""Closing the loop: a hospital's model learns from the reports that its radiologists signed.

Checks, stage 3 from the running model, drafts of both models for the held out studies against the signed reports (the
*shadow comparison*), a verdict by a rule that was written down before. Nothing is promoted here; see
`hilum.training.shelf`.

``OUT`` holds `plan.json` (what is compared by which rule, written first), `stage3/` (a run, see `hilum.training.run`),
`shadow/` (drafts of both models, and the card), `adapt.json` and `index.html`. The same command again goes on where it
stopped; another plan is refused. Drafts, cards and samples quote reports: the folder stays where the reports may be.
"""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hilum._version import __version__
from hilum.corpora.manifest import write_manifest
from hilum.corpora.outputs import alone, check_folder
from hilum.errors import CheckpointError, DataError, UsageError
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.pairs import read_pairs, read_training
from hilum.evaluation.printed.output import digests, write_card
from hilum.evaluation.reports.drafting import provenance
from hilum.evaluation.reports.judge import JudgeOptions, judge_reports
from hilum.models.checkpoint import MANIFEST, CheckpointInfo, sha256_of, verify
from hilum.models.folders import resolve
from hilum.records import View
from hilum.reporting.identities import identities
from hilum.reporting.predict import predict
from hilum.reporting.settings import Device, ReadSettings
from hilum.training.adapt_checks import ENOUGH, MINIMUM, Signed, check_signed
from hilum.training.adapt_page import write_page
from hilum.training.adapt_verdict import (
    CARD,
    CHECKPOINT,
    DOCUMENT,
    MARGIN,
    RULE,
    SHADOW,
    STAGE,
    Verdict,
    document,
    identity,
    verdict_of,
)
from hilum.training.recipe import load_recipe
from hilum.training.reporter_recipe import ReporterRecipe
from hilum.training.run import train_reporter

RECIPE = Path(__file__).with_name("adapt.toml")
PASSES = 3
"""Times that each study is learnt from, where the recipe does not say the number of steps."""
MEASUREMENTS = 6
"""Times that is measured while training, where the recipe does not say how often."""

_GIVEN = {"model.base": "--model", "model.fresh": "--model", "data": "MANIFEST", "conditioning.expert": "--expert"}
_ADAPTED = re.compile(r"\+site(\d+)$")

Tell = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be adapted, to what, and how.

    Attributes:
        manifest: of the signed reports; see `hilum.training.adapt_checks.check_signed`.
        model: the running model; one of our checkpoint folders, or a shelf's `current`.
        out: the run's folder.
        recipe: of a reporter's stage; the built-in settings if None. What the command gives (base, data, expert) is
            replaced.
        changes: `--set`; see `hilum.training.recipe.load_recipe`.
        expert: whose findings both models are told.
        device: where training and drafting run.
        max_new_tokens: longest draft.
        resampling: of the card's intervals.
    """

    manifest: Path
    model: str | Path
    out: Path
    recipe: Path | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    expert: str = "starter"
    device: Device = "auto"
    max_new_tokens: int = 512
    resampling: Resampling = field(default_factory=Resampling)


def adapt(asked: Asked, tell: Tell, progress: Progress | None = None) -> Verdict | None:
    """Adapt the running model, compare, and say what came of it.

    Under torchrun every process calls this; the first one compares and writes.

    Args:
        asked: see there.
        tell: told what was found and what is done, in lines.
        progress: told what is being drafted and how many of how many are done.

    Returns:
        The verdict; None in all processes but the first.

    Raises:
        UsageError: the folder holds another plan, or `changes` name what the command gives.
        DataError: the manifest may not be learnt from, or cannot be; or another process is at work in the folder.
        CheckpointError: the running model or the expert is not what its files say. TrainingError: see `train_reporter`.
    """
    check_folder(asked.out)
    folder, info = _running(asked.model)
    signed = check_signed(asked.manifest, info.capabilities.min_age_years)
    recipe = make_recipe(asked, folder, info, signed)
    stage = asked.out / STAGE
    if os.environ.get("RANK", "0") != "0":
        train_reporter("stage3", recipe, stage, device=asked.device)
        return None
    asked.out.mkdir(parents=True, exist_ok=True)
    with alone(asked.out / ".lock", asked.out):
        plan = _plan(asked, folder, info, signed, recipe)
        _same_plan(plan, asked.out)
        for line in _beforehand(signed, recipe):
            tell(line)

        def trained(row: Mapping[str, float]) -> None:
            tell(", ".join(f"{name} {value:.4g}" for name, value in row.items()))

        train_reporter("stage3", recipe, stage, device=asked.device, progress=trained)
        candidate = verify(asked.out / CHECKPOINT)
        failed = _draft(asked, folder, signed, progress)
        verdict = _judge(asked, info, candidate, signed, tell)
        text = document(
            verdict,
            plan,
            {**identity(asked.out / CHECKPOINT, candidate), "checkpoint": CHECKPOINT},
            card={"path": CARD, "sha256": sha256_of(asked.out / CARD)},
            failed=failed,
        )
        write_page(json.loads(text), asked.out)
        _write(asked.out / DOCUMENT, text)
    return verdict


def _running(model: str | Path) -> tuple[Path, CheckpointInfo]:
    """The folder of the running model, links followed so that a promotion meanwhile changes nothing; verified."""
    folder = resolve(model).resolve()
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(
            f"{folder} has no {MANIFEST}, so it cannot be told from another model later. Make one of our folders of "
            "it: `hilum models convert IN OUT`."
        )
    info = verify(folder)
    if info.kind != "reporter":
        raise CheckpointError(f"{folder} is of kind {info.kind}; expected a reporter.")
    return folder, info


def make_recipe(asked: Asked, folder: Path, info: CheckpointInfo, signed: Signed) -> ReporterRecipe:
    """The recipe of the stage: as given, what the command gives put in, and what it does not say made from the model.

    Raises:
        UsageError: `asked.changes` name what the command gives. DataError: see `load_recipe`.
    """
    for key in asked.changes:
        taken = next((name for name in _GIVEN if key == name or key.startswith(f"{name}.")), None)
        if taken:
            raise UsageError(f"--set {key}: that is what {_GIVEN[taken]} says; give it there.")
    path = asked.recipe or RECIPE
    given = {*asked.changes, *_keys(path)}
    able = info.capabilities
    own: dict[str, Any] = {
        "identity.name": info.name,
        "identity.version": next_version(info.version),
        "images.most": able.max_images,
        "images.lateral": View.LATERAL in able.views,
        "images.prior": able.prior,
    }
    on_gpu = asked.device != "cpu" and torch.cuda.is_available()  # most processors compute bfloat16 very slowly
    own["optimiser.precision"] = "bfloat16" if on_gpu else "float32"
    if "optimiser.precision" not in given:
        own["model.frozen_weights"] = own["optimiser.precision"]
    if able.min_age_years is not None:
        own["minimum_age_years"] = able.min_age_years
    changes = {key: _toml(value) for key, value in own.items() if key not in given} | dict(asked.changes)
    if info.demonstration:  # what is made of a model for trying out is one, whatever a recipe says
        changes["identity.demonstration"] = "true"
    changes["model.base"] = _toml(str(folder))
    changes["data"] = f"[{{ manifest = {_toml(str(asked.manifest.resolve()))}, text = 'report', labels = 'text' }}]"
    changes["conditioning.expert"] = _toml(_place(asked.expert))
    if "optimiser.steps" not in given:
        changes["optimiser.steps"] = "1"
        batch = load_recipe(path, ReporterRecipe, changes).optimiser.batch
        changes["optimiser.steps"] = str(math.ceil(PASSES * signed.studies["train"] / batch))
    steps = load_recipe(path, ReporterRecipe, changes).optimiser.steps
    for key in ("validation.every", "checkpoints.every"):
        if key not in given:
            changes[key] = str(max(1, math.ceil(steps / MEASUREMENTS)))
    return load_recipe(path, ReporterRecipe, changes)


def next_version(version: str) -> str:
    """The version of what is made of a model: "1" gives "1+site1", and that "1+site2"."""
    found = _ADAPTED.search(version)
    return f"{version[: found.start()]}+site{int(found[1]) + 1}" if found else f"{version}+site1"


def _keys(path: Path) -> set[str]:
    """The dotted keys that a recipe gives; whatever is wrong with the file, `load_recipe` says."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()

    def walk(table: Mapping[str, Any], place: str) -> set[str]:
        found = set()
        for key, value in table.items():
            found.add(f"{place}{key}")
            if isinstance(value, dict):
                found |= walk(value, f"{place}{key}.")
        return found

    return walk(raw, "")


def _toml(value: Any) -> str:
    """A text, number or truth value as TOML writes it, which is as JSON does."""
    return json.dumps(value, ensure_ascii=False)


def _place(model: str) -> str:
    """A folder whole, so that the run goes on from another current folder; a name as it is."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _plan(asked: Asked, folder: Path, info: CheckpointInfo, signed: Signed, recipe: ReporterRecipe) -> dict[str, Any]:
    """All that is decided before the first draft."""
    expert, _ = identities(_settings(asked, folder))
    told = {"name": expert.name, "version": expert.version, "digest": expert.digest} if expert else None
    how = asked.resampling
    return {
        "rule": list(RULE),
        "running": identity(folder, info),
        "expert": told,
        "data": signed.as_dict(),
        "recipe": recipe.model_dump(mode="json"),
        "max_new_tokens": asked.max_new_tokens,
        "resampling": {"resamples": how.n_resamples, "seed": how.seed, "level": how.level},
        "hilum": __version__,
    }


def _same_plan(plan: Mapping[str, Any], out: Path) -> None:
    """Write the plan, or refuse a folder that holds another.

    Raises:
        UsageError: names what differs.
    """
    file = out / "plan.json"
    if not file.exists():
        if strangers := [path.name for path in out.iterdir() if not path.name.startswith(".")]:
            raise UsageError(
                f"{out} is not empty ({', '.join(sorted(strangers)[:3])}) and holds no plan; give a new --out."
            )
        _write(file, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{file} is no plan of ours; give another --out.") from None
    now = json.loads(json.dumps(plan))
    if differing := sorted(key for key in {*before, *now} if before.get(key) != now.get(key)):
        raise UsageError(
            f"{out} holds another comparison ({', '.join(differing)} {'differ' if len(differing) > 1 else 'differs'}). "
            "Give another --out; what was decided beforehand is not changed."
        )


def _beforehand(signed: Signed, recipe: ReporterRecipe) -> list[str]:
    """What is said before any work is done."""
    studies, patients = signed.studies, signed.patients
    lines = [
        "Signed reports: "
        + ", ".join(f"{studies[split]} to {split} on ({patients[split]} patients)" for split in MINIMUM),
        *(f"  left out: {n} {why}" for why, n in signed.left_out.items()),
        f"With {patients['test']} test patients a difference of {signed.detectable:.2f} can be seen.",
    ]
    if patients["test"] < ENOUGH:
        lines.append(
            f"That is more than {MARGIN:g}, so *cannot tell* is likely; {ENOUGH} patients see {MARGIN:g}. A larger "
            "test split is the better use of few studies."
        )
    return [*lines, "The rule:", *(f"  {line}" for line in RULE), f"Training: {recipe.optimiser.steps} steps."]


def _settings(asked: Asked, model: Path) -> ReadSettings:
    return ReadSettings(
        model=model, expert=_place(asked.expert), device=asked.device, max_new_tokens=asked.max_new_tokens
    )


_SYSTEMS = ("running", "candidate")


def _draft(asked: Asked, folder: Path, signed: Signed, progress: Progress | None) -> dict[str, int]:
    """Both models' drafts of the held out studies; returns how many each could not read."""
    shadow = asked.out / SHADOW
    shadow.mkdir(exist_ok=True)
    rows = signed.of("test")
    write_manifest(rows, shadow / "references.parquet")
    failed = {}
    for name, model in zip(_SYSTEMS, (folder, (asked.out / CHECKPOINT).resolve()), strict=True):

        def told(done: int, n: int, name: str = name) -> None:
            if progress:
                progress(f"drafts of the {name} model", done, n)

        made = predict(rows, shadow / f"{name}.parquet", _settings(asked, model), progress=told)
        failed[name] = made["failed"].drop_nulls().len()
    return failed


def _judge(asked: Asked, running: CheckpointInfo, candidate: CheckpointInfo, signed: Signed, tell: Tell) -> Verdict:
    """The card of the candidate, with the running model as its baseline, and the verdict."""
    shadow = asked.out / SHADOW
    files = {"references": shadow / "references.parquet", **{name: shadow / f"{name}.parquet" for name in _SYSTEMS}}
    base, judged = (read_pairs(files["references"], files[name]) for name in _SYSTEMS)
    options = JudgeOptions(
        system=f"candidate {candidate.name} {candidate.version}",
        baseline=f"running {running.name} {running.version}",
        resampling=asked.resampling,
        training=tuple(read_training(asked.manifest)),
        with_meteor=False,  # it takes as long as all the rest, and is no part of the rule
        provenance={
            "files": digests(files),
            "split": "test",
            "manifest_sha256": signed.manifest_sha256,
            **provenance(*identities(_settings(asked, asked.out / CHECKPOINT))),
        },
    )
    card = judge_reports(judged, options, baseline=base, progress=lambda what: tell(f"judging: {what}"))
    write_card(card, shadow)
    return verdict_of(card)


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    staged = file.with_name(f".{file.name}.partial")
    try:
        with staged.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(file)
    except OSError as error:
        raise DataError(
            f"{file} cannot be written ({error.strerror}); free space and give the command again."
        ) from None
