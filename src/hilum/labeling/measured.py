"""How good the rule labeller is against human coding: the figures that stand beside every number that rests on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MEASURED = Path(__file__).with_name("measured.json")
"""Written by ``benchmarks/labeller_open_i.py FOLDER test --write``, read by the judge."""


@dataclass(frozen=True, slots=True)
class LabellerError:
    """How a labeller did against human coding.

    Attributes:
        on: which reports, how many, and by which convention.
        f1: finding or average ("micro-13") -> F1 with its 95 % interval (low, high).
        f1_without_conventions: the same without the conventions of the coders.
    """

    on: str
    f1: Mapping[str, tuple[float, float, float]]
    f1_without_conventions: Mapping[str, tuple[float, float, float]]


def measured_error(identity: str) -> LabellerError | None:
    """How good the labeller of that identity is; None where nobody measured it.

    Args:
        identity: as `hilum.labeling.Labeller` has it, name and version.

    Source:
        docs/cards/labeller.md.
    """
    return _held().get(identity)


@cache
def _held() -> Mapping[str, LabellerError]:
    held = json.loads(MEASURED.read_text(encoding="utf-8"))
    tables = ({name: tuple(row) for name, row in held[key].items()} for key in ("f1", "f1_without_conventions"))
    return {held["identity"]: LabellerError(held["on"], *tables)}
