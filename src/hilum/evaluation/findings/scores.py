"""Labels and scores of the same studies: joined by study and checked, every cell that counts nowhere counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilum.corpora.tables import label_states
from hilum.errors import DataError, UsageError
from hilum.evaluation.labelled import STATES, States
from hilum.evaluation.pairs import KEYS, described, joined, listed, of_split
from hilum.evaluation.tables import read_table
from hilum.records import NAMES, LabelState, finding
from hilum.statistics.inputs import Bools, Floats

LABEL_SOURCES = ("published_labels", "text_labels", "labels")
"""Columns of references that hold one label for each finding, in the order in which they are taken; without any of
them each finding is a column of its own."""
COLUMNS = "columns"

NO_CALL = -1
NO_LABEL = -1

Calls = NDArray[np.int8]
Rows = Mapping[str, Mapping[str, Any]]

_CODE = {state: code for code, state in enumerate(STATES)}
_SCORES, _PRESENT, _FAILED = "scores", "present", "failed"
_OTHER_COLUMNS = frozenset(
    {*KEYS, *LABEL_SOURCES, _SCORES, _PRESENT, _FAILED, "corpus", "root", "centre", "patient", "prior_study", "order"}
    | {"date", "split", "age_years", "sex", "view", "images", "indication", "findings_text", "impression_text", "text"}
    | {"report", "published_origin", "text_origin", "raw", "prompt", "warnings", "fold", "image"}
)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ScoredStudy:
    """One study, without its labels and scores; attributes as of `hilum.evaluation.pairs.Pair`."""

    study: str
    patient: str
    view: str | None = None
    sex: str | None = None
    age_years: float | None = None
    centre: str | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ScoredStudies:
    """All studies with their labels and scores; columns in the order of `hilum.records.NAMES`.

    Attributes:
        rows: `[n]`, in the order of the references.
        states: `[n, 14]`, codes of `hilum.evaluation.labelled.STATES`; `NO_LABEL` where the study has no labels at all.
        scores: `[n, 14]`, 0..1; nan where there is none.
        calls: `[n, 14]`, 1 where the system called the finding present, 0 absent, `NO_CALL` where it called neither.
        failed: study -> why it has no scores.
        label_source: the column that the labels are of; `COLUMNS` where each finding is one.
        label_origin: who made them; "" where the references do not say.
        patients_known: False where each study counts as a patient of its own for want of a column.
        without_labels: studies whose references hold no labels.
        not_finite: finding -> cells whose score is not a finite number.
        not_assessed: finding -> why it has no score anywhere.
        unknown_columns: columns of labels or scores that are none of the 14 findings; they are not used.
    """

    rows: tuple[ScoredStudy, ...]
    states: States
    scores: Floats
    calls: Calls
    failed: Mapping[str, str]
    label_source: str
    label_origin: str = ""
    patients_known: bool = True
    without_labels: tuple[str, ...] = ()
    not_finite: Mapping[str, int] = field(default_factory=dict)
    not_assessed: Mapping[str, str] = field(default_factory=dict)
    unknown_columns: tuple[str, ...] = ()

    def digest(self) -> str:
        """SHA-256 of what the scores are held against: studies and their labels, in whatever order."""
        rows = sorted(f"{row.study}\0{states.tolist()}" for row, states in zip(self.rows, self.states, strict=True))
        return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def patients(self) -> NDArray[np.str_]:
        """`[n]`."""
        return np.array([row.patient for row in self.rows])

    @property
    def patients_repeat(self) -> bool:
        """Whether a patient has more than one study."""
        return len({row.patient for row in self.rows}) < len(self.rows)

    @property
    def has_failed(self) -> Bools:
        """`[n]`, whether the study has no scores."""
        return np.array([row.study in self.failed for row in self.rows], dtype=np.bool_)

    @property
    def assessed(self) -> tuple[str, ...]:
        """The findings that have scores."""
        return tuple(name for name in NAMES if name not in self.not_assessed)

    def part(self, chosen: ArrayLike) -> ScoredStudies:
        """Some of the studies: indices or booleans."""
        at = np.arange(len(self.rows))[np.asarray(chosen)]
        rows = tuple(self.rows[i] for i in at)
        kept = {row.study for row in rows}
        return replace(
            self,
            rows=rows,
            states=self.states[at],
            scores=self.scores[at],
            calls=self.calls[at],
            failed={study: why for study, why in self.failed.items() if study in kept},
            without_labels=tuple(study for study in self.without_labels if study in kept),
        )


def read_scored(
    references: Path, predictions: Path, *, labels: str | None = None, split: str | None = None
) -> ScoredStudies:
    """Read two tables and join them by study.

    Each is JSONL, CSV or Parquet with a column `study` (or `id`, `study_id`). The references are a manifest, or a table
    with a column for each finding: present, absent, uncertain or not_mentioned, or 1, 0, -1 or nothing; they may have
    `patient`, `view`, `sex`, `age_years`, `centre` and `images`. The predictions are what `hilum predict` wrote, or a
    table with a column of numbers within 0..1 for each finding. A finding's column may be written in lower case and
    with underscores.

    Args:
        references: what is held to be right.
        predictions: one row for each of these studies; one that could not be predicted has no score, or says why in
            `failed`.
        labels: which of `LABEL_SOURCES` to take, or `COLUMNS`; the first that holds labels if None.
        split: only these rows of the references.

    Raises:
        DataError: a file cannot be read, is empty, is not UTF-8, or names none of the 14 findings; a study stands
            twice, or in one of the two alone; a label or score is none, or a score lies outside 0..1; lists them.
    """
    wanted, given = read_table(references), read_table(predictions)
    if split is not None:
        wanted = of_split(wanted, split, references.name)
    names = (references.name, predictions.name)
    reference_of, prediction_of = joined(
        (wanted, given), names, split, "a study that could not be predicted is a row without scores"
    )
    return scored(reference_of, prediction_of, names, labels=labels)


def scored(
    reference_of: Rows,
    prediction_of: Rows,
    names: tuple[str, str] = ("references", "predictions"),
    *,
    labels: str | None = None,
) -> ScoredStudies:
    """The same from rows in memory.

    Args:
        reference_of: study -> its row, as `read_scored` describes it.
        prediction_of: the same studies; others are passed over.
        names: what to call the two in errors.
        labels: see `read_scored`.

    Raises:
        DataError: see `read_scored`.
    """
    source = _label_source(reference_of.values(), labels, names[0])
    held_in = None if source == COLUMNS else source
    label_cells = {study: _cells(row, held_in) for study, row in reference_of.items()}
    score_cells = {study: _cells(prediction_of[study], _SCORES) for study in reference_of}
    label_columns, unknown_labels = _finding_columns(label_cells.values(), f"{names[0]} ({source})", _like_label)
    score_columns, unknown_scores = _finding_columns(score_cells.values(), names[1], _like_score)
    states = _states(label_cells, label_columns, names[0], each_apart=held_in is None)
    values, not_finite = _scores(score_cells, score_columns, names[1])
    failed = _failures(prediction_of, reference_of, values)
    values[[study in failed for study in reference_of]] = np.nan
    rows = tuple(ScoredStudy(**described(study, row)) for study, row in reference_of.items())
    return ScoredStudies(
        rows=rows,
        states=states,
        scores=values,
        calls=_calls(prediction_of, reference_of),
        failed=failed,
        label_source=source,
        label_origin=", ".join(_origins(reference_of.values(), source)),
        patients_known=all(row.get("patient") not in (None, "") for row in reference_of.values()),
        without_labels=tuple(r.study for r, state in zip(rows, states, strict=True) if (state == NO_LABEL).all()),
        not_finite=not_finite,
        not_assessed=_not_assessed(values, not_finite, set(score_columns.values()), len(failed)),
        unknown_columns=tuple(dict.fromkeys((*unknown_labels, *unknown_scores))),
    )


def _label_source(rows: Iterable[Mapping[str, Any]], wanted: str | None, name: str) -> str:
    kept = list(rows)
    there = [source for source in LABEL_SOURCES if any(_holds_labels(row.get(source)) for row in kept)]
    if wanted is None:
        return there[0] if there else COLUMNS
    if wanted != COLUMNS and wanted not in LABEL_SOURCES:
        raise UsageError(f"Labels {wanted!r} were asked for; expected one of {', '.join((*LABEL_SOURCES, COLUMNS))}.")
    if wanted != COLUMNS and wanted not in there:
        raise DataError(f"{name} has no labels in {wanted}; it has some in {', '.join(there) or 'no such column'}.")
    return wanted


def _holds_labels(cell: object) -> bool:
    return isinstance(cell, Mapping) and any(value is not None for value in cell.values())


def _cells(row: Mapping[str, Any], column: str | None) -> Mapping[str, Any]:
    """The cells of the findings: those that one column holds together, where the row has it, or the row's own."""
    if column is not None and column in row:
        held = row[column]
        return held if isinstance(held, Mapping) else {}
    return {name: cell for name, cell in row.items() if name not in _OTHER_COLUMNS}


def _finding_columns(rows: Iterable[Mapping[str, Any]], name: str, like: Any) -> tuple[dict[str, str], list[str]]:
    """Column -> finding, and the columns that hold something alike but are no finding."""
    known: dict[str, str] = {}
    cells: dict[str, list[Any]] = {}
    for row in rows:
        for column, cell in row.items():
            cells.setdefault(column, []).append(cell)
    unknown = []
    for column, held in cells.items():
        try:
            found = finding(column.replace("_", " ")).name
        except UsageError:
            filled = [cell for cell in held if cell is not None and cell != ""]
            if filled and all(map(like, filled)):
                unknown.append(column)
            continue
        if found in known.values():
            raise DataError(f"{name} has two columns for {found}; it does not say which one counts.")
        known[column] = found
    if not known:
        raise DataError(
            f"{name} names none of the 14 findings; it has {', '.join(list(cells)[:20]) or 'nothing'}. The findings "
            f"are: {', '.join(NAMES)}."
        )
    return known, unknown


def _like_label(cell: object) -> bool:
    return _state(cell) is not None


def _like_score(cell: object) -> bool:
    try:
        return 0.0 <= float(cell) <= 1.0 if isinstance(cell, str | int | float) else False
    except ValueError:
        return False


def _state(cell: object) -> LabelState | None:
    """The state that a cell stands for; None where it stands for none."""
    if isinstance(cell, bool):
        return LabelState.PRESENT if cell else LabelState.ABSENT
    if isinstance(cell, str) and (written := cell.strip().lower().replace(" ", "_")) in _CODE:
        return LabelState(written)
    found = label_states({"": cell})
    return None if found is None else found.get("", LabelState.NOT_MENTIONED)


def _states(
    cells: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str], name: str, *, each_apart: bool
) -> States:
    """The codes `[n, 14]`; a row of empty columns mentions nothing, an empty struct is no labels."""
    states = np.full((len(cells), len(NAMES)), _CODE[LabelState.NOT_MENTIONED], dtype=np.int8)
    wrong = []
    for i, (study, row) in enumerate(cells.items()):
        if not each_apart and not _holds_labels(row):
            states[i] = NO_LABEL
            continue
        for column, found in columns.items():
            state = _state(row.get(column))
            if state is None:
                wrong.append(f"{found} of {study}: {row[column]!r}")
            else:
                states[i, NAMES.index(found)] = _CODE[state]
    if wrong:
        raise DataError(
            f"{name} has {_counted(wrong, 'cell')} that are no label; expected present, absent, uncertain, "
            "not_mentioned, or 1, 0, -1 or nothing."
        )
    return states


def _scores(
    cells: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str], name: str
) -> tuple[Floats, dict[str, int]]:
    values = np.full((len(cells), len(NAMES)), np.nan)
    not_finite: dict[str, int] = {}
    wrong, outside = [], []
    for i, (study, row) in enumerate(cells.items()):
        for column, found in columns.items():
            cell = row.get(column)
            if cell is None or (isinstance(cell, str) and not cell.strip()):
                continue
            try:
                value = float(cell)
            except (TypeError, ValueError):
                wrong.append(f"{found} of {study}: {cell!r}")
                continue
            if not math.isfinite(value):
                not_finite[found] = not_finite.get(found, 0) + 1
            elif not 0.0 <= value <= 1.0:
                outside.append(f"{found} of {study}: {value:g}")
            else:
                values[i, NAMES.index(found)] = value
    if wrong:
        raise DataError(f"{name} has {_counted(wrong, 'cell')} that are no number; expected scores within 0..1.")
    if outside:
        raise DataError(
            f"{name} has {_counted(outside, 'score')} outside 0..1; expected probabilities or the like. Logits must go "
            "through a sigmoid first."
        )
    return values, not_finite


def _calls(prediction_of: Rows, studies: Iterable[str]) -> Calls:
    called: dict[object, int] = {True: 1, False: 0}
    rows = [prediction_of[study].get(_PRESENT) for study in studies]
    held = [row if isinstance(row, Mapping) else {} for row in rows]
    return np.array([[called.get(row.get(name), NO_CALL) for name in NAMES] for row in held], dtype=np.int8)


def _failures(prediction_of: Rows, studies: Iterable[str], values: Floats) -> dict[str, str]:
    failed = {}
    for study, row in zip(studies, values, strict=True):
        if why := prediction_of[study].get(_FAILED):
            failed[study] = str(why)
        elif np.isnan(row).all():
            failed[study] = "no score for any finding"
    return failed


def _not_assessed(values: Floats, not_finite: Mapping[str, int], named: set[str], n_failed: int) -> dict[str, str]:
    out = {}
    for k, name in enumerate(NAMES):
        if not np.isnan(values[:, k]).all():
            continue
        if name not in named:
            out[name] = "the predictions have no column for it"
        elif name in not_finite:
            out[name] = f"none of its scores is a finite number ({not_finite[name]} are not)"
        else:
            out[name] = f"no score in any of the {len(values) - n_failed} studies that were predicted"
    return out


def _origins(rows: Iterable[Mapping[str, Any]], source: str) -> list[str]:
    column = source.replace("labels", "origin") if source != "labels" else "labels_origin"
    return sorted({str(row[column]) for row in rows if row.get(column)})


def _counted(examples: Sequence[str], what: str) -> str:
    shown = "; ".join(examples[:_SHOWN]) + ("; ..." if len(examples) > _SHOWN else "")
    return f"{len(examples)} {what}{'' if len(examples) == 1 else 's'} ({shown})"


def same_studies(a: ScoredStudies, b: ScoredStudies) -> None:
    """Refuse two systems whose studies or labels differ.

    Raises:
        DataError: they do.
    """
    if [row.study for row in a.rows] != [row.study for row in b.rows] or not np.array_equal(a.states, b.states):
        raise DataError("The baseline was read with other studies or labels; read both with the same references.")


def overlap(a: ScoredStudies, b: ScoredStudies) -> list[str]:
    """Studies that both hold, and studies of `b` whose patient is in `a` too where both name patients."""
    studies = {row.study for row in a.rows}
    patients = {row.patient for row in a.rows} if a.patients_known and b.patients_known else set()
    return [row.study for row in b.rows if row.study in studies or row.patient in patients]


def refuse_overlap(judged: ScoredStudies, validation: ScoredStudies) -> None:
    """Refuse thresholds chosen on what they are judged on.

    Raises:
        DataError: a study or patient is in both; lists them.
    """
    if both := overlap(judged, validation):
        raise DataError(
            f"{listed(both)} of the validation files, or their patients, are judged too; thresholds must come from "
            "other patients."
        )
