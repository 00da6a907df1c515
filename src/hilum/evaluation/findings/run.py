"""From what a command is asked for to a card of findings: what can be checked first, then the tables, then the card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hilum.corpora.outputs import check_folder
from hilum.errors import UsageError
from hilum.evaluation.card import Card
from hilum.evaluation.findings.cases import LabelRule
from hilum.evaluation.findings.gallery import build_gallery
from hilum.evaluation.findings.judge import Baseline, FindingsOptions, judge_findings
from hilum.evaluation.findings.scores import ScoredStudies, read_scored
from hilum.evaluation.findings.thresholds import FixedThresholds, chosen_on, read_thresholds
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.printed.output import digests
from hilum.imaging import Decoder

Progress = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be judged, and how.

    Attributes:
        out: the card's folder.
        references: labels; see `hilum.evaluation.findings.scores.read_scored`, as `predictions`.
        predictions: scores.
        labels: which of a manifest's; the first that there are if None.
        split: of the references.
        rule: what a label counts as.
        thresholds: fixed beforehand; the predictions' own calls if None.
        validation_references: labels of other patients, to choose thresholds on; with `validation_predictions`.
        validation_predictions: scores of the same.
        baseline: another system's scores.
        pictures: whether the most confident errors are shown with their pictures.
        system: what the system is called; the predictions' file if None.
        how: of intervals and tests.
    """

    out: Path
    references: Path
    predictions: Path
    labels: str | None = None
    split: str | None = None
    rule: LabelRule = field(default_factory=LabelRule)
    thresholds: Path | None = None
    validation_references: Path | None = None
    validation_predictions: Path | None = None
    baseline: Path | None = None
    pictures: bool = False
    system: str | None = None
    how: Resampling = field(default_factory=Resampling)

    def __post_init__(self) -> None:
        """Refuse what does not go together, before any work is done."""
        if (self.validation_references is None) != (self.validation_predictions is None):
            raise UsageError("Give --validation-references and --validation-predictions together.")
        if self.thresholds is not None and self.validation_references is not None:
            raise UsageError("Give --thresholds, or a validation set to choose them on, not both.")


def judge(asked: Asked, progress: Progress) -> Card:
    """Read what is to be judged, and judge it.

    Args:
        asked: see there.
        progress: told what is being done.

    Raises:
        DataError: `out` cannot be made, or a table cannot be used; see also `judge_findings`.
    """
    check_folder(asked.out)
    progress("tables")
    studies = read_scored(asked.references, asked.predictions, labels=asked.labels, split=asked.split)
    fixed = _thresholds(asked, studies)
    other = None
    if asked.baseline:
        held = read_scored(asked.references, asked.baseline, labels=asked.labels, split=asked.split)
        other = Baseline(asked.baseline.stem, held)
    shown = None
    if asked.pictures:
        progress("pictures")
        with Decoder() as decoder:
            shown = build_gallery(studies, decoder, rule=asked.rule, thresholds=fixed)
    files = {
        "references": asked.references, "predictions": asked.predictions, "baseline": asked.baseline,
        "thresholds": asked.thresholds, "validation_references": asked.validation_references,
        "validation_predictions": asked.validation_predictions,
    }  # fmt: skip
    progress("measures")
    return judge_findings(
        studies,
        system=asked.system or asked.predictions.stem,
        options=FindingsOptions(rule=asked.rule, how=asked.how),
        thresholds=fixed,
        baseline=other,
        gallery=shown,
        provenance={"files": digests(files), "split": asked.split},
    )


def _thresholds(asked: Asked, studies: ScoredStudies) -> FixedThresholds | None:
    """Those that were fixed beforehand, or chosen on other patients; None takes the predictions' own calls."""
    if asked.thresholds is not None:
        return read_thresholds(asked.thresholds)
    if asked.validation_references is None or asked.validation_predictions is None:
        return None
    held = read_scored(asked.validation_references, asked.validation_predictions, labels=asked.labels)
    return chosen_on(held, studies, asked.rule, asked.validation_references.stem)
