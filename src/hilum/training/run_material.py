"""What a stage prepares before its first step: pictures, what the expert says, and the studies that fit the model.

Everything here is kept in the run's folder, so that a run that goes on meets the very same studies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hilum.corpora import published
from hilum.corpora.manifest import read_manifest
from hilum.errors import DataError, UsageError
from hilum.models.expert import load_expert
from hilum.models.folders import Folder
from hilum.models.janus import Reporter
from hilum.records import NAMES, NO_FINDING
from hilum.training.conditioning import Told, told_findings
from hilum.training.pictures import PictureStore, missing_pictures, prepare_pictures
from hilum.training.reporter_recipe import ReporterRecipe
from hilum.training.run_folder import Progress
from hilum.training.stream import assessed_findings
from hilum.training.studies import Material, TrainingStudy

_MOST_LOST = 0.02
"""Share of the studies that may lack a picture: more is no odd file, it is a wrong folder."""
_NAMED = 3
_TOLD = "told.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What training is made from.

    Attributes:
        material: the studies whose pictures can be shown.
        store: their pictures.
        told: what the expert says of each, by key.
        about: the expert, for the checkpoint's history.
    """

    material: Material
    store: PictureStore
    told: dict[str, Told]
    about: dict[str, Any]


def assessed_by(recipe: ReporterRecipe) -> tuple[str, ...]:
    """What a text may deny and a corrupted prompt may add."""
    if recipe.assessed is not None:
        return assessed_findings(recipe.assessed)
    return assessed_findings([f.name for f in load_expert(recipe.conditioning.expert).info.findings if f.assessed])


def require_pictures(material: Material, recipe: ReporterRecipe) -> None:
    """Look whether the pictures are there, before hours are spent on preparing them.

    Raises:
        DataError: so many are missing that the manifest's root must be another folder.
    """
    missing = missing_pictures(_files(material))
    with_pictures(material, missing, dict.fromkeys(missing, ""), recipe)


def prepare_run(
    material: Material, recipe: ReporterRecipe, folder: Folder, out: Path, *, first: bool, progress: Progress | None
) -> Prepared:
    """Prepare the pictures and ask the expert, or take what the run's folder holds of that.

    Args:
        material: the studies of the manifests.
        recipe: of the run.
        folder: the checkpoint to start from.
        out: the run's folder.
        first: whether this is the first process, the others come after it.
        progress: told how many pictures are ready.
    """
    settled = _settled(out / _TOLD)
    begun = [one for one in (*material.train, *material.validate) if settled is None or one.key in settled]
    again = {file for one in begun for file in one.files} if first else set()
    store = _pictures(material, recipe, folder, out, progress, again)
    material = with_pictures(material, store.missing, store.unreadable, recipe, settled)
    told, about = _told(material, recipe, folder, out / _TOLD)
    return Prepared(material, store, told, about)


def _files(material: Material) -> list[str]:
    return list(dict.fromkeys(file for one in (*material.train, *material.validate) for file in one.files))


def _pictures(
    material: Material,
    recipe: ReporterRecipe,
    folder: Folder,
    out: Path,
    progress: Progress | None,
    again: Collection[str],
) -> PictureStore:
    """Every picture of the material, prepared."""
    if folder.info.image is None:
        raise DataError(f"{folder.path} does not say how pictures are prepared.")

    def told(done: int, n: int) -> None:
        if progress and (done % 200 == 0 or done == n):
            progress({"pictures prepared": float(done), "of": float(n)})

    where = recipe.images.cache or out / "pictures"
    return prepare_pictures(_files(material), folder.info.image, where, told, again=again)


def _settled(file: Path) -> Mapping[str, Any] | None:
    """The studies that this run began with, by key; None where it has not."""
    found: Mapping[str, Any] | None = json.loads(file.read_text(encoding="utf-8"))["told"] if file.exists() else None
    return found


def with_pictures(
    material: Material,
    missing: Collection[str],
    unreadable: Mapping[str, str],
    recipe: ReporterRecipe,
    settled: Collection[str] | None = None,
) -> Material:
    """The studies whose pictures can all be shown; the others are counted.

    Args:
        material: the studies of the manifests.
        missing: files that are not there.
        unreadable: file -> why it cannot be shown; the missing ones too.
        recipe: of the run.
        settled: keys of the studies that the run began with. A picture that can be read only since then would change
            the order of all that is still to come.

    Raises:
        DataError: more than 2 % of the studies are lost, and more than one is, or no study to train on is left.
    """

    def whole(studies: Iterable[TrainingStudy]) -> tuple[TrainingStudy, ...]:
        return tuple(
            one
            for one in studies
            if not any(file in unreadable for file in one.files) and (settled is None or one.key in settled)
        )

    kept = replace(material, train=whole(material.train), validate=whole(material.validate))
    every = (*material.train, *material.validate)
    lost = len(every) - len(kept.train) - len(kept.validate)
    gone = sum(any(file in missing for file in one.files) for one in every)
    if lost > max(1, _MOST_LOST * len(every)) or not kept.train:
        raise DataError(_refusal(every, lost, missing, unreadable, recipe))
    kept = noted(kept, "with a missing picture, over all sources", gone)
    return noted(kept, "with an unreadable picture, over all sources", lost - gone)


def _refusal(
    studies: Sequence[TrainingStudy],
    lost: int,
    missing: Collection[str],
    unreadable: Mapping[str, str],
    recipe: ReporterRecipe,
) -> str:
    """Why the pictures are not good enough: how many, the first few, and what to look at."""
    broken = [file for file in unreadable if file not in missing]
    named = _names(studies, recipe)
    parts = [
        f"{lost} of {len(studies)} studies have a picture that cannot be shown; expected at most {_MOST_LOST:.0%}."
    ]
    if missing:
        parts.append(
            f"{_counted(len(missing), 'is', 'are')} missing{named(sorted(missing))}: is the data set still where its "
            "manifest says? If it was moved, build the manifest again with the new --root."
        )
    if broken:
        parts.append(
            f"{_counted(len(broken), 'cannot', 'cannot')} be read{named(broken)}; the first: {unreadable[broken[0]]} "
            "The same command again tries them once more; `hilum corpus check MANIFEST --read-images` counts them by "
            "their reason."
        )
    return " ".join(parts)


def _counted(n: int, one: str, several: str) -> str:
    return f"1 picture {one}" if n == 1 else f"{n} pictures {several}"


def _names(studies: Sequence[TrainingStudy], recipe: ReporterRecipe) -> Callable[[Sequence[str]], str]:
    """How the first files are named: below the root of their corpus, whose folders a manifest gives.

    Only of published corpora: the names of a hospital's own files may be patient or accession numbers.
    """
    corpus = {file: one.key.partition("/")[0] for one in studies for file in one.files}
    roots = [Path(root) for source in recipe.data for root in read_manifest(source.manifest)["root"].unique()]

    def below(file: str) -> str:
        inside = [str(Path(file).relative_to(root)) for root in roots if Path(file).is_relative_to(root)]
        return min(inside, key=len, default=Path(file).name)

    def named(files: Sequence[str]) -> str:
        if not published({corpus[file] for file in files}):
            return " (`hilum corpus check MANIFEST --images --examples` names some)"
        more = ", ..." if len(files) > _NAMED else ""
        return f" ({', '.join(below(file) for file in files[:_NAMED])}{more})"

    return named


def _told(
    material: Material, recipe: ReporterRecipe, folder: Folder, file: Path
) -> tuple[dict[str, Told], dict[str, Any]]:
    """What the expert says of every study; asked once, then kept."""
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


def fitting(material: Material, reporter: Reporter, recipe: ReporterRecipe) -> Material:
    """The studies whose prompt and answer the model can hold, and whose grammar text says something.

    Raises:
        UsageError: no draft of the length asked for would fit. DataError: nothing is left to train on.
    """
    assessed = set(assessed_by(recipe))
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
    kept = replace(material, train=parts["train"], validate=parts["validate"])
    kept = noted(kept, "too long for the model, over all sources", long)
    return noted(kept, "without a label of assessed findings, over all sources", silent)


def noted(material: Material, why: str, n: int) -> Material:
    """With `n` more studies left out in the summary of the first source."""
    first, *others = material.sources
    if not n:
        return material
    return replace(material, sources=(replace(first, left_out={**first.left_out, why: n}), *others))
