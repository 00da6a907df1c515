"""Labelled studies to judge an expert on, and what was said of them by those that never saw their patients.

Beside the networks stands a regression that sees only view, sex and age: what it reaches is no reading of the picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hilum.records import NAMES, View
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial
from hilum.training.peer import PeerOutputs, read_peer

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
