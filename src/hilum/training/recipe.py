"""Recipes: typed settings of a training run, read from TOML, each field documented where it stands.

`load_recipe` reads a file, applies `--set section.key=value` overrides (`data.0.key=value` in an array of tables), and
refuses unknown keys and bad values with the place and the expectation.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilum.errors import DataError
from hilum.models.checkpoint import first_fault


class Settings(BaseModel):
    """Base of every section: no unknown keys, no changes after reading, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Recipe = TypeVar("Recipe", bound=Settings)


def load_recipe(path: Path, kind: type[Recipe], overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file.
        kind: which recipe it must be.
        overrides: dotted key -> value, written as in TOML (`optimiser.steps=100`, `data.root="x"`; a bare word is a
            string). In an array of tables a number names the entry, from 0; the number after the last adds one
            (`data.0.manifest="x"`).

    Raises:
        DataError: unreadable file, unknown key or bad value; names the place.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"The recipe {path} cannot be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"The recipe {path} is not valid TOML: {error}.") from None
    for key, text in (overrides or {}).items():
        _put(raw, key, _toml_value(text), path)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise DataError(f"The recipe {path}: {first_fault(error)}.") from None


def _put(raw: dict[str, Any], key: str, value: Any, path: Path) -> None:
    """Put a value where a dotted key says; sections on the way are made."""
    place: Any = raw
    parts = key.split(".")
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        at: str | int = part
        if isinstance(place, list):
            if not (part.isdecimal() and int(part) <= len(place)):
                raise DataError(
                    f"--set {key}: {where} is a list of {len(place)} in {path}; say which entry, as {where}.0 for the "
                    f"first or {where}.{len(place)} for a new one."
                )
            at = int(part)
            if at == len(place):
                place.append({})
        elif not isinstance(place, dict):
            raise DataError(f"--set {key}: {where} is a value, not a section of {path}.")
        if depth == len(parts) - 1:
            place[at] = value
        elif isinstance(place, dict):
            place = place.setdefault(part, [] if parts[depth + 1].isdecimal() else {})
        else:
            place = place[int(part)]


def _toml_value(text: str) -> Any:
    """A value as TOML reads it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


class Updates(Settings):
    """How weights change, whatever is trained; each kind of recipe adds how long."""

    batch: int = Field(default=16, gt=0)
    """Studies per step over all processes and accumulated micro-batches."""
    micro_batch: int = Field(default=16, gt=0)
    """Studies that one process handles at once."""
    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """After the linear warm-up: a half cosine or a line down to 0, or level."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.95)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    """Of matrices; norms and biases have none."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: computed so under autocast, with float32 weights, gradients and moments."""
    workers: int = Field(default=0, ge=0)
    """Processes that prepare samples."""
    seed: int = 0


class Checkpoints(Settings):
    """What is kept to go on from."""

    every: int = Field(default=500, gt=0)
    """Steps."""
    keep: int = Field(default=2, ge=1)
    """The newest so many."""
