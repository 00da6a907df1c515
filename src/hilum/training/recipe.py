"""Recipes: typed settings of a training run, read from TOML, each field documented where it stands.

`load_recipe` reads a file, applies `--set section.key=value` overrides (`data.0.key=value` in an array of tables), and
refuses unknown keys and bad values, all at once, each with the place and the expectation. docs/recipes.md is written
from the fields and what stands below them, see `hilum.training.recipe_page`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilum.errors import DataError, UsageError
from hilum.training.recipe_faults import faults, keys


class Settings(BaseModel):
    """Base of every section: no unknown keys, no changes after reading, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class RecipeError(DataError):
    """A recipe with faults; the message is one line.

    Attributes:
        lines: the same for where there is room: a heading, a line for each fault, and what to do.
    """

    def __init__(self, path: Path, found: Sequence[str]) -> None:
        number = "a fault" if len(found) == 1 else f"{len(found)} faults"
        self.lines = (f"The recipe {path} has {number}:", *(f"  {fault}" for fault in found), _ADVICE)
        super().__init__(f"The recipe {path}: {'; '.join(found)}. {_ADVICE}")


_ADVICE = "Mend it there, or give a value with --set SECTION.KEY=VALUE; docs/recipes.md lists every setting."
Recipe = TypeVar("Recipe", bound=Settings)
MARKS: tuple[tuple[frozenset[str], str, str], ...] = (
    (frozenset({"model", "lora", "conditioning"}), "a reporter's recipe", "hilum train stage1, stage2 or stage3"),
    (frozenset({"network", "peer", "targets", "head"}), "an expert's recipe", "hilum train expert"),
    (frozenset({"fit", "operating"}), "a gate's recipe", "hilum train gate"),
    (frozenset({"table", "columns"}), "a description of a hospital's table", "hilum corpus build site --config"),
)
"""Sections that one kind of recipe has and no other; what it is; the command that takes it."""


def load_recipe(path: Path, kind: type[Recipe], overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file.
        kind: which recipe it must be.
        overrides: dotted key -> value, written as in TOML (`optimiser.steps=100`, `data.root="x"`; a bare word is a
            string). In an array of tables a number names the entry, from 0; the number after the last adds one
            (`data.0.manifest="x"`).

    Raises:
        DataError: unreadable file, unknown keys or bad values (`RecipeError`); names every place.
        UsageError: another kind of recipe; an override's key leads through a value or past the end of a list.
    """
    raw = _read(path)
    _refuse_other_kind(raw, kind, path)
    for key, text in (overrides or {}).items():
        _put(raw, key, _toml_value(text), path, kind)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(path, faults(error, kind)) from None


def _read(path: Path) -> dict[str, Any]:
    """The file as it stands."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The recipe {path} cannot be read ({error.strerror}); recipes/ has examples.") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"The recipe {path} is not valid TOML: line {line} holds a byte that is not UTF-8. Save it as UTF-8."
        ) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"The recipe {path} is not valid TOML{_where_and_why(str(error), text)}") from None


def _where_and_why(message: str, text: str) -> str:
    """The place of a TOML fault, the line itself, and what the parser says, from "why (at line 3, column 5)"."""
    found = re.fullmatch(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", message, flags=re.DOTALL)
    if found is None:
        return f": {message}."
    why = found[1][:1].lower() + found[1][1:]
    lines = text.split("\n")
    number = int(found[2]) if found[2] else len(text.rstrip().split("\n"))
    place = f" in line {number}, column {found[3]}" if found[2] else f" at its end, line {number}"
    line = lines[number - 1].strip()
    shown = f' ("{line}")' if 0 < len(line) <= 80 else ""
    return f'{place}{shown}: {why}. Settings are written key = value, text in quotes: name = "mine".'


def _refuse_other_kind(raw: Mapping[str, Any], kind: type[Settings], path: Path) -> None:
    """Refuse a file whose sections are those of another kind and none of this one."""
    own = next((one for one in MARKS if one[0] <= kind.model_fields.keys()), None)
    if own is None or own[0] & raw.keys():
        return
    for marks, what, command in MARKS:
        if shown := [name for name in raw if name in marks]:
            sections = " and ".join(f"[{name}]" for name in shown)
            raise UsageError(
                f"{path} is {what} (it has {sections}), expected {own[1]}. Give it to `{command}`, or another file "
                "here."
            )


def _put(raw: dict[str, Any], key: str, value: Any, path: Path, kind: type[Settings]) -> None:
    """Put a value where a dotted key says; sections on the way are made."""
    place: Any = raw
    parts = key.split(".")
    if "" in parts:
        raise UsageError(f"--set {key}: found a dot too many; expected SECTION.KEY=VALUE, as optimiser.seed=1.")
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth])
        at: str | int = part
        if isinstance(place, list):
            if not (part.isdecimal() and int(part) <= len(place)):
                raise UsageError(
                    f"--set {key}: {where} is a list of {len(place)} in {path}; say which entry, as {where}.0 for the "
                    f"first or {where}.{len(place)} for a new one."
                )
            at = int(part)
            if at == len(place):
                place.append({})
        elif not isinstance(place, dict):
            on_the_way = [int(each) if each.isdecimal() else each for each in parts[:depth]]
            raise UsageError(f"--set {key}: {where} is a value, not a section of {path}; {keys(kind, on_the_way)}.")
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
    """AdamW (Loshchilov & Hutter, ICLR 2019), or plain stochastic gradient descent."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The highest, reached at the end of the warm-up."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """After the linear warm-up: a half cosine or a line down to 0, or level."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.95)
    """AdamW's decay of the moving averages of the gradient and of its square."""
    epsilon: float = Field(default=1e-8, gt=0)
    """AdamW's term that keeps its denominator above 0."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Of matrices; norms and biases have none."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: computed so under autocast, with float32 weights, gradients and moments."""
    workers: int = Field(default=0, ge=0)
    """Processes that prepare samples."""
    seed: int = 0
    """Of everything that is drawn: new weights, the order of studies, augmentation, dropout."""


class Checkpoints(Settings):
    """What is kept to go on from."""

    every: int = Field(default=500, gt=0)
    """Steps between two checkpoints; so much work at most is lost where a run is stopped."""
    keep: int = Field(default=2, ge=1)
    """The newest so many."""
