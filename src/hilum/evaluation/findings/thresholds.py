"""Where the thresholds of a judgement come from: never from the studies that are judged."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hilum.errors import DataError, UsageError
from hilum.evaluation.findings.cases import LabelRule, cases_of
from hilum.evaluation.findings.scores import NO_CALL, Calls, ScoredStudies, refuse_overlap
from hilum.records import NAMES, finding
from hilum.statistics import MINIMUM_POSITIVES, choose_thresholds


@dataclass(frozen=True, slots=True)
class FixedThresholds:
    """Thresholds fixed beforehand.

    Attributes:
        values: finding -> present at and above this score.
        source: where they come from; part of the convention of each number that rests on them.
        lacking: finding -> why it has none.
    """

    values: Mapping[str, float]
    source: str
    lacking: Mapping[str, str] = field(default_factory=dict)


def read_thresholds(path: Path) -> FixedThresholds:
    """Read thresholds from TOML or JSON: finding and number, by themselves or under `thresholds`, or a checkpoint.

    Of a checkpoint's `hilum.json` the `inject` thresholds count.

    Args:
        path: the file, or the folder of a checkpoint.

    Raises:
        DataError: it cannot be read, names none of the 14 findings or something else, or a number lies outside 0..1.
    """
    file = path / "hilum.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
        held: Any = tomllib.loads(text) if file.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); expected thresholds as TOML or JSON.") from None
    except ValueError as error:
        raise DataError(f"{file.name} is no TOML or JSON in UTF-8 ({error}).") from None
    table = _table(held)
    if not isinstance(table, Mapping) or not table:
        raise DataError(f"{file.name} holds no thresholds; expected finding and number, as Edema = 0.3.")
    values = {}
    for name, value in table.items():
        try:
            known = finding(str(name).replace("_", " ")).name
        except UsageError as error:
            raise DataError(f"{file.name}: {error.message}") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise DataError(f"{file.name}: the threshold of {known} is {value!r}; expected a number within 0..1.")
        values[known] = float(value)
    lacking = {name: f"{file.name} has no threshold for it" for name in NAMES if name not in values}
    return FixedThresholds(values, f"given in {file.name}", lacking)


def training_prevalence(checkpoint: Path) -> dict[str, float]:
    """The share of positives of each finding that an expert was trained on, where its `hilum.json` says so.

    Args:
        checkpoint: its folder.

    Raises:
        DataError: no such file, or no JSON.
    """
    file = checkpoint / "hilum.json"
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); expected an expert's checkpoint.") from None
    n = (held.get("provenance") or {}).get("pictures_trained_on")
    specs = held.get("findings") or []
    return {spec["name"]: spec["n_positive"] / n for spec in specs if n and spec.get("n_positive")}


def _table(held: Any) -> Any:
    if not isinstance(held, Mapping):
        return None
    if isinstance(held.get("findings"), list):
        specs = [spec for spec in held["findings"] if isinstance(spec, Mapping)]
        chosen = {spec.get("name"): (spec.get("thresholds") or {}).get("inject") for spec in specs}
        return {name: value for name, value in chosen.items() if value is not None}
    return held.get("thresholds", held)


def chosen_on(validation: ScoredStudies, judged: ScoredStudies, rule: LabelRule, name: str) -> FixedThresholds:
    """Choose thresholds of the largest F1 on other patients.

    Args:
        validation: labels and scores of a validation split.
        judged: what will be judged.
        rule: what labels count as.
        name: of the validation split, for the convention.

    Raises:
        DataError: a study or patient is in both; lists them.
    """
    refuse_overlap(judged, validation)
    values, lacking = {}, {}
    for finding_name in NAMES:
        cases = cases_of(validation, finding_name, rule)
        if not cases.labels.size:
            lacking[finding_name] = f"no validation study of {name} has a label and a score for it"
            continue
        found = choose_thresholds(cases.labels, cases.scores).inject
        if found is None:
            lacking[finding_name] = (
                f"{cases.n_positive} positive and {cases.n_negative} negative validation studies in {name}; a "
                f"threshold needs {MINIMUM_POSITIVES} positives"
            )
        else:
            values[finding_name] = found
    return FixedThresholds(values, f"largest F1 on {name}", lacking)


AS_CALLED = "as called by the system"


def apply_thresholds(
    studies: ScoredStudies, thresholds: FixedThresholds | None
) -> tuple[Calls, str, Mapping[str, str]]:
    """What the system calls present.

    Args:
        studies: with their scores, and the calls that the predictions hold.
        thresholds: take these; None takes the calls of the predictions, which for a checkpoint of ours were made at its
            thresholds, a finding being present too where a present one implies it.

    Returns:
        The calls `[n, 14]` (see `ScoredStudies`), where they come from, and for each finding without any the reason.
    """
    scored = ~np.isnan(studies.scores)
    if thresholds is None:
        calls = np.where(scored, studies.calls, NO_CALL).astype(np.int8)
        none = "no thresholds or validation split were given, and the predictions hold no call for it"
        why = {name: none for k, name in enumerate(NAMES) if (calls[:, k] == NO_CALL).all()}
        return calls, AS_CALLED, why
    calls = np.full(studies.scores.shape, NO_CALL, dtype=np.int8)
    for name, threshold in thresholds.values.items():
        k = NAMES.index(name)
        calls[:, k] = np.where(scored[:, k], studies.scores[:, k] >= threshold, NO_CALL)
    return calls, thresholds.source, thresholds.lacking
