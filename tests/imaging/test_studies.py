"""Which images belong together."""

from datetime import date

import numpy as np
import pytest

from hilum.errors import UsageError
from hilum.imaging import group_studies
from hilum.records import Radiograph, StudyHeader

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
