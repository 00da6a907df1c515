"""How good a recipe's expert is: patient-grouped cross-validation, and what guards its figures against flattery.

Every score comes from a network that never saw the patient. Figures are quoted on the studies that the recipe's peer
was run on; beside them stand those on PA pictures alone, those of networks trained on one source and tested on the
other, and those of a regression that sees only view, sex and age. A masked label counts nowhere.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hilum.errors import DataError
from hilum.records import NAMES, View
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
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial, read_expert_material
from hilum.training.peer import PeerOutputs, read_peer

MINIMUM_CASES = 10
"""A finding with fewer positives or negatives in a part of the pictures is left out of that part's figures."""

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Labelled studies to judge on, in one order.

    Attributes:
        names: of the studies.
        patients: ``[N]``.
        labels: ``[N, 14]`` in the order of `NAMES`, closed upward.
        known: ``[N, 14]``, False where a label is masked.
        usable: ``[N]``, False for patients too young to be learned from: thresholds are not chosen on them.
        postero_anterior: ``[N]``, whether the view is PA.
        male: ``[N]``.
        ages: ``[N]`` in years; nan where unknown.
        peer: another classifier's outputs; None where the recipe names none.
    """

    names: tuple[str, ...]
    patients: NDArray[np.str_]
    labels: Bools
    known: Bools
    usable: Bools
    postero_anterior: Bools
    male: Bools
    ages: Doubles
    peer: PeerOutputs | None

    @property
    def in_peer(self) -> Bools:
        """``[N]``, whether the peer's outputs are there; all True where there is no peer."""
        return np.ones(len(self.names), dtype=bool) if self.peer is None else self.peer.known

    def digest(self) -> str:
        """SHA-256 of what figures depend on beside scores; the order of the studies does not matter."""
        rows = sorted(
            [name, str(patient), self.labels[i].tolist(), self.known[i].tolist(), bool(self.usable[i]),
             bool(self.postero_anterior[i]), bool(self.male[i]), round(float(self.ages[i]), 3)]
            for i, (name, patient) in enumerate(zip(self.names, self.patients, strict=True))
        )  # fmt: skip
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def cases_of(material: ExpertMaterial, chosen: NDArray[np.intp], recipe: ExpertRecipe) -> Cases:
    """Some studies of a recipe's material as cases.

    Raises:
        DataError: see `read_peer`.
    """
    studies = [material.studies[i] for i in chosen]
    one_corpus = len({one.corpus for one in material.studies}) == 1
    files = [Path(one.files[0]).name for one in studies]
    return Cases(
        tuple(one.study if one_corpus else f"{one.corpus}/{one.study}" for one in studies),
        np.array([one.patient.partition("/")[2] if one_corpus else one.patient for one in studies]),
        material.present[chosen],
        material.known[chosen],
        material.learnable[chosen],
        np.array([one.view is View.PA for one in studies]),
        np.array([one.sex == "M" for one in studies]),
        np.array([np.nan if one.age_years is None else one.age_years for one in studies]),
        read_peer(recipe.peer.table, files) if recipe.peer else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Scores of every case from networks that never saw its patient.

    Attributes:
        learned: the findings that the networks learned.
        fold: ``[N]``, which fold a study was tested in.
        scores: ``[N, 14]``, the network's.
        metadata: ``[N, 14]``, of the regression on view, sex and age; nan for findings not learned.
        other_source: ``[N, 14]``, of the network trained on the other source; nan where there is only one.
    """

    learned: tuple[str, ...]
    fold: NDArray[np.int_]
    scores: Doubles
    metadata: Doubles
    other_source: Doubles


def metadata_scores(cases: Cases, fold: NDArray[np.int_], learned: Sequence[str]) -> Doubles:
    """``[N, 14]``, out of fold: the regression on view, sex and age; .5 where one class alone is there to fit."""
    facts, scores = _metadata(cases), np.full(cases.labels.shape, np.nan)
    for number in np.unique(fold):
        train, test = cases.usable & (fold != number), fold == number
        for column in (NAMES.index(name) for name in learned):
            fitted = train & cases.known[:, column]
            labels = cases.labels[fitted, column]
            scores[test, column] = 0.5
            if labels.any() and not labels.all():
                regression = make_pipeline(StandardScaler(), LogisticRegression())
                regression.fit(facts[fitted], labels)
                scores[test, column] = regression.predict_proba(facts[test])[:, 1]
    return scores


def _metadata(cases: Cases) -> Doubles:
    """``[N, 4]``: view, sex, age and its square, the mean age where unknown."""
    known = ~np.isnan(cases.ages)
    ages = np.where(known, cases.ages, cases.ages[known].mean() if known.any() else 0.0)
    return np.stack([cases.postero_anterior, cases.male, ages, ages**2], axis=1).astype(np.float64)


class Judge:
    """Turns out-of-fold scores into figures with intervals; patients are resampled throughout.

    Args:
        cases: labels, patients, peer.
        found: the scores.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    def __init__(self, cases: Cases, found: OutOfFold, *, resamples: int, seed: int) -> None:
        self._data = cases
        self._found = found
        self._resamples, self._seed = resamples, seed
        self._names = [name for name in NAMES if name in found.learned]

    def interval(self, statistic: CountStatistic, part: Bools) -> dict[str, Any]:
        """A bootstrap interval over the patients of a part."""
        patients = self._data.patients[part]
        return _rounded(counts_bootstrap(statistic, patients, n_resamples=self._resamples, seed=self._seed))

    def countable(self, part: Bools) -> list[str]:
        """Findings with enough positives and negatives in a part."""
        positives, known = self._data.labels[part].sum(axis=0), self._data.known[part].sum(axis=0)
        enough = (positives >= MINIMUM_CASES) & (known - positives >= MINIMUM_CASES)
        return [name for name in self._names if enough[NAMES.index(name)]]

    def macro(self, part: Bools, names: Sequence[str], scores: Doubles, minus: Doubles | None = None) -> dict[str, Any]:
        """Unweighted mean AUC over findings, or its difference to that of other scores."""
        columns = [NAMES.index(name) for name in names]
        labels = self._data.labels[part][:, columns]
        included = self._data.known[part][:, columns]
        first = macro_auc_of_counts(labels, scores[part][:, columns], included)
        if minus is None:
            return self.interval(first, part)
        second = macro_auc_of_counts(labels, minus[part][:, columns], included)
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
        found, peer = self._found, self._peer(part, names)
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

    def _peer(self, part: Bools, names: Sequence[str]) -> Doubles | None:
        """The peer's scores, where it was run on the whole part and knows all of these findings."""
        peer = self._data.peer
        if peer is None or not peer.known[part].all() or not all(map(peer.knows, names)):
            return None
        return self.peer_scores()

    def _area(self, name: str, part: Bools, scores: Doubles) -> CountStatistic:
        column = NAMES.index(name)
        return auc_of_counts(self._data.labels[part, column], scores[part, column], self._data.known[part, column])

    def _finding(self, name: str, part: Bools) -> dict[str, Any]:
        peer = self._peer(part, [name])
        ours = self._area(name, part, self._found.scores)
        out: dict[str, Any] = {
            "n_positive": int(self._data.labels[part, NAMES.index(name)].sum()),
            "auc": self.interval(ours, part),
            "auc_metadata_only": self.interval(self._area(name, part, self._found.metadata), part),
        }
        if peer is not None:
            theirs = self._area(name, part, peer)
            out["auc_peer"] = self.interval(theirs, part)
            out["minus_peer"] = self.interval(lambda counts: ours(counts) - theirs(counts), part)
        return out

    def peer_scores(self) -> Doubles:
        """The peer's scores of the assessed findings, ``[N, 14]``."""
        if self._data.peer is None:
            raise DataError("The recipe names no peer (data.peer), so there is nothing to compare with.")
        scores = np.full(self._data.labels.shape, np.nan)
        for name in filter(self._data.peer.knows, self._names):
            scores[:, NAMES.index(name)] = self._data.peer.of_finding(name)
        return scores

    @property
    def has_other_source(self) -> bool:
        """Whether there are scores of networks that were trained on one source and tested on the other."""
        return not bool(np.isnan(self._found.other_source).all())

    def other_source(self) -> dict[str, Any]:
        """Networks that were trained on one source and are tested on the other, beside cross-validation there."""
        found, in_peer, usable = self._found, self._data.in_peer, self._data.usable
        out = {}
        for title, part in (("tested_on_peer_pictures", in_peer), ("tested_on_the_others", ~in_peer)):
            known = set(self.countable(~part & usable))
            names = [name for name in self.countable(part) if name in known]
            if not names:
                continue
            out[title] = {
                "n_train": int((~part & usable).sum()),
                "n": int(part.sum()),
                "findings": names,
                "macro_auc": self.macro(part, names, found.other_source),
                "macro_auc_cross_validated": self.macro(part, names, found.scores),
                "by_finding": {name: self.interval(self._area(name, part, found.other_source), part) for name in names},
            }
        return out

    def verdicts(self) -> dict[str, Verdict]:
        """What may be said of each finding, from the studies of patients old enough."""
        return {name: verdict(self._data, self._found.scores, name) for name in self._names}

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
                known = part & self._data.known[:, column]
                labels, scores = self._data.labels[known, column], self._found.scores[known, column]
                out[name] = _rounded(operating_point(labels, scores, found.thresholds.inject))
        return out

    def cross_fitted_points(self, part: Bools) -> dict[str, Any]:
        """The same with each fold called by a threshold that was chosen on the other folds; the calls are pooled.

        A fold's patients were seen by the networks that gave the other folds' scores; only nested cross-validation
        would be free of that.
        """
        fold, out = self._found.fold, {}
        for name in self.assessed():
            column = NAMES.index(name)
            labels, scores, known = (
                self._data.labels[:, column],
                self._found.scores[:, column],
                self._data.known[:, column],
            )
            usable = self._data.usable & known
            chosen = {
                n: maximum_f1(labels[usable & (fold != n)], scores[usable & (fold != n)]) for n in np.unique(fold)
            }
            called = np.array([one >= chosen[n] for one, n in zip(scores, fold, strict=True)])
            point = _rounded(operating_point(labels[part & known], called[part & known], 0.5))
            del point["threshold"]
            out[name] = {"fold_thresholds": _short(list(chosen.values())), **point}
        return out

    def reliability(self, part: Bools) -> dict[str, Reliability]:
        """Bins of score against share of positives; the scores are not calibrated."""
        out = {}
        for name in self.countable(part):
            column = NAMES.index(name)
            known = part & self._data.known[:, column]
            out[name] = reliability(self._data.labels[known, column], self._found.scores[known, column])
        return out


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an expert may speak of a finding, and from which scores on.

    Attributes:
        thresholds: by purpose.
        reason: why it may not; None where it may.
    """

    thresholds: PurposeThresholds
    reason: str | None


def verdict(cases: Cases, scores: Doubles, name: str) -> Verdict:
    """Choose a finding's thresholds, and refuse to let an expert speak of what it cannot tell from chance.

    Thresholds come from all studies of patients old enough. The comparison with chance uses those of them that figures
    are quoted on, for the other source can flatter.

    Args:
        cases: labels and peer.
        scores: ``[N, 14]``, from networks that never saw the patients.
        name: a finding.
    """
    column = NAMES.index(name)
    part = cases.usable & cases.known[:, column]
    thresholds = choose_thresholds(cases.labels[part, column], scores[part, column])
    if thresholds.inject is None:
        reason = f"{thresholds.n_positive} positive validation pictures; a threshold needs {MINIMUM_POSITIVES}"
        return Verdict(thresholds, reason)
    quoted = part & cases.in_peer
    labels = cases.labels[quoted, column]
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


def figures(judge: Judge, data: Cases) -> dict[str, Any]:
    """Everything that is quoted, ready for JSON."""
    peer, grown = data.in_peer, data.usable
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


def read_scored(recipe: ExpertRecipe, scores: Path) -> tuple[Cases, OutOfFold]:
    """The labelled studies of a recipe's manifests without their pictures, and the out-of-fold scores.

    All studies that have scores are there; scores of the other source are not (nan).

    Raises:
        DataError: see `read_expert_material` and `read_peer`; a study of the `train` split has no score or no fold.
    """
    rows, learned = _read_rows(scores)
    material = read_expert_material(recipe)
    labelled = np.flatnonzero([one.labels is not None for one in material.studies])
    every = cases_of(material, labelled, recipe)
    kept = [i for i, name in enumerate(every.names) if name in rows or material.studies[labelled[i]].split == "train"]
    cases = cases_of(material, labelled[kept], recipe)
    found, fold = np.full(cases.labels.shape, np.nan), np.zeros(len(kept), dtype=int)
    try:
        for i, name in enumerate(cases.names):
            found[i, [NAMES.index(one) for one in learned]] = [float(rows[name][one]) for one in learned]
            fold[i] = int(rows[name]["fold"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{scores} does not hold a fold and a score for every study and finding ({error}); make it anew."
        ) from None
    metadata = metadata_scores(cases, fold, learned)
    return cases, OutOfFold(learned, fold, found, metadata, np.full(found.shape, np.nan))


def from_scores(recipe: ExpertRecipe, scores: Path, before: Mapping[str, Any], *, tries: int | None) -> dict[str, Any]:
    """Every figure of a cross-validation made anew from the scores it wrote, without training.

    Args:
        recipe: as it was cross-validated, over the same manifests.
        scores: what `write_scores` wrote.
        before: the figures written then; what needs other networks than those of the folds is taken from them.
        tries: among how many recipes this one was chosen on the same folds; None where it was not.

    Raises:
        DataError: `before` is of other studies, and as `read_scored`.
    """
    cases, found = read_scored(recipe, scores)
    if cases.digest() != before["cases_sha256"]:
        raise DataError(
            "The recipe's manifests do not hold the studies, labels and patients of these figures; their digest is "
            f"{cases.digest()[:12]}, expected {before['cases_sha256'][:12]}."
        )
    judge = Judge(cases, found, resamples=recipe.validation.resamples, seed=recipe.optimiser.seed)
    kept = {key: before[key] for key in ("schema", "recipe", "minimum_age_years", "folds", "cases_sha256", "made_with")}
    out = {**kept, "resamples": recipe.validation.resamples, "tries": tries, **figures(judge, cases)}
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


def write_scores(path: Path, cases: Cases, found: OutOfFold) -> None:
    """Out-of-fold scores as CSV: image (the study's name), fold, one column per learned finding."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "fold", *found.learned])
        for index, name in enumerate(cases.names):
            values = [f"{found.scores[index, NAMES.index(one)]:.6f}" for one in found.learned]
            writer.writerow([name, int(found.fold[index]), *values])


def _read_rows(path: Path) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """What `write_scores` wrote by study, and which findings."""
    try:
        reader = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        rows = {row["image"]: row for row in reader}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); expected out-of-fold scores.") from None
    except KeyError:
        raise DataError(f"{path} has no column image; expected out-of-fold scores.") from None
    return rows, tuple(name for name in NAMES if name in (reader.fieldnames or ()))
