"""How good a recipe's expert is: patient-grouped cross-validation, and what guards its figures against flattery.

Every score comes from a network that never saw the patient. Figures are quoted on the pictures that the recipe's peer
was run on; beside them stand those on PA pictures alone, those of networks trained on one source and tested on the
other, and those of a regression that sees only view, sex and age.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hilum.corpora.image_table import digest, read_image_table
from hilum.errors import DataError
from hilum.records import NAMES
from hilum.statistics import (
    MINIMUM_POSITIVES,
    PurposeThresholds,
    Reliability,
    auc,
    auc_of_counts,
    choose_thresholds,
    counts_bootstrap,
    macro_auc_of_counts,
    maximum_f1,
    operating_point,
    reliability,
)
from hilum.statistics.bootstrap import CountStatistic
from hilum.training.expert_fit import ExpertData, Progress, Trunk, fit, score
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.peer import read_peer

MINIMUM_CASES = 10
"""A finding with fewer positives or negatives in a part of the pictures is left out of that part's figures."""

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Scores of every picture from networks that never saw its patient.

    Attributes:
        fold: ``[N]``, which fold a picture was tested in.
        scores: ``[N, 14]``, the network's.
        metadata: ``[N, 14]``, of the regression on view, sex and age; nan for findings not assessed.
        other_source: ``[N, 14]``, of the network trained on the other source; nan where there is only one.
    """

    fold: NDArray[np.int_]
    scores: Doubles
    metadata: Doubles
    other_source: Doubles


def folds_of(data: ExpertData, n_folds: int, seed: int) -> NDArray[np.int_]:
    """``[N]``, the fold of each picture; all pictures of a patient share one."""
    fold = np.zeros(len(data.rows), dtype=int)
    splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(fold, groups=data.patients)):
        fold[test] = number
    return fold


def out_of_fold(data: ExpertData, trunk: Trunk, recipe: ExpertRecipe, progress: Progress | None = None) -> OutOfFold:
    """Train one network per fold, and one per source.

    Raises:
        TrainingError: see `hilum.training.expert_fit.fit`.
    """
    options = recipe.optimiser
    usable = data.of_age(options.minimum_age_years)
    fold = folds_of(data, recipe.validation.folds, options.seed)
    scores = np.full((len(fold), len(NAMES)), np.nan)
    other_source = scores.copy()
    for number in range(recipe.validation.folds):
        train, test = np.flatnonzero(usable & (fold != number)), np.flatnonzero(fold == number)
        network = fit(data, trunk, train, recipe, _numbered(progress, fold=number + 1))
        scores[test] = score(network, trunk, test, recipe)
    if not data.in_peer.all():
        for here in (True, False):
            train, test = np.flatnonzero(usable & (data.in_peer == here)), np.flatnonzero(data.in_peer != here)
            network = fit(data, trunk, train, recipe, _numbered(progress, source=float(here)))
            other_source[test] = score(network, trunk, test, recipe)
    return OutOfFold(fold, scores, _metadata_scores(data, fold, recipe), other_source)


def _numbered(progress: Progress | None, **which: float) -> Progress | None:
    if progress is None:
        return None
    return lambda state: progress({**which, **state})


def _metadata_scores(data: ExpertData, fold: NDArray[np.int_], recipe: ExpertRecipe) -> Doubles:
    """``[N, 14]``, out of fold: the regression on view, sex and age."""
    usable = data.of_age(recipe.optimiser.minimum_age_years)
    facts, scores = _metadata(data), np.full((len(fold), len(NAMES)), np.nan)
    for number in np.unique(fold):
        train, test = usable & (fold != number), fold == number
        for column in (NAMES.index(name) for name in recipe.targets.assessed):
            regression = make_pipeline(StandardScaler(), LogisticRegression())
            regression.fit(facts[train], data.labels[train, column])
            scores[test, column] = regression.predict_proba(facts[test])[:, 1]
    return scores


def _metadata(data: ExpertData) -> Doubles:
    """``[N, 4]``: view, sex, age and its square, the mean age where unknown."""
    ages = np.array([np.nan if row.age_years is None else row.age_years for row in data.rows])
    ages = np.where(np.isnan(ages), np.nanmean(ages), ages)
    male = np.array([row.sex == "M" for row in data.rows])
    return np.stack([data.postero_anterior, male, ages, ages**2], axis=1).astype(np.float64)


class Judge:
    """Turns out-of-fold scores into figures with intervals; patients are resampled throughout.

    Args:
        data: labels, patients, peer.
        found: the scores.
        recipe: findings assessed, resamples, seed.
    """

    def __init__(self, data: ExpertData, found: OutOfFold, recipe: ExpertRecipe) -> None:
        self._data = data
        self._found = found
        self._recipe = recipe
        self._names = [name for name in NAMES if name in recipe.targets.assessed]

    def interval(self, statistic: CountStatistic, part: Bools) -> dict[str, Any]:
        """A bootstrap interval over the patients of a part."""
        patients = self._data.patients[part]
        resamples, seed = self._recipe.validation.resamples, self._recipe.optimiser.seed
        return _rounded(counts_bootstrap(statistic, patients, n_resamples=resamples, seed=seed))

    def countable(self, part: Bools) -> list[str]:
        """Findings with enough positives and negatives in a part."""
        positives = self._data.labels[part].sum(axis=0)
        enough = (positives >= MINIMUM_CASES) & (part.sum() - positives >= MINIMUM_CASES)
        return [name for name in self._names if enough[NAMES.index(name)]]

    def macro(self, part: Bools, names: Sequence[str], scores: Doubles, minus: Doubles | None = None) -> dict[str, Any]:
        """Unweighted mean AUC over findings, or its difference to that of other scores."""
        columns = [NAMES.index(name) for name in names]
        labels = self._data.labels[part][:, columns]
        first = macro_auc_of_counts(labels, scores[part][:, columns])
        if minus is None:
            return self.interval(first, part)
        second = macro_auc_of_counts(labels, minus[part][:, columns])
        return self.interval(lambda counts: first(counts) - second(counts), part)

    def part(self, part: Bools) -> dict[str, Any]:
        """Figures of some of the pictures: network, metadata, and peer where it was run on all of them."""
        names = self.countable(part)
        out = self.macros(part, names)
        if names:
            out["by_finding"] = {name: self._finding(name, part) for name in names}
        return out

    def macros(self, part: Bools, names: Sequence[str]) -> dict[str, Any]:
        """Of `part`, what is no figure of a single finding."""
        found, peer = self._found, self._peer(part)
        out: dict[str, Any] = {
            "n": int(part.sum()),
            "patients": len(set(self._data.patients[part])),
            "findings": list(names),
        }
        if not names:
            return out
        out |= {
            "macro_auc": self.macro(part, names, found.scores),
            "macro_auc_metadata_only": self.macro(part, names, found.metadata),
            "macro_auc_minus_metadata_only": self.macro(part, names, found.scores, found.metadata),
        }
        if peer is not None:
            out["macro_auc_peer"] = self.macro(part, names, peer)
            out["macro_auc_minus_peer"] = self.macro(part, names, found.scores, peer)
        return out

    def _peer(self, part: Bools) -> Doubles | None:
        """The peer's scores, where it was run on the whole part."""
        return self.peer_scores() if self._data.in_peer[part].all() and self._data.peer is not None else None

    def _finding(self, name: str, part: Bools) -> dict[str, Any]:
        column, peer = NAMES.index(name), self._peer(part)
        labels = self._data.labels[part, column]
        ours = auc_of_counts(labels, self._found.scores[part, column])
        out: dict[str, Any] = {
            "n_positive": int(labels.sum()),
            "auc": self.interval(ours, part),
            "auc_metadata_only": self.interval(auc_of_counts(labels, self._found.metadata[part, column]), part),
        }
        if peer is not None:
            theirs = auc_of_counts(labels, peer[part, column])
            out["auc_peer"] = self.interval(theirs, part)
            out["minus_peer"] = self.interval(lambda counts: ours(counts) - theirs(counts), part)
        return out

    def peer_scores(self) -> Doubles:
        """The peer's scores of the assessed findings, ``[N, 14]``."""
        if self._data.peer is None:
            raise DataError("The recipe names no peer (data.peer), so there is nothing to compare with.")
        scores = np.full(self._data.labels.shape, np.nan)
        for name in self._names:
            scores[:, NAMES.index(name)] = self._data.peer.of_finding(name)
        return scores

    @property
    def has_other_source(self) -> bool:
        """Whether there are scores of networks that were trained on one source and tested on the other."""
        return not bool(np.isnan(self._found.other_source).all())

    def other_source(self) -> dict[str, Any]:
        """Networks that were trained on one source and are tested on the other, beside cross-validation there."""
        found, in_peer = self._found, self._data.in_peer
        out = {}
        for title, part in (("tested_on_peer_pictures", in_peer), ("tested_on_the_others", ~in_peer)):
            known = set(self.countable(~part & self._data.of_age(self._recipe.optimiser.minimum_age_years)))
            names = [name for name in self.countable(part) if name in known]
            if not names:
                continue
            out[title] = {
                "n_train": int((~part & self._data.of_age(self._recipe.optimiser.minimum_age_years)).sum()),
                "n": int(part.sum()),
                "findings": names,
                "macro_auc": self.macro(part, names, found.other_source),
                "macro_auc_cross_validated": self.macro(part, names, found.scores),
                "by_finding": {
                    name: self.interval(
                        auc_of_counts(
                            self._data.labels[part, NAMES.index(name)], found.other_source[part, NAMES.index(name)]
                        ),
                        part,
                    )
                    for name in names
                },
            }
        return out

    def verdicts(self) -> dict[str, Verdict]:
        """What may be said of each finding, from the pictures of patients old enough."""
        part = self._data.of_age(self._recipe.optimiser.minimum_age_years)
        return {name: verdict(self._data, self._found.scores, name, part) for name in self._names}

    def assessed(self) -> list[str]:
        """The findings that a checkpoint with these scores may speak of."""
        return [name for name, found in self.verdicts().items() if found.reason is None]

    def operating_points(self, part: Bools) -> dict[str, Any]:
        """Sensitivity, specificity and predictive values of the `inject` thresholds of assessed findings.

        On the very cases that the thresholds were chosen on, which flatters: see `cross_fitted_points`.
        """
        out = {}
        for name, found in self.verdicts().items():
            column = NAMES.index(name)
            if found.thresholds.inject is not None and found.reason is None:
                labels, scores = self._data.labels[part, column], self._found.scores[part, column]
                out[name] = _rounded(operating_point(labels, scores, found.thresholds.inject))
        return out

    def cross_fitted_points(self, part: Bools) -> dict[str, Any]:
        """The same with each fold called by a threshold that was chosen on the other folds; the calls are pooled.

        A fold's patients were seen by the networks that gave the other folds' scores; only nested cross-validation
        would be free of that.
        """
        fold, usable = self._found.fold, self._data.of_age(self._recipe.optimiser.minimum_age_years)
        out = {}
        for name in self.assessed():
            labels, scores = self._data.labels[:, NAMES.index(name)], self._found.scores[:, NAMES.index(name)]
            chosen = {
                n: maximum_f1(labels[usable & (fold != n)], scores[usable & (fold != n)]) for n in np.unique(fold)
            }
            called = np.array([one >= chosen[n] for one, n in zip(scores, fold, strict=True)])
            point = _rounded(operating_point(labels[part], called[part], 0.5))
            del point["threshold"]
            out[name] = {"fold_thresholds": _short(list(chosen.values())), **point}
        return out

    def reliability(self, part: Bools) -> dict[str, Reliability]:
        """Bins of score against share of positives; the scores are not calibrated."""
        labels, scores = self._data.labels[part], self._found.scores[part]
        return {
            name: reliability(labels[:, NAMES.index(name)], scores[:, NAMES.index(name)])
            for name in self.countable(part)
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an expert may speak of a finding, and from which scores on.

    Attributes:
        thresholds: by purpose.
        reason: why it may not; None where it may.
    """

    thresholds: PurposeThresholds
    reason: str | None


def verdict(data: ExpertData, scores: Doubles, name: str, part: Bools) -> Verdict:
    """Choose a finding's thresholds, and refuse to let an expert speak of what it cannot tell from chance.

    Thresholds come from all pictures given. The comparison with chance uses those of them that figures are quoted on,
    for the other source can flatter.

    Args:
        data: labels and peer.
        scores: ``[N, 14]``, from networks that never saw the patients.
        name: a finding.
        part: ``[N]``, the pictures to use.
    """
    column = NAMES.index(name)
    thresholds = choose_thresholds(data.labels[part, column], scores[part, column])
    if thresholds.inject is None:
        reason = f"{thresholds.n_positive} positive validation pictures; a threshold needs {MINIMUM_POSITIVES}"
        return Verdict(thresholds, reason)
    quoted = part & data.in_peer
    labels = data.labels[quoted, column]
    if labels.all() or not labels.any():
        return Verdict(thresholds, "no figure can be quoted: the pictures hold only positives or only negatives")
    found = auc(labels, scores[quoted, column])
    if found.low <= 0.5:
        return Verdict(
            thresholds,
            f"not told from chance: AUC {found.auc:.3f} [{found.low:.3f}, {found.high:.3f}] on {labels.size} pictures "
            f"with {found.n_positive} positives that the networks never saw",
        )
    return Verdict(thresholds, None)


def figures(judge: Judge, data: ExpertData, recipe: ExpertRecipe) -> dict[str, Any]:
    """Everything that is quoted, ready for JSON."""
    peer = data.in_peer
    grown = data.of_age(recipe.optimiser.minimum_age_years)
    assessed = judge.assessed()
    flat = peer & data.postero_anterior
    out: dict[str, Any] = {
        "on_peer_pictures": judge.part(peer),
        "pa_only": judge.part(flat),
        "ap_only": judge.part(peer & ~data.postero_anterior),
        "grown_patients": judge.part(peer & grown),
        "assessed_only": {
            key: judge.macros(part, [name for name in judge.countable(part) if name in assessed])
            for key, part in (("on_peer_pictures", peer), ("pa_only", flat))
        },
        "verdicts": {name: _rounded(one) for name, one in judge.verdicts().items()},
        "operating_points": judge.operating_points(peer),
        "operating_points_cross_fitted": judge.cross_fitted_points(peer),
        "reliability": {name: _rounded(one) for name, one in judge.reliability(peer).items()},
    }
    if not peer.all():
        out["the_other_source"] = judge.part(~peer)
        if judge.has_other_source:
            out["leave_one_source_out"] = judge.other_source()
    return out


def read_scored(recipe: ExpertRecipe, scores: Path) -> tuple[ExpertData, OutOfFold]:
    """The table without its pictures, and the out-of-fold scores; those of the other source are not there (nan).

    Raises:
        DataError: see `read_image_table`, `read_peer` and `read_scores`.
    """
    source = recipe.data
    rows = read_image_table(source.root / source.table, source.root / source.images, source.labels)
    labels = np.array([[name in row.labels for name in NAMES] for row in rows])
    peer = read_peer(source.root / source.peer, [row.path.name for row in rows]) if source.peer else None
    data = ExpertData(rows, torch.empty(0), labels, peer)
    found = read_scores(scores, data, recipe.targets.assessed)
    fold = _read_folds(scores, data)
    return data, OutOfFold(fold, found, _metadata_scores(data, fold, recipe), np.full(found.shape, np.nan))


def from_scores(recipe: ExpertRecipe, scores: Path, before: Mapping[str, Any], *, tries: int | None) -> dict[str, Any]:
    """Every figure of a cross-validation made anew from the scores it wrote, without training.

    Args:
        recipe: as it was cross-validated.
        scores: what `write_scores` wrote.
        before: the figures written then; what needs other networks than those of the folds is taken from them.
        tries: among how many recipes this one was chosen on the same folds; None where it was not.

    Raises:
        DataError: `before` is of another table, and as `read_scored`.
    """
    table = recipe.data.root / recipe.data.table
    if digest(table) != before["table_sha256"]:
        raise DataError(f"{table} is not the table of these figures; its SHA-256 should be {before['table_sha256']}.")
    data, found = read_scored(recipe, scores)
    kept = {key: before[key] for key in ("schema", "recipe", "table_sha256", "threads", "torch")}
    out = {**kept, "tries": tries, **figures(Judge(data, found, recipe), data, recipe)}
    if "leave_one_source_out" in before:
        out["leave_one_source_out"] = before["leave_one_source_out"]
    return out


def _rounded(result: Any) -> dict[str, Any]:
    """A result object as a dict with numbers to four digits."""
    return {key: _short(value) for key, value in asdict(result).items()}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    if isinstance(value, Mapping):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    return value


def write_scores(path: Path, data: ExpertData, found: OutOfFold, names: Sequence[str]) -> None:
    """Out-of-fold scores as CSV: image, fold, one column per assessed finding."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "fold", *names])
        for index, row in enumerate(data.rows):
            values = [f"{found.scores[index, NAMES.index(name)]:.6f}" for name in names]
            writer.writerow([row.path.name, int(found.fold[index]), *values])


def read_scores(path: Path, data: ExpertData, names: Sequence[str]) -> Doubles:
    """The scores that `write_scores` wrote, ``[N, 14]`` in the order of the data.

    Raises:
        DataError: unreadable, or a picture or finding is missing.
    """
    try:
        rows = {row["image"]: row for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())}
        scores = np.full(data.labels.shape, np.nan)
        for index, item in enumerate(data.rows):
            for name in names:
                scores[index, NAMES.index(name)] = float(rows[item.path.name][name])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); it is the recipe's validation.scores.") from None
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path} does not hold a score for every picture and finding ({error}); make it anew."
        ) from None
    return scores


def _read_folds(path: Path, data: ExpertData) -> NDArray[np.int_]:
    """``[N]``, the fold of each picture, from what `write_scores` wrote and `read_scores` has read."""
    rows = {row["image"]: row for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())}
    try:
        return np.array([int(rows[item.path.name]["fold"]) for item in data.rows])
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} does not hold the fold of every picture ({error}); make it anew.") from None
