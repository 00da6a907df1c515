"""What stands between a study and the models: what they were not made for is refused, or said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hilum.errors import Reason, UnsuitableError
from hilum.records import Assessment, Notice, Study, View

if TYPE_CHECKING:
    from hilum.models.checkpoint import CheckpointInfo


def refuse_unsuitable(study: Study, models: Sequence[CheckpointInfo]) -> None:
    """Refuse a study that one of the models cannot take at all.

    Raises:
        UnsuitableError: only lateral images, and a model that needs a frontal one.
    """
    needy = [info for info in models if not takes_laterals(info)]
    if not study.frontals and needy:
        raise UnsuitableError(
            f"The study holds only lateral images; {needy[0].name} reads frontal ones; add a PA or AP image.",
            Reason.NO_FRONTAL_VIEW,
        )


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
    age = study.header.age_years
    for info in models:
        youngest = info.capabilities.min_age_years
        if age is not None and youngest is not None and age < youngest:
            text = f"The patient is younger than {youngest:g} years, and {info.name} was trained on nobody younger."
            notices.append(Notice("younger_than_trained", text))
    if study.laterals and study.frontals and any(info.kind == "expert" and not takes_laterals(info) for info in models):
        notices.append(
            Notice(
                "lateral_not_assessed",
                f"{len(study.laterals)} lateral image(s) not shown to the expert, which reads frontal ones.",
            )
        )
    unknown = sum(image.view is View.UNKNOWN for image in study.frontals)
    if unknown and len(study.radiographs) > 1:
        notices.append(
            Notice("views_unknown", f"The files of {unknown} image(s) do not say their view; taken as frontal.")
        )
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


def takes_laterals(info: CheckpointInfo) -> bool:
    """Whether a model was trained on lateral images."""
    return View.LATERAL in info.capabilities.views
