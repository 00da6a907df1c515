"""The JSON contract: complete, ordered, finite, ASCII, and as its schema says."""

import hashlib
import json
import math
import subprocess
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest

from hilum.errors import CheckpointError, FormatError, Reason
from hilum.records import NAMES, Assessment
from hilum.reporting import Failure, ReadResult
from hilum.reporting.result import digest_of, untested_maps


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(files("hilum.reporting").joinpath("read.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def document(*studies, failures=()):
    return json.loads(ReadResult(studies, tuple(failures)).to_json())


def test_the_document_follows_its_schema(validator, result):
    failure = Failure.of("x.dcm", FormatError("Not an image.", Reason.UNKNOWN_FORMAT))
    data = document(result, failures=[failure])
    assert list(validator.iter_errors(data)) == []
    assert list(validator.iter_errors(document())) == []
    # and the schema is no form that everything fits: a part that is missing, unknown or of another type is refused
    study = data["studies"][0]
    for part in (data, study, study["report"], study["findings"][0], study["timings_s"], data["failures"][0]):
        for name in set(part) - {"incomplete", "page", "gate"}:  # which documents of before lack
            value = part.pop(name)
            assert not validator.is_valid(data), f"{name} is missing"
            part[name] = ["of another type"]
            assert not validator.is_valid(data), f"{name} is a list of text"
            part[name] = value
        part["unknown"] = 1
        assert not validator.is_valid(data), sorted(part)
        del part["unknown"]
    assert validator.is_valid(data)


def test_keys_come_in_the_documented_order(result):
    data = document(result)
    assert list(data) == ["schema", "studies", "failures", "incomplete"]
    (study,) = data["studies"]
    assert list(study) == [
        "source", "study_uid", "radiographs", "findings", "findings_source", "report", "prompt", "models", "gate",
        "timings_s", "warnings", "page",
    ]  # fmt: skip
    assert list(study["radiographs"][0]) == ["file", "view", "height", "width", "spacing_mm", "warnings", "gate"]
    assert list(study["findings"][0]) == ["name", "score", "probability", "threshold", "present", "assessed"]
    assert list(study["report"]) == ["findings", "impression", "raw", "token_ids"]
    assert list(study["models"]) == ["expert", "reporter", "gate"]
    assert list(study["timings_s"]) == ["decode", "gate", "expert", "vision", "prefill", "generate", "total"]
    assert study["gate"] == {"outcome": "pass", "forced": False}
    assert [f["name"] for f in study["findings"]] == list(NAMES)


def test_paths_and_text_survive_whatever_they_hold(result):
    text = ReadResult((result,), ()).to_json()
    assert text.isascii()
    source = json.loads(text)["studies"][0]["source"]
    # a byte of a path that is no UTF-8 is written out: a lone surrogate is no character, and strict parsers refuse it
    assert source == result.source.replace("\udcff", r"\udcff")
    source.encode("utf-8")
    failure = Failure("a\udcff\U0001f600.png", Reason.NOT_FOUND, "a\udcff is gone")
    (failed,) = document(failures=[failure])["failures"]
    assert failed == {"source": "a\\udcff\U0001f600.png", "code": "not_found", "message": r"a\udcff is gone"}


def test_the_page_and_an_early_end_are_in_the_document(validator, result):
    data = document(replace(result, page="study-0001-ab.html"))
    validator.validate(data)
    assert data["studies"][0]["page"] == "study-0001-ab.html"
    assert (document(result)["studies"][0]["page"], data["incomplete"]) == (None, False)
    stopped = json.loads(ReadResult((result,), (), incomplete=True).to_json())
    validator.validate(stopped)
    assert stopped["incomplete"] is True


def test_documents_of_before_still_follow_the_schema(validator, result):
    data = document(result)
    assert data["incomplete"] is False
    assert data["studies"][0]["page"] is None
    (study,) = data["studies"]
    del data["incomplete"], study["page"], study["gate"], study["models"]["gate"], study["timings_s"]["gate"]
    for image in study["radiographs"]:
        del image["gate"]
    assert list(validator.iter_errors(data)) == []
    # where they stand they are what they were
    assert not validator.is_valid(data | {"incomplete": None})
    assert not validator.is_valid(data | {"studies": [data["studies"][0] | {"page": 1}]})


def test_unassessed_findings_are_null_and_the_schema_holds_to_it(validator, result):
    data = document(result)
    finding = next(f for f in data["studies"][0]["findings"] if not f["assessed"])
    assert (finding["score"], finding["probability"], finding["present"]) == (None, None, None)
    finding["present"] = False
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(data)


def test_the_schema_asks_for_the_banner_on_every_draft(validator, result):
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(document(replace(result, warnings=result.warnings[1:])))


def test_numbers_json_cannot_hold_are_refused(result):
    bad = tuple(replace(f, score=math.nan) if f.name == "Edema" else f for f in result.findings)
    with pytest.raises(ValueError, match="Edema"):
        replace(result, findings=bad)
    with pytest.raises(ValueError, match="all 14"):
        replace(result, findings=(Assessment.unassessed("Edema"),))


def test_a_failure_carries_its_reason():
    failure = Failure.of("a.dcm", CheckpointError("gone", Reason.CHECKPOINT_MISSING))
    assert failure.as_dict() == {"source": "a.dcm", "code": "checkpoint_missing", "message": "gone"}


def test_digest_is_what_sha256sum_gives(tmp_path):
    for name, content in (("b.json", b"{}"), ("a.bin", b"\x00\x01")):
        (tmp_path / name).write_bytes(content)
    digests = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir()}
    shell = subprocess.run(
        "sha256sum a.bin b.json | sha256sum", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert digest_of(digests) == shell.stdout.split()[0]
    assert digest_of({}) is None


def test_heat_maps_that_passed_no_test_are_named():
    (all_of_them,) = untested_maps({"Edema", "Pneumonia"}, ())
    assert all_of_them.code == "heatmaps_untested"
    assert all_of_them.message.startswith("The expert's heat maps have not passed")
    (some,) = untested_maps({"Edema", "Pneumonia"}, ("Edema",))
    assert "heat maps of Pneumonia have not passed" in some.message
    assert untested_maps({"Edema"}, ("Edema", "Fracture")) == []
    assert untested_maps(set(), ()) == []
