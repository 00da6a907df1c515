"""Radiographs of one examination together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from hilum.errors import UsageError
from hilum.records import Notice, Radiograph, Study, StudyHeader


def group_studies(radiographs: Sequence[Radiograph], *, one_study: bool = False) -> list[Study]:
    """Put images of one examination together, in the order in which they came.

    DICOM images with one Study Instance UID are one study; each picture, and each DICOM image without that UID, is a
    study of its own. Where images of one UID name different patients, they are kept apart by patient, with a notice
    on each: a mixed-up study must not become one report.

    The same image several times in one study (a folder and its copy, a picture sent twice) counts once, with a notice
    on the one that is kept. The same are images with one SOP Instance UID, the same pixels and the same view; images
    that share the UID alone are kept, with a notice on each.

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
    return Study(images[0].source, _distinct(images), StudyHeader(**merged))


def _distinct(images: Sequence[Radiograph]) -> tuple[Radiograph, ...]:
    """Each image once: twice the same would be two frontal views to the models, and to a reader of the report."""
    kept: list[Radiograph] = []
    copies: Counter[int] = Counter()
    for image in images:
        place = next((place for place, other in enumerate(kept) if _same(image, other)), len(kept))
        if place == len(kept):
            kept.append(image)
        else:
            copies[place] += 1
    uids = Counter(image.sop_instance_uid for image in kept)
    for place, image in enumerate(kept):
        found = []
        if count := copies[place]:
            found.append(
                Notice(
                    "duplicate_image",
                    f"{count} more file(s) of the study hold this very image (same SOP Instance UID, pixels and view); "
                    "it was read once.",
                )
            )
        if image.sop_instance_uid is not None and uids[image.sop_instance_uid] > 1:
            found.append(
                Notice(
                    "instance_conflict",
                    "Different images of the study have one SOP Instance UID, which should name a single one. All were "
                    "kept; check that they belong together.",
                )
            )
        if found:
            kept[place] = replace(image, warnings=(*image.warnings, *found))
    return tuple(kept)


def _same(first: Radiograph, second: Radiograph) -> bool:
    return (
        first.sop_instance_uid is not None
        and first.sop_instance_uid == second.sop_instance_uid
        and first.view is second.view
        and np.array_equal(first.pixels, second.pixels)
    )
