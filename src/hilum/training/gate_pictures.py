"""Pictures that a gate learns from and is judged on: chests as they are and changed, other body parts, children.

Every change is one that happens to pictures on their way to a reader. Small pictures are the trap: the sets of other
body parts come at 64 pixels, so chests are made as small, and small pictures get the grain, letters and sharp edges of
large ones; a gate that had learnt "blurred, so no chest" would be worthless.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hilum.errors import DataError
from hilum.imaging import Decoder
from hilum.models.gate import KINDS

Floats = NDArray[np.float32]

CHILD_YEARS = 12
"""Younger patients look like children; from here to `hilum.imaging`'s adult age nothing is taught or judged."""
ADULT_YEARS = 18
QUARTERS = {"turned_90": 1, "turned_180": 2, "turned_270": 3}
"""Kind -> quarter turns, counter-clockwise, that were done to the picture."""
CROPPED_SHARE = 0.75
"""A picture that keeps less than this share of each side is cropped: parts of the lungs are gone."""
WHOLE_SHARE = 0.9
"""One that keeps more is whole. Between the two nothing is taught or judged."""


@dataclass(frozen=True, slots=True)
class Source:
    """A picture before any change.

    Attributes:
        name: of its set.
        file: its name within the set.
        group: patient, or the file where patients are not known.
        pixels: ``[H, W]`` in 0..1.
        truth: kind -> whether it is so; a kind that is not known is missing.
    """

    name: str
    file: str
    group: str
    pixels: Floats
    truth: Mapping[str, bool]


CHEST: dict[str, bool] = dict.fromkeys(KINDS, False)


def table_of_chests(name: str, table: Path, images: Path) -> Iterator[Source]:
    """Frontal chest radiographs with a table (`image`, `patient_id`, `view`, `age_years`).

    Raises:
        DataError: the table or a column is missing, or a picture cannot be read.
    """
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        raise DataError(
            f"{table} cannot be read ({error.strerror}); give the folder with --set data.root=DIR."
        ) from None
    if not rows or not {"image", "patient_id", "age_years"} <= rows[0].keys():
        raise DataError(f"{table} lacks image, patient_id or age_years.")
    with Decoder() as decoder:
        for row in rows:
            truth = dict(CHEST)
            age = float(row["age_years"]) if row["age_years"].strip() else None
            if age is None:
                del truth["child"]  # most are adults, but nobody says so
            elif age < CHILD_YEARS:
                truth["child"] = True
            elif age < ADULT_YEARS:
                del truth["child"]
            pixels = decoder.read(images / row["image"]).pixels
            yield Source(name, row["image"], row["patient_id"], pixels, truth)


def folder_of_children(name: str, folder: Path) -> Iterator[Source]:
    """Chest radiographs of children; tightly cropped as they come, so of cropping nothing is said."""
    truth = CHEST | {"child": True}
    del truth["cropped"]
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not files:
        raise DataError(f"{folder} holds no pictures.")
    with Decoder() as decoder:
        for path in files:
            # NORMAL__IM-0122-0001.jpg, PNEUMONIA__person1000_bacteria_2931.jpg
            patient = next((part for part in path.stem.split("_") if part.startswith("person")), path.stem)
            yield Source(name, path.name, patient, decoder.read(path).pixels, truth)


def tar_of_pictures(name: str, file: Path, count: int, *, chest: bool) -> Iterator[Source]:
    """The first `count` pictures of a tar file, in the order of their names.

    Args:
        name: of the set.
        file: the tar file.
        count: how many.
        chest: chest radiographs of patients of unknown age; else something else.
    """
    truth = {kind: False for kind in KINDS if kind != "child"} if chest else {"not_chest": True}
    try:
        with tarfile.open(file) as archive:
            members = sorted((each for each in archive.getmembers() if each.isfile()), key=lambda each: each.name)
            for member in members[:count]:
                stream = archive.extractfile(member)
                if stream is None:
                    continue
                with Image.open(io.BytesIO(stream.read())) as picture:
                    pixels = np.asarray(picture.convert("L"), np.float32) / np.float32(255)
                yield Source(name, member.name, member.name, pixels, truth)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{file} cannot be read ({error}); give the folder with --set data.root=DIR.") from None


def chance_of(*words: str) -> np.random.Generator:
    """Chance that depends on these words alone, so that no picture's versions change with the order or the number."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256("\0".join(words).encode()).digest()[:8], "big"))


# ---------------------------------------------------------------------------------------------------------------------
# Changes


def resized(pixels: Floats, side: int) -> Floats:
    """The picture with its longer side at `side` pixels."""
    height, width = pixels.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    made: Floats = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)).clip(0, 1)
    return made


def compressed(pixels: Floats, quality: int) -> Floats:
    """The picture after JPEG."""
    stream = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as picture:
        values: Floats = np.asarray(picture, np.float32) / np.float32(255)
    return values


def cut(pixels: Floats, share: float, chance: np.random.Generator) -> Floats:
    """A part of the picture that keeps `share` of each side."""
    height, width = pixels.shape
    rows, columns = max(8, round(height * share)), max(8, round(width * share))
    top, left = chance.integers(0, height - rows + 1), chance.integers(0, width - columns + 1)
    return pixels[top : top + rows, left : left + columns]


def bent(pixels: Floats, gamma: float, low: float, high: float) -> Floats:
    """Other grey values: the range `low` to `high` spread over 0..1 and raised to `gamma`."""
    return np.asarray(np.clip((pixels - low) / (high - low), 0, 1) ** gamma, np.float32)


def large(pixels: Floats, chance: np.random.Generator) -> Floats:
    """A small picture with what only large ones have: grain, a sharp letter, sharp edges of the beam."""
    side = int(chance.integers(256, 513))
    out = resized(pixels, side).copy()
    out += chance.normal(0, chance.uniform(0.005, 0.05), out.shape).astype(np.float32)
    height, width = out.shape
    if chance.random() < 0.5:
        picture = Image.fromarray(out)
        place = (int(chance.integers(0, width - 20)), int(chance.integers(0, height - 24)))
        words = str(chance.choice(["L", "R", "AP", "PORTABLE", "SUPINE"]))
        ImageDraw.Draw(picture).text(
            place, words, fill=float(chance.uniform(0.7, 1)), font_size=int(chance.integers(12, 33))
        )
        out = np.array(picture)
    if chance.random() < 0.3:
        edge = int(chance.integers(2, max(3, side // 10)))
        out[:edge] = out[-edge:] = 0
        out[:, :edge] = out[:, -edge:] = 0
    return np.clip(out, 0, 1)


FIXED = ("plain", *QUARTERS, "inverted", "mirrored", "whole", "cropped", "grey", "small", "medium")
"""Versions of one change each, in which a gate is judged."""
MIXED = tuple(f"mixed_{n}" for n in range(5))
"""Versions of several changes at once, for training."""


def version_of(source: Source, version: str) -> tuple[Floats, dict[str, bool]]:
    """A picture changed, and what is true of it then.

    Args:
        source: the picture.
        version: of `FIXED` or `MIXED`.
    """
    chance = chance_of(source.name, source.file, version)
    pixels, truth = source.pixels, dict(source.truth)
    if version in QUARTERS:
        return _turned(pixels, truth, version)
    if version == "inverted":
        return _inverted(pixels, truth)
    if version == "mirrored":
        return _mirrored(pixels, truth)
    if version == "whole":
        return cut(pixels, float(chance.uniform(WHOLE_SHARE, 1)), chance), truth
    if version == "cropped":
        return _cropped(pixels, truth, chance)
    if version == "grey":
        return _grey(pixels, chance), truth
    if version == "small":
        return compressed(resized(pixels, 64), int(chance.integers(60, 96))), truth
    if version == "medium":
        return compressed(resized(pixels, 224), int(chance.integers(60, 96))), truth
    return _mixed(pixels, truth, chance) if version in MIXED else (pixels, truth)


def _turned(pixels: Floats, truth: dict[str, bool], kind: str) -> tuple[Floats, dict[str, bool]]:
    # of a turned picture nobody says which side is left
    changed = {key: value for key, value in truth.items() if key != "mirrored"}
    if kind in changed:
        changed[kind] = True
    return np.rot90(pixels, QUARTERS[kind]), changed


def _inverted(pixels: Floats, truth: dict[str, bool]) -> tuple[Floats, dict[str, bool]]:
    return 1 - pixels, truth | ({"inverted": True} if "inverted" in truth else {})


def _mirrored(pixels: Floats, truth: dict[str, bool]) -> tuple[Floats, dict[str, bool]]:
    return pixels[:, ::-1], truth | ({"mirrored": True} if "mirrored" in truth else {})


def _cropped(pixels: Floats, truth: dict[str, bool], chance: np.random.Generator) -> tuple[Floats, dict[str, bool]]:
    changed = truth | ({"cropped": True} if "cropped" in truth else {})
    return cut(pixels, float(chance.uniform(0.4, CROPPED_SHARE)), chance), changed


def _grey(pixels: Floats, chance: np.random.Generator) -> Floats:
    low, high = chance.uniform(-0.1, 0.1), chance.uniform(0.85, 1.15)
    return bent(pixels, float(np.exp(chance.uniform(-0.7, 0.7))), low, high)


def _mixed(pixels: Floats, truth: dict[str, bool], chance: np.random.Generator) -> tuple[Floats, dict[str, bool]]:
    """Any of the changes, each by its own chance."""
    if chance.random() < 0.25:
        pixels, truth = _cropped(pixels, truth, chance)
    elif chance.random() < 0.5:
        pixels = cut(pixels, float(chance.uniform(WHOLE_SHARE, 1)), chance)
    if chance.random() < 0.4:
        pixels = _grey(pixels, chance)
    if chance.random() < 0.25:
        pixels, truth = _inverted(pixels, truth)
    if chance.random() < 0.35:
        pixels, truth = _mirrored(pixels, truth)
    if chance.random() < 0.4:
        pixels, truth = _turned(pixels, truth, str(chance.choice(list(QUARTERS))))
    small = max(pixels.shape) <= 64
    if not small and chance.random() < 0.4:
        pixels = compressed(resized(pixels, int(chance.integers(48, 300))), int(chance.integers(60, 96)))
        small = True
    if small and chance.random() < 0.6:
        pixels = large(pixels, chance)
    return pixels, truth
