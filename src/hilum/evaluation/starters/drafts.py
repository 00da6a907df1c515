"""Drafts of a reporter that learned from labelled pictures, for the patients that its training left out.

There are no reports of these pictures: a reference is what the sentence grammar says of the picture's labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hilum.corpora.image_table import LabelledImage, held_out, read_image_table
from hilum.corpora.nih_chestxray14 import FINDING_OF
from hilum.errors import DataError
from hilum.evaluation.pairs import whole_text
from hilum.evaluation.starters.scores import read_rows
from hilum.imaging import Decoder, group_studies
from hilum.labeling import compose
from hilum.models.checkpoint import CheckpointInfo, ForeignConfig, first_fault
from hilum.models.expert import assessments
from hilum.models.janus import Reporter
from hilum.models.prompt import Prompt
from hilum.records import NAMES, NO_FINDING, LabelState, Report, Study, View
from hilum.reporting.settings import injected

Progress = Callable[[str], None]

DRAFTS = "drafts.jsonl"
LABELLED = tuple(name for name in NAMES if name in set(FINDING_OF.values()) - {NO_FINDING})
"""The findings that the labels cover; their "No Finding" is not "normal" and says nothing here."""
BATCH = 32
"""Drafts written together; in float32 a draft is the same in any company."""
MAX_NEW_TOKENS = 512
"""As `hilum read`."""


class _Data(ForeignConfig):
    table: str
    images: str
    labels: str


class _Recipe(ForeignConfig):
    """Of the recipe in a reporter's provenance, what tells which patients it never saw."""

    data: _Data
    held_out: float
    minimum_age_years: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The studies to judge on.

    Attributes:
        reporter: what the reporter's checkpoint says of itself.
        expert: the same of the expert whose thresholds made `findings`.
        images: the pictures of patients that the reporter's training left out, a study each.
        findings: of each, the names that go into the prompt.
        training: the grammar's reports of the pictures that the training had.
        files: what all this was read from.
    """

    reporter: CheckpointInfo
    expert: CheckpointInfo
    images: tuple[LabelledImage, ...]
    findings: tuple[tuple[str, ...], ...]
    training: tuple[str, ...]
    files: Mapping[str, Path]

    @property
    def patients(self) -> list[str]:
        """The patient of each picture."""
        return [image.patient for image in self.images]


@dataclass(frozen=True, slots=True)
class Draft:
    """What the reporter wrote of one study.

    Attributes:
        study: the name of its picture, without the ending.
        findings: the names in the prompt.
        report: with them and the study's own picture.
        without_findings: with the picture alone.
        other_picture: with the findings and another patient's picture.
    """

    study: str
    findings: tuple[str, ...]
    report: Report
    without_findings: Report
    other_picture: Report


def read_held_out(data_root: Path, scores: Path, reporter: CheckpointInfo, expert: CheckpointInfo) -> HeldOut:
    """The pictures of held-out patients, with the expert's out-of-fold findings.

    Args:
        data_root: the folder that the reporter's recipe calls `data.root`.
        scores: a column `image` and one for each finding; by networks that never saw the picture's patient.
        reporter: its provenance names the recipe.
        expert: its `inject` thresholds decide what goes into a prompt.

    Raises:
        DataError: the reporter does not say which patients its training left out, or left out none; a table cannot be
            read; a picture has no scores.
    """
    recipe = _recipe(reporter)
    table = data_root / recipe.data.table
    rows = [
        row
        for row in read_image_table(table, data_root / recipe.data.images, recipe.data.labels)
        if row.age_years is None or row.age_years >= recipe.minimum_age_years
    ]
    images = tuple(row for row in rows if held_out(row.patient, recipe.held_out))
    if not images:
        raise DataError(
            f"The training of {reporter.name} left out no patient of {table.name} (share {recipe.held_out:g}); "
            "expected patients that it never saw, to judge it on."
        )
    held = read_rows(scores)
    if missing := [image.path.name for image in images if image.path.name not in held]:
        raise DataError(
            f"{scores.name} lacks {len(missing)} of the {len(images)} pictures to judge on, e.g. {missing[0]}; "
            "expected out-of-fold scores of all."
        )
    return HeldOut(
        reporter=reporter,
        expert=expert,
        images=images,
        findings=tuple(
            _in_prompt(_floats(held[image.path.name], scores.name), expert, reporter) for image in images
        ),
        training=tuple(reference(row) for row in rows if not held_out(row.patient, recipe.held_out)),
        files={"labels": table, "scores": scores},
    )  # fmt: skip


def _recipe(info: CheckpointInfo) -> _Recipe:
    try:
        return _Recipe.model_validate(info.provenance.get("recipe"))
    except ValidationError as error:
        raise DataError(
            f"{info.name} does not say which patients of a table its training left out (provenance, recipe: "
            f"{first_fault(error)}). One that learned from a manifest is judged on its split: `hilum predict MANIFEST "
            "--split test`, then `hilum evaluate reports`."
        ) from None


def _floats(row: Mapping[str, str], name: str) -> dict[str, float]:
    try:
        return {finding: float(row[finding]) for finding in NAMES if row.get(finding)}
    except ValueError as error:
        raise DataError(f"{name}: {row['image']} has a score that is no number ({error}).") from None


def _in_prompt(scores: Mapping[str, float], expert: CheckpointInfo, reporter: CheckpointInfo) -> tuple[str, ...]:
    said = tuple(assessments(expert, scores))
    return tuple(injected(said, given=False, prompt_version=reporter.prompt_version))


def reference(image: LabelledImage, wording: str = "") -> str:
    """What the grammar says of a picture's labels; `wording` chooses among sentences of equal meaning."""
    states = {name: LabelState.PRESENT if name in image.labels else LabelState.ABSENT for name in LABELLED}
    seed = int.from_bytes(hashlib.sha256(f"{image.path.stem}{wording}".encode()).digest()[:4], "big")
    report = compose(states, seed=seed, assessed=LABELLED)
    return whole_text(report.findings_text, report.impression_text)


# ---------------------------------------------------------------------------------------------------------------------
# drafts
# ---------------------------------------------------------------------------------------------------------------------


def write_drafts(held: HeldOut, reporter: Reporter, *, progress: Progress | None = None) -> list[Draft]:
    """Let the reporter write each study three times: as it is read, without findings, with another patient's picture.

    Args:
        held: of two patients at least.
        reporter: loaded in float32, in which a draft depends neither on the machine nor on the batch; in the bfloat16
            of the bundled weights near ties between two words of one meaning tip either way.
        progress: told what is being done.

    Raises:
        DataError: all pictures are of one patient. InputError: a picture cannot be read.
    """
    other = _other_patient(held.patients)
    with Decoder() as decoder:
        studies = [_study(decoder, image) for image in held.images]
    told = [reporter.prompt(study, names) for study, names in zip(studies, held.findings, strict=True)]
    alone = [reporter.prompt(study, None) for study in studies]
    swapped = [replace(prompt, images=told[i].images) for prompt, i in zip(told, other, strict=True)]
    texts = [
        _written(reporter, prompts, f"drafts, {what}", progress or (lambda _: None))
        for what, prompts in (("as read", told), ("without findings", alone), ("another picture", swapped))
    ]
    return [
        Draft(image.path.stem, names, *written)
        for image, names, *written in zip(held.images, held.findings, *texts, strict=True)
    ]


def _study(decoder: Decoder, image: LabelledImage) -> Study:
    """The picture as `hilum read` takes it; the table's view counts where the file does not say its own."""
    radiograph = decoder.read(image.path)
    if radiograph.view is View.UNKNOWN:
        radiograph = replace(radiograph, view=image.view)
    return group_studies([radiograph])[0]


def _other_patient(patients: Sequence[str]) -> list[int]:
    """For each picture the next one of another patient."""
    n = len(patients)
    if len(set(patients)) < 2:
        raise DataError("All held-out pictures are of one patient; expected several patients to judge on.")
    return [
        next(j % n for j in range(i + 1, i + n) if patients[j % n] != patient) for i, patient in enumerate(patients)
    ]


def _written(reporter: Reporter, prompts: Sequence[Prompt], what: str, tell: Progress) -> list[Report]:
    out: list[Report] = []
    for start in range(0, len(prompts), BATCH):
        tell(f"{what}: {start} of {len(prompts)}")
        batch = reporter.generate(prompts[start : start + BATCH], max_new_tokens=MAX_NEW_TOKENS)
        out += [Report.parse(one.text) for one in batch]
    return out


def drafts_jsonl(drafts: Sequence[Draft]) -> str:
    """Drafts as JSON lines that `hilum evaluate reports --predictions` takes, with what stands beside them."""
    rows = [
        {
            "study": one.study,
            "findings": list(one.findings),
            **_sections(one.report),
            "without_findings": _sections(one.without_findings),
            "other_picture": _sections(one.other_picture),
        }
        for one in drafts
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _sections(report: Report) -> dict[str, str]:
    return {"findings_text": report.findings_text, "impression_text": report.impression_text}


def read_drafts(path: Path) -> list[Draft]:
    """Drafts that `drafts_jsonl` wrote.

    Raises:
        DataError: there is no such file, or it is none.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [
            Draft(
                row["study"],
                tuple(row["findings"]),
                *(_report(held) for held in (row, row["without_findings"], row["other_picture"])),
            )
            for row in rows
        ]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); expected drafts beside a card.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name} holds no drafts of ours ({error!r}); make them anew with the card.") from None


def _report(row: Mapping[str, Any]) -> Report:
    return Report(str(row["findings_text"]), str(row["impression_text"]))
