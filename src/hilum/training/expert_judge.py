"""Out-of-fold scores to figures with intervals: patients are resampled throughout, a masked label counts nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hilum.errors import DataError
from hilum.records import NAMES
from hilum.statistics import (
    Reliability,
    auc_of_counts,
    counts_bootstrap,
    macro_auc_of_counts,
    maximum_f1,
    operating_point,
    reliability,
)
from hilum.statistics.bootstrap import CountStatistic
from hilum.training.expert_cases import Bools, Cases, Doubles, OutOfFold
from hilum.training.expert_verdicts import Verdict, verdict

MINIMUM_CASES = 10
"""A finding with fewer positives or negatives in a part of the pictures is left out of that part's figures."""


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
        self.names = [name for name in NAMES if name in found.learned]

    def interval(self, statistic: CountStatistic, part: Bools) -> dict[str, Any]:
        """A bootstrap interval over the patients of a part."""
        patients = self._data.patients[part]
        return rounded(counts_bootstrap(statistic, patients, n_resamples=self._resamples, seed=self._seed))

    def countable(self, part: Bools) -> list[str]:
        """Findings with enough positives and negatives in a part."""
        positives, known = self._data.labels[part].sum(axis=0), self._data.known[part].sum(axis=0)
        enough = (positives >= MINIMUM_CASES) & (known - positives >= MINIMUM_CASES)
        return [name for name in self.names if enough[NAMES.index(name)]]

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

    def known_to_peer(self, names: Sequence[str]) -> list[str]:
        """Those of the findings that the peer has a class for."""
        peer = self._data.peer
        return [] if peer is None else [name for name in names if peer.knows(name)]

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
        for name in filter(self._data.peer.knows, self.names):
            scores[:, NAMES.index(name)] = self._data.peer.of_finding(name)
        return scores

    @property
    def has_other_source(self) -> bool:
        """Whether there are scores of networks that were trained on one source and tested on the other."""
        return not bool(np.isnan(self._found.other_source).all())

    def other_source(self) -> dict[str, Any]:
        """Networks that were trained on one source and are tested on the other, beside cross-validation there."""
        found, in_peer, usable = self._found, self._data.in_peer, self._data.usable
        out: dict[str, Any] = {}
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
                "macro_auc_minus_cross_validated": self.macro(part, names, found.other_source, found.scores),
                "by_finding": {name: self.interval(self._area(name, part, found.other_source), part) for name in names},
            }
            if (peer := self._peer(part, names)) is not None:
                out[title]["macro_auc_peer"] = self.macro(part, names, peer)
                out[title]["macro_auc_minus_peer"] = self.macro(part, names, found.other_source, peer)
        return out

    def verdicts(self) -> dict[str, Verdict]:
        """What may be said of each finding, from the studies of patients old enough."""
        return {name: verdict(self._data, self._found.scores, name) for name in self.names}

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
                out[name] = rounded(operating_point(labels, scores, found.thresholds.inject))
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
            numbers = np.unique(fold)
            others = {n: labels[usable & (fold != n)] for n in numbers}
            if any(one.all() or not one.any() for one in others.values()):
                continue  # one fold holds all of a class: the others choose no threshold for it
            chosen = {n: maximum_f1(others[n], scores[usable & (fold != n)]) for n in numbers}
            called = np.array([one >= chosen[n] for one, n in zip(scores, fold, strict=True)])
            point = rounded(operating_point(labels[part & known], called[part & known], 0.5))
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


def rounded(result: Any) -> dict[str, Any]:
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
