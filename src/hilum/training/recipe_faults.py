"""What is wrong with a recipe, in the words of somebody who wrote it; and a setting's type in the same words."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as bounds
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Kind = type[BaseModel]
_LONGEST_FOUND = 60
"""Characters of a text that are shown as what was found."""
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
}


def faults(error: ValidationError, kind: Kind) -> list[str]:
    """Every fault, a line each: "place: what was expected, what was found".

    Args:
        error: what pydantic found.
        kind: the recipe that it should have been.
    """
    # a list whose entries all have faults is called too short besides
    found = [each for each in error.errors() if not (each["type"] == "too_short" and each["input"])]
    # keys that are not known come first: one of them may be what another is missing
    found.sort(key=lambda each: each["type"] != "extra_forbidden")
    return list(dict.fromkeys(_line(each, kind) for each in found))


def _line(error: ErrorDetails, kind: Kind) -> str:
    at = _place(kind, error["loc"])
    name = ".".join(map(str, at.parts))
    if error["type"] == "value_error":  # a rule of ours, which says all itself
        told = str(error.get("ctx", {}).get("error", error["msg"])).rstrip(".")
        return f"{name}: {told}" if name else told
    if error["type"] == "extra_forbidden":
        return f"{name}: {_unknown(kind, at.parts)}"
    expected = in_words(at.annotation, at.metadata)
    if error["type"] == "missing":
        return f"{name}: missing, expected {expected}"
    if error["type"] == "finite_number":
        expected = "a finite number"
    return f"{name}: expected {expected}, found {_found(error['input'])}"


def _unknown(kind: Kind, parts: Sequence[int | str]) -> str:
    """What to write instead of a key that there is not: the nearest one, or all there are."""
    *section, key = parts
    near = difflib.get_close_matches(str(key), _model(_place(kind, section).annotation).model_fields, n=1)
    if near:
        return f"there is no such key; did you mean {'.'.join(map(str, (*section, *near)))}?"
    return f"there is no such key; {keys(kind, section)}"


def keys(kind: Kind, parts: Sequence[int | str]) -> str:
    """The keys of the innermost section on the way to a place, as "[lora] has rank, alpha, dropout"."""
    section = list(parts)
    while section and _models(_place(kind, section).annotation) == []:
        section.pop()
    where = f"[{'.'.join(map(str, section))}]" if section else "the top of a recipe"
    return f"{where} has {', '.join(_model(_place(kind, section).annotation).model_fields)}"


def _found(value: Any) -> str:
    """A value as the file has it where it is short, else what kind of thing it is."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and len(value) > _LONGEST_FOUND:
        return "a long text"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


# ---------------------------------------------------------------------------------------------------------------------
# Places and types
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a fault is: the keys on the way, and what should stand there (None for a key that there is not)."""

    parts: tuple[int | str, ...]
    annotation: Any
    metadata: tuple[Any, ...]


def _place(kind: Kind, loc: Sequence[int | str]) -> _Place:
    """Follow pydantic's way to a fault as far as it goes over keys; behind them it names members of a union."""
    parts: list[int | str] = []
    annotation: Any = kind
    metadata: tuple[Any, ...] = ()
    for part in loc:
        inner = next((one for one in alternatives(annotation) if get_origin(one) in (tuple, dict)), None)
        if models := _models(annotation):
            field = models[0].model_fields.get(str(part))
            annotation, metadata = (field.annotation, tuple(field.metadata)) if field else (None, ())
        elif get_origin(inner) is tuple and isinstance(part, int):
            items = get_args(inner)
            annotation, metadata = items[0 if items[-1] is ... else min(part, len(items) - 1)], ()
        elif get_origin(inner) is dict:
            annotation, metadata = get_args(inner)[1], ()
        else:
            break
        parts.append(part)
    return _Place(tuple(parts), annotation, metadata)


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union but None, which a recipe cannot say; any other type alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [one for one in get_args(annotation) if one is not type(None)]
    return [annotation]


def _models(annotation: Any) -> list[Kind]:
    return [one for one in alternatives(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]


def _model(annotation: Any) -> Kind:
    return _models(annotation)[0]


def in_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What a setting takes, as "a whole number above 0"."""
    return " or ".join(_one_in_words(one, metadata) for one in alternatives(annotation))


def _one_in_words(annotation: Any, metadata: Sequence[Any]) -> str:
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        inner = [each for one in more for each in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return _one_in_words(annotation, inner)
    if get_origin(annotation) is Literal:
        chosen = [json.dumps(value) for value in get_args(annotation)]
        return chosen[0] if len(chosen) == 1 else f"one of {', '.join(chosen)}"
    if get_origin(annotation) is tuple:
        return _list_in_words(get_args(annotation), metadata)
    if get_origin(annotation) is dict:
        name, value = get_args(annotation)
        return f"a section of {_WORDS[name].removesuffix(' in quotes')} = {in_words(value).removeprefix('a ')}"
    if models := _models(annotation):
        needed = [name for name, field in models[0].model_fields.items() if field.is_required()]
        return "a section" + (f" with {', '.join(needed)}" if needed else "")
    return _WORDS.get(annotation, "another value") + " and".join(filter(None, map(_bound_in_words, metadata)))


def _list_in_words(items: Sequence[Any], metadata: Sequence[Any]) -> str:
    least = next((one.min_length for one in metadata if isinstance(one, bounds.MinLen)), 0)
    item = in_words(items[0])
    if items[-1] is not ...:
        return f"a list of {len(items)}, each {item}"
    return f"a list{f' of at least {least}' if least else ''}, each {item}"


def _bound_in_words(one: Any) -> str:
    match one:
        case bounds.Gt(gt=value):
            return f" above {value:g}"
        case bounds.Ge(ge=value):
            return f" from {value:g}"
        case bounds.Lt(lt=value):
            return f" below {value:g}"
        case bounds.Le(le=value):
            return f" to {value:g}"
        case bounds.MultipleOf(multiple_of=value):
            return f", a multiple of {value:g}"
    return ""
