"""Features of a gate's pictures: every version of every picture through the expert's network, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from hilum.corpora.image_table import held_out
from hilum.errors import DataError
from hilum.models.expert import WEIGHTS, Expert
from hilum.models.gate import KINDS, clipped, low_contrast, quarters_of
from hilum.records import Radiograph
from hilum.training.gate_pictures import (
    FIXED,
    MIXED,
    Source,
    folder_of_children,
    resized,
    table_of_chests,
    tar_of_pictures,
    version_of,
)
from hilum.training.gate_recipe import GateData, GateRecipe

Progress = Callable[[dict[str, float]], None]
_BATCH = 4
_VERSIONS = "1"
"""Raised whenever `gate_pictures` makes other pictures, so that no cache of before is used."""
JUDGED = tuple(version for version in FIXED if version != "medium")


@dataclass(frozen=True, slots=True, eq=False)
class PictureSet:
    """The features of one set.

    Attributes:
        name: of the set.
        part: "chests", "children", "small_chests" or "others".
        judge_only: whether nothing is learned from it or chosen on it.
        files, groups, versions: ``[N]``.
        features: float16 ``[N, 4, C]``.
        truth: ``[N, K]``: 1 and 0, and -1 where it is not known.
        greys: ``[N, 2]``, `low_contrast` and `clipped` of each picture.
        thumbnails: file -> ``[16 * 16]``, of the pictures before any change; only of chests.
    """

    name: str
    part: str
    judge_only: bool
    files: list[str]
    groups: list[str]
    versions: NDArray[np.str_]
    features: torch.Tensor
    truth: NDArray[np.int8]
    greys: NDArray[np.float32]
    thumbnails: dict[str, list[float]]

    def split(self, validation: float, test: float) -> NDArray[np.str_]:
        """``[N]``: "learn", "choose" or "judge", all versions of all pictures of a patient alike."""
        if self.judge_only:
            return np.full(len(self.files), "judge")
        return np.array([split_of(f"{self.name}/{group}", validation, test) for group in self.groups])


def split_of(group: str, validation: float, test: float) -> str:
    """Which part a patient belongs to, by a hash, so that it never changes with order or number."""
    if held_out(group, test, "gate test"):
        return "judge"
    return "choose" if held_out(group, validation / (1 - test), "gate validation") else "learn"


def read_sets(recipe: GateRecipe, eyes: Expert, progress: Progress | None = None) -> list[PictureSet]:
    """The features of every set of a recipe, from the cache where they are in it.

    Raises:
        DataError: a table, folder, tar file or picture that cannot be read.
    """
    found = []
    for one in _plan(recipe.data):
        asked = [_VERSIONS, one.name, one.part, str(one.judge_only), str(one.count), *one.versions]
        key = "/".join([*asked, eyes.info.files.get(WEIGHTS, "")])
        file = recipe.data.cache / f"{one.name}.safetensors" if recipe.data.cache else None
        kept = _cached(file, key) if file else None
        if kept is None:
            kept = _through(one, eyes, progress)
            if file:
                _keep(file, key, kept)
        found.append(kept)
    return found


@dataclass(frozen=True, slots=True)
class _Asked:
    """A set that a recipe names, before its pictures are read."""

    name: str
    part: str
    versions: tuple[str, ...]
    read: Callable[[], Iterator[Source]]
    judge_only: bool = False
    count: int = 0


def _plan(data: GateData) -> list[_Asked]:
    """The sets of a recipe in its order, and in which versions each is made."""
    root, asked = data.root, []
    for chests in data.chests:
        versions = JUDGED if chests.judge_only else (*FIXED, *MIXED)
        read = partial(table_of_chests, chests.name, root / chests.table, root / chests.images)
        asked.append(_Asked(chests.name, "chests", versions, read, chests.judge_only))
    for young in data.children:
        read = partial(folder_of_children, young.name, root / young.folder)
        asked.append(_Asked(young.name, "children", ("plain", "small", "whole", *MIXED[:3]), read))
    for part, tars in (("small_chests", data.small_chests), ("others", data.others)):
        for tar in tars:
            read = partial(tar_of_pictures, tar.name, root / tar.file, tar.count, chest=part == "small_chests")
            asked.append(_Asked(tar.name, part, ("plain", MIXED[0]), read, count=tar.count))
    return asked


def _through(asked: _Asked, eyes: Expert, progress: Progress | None) -> PictureSet:
    """Every version of every picture of a set through the expert's network."""
    files, groups, of, truths, greys = [], [], [], [], []
    features: list[torch.Tensor] = []
    batch: list[NDArray[np.float32]] = []
    thumbnails: dict[str, list[float]] = {}

    def flush() -> None:
        if batch:
            features.append(pooled(eyes, batch))
            batch.clear()

    for source in asked.read():
        if asked.part in ("chests", "small_chests"):
            thumbnails[source.file] = thumbnail(source.pixels)
        for version in asked.versions:
            pixels, truth = version_of(source, version)
            files.append(source.file)
            groups.append(source.group)
            of.append(version)
            truths.append([int(truth.get(kind, -1)) for kind in KINDS])
            greys.append((low_contrast(pixels), clipped(pixels)))
            batch.append(pixels)
            if len(batch) == _BATCH:
                flush()
                if progress and len(files) % 1000 < _BATCH:
                    progress({"pictures": len(files)})
    flush()
    if not files:
        raise DataError(f"{asked.name} holds no pictures.")
    return PictureSet(
        asked.name,
        asked.part,
        asked.judge_only,
        files,
        groups,
        np.array(of),
        torch.cat(features),
        np.array(truths, np.int8),
        np.array(greys, np.float32),
        thumbnails,
    )


def pooled(eyes: Expert, pictures: list[NDArray[np.float32]]) -> torch.Tensor:
    """Features float16 ``[B, 4, C]`` of pictures."""
    images = [Radiograph(np.array(pixels, np.float32), "") for pixels in pictures]
    seen = eyes.features(images)
    return quarters_of(torch.stack([seen[image] for image in images])).half()


def thumbnail(pixels: NDArray[np.float32]) -> list[float]:
    """16 x 16 grey values of mean 0 and length 1, for finding the same picture again at another size."""
    small = Image.fromarray(resized(pixels, 64)).resize((16, 16), Image.Resampling.BILINEAR)
    values = np.asarray(small, np.float64).ravel()
    values -= values.mean()
    return [round(float(value), 5) for value in values / (np.linalg.norm(values) or 1)]


def without_duplicates(sets: list[PictureSet], limit: float) -> tuple[list[PictureSet], int]:
    """The sets with pictures of `small_chests` left out that are in `chests` too, and how many those were."""
    known = np.array([values for one in sets if one.part == "chests" for values in one.thumbnails.values()])
    out, dropped = [], 0
    for one in sets:
        if one.part == "small_chests" and len(known):
            names = list(one.thumbnails)
            alike = np.array([one.thumbnails[name] for name in names]) @ known.T
            again = {name for name, best in zip(names, alike.max(1), strict=True) if best > limit}
            dropped += len(again)
            keep = np.array([file not in again for file in one.files])
            one = PictureSet(
                one.name,
                one.part,
                one.judge_only,
                [file for file in one.files if file not in again],
                [group for group, stays in zip(one.groups, keep, strict=True) if stays],
                one.versions[keep],
                one.features[torch.from_numpy(keep)],
                one.truth[keep],
                one.greys[keep],
                {name: one.thumbnails[name] for name in names if name not in again},
            )
        out.append(one)
    return out, dropped


def _keep(file: Path, key: str, one: PictureSet) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rest = {
        "part": one.part,
        "judge_only": one.judge_only,
        "files": one.files,
        "groups": one.groups,
        "versions": one.versions.tolist(),
        "thumbnails": one.thumbnails,
    }
    tensors = {
        "features": one.features.contiguous(),
        "truth": torch.from_numpy(one.truth),
        "greys": torch.from_numpy(one.greys),
    }
    save_file(tensors, file, metadata={"key": key, "name": one.name, "rest": json.dumps(rest)})


def _cached(file: Path, key: str) -> PictureSet | None:
    if not file.is_file():
        return None
    with safe_open(file, framework="pt") as stored:
        said = stored.metadata() or {}
        if said.get("key") != key:
            return None
        rest = json.loads(said["rest"])
        return PictureSet(
            said["name"],
            rest["part"],
            rest["judge_only"],
            rest["files"],
            rest["groups"],
            np.array(rest["versions"]),
            stored.get_tensor("features"),
            stored.get_tensor("truth").numpy(),
            stored.get_tensor("greys").numpy(),
            rest["thumbnails"],
        )
