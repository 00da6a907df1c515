"""A new expert against an earlier one on the same studies: mean AUC of each, and the paired difference.

Both were scored by networks that never saw the patients, each in its own way: that is for whoever compares to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hilum.errors import DataError
from hilum.records import NAMES
from hilum.training.expert_cases import Bools, Cases, Doubles, OutOfFold, cases_of
from hilum.training.expert_judge import Judge
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import read_expert_material

Table = Mapping[str, Mapping[str, float | None]]
"""Study -> finding -> score; the study's name is alone or "corpus/study"."""


def compare_experts(recipe: ExpertRecipe, new: Path, earlier: Path) -> dict[str, dict[str, Any]]:
    """New, earlier and new minus earlier, of the labelled studies that both scored.

    Args:
        recipe: says which manifests, labels and peer; figures are of the peer's pictures where there is one, and the
            others stand beside them. Its resamples and seed are the bootstrap's.
        new: scores of the new expert: a run's folder, or a table as `read_score_table` takes it.
        earlier: the same of the earlier one.

    Returns:
        For each part of the studies (all, PA, AP, patients old enough, the other source) that has a finding with enough
        positives: `n`, `patients`, `findings`, and `new`, `earlier`, `difference` with percentile intervals from a
        bootstrap over patients, the same resamples for both; `by_finding` holds the same three of each finding.

    Raises:
        DataError: a table or manifest cannot be used; the two share no study, or no finding.
    """
    material = read_expert_material(recipe)
    labelled = np.flatnonzero([one.labels is not None for one in material.studies])
    names = [f"{material.studies[i].corpus}/{material.studies[i].study}" for i in labelled]
    tables = [_scores(read_score_table(place), names) for place in (new, earlier)]
    both = np.flatnonzero([_any(first) and _any(second) for first, second in zip(*tables, strict=True)])
    if not both.size:
        raise DataError(
            f"{new} and {earlier} have no labelled study of the recipe's manifests in common ({len(names)} there); "
            "expected scores of the same studies, by their names in the manifest."
        )
    ours, theirs = (table[both] for table in tables)
    scored = ~(np.isnan(ours) | np.isnan(theirs))
    learned = tuple(name for k, name in enumerate(NAMES) if scored[:, k].any())
    if not learned:
        raise DataError(f"{new} and {earlier} score no finding in common; expected at least one.")
    cases = cases_of(material, labelled[both], recipe)
    cases.known[~scored] = False  # what one of them did not score counts for neither
    cases.labels[~scored] = False
    judge = _judge(cases, learned, ours, recipe)
    filled = [np.where(scored, table, 0.0) for table in (ours, theirs)]
    found = {title: _compared(judge, cases, part, *filled) for title, part in _parts(cases).items()}
    return {title: one for title, one in found.items() if one["findings"]}


def read_score_table(place: Path) -> dict[str, dict[str, float | None]]:
    """Scores by study, from CSV (`image` or `study`, one column for each finding) or Parquet (as `scores.parquet`).

    Args:
        place: the file; of a run's folder it is `validation/scores.csv`, the out-of-fold scores that its card is made
            from, or without folds `scores.parquet`.

    Raises:
        DataError: it cannot be read, or has not these columns.
    """
    if place.is_dir():
        inside = [place / "validation" / "scores.csv", place / "scores.parquet"]
        file = next((one for one in inside if one.is_file()), None)
        if file is None:
            raise DataError(f"{place} holds neither validation/scores.csv nor scores.parquet; is its run at its end?")
        return read_score_table(file)
    try:
        table = pl.read_parquet(place) if place.suffix == ".parquet" else pl.read_csv(place, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{place} cannot be read ({' '.join(str(error).split())[:120]}); expected scores.") from None
    if "scores" in table.columns and {"corpus", "study"} <= {*table.columns}:
        keys = (table["corpus"] + "/" + table["study"]).to_list()
        table = table["scores"].struct.unnest()
    elif key := next((name for name in ("image", "study") if name in table.columns), None):
        keys = table[key].cast(pl.String).to_list()
    else:
        raise DataError(f"{place} has no column image or study; it has {', '.join(table.columns)}.")
    columns = [name for name in NAMES if name in table.columns]
    try:
        scores = table.select(pl.col(columns).cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{place} holds a score that is no number ({' '.join(str(error).split())[:120]}).") from None
    return dict(zip(keys, scores.iter_rows(named=True), strict=True))


def _scores(table: Table, names: Sequence[str]) -> Doubles:
    """``[N, 14]``, nan where there is none."""
    out = np.full((len(names), len(NAMES)), np.nan)
    for row, name in enumerate(names):
        found = table.get(name) or table.get(name.partition("/")[2]) or {}
        for column, finding in enumerate(NAMES):
            if (value := found.get(finding)) is not None:
                out[row, column] = value
    return out


def _any(scores: Doubles) -> bool:
    return not bool(np.isnan(scores).all())


def _judge(cases: Cases, learned: tuple[str, ...], scores: Doubles, recipe: ExpertRecipe) -> Judge:
    nothing = np.full(scores.shape, np.nan)
    found = OutOfFold(learned, np.zeros(len(scores), dtype=int), scores, nothing, nothing)
    return Judge(cases, found, resamples=recipe.validation.resamples, seed=recipe.optimiser.seed)


def _parts(cases: Cases) -> dict[str, Bools]:
    """Which studies are compared together."""
    quoted, flat = cases.in_peer, cases.postero_anterior
    return {
        "all" if cases.peer is None else "all with the peer's outputs": quoted,
        "PA": quoted & flat,
        "AP": quoted & ~flat,
        "old enough": quoted & cases.usable,
        "the other source": ~quoted,
    }


def _compared(judge: Judge, cases: Cases, part: Bools, new: Doubles, earlier: Doubles) -> dict[str, Any]:
    """The three figures of a part."""
    names = judge.countable(part)

    def three(findings: Sequence[str]) -> dict[str, Any]:
        return {
            "new": judge.macro(part, findings, new),
            "earlier": judge.macro(part, findings, earlier),
            "difference": judge.macro(part, findings, new, earlier),
        }

    out = {"n": int(part.sum()), "patients": len(set(cases.patients[part])), "findings": names}
    return {**out, **three(names), "by_finding": {name: three([name]) for name in names}} if names else out
