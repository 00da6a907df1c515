"""What a person should know of a study and its models before reading the draft."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from hilum.records import Assessment, Notice, Radiograph, Study, View
from hilum.reporting.gate import Verdict, takes_laterals

if TYPE_CHECKING:
    from hilum.models.checkpoint import CheckpointInfo


def study_notices(study: Study, models: Sequence[CheckpointInfo], assessments: Sequence[Assessment]) -> list[Notice]:
    """What a person should know of this study and these models before reading the draft.

    Args:
        study: as read.
        models: what ran: the expert if one did, and the reporter if it is a network.
        assessments: all 14 findings.
    """
    notices = []
    if names := [f"{info.kind} {info.name}" for info in models if info.demonstration]:
        notices.append(
            Notice(
                "demonstration_model",
                f"For demonstration only ({', '.join(names)}): trained on little data, for trying Hilum out.",
            )
        )
    if any(a.score is not None and a.probability is None for a in assessments):
        notices.append(Notice("uncalibrated", "The expert's scores are not calibrated: they are not probabilities."))
    unknown = sum(image.view is View.UNKNOWN for image in study.frontals)
    if unknown and len(study.radiographs) > 1:
        notices.append(
            Notice("views_unknown", f"The files of {unknown} image(s) do not say their view; taken as frontal.")
        )
    if left_out := _unplaced_left_out(study, models):
        notices.append(left_out)
    if len(study.frontals) > 1 and any(info.kind == "expert" for info in models):
        notices.append(
            Notice("highest_score", f"{len(study.frontals)} frontal images: of each finding the highest score counts.")
        )
    equalised = [i.name for i in models if i.capabilities.intensity == "histogram_equalised"]
    if equalised and any(image.sop_instance_uid is not None for image in study.radiographs):
        notices.append(
            Notice(
                "intensity",
                f"{', '.join(equalised)} was trained on histogram-equalised pictures (as in MIMIC-CXR-JPG); "
                "this is a DICOM image in its display window.",
            )
        )
    return notices


def _unplaced_left_out(study: Study, models: Sequence[CheckpointInfo]) -> Notice | None:
    """Which images of unknown view no frontal list holds, and who was not shown them; None where there is nothing."""
    numbers = [str(n) for n, image in enumerate(study.radiographs, 1) if image in study.unplaced]
    # an expert that takes lateral images reads every one; a reporter's prompt has places for frontal and lateral only
    blind = [f"{info.kind} {info.name}" for info in models if info.kind == "reporter" or not takes_laterals(info)]
    if not numbers or not blind:
        return None
    return Notice(
        "view_unknown_not_used",
        f"Image {' and '.join(numbers)} of {len(study.radiographs)}: view unknown, so not shown to {', '.join(blind)}; "
        "the study has PA or AP images, which are read.",
    )


def gate_notices(study: Study, shown: Study) -> list[Notice]:
    """What to say of pictures that the input gate kept from the models while others of the study were read."""
    numbers = [str(n) for n, image in enumerate(study.radiographs, 1) if image not in shown.radiographs]
    if not numbers:
        return []
    return [
        Notice(
            "image_not_shown",
            f"Image {' and '.join(numbers)} of {len(study.radiographs)} was not shown to the models: the input gate "
            "abstained from it.",
        )
    ]


def prior_notices(prior: Study, kept: Collection[Radiograph], verdicts: Sequence[Verdict]) -> list[Notice]:
    """What the input gate says of a prior that a reporter would be shown.

    Args:
        prior: as it was read.
        kept: its pictures that the gate did not abstain from.
        verdicts: of each of its pictures.
    """
    notices = []
    for number, (image, verdict) in enumerate(zip(prior.radiographs, verdicts, strict=True), 1):
        said = " ".join(reason.message for reason in verdict.reasons)
        if image not in kept:
            notices.append(Notice("prior_image_not_shown", f"Prior image {number} was not shown to the models: {said}"))
        elif verdict.reasons:
            notices.append(Notice("prior_doubted", f"Prior image {number}: {said}"))
    return notices


def with_prior(study: Study, prior: Study | None) -> tuple[Study | None, list[Notice]]:
    """The prior as far as it can be this patient's, and what to say of it.

    Returns:
        `prior`, or None where the files name another patient; and the notices.
    """
    if prior is None:
        return None, []
    here, there = study.header, prior.header
    if here.patient_id and there.patient_id and here.patient_id != there.patient_id:
        return None, [
            Notice("prior_other_patient", "The prior names another patient than this study; it was left out.")
        ]
    if here.study_uid and here.study_uid == there.study_uid:
        return None, [Notice("prior_same_study", "The prior is this very study; it was left out.")]
    if here.study_date and there.study_date and there.study_date > here.study_date:
        return prior, [Notice("prior_later", "The prior is dated after this study.")]
    return prior, []


def image_alone(reporter: CheckpointInfo, findings: Sequence[str] | None) -> list[Notice]:
    """What to say of a demonstration reporter whose prompt tells it nothing.

    Args:
        reporter: the checkpoint.
        findings: what goes into its prompt: names, none of them, or None where no expert looked.
    """
    told = findings is not None and (findings or reporter.prompt_version == "hilum/1")
    if told or not reporter.demonstration:
        return []
    return [
        Notice(
            "image_alone",
            f"No findings stand in the prompt, and {reporter.name} was made for demonstration: its text is invented "
            "and says nothing of this picture (see its card).",
        )
    ]


_STUDY_UID = re.compile(r"[0-9.]{1,64}")


def valid_study_uid(study: Study) -> tuple[str | None, list[Notice]]:
    """The Study Instance UID if it is one (PS3.5 section 9.1: digits and dots, at most 64), and what to say if not.

    What stands there instead may be anything, a patient's name too, so the notice does not repeat it.
    """
    if study.uid is None or _STUDY_UID.fullmatch(study.uid):
        return study.uid, []
    return None, [
        Notice(
            "study_uid_invalid",
            "What the files give as Study Instance UID is none (digits and dots, at most 64); it was left out.",
        )
    ]
