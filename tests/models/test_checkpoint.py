"""`hilum.json`: what it holds, and what is refused."""

import json
from pathlib import Path
from typing import get_args

import pytest

from hilum.errors import CheckpointError, Reason
from hilum.models.checkpoint import (
    MANIFEST,
    CheckpointInfo,
    FindingSpec,
    ImageTransform,
    Thresholds,
    read_info,
    refuse_unsafe,
    verify,
    write_info,
)
from hilum.records import NAMES

INFO = CheckpointInfo(
    kind="reporter",
    name="test",
    version="1",
    prompt_version="hilum/1",
    image=ImageTransform(size=64),
    findings=(FindingSpec(name="Edema", assessed=True, n_positive=40, thresholds=Thresholds(inject=0.4)),),
    provenance={"seeds": [1, 2], "data": {"digest": "ab"}},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights.safetensors").write_bytes(b"x" * 10)
    write_info(tmp_path, INFO)
    return tmp_path


def test_the_finding_names_are_the_records_names() -> None:
    assert set(get_args(FindingSpec.model_fields["name"].annotation)) == set(NAMES)


def test_round_trip_and_verification(folder: Path) -> None:
    info = verify(folder)
    assert info == read_info(folder)
    assert info.model_copy(update={"files": {}}) == INFO
    assert list(info.files) == ["weights.safetensors"]
    assert json.loads((folder / MANIFEST).read_text())["schema"] == "hilum.checkpoint/1"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda f: (f / "weights.safetensors").write_bytes(b"y" * 10), r"altered: weights\.safetensors"),
        (lambda f: (f / "weights.safetensors").unlink(), r"missing: weights\.safetensors"),
        (lambda f: (f / "more.json").write_text("{}"), r"not listed: more\.json"),
        (lambda f: (f / "run.py").write_text("1"), r"run\.py"),
    ],
)
def test_faults_are_named(folder: Path, fault, words: str) -> None:
    fault(folder)
    with pytest.raises(CheckpointError, match=words):
        verify(folder)


def test_unknown_keys_wrong_versions_and_bad_values(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    for change, words in (
        ({"schema": "hilum.checkpoint/9"}, "schema"),
        ({"surprise": 1}, "surprise"),
        ({"findings": [{"name": "Edema", "assessed": True, "thresholds": {"inject": 1.5}}]}, "inject"),
        ({"findings": [{"name": "Oedema", "assessed": True}]}, "findings"),
    ):
        (folder / MANIFEST).write_text(json.dumps(raw | change))
        with pytest.raises(CheckpointError, match=words):
            read_info(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(CheckpointError) as caught:
        read_info(folder)
    assert caught.value.code is Reason.CHECKPOINT_MISSING


def test_a_finding_that_is_not_listed_is_not_assessed() -> None:
    assert INFO.finding("Edema").assessed
    assert not INFO.finding("Fracture").assessed


@pytest.mark.parametrize("name", ["a.bin", "a.PT", "a.pkl", "a.py", "a.npz", "a.so"])
def test_files_that_can_run_code_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        refuse_unsafe(tmp_path)
    assert caught.value.code is Reason.CHECKPOINT_UNSAFE
