"""From what a command is asked for to a card of reports: all that can be checked first, then drafts, then the card."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hilum.corpora.outputs import check_folder
from hilum.errors import UsageError
from hilum.evaluation.card import Card
from hilum.evaluation.intervals import Resampling
from hilum.evaluation.learned import LearnedPaths, left_out, measures_of_systems
from hilum.evaluation.pairs import Pairs, Sections, read_pairs, read_training
from hilum.evaluation.pictures import ImageFolder
from hilum.evaluation.printed.output import digests
from hilum.evaluation.reports.drafting import PREDICTIONS, Drafting, plan_drafts, provenance
from hilum.evaluation.reports.judge import JudgeOptions, Progress, judge_reports
from hilum.evaluation.reports.pictures import with_pictures
from hilum.imaging import Decoder
from hilum.reporting.identities import identities
from hilum.reporting.settings import ReadSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be judged, and how.

    Attributes:
        out: the card's folder, where drafts are written too.
        references: see `hilum.evaluation.pairs.read_pairs`; a manifest's own reports if None.
        predictions: the drafts; None where a model writes them.
        model: writes the drafts; None where they are given.
        manifest: what the model reads; see `hilum.evaluation.reports.drafting.plan_drafts`.
        images: a folder of pictures by study, shown on the card; what the model reads where there is no manifest.
        baseline: another system's drafts.
        training: see `hilum.evaluation.pairs.read_training`.
        split: of the references, or of the manifest.
        sections: which are judged.
        learned: where the networks of learned metrics lie.
        device: where these run: auto, cpu or cuda.
        system: what the system is called; the file or model if None.
        how: of intervals and tests.
        with_meteor: see `JudgeOptions`.
    """

    out: Path
    references: Path | None = None
    predictions: Path | None = None
    model: ReadSettings | None = None
    manifest: Path | None = None
    images: Path | None = None
    baseline: Path | None = None
    training: Path | None = None
    split: str | None = None
    sections: Sections = "both"
    learned: LearnedPaths = field(default_factory=LearnedPaths)
    device: str = "cpu"
    system: str | None = None
    how: Resampling = field(default_factory=Resampling)
    with_meteor: bool = True


@dataclass(frozen=True, slots=True)
class Ready:
    """What was found good to be judged.

    Attributes:
        asked: see there.
        references: the table that counts.
        predictions: the file of the drafts; not written yet where there is `drafting`.
        split: of the references.
        drafting: what the model must read before `judge`, into `predictions`; None where the drafts are given.
        baseline: another system's drafts.
        training: reports.
        images: pictures by study.
        system: what the system is called.
        models: what the card says of the model.
    """

    asked: Asked
    references: Path
    predictions: Path
    split: str | None
    drafting: Drafting | None
    baseline: Pairs | None
    training: tuple[str, ...]
    images: ImageFolder | None
    system: str
    models: dict[str, Any]

    def judge(self, progress: Progress) -> Card:
        """Judge the drafts.

        Args:
            progress: told what is being done.

        Raises:
            DataError: the drafts are not of the references' studies; see also `judge_reports`.
            CheckpointError: see `hilum.evaluation.learned.learned_measures`.
        """
        asked = self.asked
        pairs = read_pairs(self.references, self.predictions, sections=asked.sections, split=self.split)
        systems = [pairs] if self.baseline is None else [pairs, self.baseline]
        measured, skipped = measures_of_systems(systems, asked.learned, asked.device, progress=progress)
        files = {
            "references": self.references, "predictions": self.predictions, "baseline": asked.baseline,
            "training": asked.training, "manifest": None if asked.manifest == self.references else asked.manifest,
        }  # fmt: skip
        options = JudgeOptions(
            system=self.system,
            baseline=asked.baseline.stem if asked.baseline else "baseline",
            resampling=asked.how,
            training=self.training,
            with_meteor=asked.with_meteor,
            notes=self.drafting.notes() if self.drafting else (),
            provenance={"files": digests(files), "split": self._split(), **self.models},
        )
        card = judge_reports(
            pairs,
            options,
            baseline=self.baseline,
            further=measured[0],
            further_baseline=measured[1] if self.baseline is not None else (),
            skipped=skipped,
            progress=progress,
        )
        if self.images is None:
            return card
        progress("pictures")
        with Decoder() as decoder:
            return with_pictures(card, self.images, decoder)

    def _split(self) -> str | None:
        """The split that the studies are of."""
        return self.drafting.read_split if self.drafting else self.split


def prepare(asked: Asked) -> Ready:
    """Check everything that can be before any work is done.

    Args:
        asked: what is to be judged.

    Raises:
        UsageError: drafts and a model, or neither; references, pictures or a part of a learned metric are missing.
        DataError: a table or folder cannot be used.
        CheckpointError: a model, or a file of a learned metric, is not there.
    """
    if (asked.predictions is None) == (asked.model is None):
        found = "neither was given" if asked.model is None else "both were given"
        raise UsageError(f"Drafts come from --predictions or from --model, one of the two; {found}.")
    left_out(asked.learned)
    images = ImageFolder(asked.images) if asked.images else None
    references, split, drafting, models = asked.references, asked.split, None, {}
    if asked.model is not None:
        drafting = plan_drafts(
            references=references, manifest=asked.manifest, images=images, split=split, sections=asked.sections
        )
        references, split = drafting.references, drafting.split
    if references is None:
        raise UsageError("What are the predictions held against? Give --references.")
    other = read_pairs(references, asked.baseline, sections=asked.sections, split=split) if asked.baseline else None
    training = tuple(read_training(asked.training, sections=asked.sections)) if asked.training else ()
    check_folder(asked.out)
    if asked.model is not None:
        models = provenance(*identities(asked.model))
    predictions = asked.predictions or asked.out / PREDICTIONS
    return Ready(
        asked=asked,
        references=references,
        predictions=predictions,
        split=split,
        drafting=drafting,
        baseline=other,
        training=training,
        images=images,
        system=asked.system or str(models.get("checkpoint") or predictions.stem),
        models=models,
    )
