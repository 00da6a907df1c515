"""What a person should know of a study and its models is said, each once."""

from datetime import date

import pytest

from hilum.models.checkpoint import Capabilities, CheckpointInfo
from hilum.records import Assessment, Study, StudyHeader, View
from hilum.reporting.notices import gate_notices, image_alone, study_notices, valid_study_uid, with_prior


def model(kind="reporter", demonstration=False, **capabilities):
    return CheckpointInfo(
        kind=kind, name="m", version="1", demonstration=demonstration, capabilities=Capabilities(**capabilities)
    )


@pytest.fixture
def study(make_radiograph):
    def build(*views, **header):
        images = tuple(make_radiograph(f"{n}.dcm", view=view) for n, view in enumerate(views))
        return Study("x", images, StudyHeader(**header))

    return build


def codes(notices):
    return [notice.code for notice in notices]


def test_demonstration_and_uncalibrated_are_said(study):
    scored = Assessment("Edema", True, 0.3, None, 0.4, False)
    calibrated = Assessment("Edema", True, 0.3, 0.1, 0.4, False)
    pa = study(View.PA)
    assert codes(study_notices(pa, [model(demonstration=True)], [scored])) == ["demonstration_model", "uncalibrated"]
    assert study_notices(pa, [model()], [calibrated, Assessment.unassessed("Fracture")]) == []


def test_several_images_and_the_expert(study):
    both = study(View.PA, View.AP, View.LATERAL)
    assert codes(study_notices(both, [model("expert")], [])) == ["highest_score"]
    assert study_notices(both, [model("reporter")], []) == []
    pictures = study(View.UNKNOWN, View.UNKNOWN)
    assert codes(study_notices(pictures, [model("expert")], [])) == ["views_unknown", "highest_score"]
    assert study_notices(study(View.UNKNOWN), [model("expert")], []) == []


def test_images_of_unknown_view_beside_a_frontal_one_are_named(study):
    mixed = study(View.PA, View.UNKNOWN, View.LATERAL, View.UNKNOWN)
    assert mixed.unplaced == (mixed.radiographs[1], mixed.radiographs[3])
    notices = study_notices(mixed, [model("reporter")], [])
    assert codes(notices) == ["view_unknown_not_used"]
    assert "Image 2 and 4 of 4" in notices[0].message
    assert "reporter m" in notices[0].message
    # an expert that takes laterals reads every image, the reporter does not
    every = model("expert", views=(View.PA, View.LATERAL))
    assert "view_unknown_not_used" not in codes(study_notices(mixed, [every], []))
    (notice,) = (n for n in study_notices(mixed, [every, model()], []) if n.code == "view_unknown_not_used")
    assert "expert" not in notice.message
    both = study_notices(study(View.PA, View.UNKNOWN), [model("expert"), model()], [])
    assert "Image 2 of 2: view unknown, so not shown to expert m, reporter m;" in both[0].message
    # nobody's view is known: they stand in as frontal; nothing is left out
    for views in ((View.UNKNOWN, View.UNKNOWN), (View.UNKNOWN, View.LATERAL), (View.PA, View.AP, View.LATERAL)):
        assert "view_unknown_not_used" not in codes(study_notices(study(*views), [model("expert"), model()], []))
        assert study(*views).unplaced == ()


def test_a_dicom_window_is_not_an_equalised_picture(study, make_radiograph):
    equalised = [model(intensity="histogram_equalised")]
    dicom = Study("x", (make_radiograph("x.dcm", sop_instance_uid="1.2"),))
    assert codes(study_notices(dicom, equalised, [])) == ["intensity"]
    assert study_notices(study(View.PA), equalised, []) == []


def test_the_prior_must_be_able_to_be_this_patients(study):
    now = study(View.PA, patient_id="A", study_uid="1", study_date=date(2024, 3, 1))
    for header, used, said in (
        ({"patient_id": "A", "study_date": date(2023, 3, 1)}, True, []),
        ({}, True, []),
        ({"patient_id": "B"}, False, ["prior_other_patient"]),
        ({"patient_id": "A", "study_uid": "1"}, False, ["prior_same_study"]),
        ({"patient_id": "A", "study_date": date(2024, 3, 2)}, True, ["prior_later"]),
    ):
        prior = study(View.PA, **header)
        kept, notices = with_prior(now, prior)
        assert (kept is prior, codes(notices)) == (used, said)
    assert with_prior(now, None) == (None, [])


@pytest.mark.parametrize(
    ("findings", "version", "demonstration", "said"),
    [
        (None, "hilum/1", True, True),
        (None, "hilum/1", False, False),
        ([], "hilum/1", True, False),  # its prompt says that nothing was found
        ([], "janus-pro-cxr/1", True, True),
        (["Edema"], "hilum/1", True, False),
    ],
)
def test_a_demonstration_reporter_left_to_the_image_alone_is_said(findings, version, demonstration, said):
    info = model(demonstration=demonstration).model_copy(update={"prompt_version": version})
    notices = image_alone(info, findings)
    assert codes(notices) == (["image_alone"] if said else [])
    assert not said or "nothing of this picture" in notices[0].message


@pytest.mark.parametrize(
    ("uid", "kept"),
    [
        ("1.2.840.99", True),
        (None, True),
        ("1" * 64, True),
        ("1" * 65, False),
        ("SECRETXUID", False),
        ("1.2.3\n", False),
        ("١.٢", False),
    ],
)
def test_a_study_uid_that_is_none_is_left_out(study, uid, kept):
    found, notices = valid_study_uid(study(View.PA, study_uid=uid))
    assert found == (uid if kept else None)
    assert codes(notices) == ([] if kept else ["study_uid_invalid"])
    assert kept or uid not in notices[0].message


def test_images_that_the_gate_kept_from_the_models_are_numbered(study):
    whole = study(View.PA, View.UNKNOWN, View.AP)
    shown = Study("x", (whole.radiographs[1],))
    assert gate_notices(whole, whole) == []
    (notice,) = gate_notices(whole, shown)
    assert notice.code == "image_not_shown"
    assert "Image 1 and 3 of 3" in notice.message
