"""docs/recipes.md, written from the recipes' own fields: `python -m hilum.training.recipe_page docs/recipes.md`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.gate_recipe import GateRecipe
from hilum.training.recipe import Settings
from hilum.training.recipe_faults import alternatives, in_words
from hilum.training.reporter_recipe import ReporterRecipe

_TOP = """# Recipes: every setting

This page is written from the settings themselves by `python -m hilum.training.recipe_page docs/recipes.md`; a test
holds it to them.

A recipe is a TOML file. Its sections stand below, in `[brackets]`; one in `[[double brackets]]` may stand several
times. `--set SECTION.KEY=VALUE` changes a setting for one run, and may be repeated: `--set optimiser.seed=1`; the
entries of a section that stands several times have numbers, from 0: `--set data.0.manifest=DIR`. The recipes that were
used lie in `recipes/`. A setting without a default must be given; paths are relative to the folder where the command
is given. [Train on your MIMIC-CXR](train-on-your-mimic-cxr.md) says how they are used.
"""
_KINDS: tuple[tuple[str, str, type[Settings]], ...] = (
    ("A reporter", "of `hilum train stage1`, `stage2` and `stage3`, and of `hilum adapt run --recipe`", ReporterRecipe),
    ("An expert", "of `hilum train expert`", ExpertRecipe),
    ("An input gate", "of `hilum train gate`", GateRecipe),
)


def write_page(file: Path) -> None:
    """Write the page."""
    parts = [_TOP]
    for title, whose, kind in _KINDS:
        parts.append(f"\n## {title}\n\nThe recipe {whose}.\n")
        parts += _tables(kind, "", "")
    file.write_text("".join(parts), encoding="utf-8")


def _tables(kind: type[BaseModel], heading: str, says: str) -> Iterator[str]:
    """The table of a section, then those of the sections in it."""
    fields = kind.model_fields
    plain = {name: field for name, field in fields.items() if section_of(field.annotation) is None}
    if heading:
        yield f"\n### {heading}\n\n{says}\n"
    elif plain:
        yield "\n### At the top, before every section\n"
    if plain:
        yield "\n| key | type | default | meaning |\n|---|---|---|---|\n"
        yield from (_row(name, field) for name, field in plain.items())
    for name, field in fields.items():
        if section := section_of(field.annotation):
            several = any(get_origin(one) is tuple for one in alternatives(field.annotation))
            inner = f"{heading.strip('[]`')}.{name}".strip(".")
            says = _text(f"{section.__doc__} {field.description or ''}")
            if not field.is_required():
                says += " May be left out."
            yield from _tables(section, f"`[[{inner}]]`" if several else f"`[{inner}]`", says)


def section_of(annotation: Any) -> type[Settings] | None:
    """The settings of a section, or of a list of them; None for a plain value."""
    for one in alternatives(annotation):
        inner = get_args(one)[0] if get_origin(one) is tuple else one
        if isinstance(inner, type) and issubclass(inner, Settings):
            return inner
    return None


def _row(name: str, field: FieldInfo) -> str:
    kind = in_words(field.annotation, field.metadata)
    cells = (f"`{name}`", kind, _default(field), _text(field.description or ""))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _default(field: FieldInfo) -> str:
    """The default as it would stand in the file."""
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if value in ({}, ()):
        return "empty"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _text(docstring: str) -> str:
    """A docstring in one line."""
    return re.sub(r"\s+", " ", docstring).strip()


if __name__ == "__main__":
    write_page(Path(sys.argv[1]))
