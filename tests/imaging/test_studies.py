"""Which images belong together."""

from datetime import date

import numpy as np
import pytest

from hilum.errors import UsageError
from hilum.imaging import group_studies
from hilum.records import Radiograph, StudyHeader, View

PIXELS = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def image(name: str, uid: str | None = None, patient: str | None = None, **header) -> Radiograph:
    return Radiograph(PIXELS.copy(), name, header=StudyHeader(study_uid=uid, patient_id=patient, **header))


def sources(studies):
    return [[each.source for each in study.radiographs] for study in studies]


def test_one_uid_is_one_study():
    studies = group_studies([image("a", "1"), image("b", "2"), image("c", "1")])
    assert sources(studies) == [["a", "c"], ["b"]]
    assert [study.uid for study in studies] == ["1", "2"]
    assert [study.source for study in studies] == ["a", "b"]


def test_pictures_and_images_without_uid_stand_alone():
    assert sources(group_studies([image("a"), image("b"), image("c", None, "P")])) == [["a"], ["b"], ["c"]]


def test_nothing():
    assert group_studies([]) == []
    assert group_studies([], one_study=True) == []


def test_the_header_is_merged():
    first = image("a", "1", None, sex="F")
    second = image("b", "1", "P", sex="M", age_years=40.0, study_date=date(2020, 1, 1))
    (study,) = group_studies([first, second])
    assert study.header == StudyHeader("1", "P", "F", 40.0, date(2020, 1, 1))


def test_patients_are_never_mixed():
    images = [image("a", "1", "P"), image("b", "1", "Q"), image("c", "1", "P"), image("d", "1")]
    studies = group_studies(images)
    assert sources(studies) == [["a", "c"], ["b"], ["d"]]
    for study in studies:
        for each in study.radiographs:
            assert [notice.code for notice in each.warnings] == ["patient_conflict"]
            assert "P" not in each.warnings[0].message.split()


def test_an_image_that_names_no_patient_joins_its_study():
    (study,) = group_studies([image("a", "1", "P"), image("b", "1")])
    assert len(study.radiographs) == 2
    assert not study.radiographs[0].warnings


def test_one_study_of_pictures():
    (study,) = group_studies([image("a"), image("b", "1", "P"), image("c")], one_study=True)
    assert [each.source for each in study.radiographs] == ["a", "b", "c"]
    assert study.uid == "1"


@pytest.mark.parametrize(
    "pair",
    [
        (image("a", "1"), image("b", "2")),
        (image("a", "1", "P"), image("b", "1", "Q")),
        (image("a", None, "P"), image("b", None, "Q")),
    ],
    ids=["studies", "patients of one study", "patients"],
)
def test_one_study_must_not_join_what_differs(pair):
    with pytest.raises(UsageError, match="2 different"):
        group_studies(pair, one_study=True)


def instance(name: str, sop: str | None = "9", uid: str | None = "1", level: float = 0.0, **header) -> Radiograph:
    pixels = np.clip(PIXELS + np.float32(level), 0, 1)
    return Radiograph(pixels, name, view=View.PA, sop_instance_uid=sop, header=StudyHeader(study_uid=uid, **header))


def notices(study):
    return [[notice.code for notice in image.warnings] for image in study.radiographs]


@pytest.mark.parametrize("one_study", [False, True])
def test_the_same_image_twice_is_one(one_study):
    images = [instance("a"), instance("b", "8", level=0.1), instance("copy of a", sex="F"), instance("again")]
    (study,) = group_studies(images, one_study=one_study)
    assert [image.source for image in study.frontals] == ["a", "b"]
    assert notices(study) == [["duplicate_image"], []]
    (notice,) = study.radiographs[0].warnings
    assert "2 " in notice.message
    assert study.header.sex == "F"  # what only the copy says is not lost


def test_one_uid_with_different_pixels_is_not_the_same_image():
    (study,) = group_studies([instance("a"), instance("b", level=0.1), instance("copy of b", level=0.1)])
    assert [image.source for image in study.radiographs] == ["a", "b"]
    assert notices(study) == [["instance_conflict"], ["duplicate_image", "instance_conflict"]]


def test_images_that_share_no_uid_are_never_called_the_same():
    (study,) = group_studies([instance("a", None), instance("b", None), instance("c", "7"), instance("d", "8")])
    assert notices(study) == [[], [], [], []]


def test_the_same_image_under_two_patients_is_kept_for_both():
    first, second = group_studies([instance("a", patient_id="P"), instance("b", patient_id="Q")])
    assert notices(first) == notices(second) == [["patient_conflict"]]
