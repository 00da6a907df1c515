"""Radiographs of one examination together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from hilum.errors import UsageError
from hilum.records import Notice, Radiograph, Study, StudyHeader


def group_studies(radiographs: Sequence[Radiograph], *, one_study: bool = False) -> list[Study]:
    """Put images of one examination together, in the order in which they came.

    DICOM images with one Study Instance UID are one study; each picture, and each DICOM image without that UID, is a
    study of its own. Where images of one UID name different patients, they are kept apart by patient, with a notice
    on each: a mixed-up study must not become one report.

    Args:
        radiographs: any number.
        one_study: the caller vouches that all of them are one examination.

    Raises:
        UsageError: `one_study`, but the files name different studies or patients.
    """
    if one_study:
        return [_joined(radiographs)] if radiographs else []
    groups: dict[object, list[Radiograph]] = {}
    for index, image in enumerate(radiographs):
        groups.setdefault(image.header.study_uid or index, []).append(image)
    return [study for group in groups.values() for study in _by_patient(group)]


def _joined(radiographs: Sequence[Radiograph]) -> Study:
    for attribute, what in (("study_uid", "studies"), ("patient_id", "patients")):
        named = {value for image in radiographs if (value := getattr(image.header, attribute)) is not None}
        if len(named) > 1:
            raise UsageError(
                f"The files come from {len(named)} different {what}, but were given as one study. Give the files of "
                "one study, or leave out --one-study."
            )
    return _study(radiographs)


def _by_patient(group: list[Radiograph]) -> list[Study]:
    patients = {image.header.patient_id for image in group}
    if len(patients - {None}) < 2:
        return [_study(group)]
    conflict = Notice(
        "patient_conflict",
        "Files with one Study Instance UID name different patients. They were kept apart; check which image is whose.",
    )
    apart: dict[str | None, list[Radiograph]] = {}
    for image in group:
        marked = replace(image, warnings=(*image.warnings, conflict))
        apart.setdefault(image.header.patient_id, []).append(marked)
    return [_study(images) for images in apart.values()]


def _study(images: Sequence[Radiograph]) -> Study:
    """The header takes each field from the first image that has it."""
    headers = [image.header for image in images]
    merged = {
        item.name: next((value for header in headers if (value := getattr(header, item.name)) is not None), None)
        for item in fields(StudyHeader)
    }
    return Study(images[0].source, tuple(images), StudyHeader(**merged))
