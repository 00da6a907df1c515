"""Whether an expert may speak of a finding, and from which scores on."""

from __future__ import annotations

from dataclasses import dataclass

from hilum.records import NAMES
from hilum.statistics import MINIMUM_POSITIVES, PurposeThresholds, auc, choose_thresholds
from hilum.training.expert_cases import Cases, Doubles


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
