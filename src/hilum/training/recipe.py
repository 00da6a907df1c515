"""Recipes: typed settings of a training run, read from TOML, each field documented where it stands.

`load_recipe` reads a file, applies `--set section.key=value` overrides, and refuses unknown keys and bad values with
the place and the expectation.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilum.errors import DataError
from hilum.models.prompt import PromptVersion


class Settings(BaseModel):
    """Base of every section: no unknown keys, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Recipe = TypeVar("Recipe", bound=Settings)


def load_recipe(path: Path, kind: type[Recipe], overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file.
        kind: which recipe it must be.
        overrides: dotted key -> value, written as in TOML (`optimiser.steps=100`, `data.root="x"`; a bare word is a
            string).

    Raises:
        DataError: unreadable file, unknown key or bad value; names the place.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"The recipe {path} cannot be read ({error.strerror}).") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"The recipe {path} is not valid TOML: {error}.") from None
    for key, text in (overrides or {}).items():
        *sections, leaf = key.split(".")
        place = raw
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise DataError(f"--set {key}: {section} is a value, not a section of {path}.")
        place[leaf] = _toml_value(text)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"The recipe {path}: {where}: {first['msg']} (found {first.get('input')!r}).") from None


def _toml_value(text: str) -> Any:
    """A value as TOML reads it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


class PictureData(Settings):
    """Labelled pictures."""

    root: Path
    """Folder of the data set; give it with `--set data.root=DIR`."""
    table: str
    """CSV of the pictures, relative to `root`."""
    images: str
    """Folder of the pictures, relative to `root`."""
    labels: str
    """Column with the finding names, separated by `|`."""


class ReporterNetwork(Settings):
    """Sizes of a fresh reporter, in transformers' Janus classes."""

    name: str
    """What the checkpoint is called."""
    version: str
    licence: str
    """Licence of the weights, with what the data ask for."""
    prompt_version: PromptVersion = "hilum/1"
    image_size: int = Field(default=160, gt=0)
    """Side of the square picture, pixels; a multiple of `patch_size`."""
    patch_size: int = 16
    vision_width: int = 192
    vision_layers: int = 6
    vision_heads: int = 6
    language_width: int = 192
    language_layers: int = 4
    language_heads: int = 6
    language_ffn: int = 512
    vocabulary: int = 1024
    """Tokens of the byte-level BPE tokenizer, special ones included."""
    context: int = 1024


class Conditioning(Settings):
    """How the prompt differs from the truth while training."""

    language_only: float = Field(default=0.4, ge=0, le=1)
    """Share of samples whose text says a random set of findings, the unassessed ones included, that their prompt names,
    whatever the picture: half of them blank, half somebody's. They teach to say what the prompt says, also where no
    picture shows it."""
    without_expert: float = Field(default=0.15, ge=0, le=1)
    """Share of the other samples with the prompt for no expert."""
    corrupted: float = Field(default=0.1, ge=0, le=1)
    """Share of the other samples with one wrong label in the prompt; the text stays right."""


class VisionWarmUp(Settings):
    """Teaching the vision tower the findings before any text: a linear head on its mean output, thrown away later."""

    epochs: int = Field(default=0, ge=0)
    batch: int = 32
    learning_rate: float = 5e-4
    augmentation: float = 1.0


class Optimiser(Settings):
    """AdamW with a linear warm-up and a cosine."""

    steps: int = Field(gt=0)
    batch: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup: int = 100
    weight_decay: float = 0.05
    gradient_clip: float = 1.0
    augmentation: float = Field(default=0.5, ge=0, le=1)
    seed: int = 0


class Stage1Recipe(Settings):
    """Stage 1 of a reporter."""

    data: PictureData
    network: ReporterNetwork
    conditioning: Conditioning = Conditioning()
    warm_up: VisionWarmUp = VisionWarmUp()
    optimiser: Optimiser
    assessed: tuple[str, ...]
    """Findings that the text may deny: those the data label and the expert assesses. The others are said only where
    the prompt names them."""
    held_out: float = Field(default=0.2, gt=0, lt=1)
    """Share of patients never trained on, chosen by a hash of their identifier."""
    minimum_age_years: float = 18
    """Younger patients are left out."""
