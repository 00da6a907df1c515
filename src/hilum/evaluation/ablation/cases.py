"""The studies of an ablation: what the reference says of them, what the expert says, and why a study is left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hilum.errors import DataError
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.pairs import read_table
from hilum.records import NAMES, NO_FINDING, LabelState, View, close_upward

SOURCES = ("published_labels", "text_labels")
"""Columns of a manifest that hold labels, in the order in which they are taken."""
NO_LABELS, NO_SCORES = "no_labels", "no_scores"
"""Why a study is left out, besides the reason codes of pictures."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the manifest holds to be right.

    Attributes:
        source: the column.
        origin: who made the labels.
        states: study -> finding -> state; None where the study has no labels.
        rule: what a label counts as.
    """

    source: str
    origin: str
    states: Mapping[str, Mapping[str, LabelState] | None]
    rule: LabelRule

    def determined(self) -> tuple[str, ...]:
        """The findings that are called present or absent in some study, No Finding left out."""
        definite = (LabelState.PRESENT, LabelState.ABSENT)
        held = [states for states in self.states.values() if states is not None]
        return tuple(name for name in NAMES if name != NO_FINDING and any(states[name] in definite for states in held))


def study_key(row: Mapping[str, Any]) -> str:
    """A row's study as "corpus/study"."""
    return f"{row['corpus']}/{row['study']}"


def reference_labels(rows: Sequence[Mapping[str, Any]], rule: LabelRule) -> Reference:
    """The labels of a manifest's rows: the published ones where any row has them, else those read from the reports.

    Args:
        rows: of a manifest.
        rule: with `closed_upward` a present finding makes its parents present.

    Raises:
        DataError: no row has labels.
    """
    source = next((name for name in SOURCES if any(_labels(row, name) for row in rows)), None)
    if source is None:
        raise DataError(
            f"None of the {len(rows)} studies has labels ({' or '.join(SOURCES)}), so nothing can be told or counted "
            "as right; expected a manifest of a corpus with labels or reports."
        )
    states: dict[str, Mapping[str, LabelState] | None] = {}
    for row in rows:
        held = _labels(row, source)
        known = {name: LabelState(held.get(name) or LabelState.NOT_MENTIONED) for name in NAMES} if held else None
        states[study_key(row)] = close_upward(known) if known and rule.closed_upward else known
    origins = {str(row[source.replace("labels", "origin")] or "") for row in rows} - {""}
    return Reference(source, ", ".join(sorted(origins)), states, rule)


def _labels(row: Mapping[str, Any], source: str) -> Mapping[str, Any] | None:
    """A row's labels; None where it has none, or only empty ones."""
    held: Mapping[str, Any] | None = row[source]
    return held if held and any(value is not None for value in held.values()) else None


class OutOfFoldScores:
    """An expert's scores from networks that never saw the patient.

    Args:
        path: CSV, JSONL or Parquet with a column for each finding, or the one `scores` of `hilum train expert`, and
            either `corpus` and `study`, or `image`, a picture's file name, of which the ending does not matter.

    Raises:
        DataError: the table cannot be read, names no finding, has neither of the keys, or a row twice or a cell that is
            no score.
    """

    def __init__(self, path: Path) -> None:
        table = read_table(path)
        if isinstance(table.schema.get("scores"), pl.Struct):
            table = table.unnest("scores")
        names = [name for name in NAMES if name in table.columns]
        self.by_image = "study" not in table.columns or "corpus" not in table.columns
        if not names or (self.by_image and "image" not in table.columns):
            raise DataError(
                f"{path.name} has the columns {', '.join(table.columns[:6])}...; expected a column for each finding "
                "by its name, and corpus and study, or image."
            )
        self._rows: dict[str, dict[str, float | None]] = {}
        for row in table.iter_rows(named=True):
            key = Path(str(row["image"])).stem if self.by_image else study_key(row)
            if key in self._rows:
                what = "image" if self.by_image else "study"
                raise DataError(f"{path.name} has one {what} twice; it does not say which row counts.")
            self._rows[key] = {name: _score(row[name], path.name, name) for name in names}

    def of(self, row: Mapping[str, Any]) -> dict[str, float | None] | None:
        """A study's scores; by image, of each finding the highest over its frontal pictures. None where there are none.

        Args:
            row: of a manifest.
        """
        if not self.by_image:
            return self._rows.get(study_key(row))
        views = [(image["path"], View(image["view"])) for image in row["images"]]
        known = [path for path, view in views if view.frontal]
        chosen = known or [path for path, view in views if view is View.UNKNOWN]
        held = [found for path in chosen if (found := self._rows.get(Path(path).stem)) is not None]
        if not held:
            return None
        return {name: _highest(one[name] for one in held) for name in held[0]}


def _score(value: object, file: str, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        found = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        found = math.nan
    if not 0.0 <= found <= 1.0:
        raise DataError(f"{file}: a score of {name} is {value!r}; expected a number within 0..1, or nothing.")
    return found


def _highest(scores: Iterable[float | None]) -> float | None:
    return max((score for score in scores if score is not None), default=None)


def rows_of(table: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a manifest by study, each once.

    Raises:
        DataError: a study stands twice.
    """
    rows = list(table.iter_rows(named=True))
    if len({study_key(row) for row in rows}) < len(rows):
        raise DataError("The manifest has a study twice; expected each once (`hilum corpus check` lists them).")
    return rows
