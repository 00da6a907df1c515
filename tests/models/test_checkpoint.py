"""`hilum.json`: what it holds, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from hilum.errors import CheckpointError, Reason
from hilum.models import checkpoint
from hilum.models.checkpoint import (
    MANIFEST,
    Calibration,
    Capabilities,
    CheckpointInfo,
    FindingSpec,
    ImageTransform,
    Thresholds,
    read_for_loading,
    read_info,
    refuse_unsafe,
    verify,
    write_info,
)
from hilum.models.convert import convert
from hilum.models.expert import load_expert
from hilum.models.janus import load_reporter
from hilum.records import NAMES
from tiny_expert import write_expert

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


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def replace_by_link(file: Path, target: str) -> None:
    file.unlink()
    file.symlink_to(target)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda f: (f / "weights.safetensors").write_bytes(b"y" * 10), r"altered: weights\.safetensors"),
        (lambda f: (f / "weights.safetensors").unlink(), r"missing: weights\.safetensors"),
        (lambda f: (f / "more.json").write_text("{}"), r"not listed: more\.json"),
        (lambda f: (f / "run.py").write_text("1"), r"run\.py"),
        (lambda f: put(f / "sub" / "more.json", "{}"), r"not listed: sub/more\.json"),
        (lambda f: put(f / "sub" / "deep" / "evil.py", "1"), r"sub/deep/evil\.py"),
        (lambda f: put(f / "sub" / "evil.BIN", "1"), r"sub/evil\.BIN"),
        (lambda f: (f / "sub").symlink_to(f.parent, target_is_directory=True), "not listed: sub"),
        (lambda f: replace_by_link(f / "weights.safetensors", "nowhere"), r"altered: weights\.safetensors"),
        (lambda f: [put(f / f"{n}.json", "{}") for n in range(9)], r"0\.json, .*4\.json and 4 more"),
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


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_are_refused(folder: Path, number: float) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    calibration = {"slope": number, "intercept": 0, "site": "here", "n": 100}
    for change, words in (
        ({"findings": [{"name": "Edema", "assessed": True, "calibration": calibration}]}, "slope"),
        ({"image": {"size": 64, "mean": [0.5, 0.5, number]}}, "mean"),
        ({"capabilities": {"min_age_years": number}}, "min_age_years"),
    ):
        (folder / MANIFEST).write_text(json.dumps(raw | change))
        with pytest.raises(CheckpointError, match=words):
            read_info(folder)
    with pytest.raises(ValueError, match="finite"):
        Calibration(slope=number, intercept=0.0, site="here", n=100)
    with pytest.raises(ValueError, match="finite"):
        Capabilities(min_age_years=number)


def test_files_in_folders_within_are_listed_and_verified(folder: Path) -> None:
    put(folder / "tokenizer" / "merges.txt", "a b")
    assert list(write_info(folder, INFO).files) == ["tokenizer/merges.txt", "weights.safetensors"]
    verify(folder)
    (folder / "tokenizer" / "merges.txt").write_text("b a")
    with pytest.raises(CheckpointError, match=r"altered: tokenizer/merges\.txt"):
        verify(folder)


def test_hidden_files_are_let_be_unless_they_are_unsafe(folder: Path) -> None:
    for name in (".gitattributes", ".DS_Store", ".cache/huggingface/a.metadata"):
        put(folder / name, "")
    verify(folder)
    put(folder / ".cache" / "evil.py", "")
    with pytest.raises(CheckpointError, match=r"\.cache/evil\.py"):
        verify(folder)


# --- what loading checks


def test_loading_checks_small_files_and_leaves_large_ones_to_verify(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "config.json", "{}")
    info = write_info(folder, INFO)
    assert read_for_loading(folder) == info
    (folder / "weights.safetensors").write_bytes(b"y" * 10)
    with pytest.raises(CheckpointError, match=r"altered: weights\.safetensors") as caught:
        read_for_loading(folder)
    assert caught.value.code is Reason.CHECKPOINT_ALTERED
    monkeypatch.setattr(checkpoint, "HASHED_ON_LOAD", 9)
    assert read_for_loading(folder) == info
    with pytest.raises(CheckpointError, match="altered"):
        verify(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"altered: config\.json"):
        read_for_loading(folder)


def test_loading_refuses_what_would_be_read_but_is_not_listed(folder: Path) -> None:
    for harmless in (".DS_Store", "README.md"):
        (folder / harmless).write_text("")
    read_for_loading(folder)
    for name in ("chat_template.jinja", "processor_config.json", "model.safetensors"):
        (folder / name).write_text("")
        with pytest.raises(CheckpointError, match=f"not listed: {name}"):
            read_for_loading(folder)
        (folder / name).unlink()
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        read_for_loading(folder)


def test_a_manifest_without_hashes_has_nothing_to_be_checked_against(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(raw | {"files": {}}))
    assert read_for_loading(folder).files == {}


def test_weights_that_were_altered_do_not_speak(tiny_original: Path, tmp_path: Path) -> None:
    convert(tiny_original, tmp_path / "reporter")
    write_expert(tmp_path / "expert")
    for name, load in (("reporter", load_reporter), ("expert", load_expert)):
        load(tmp_path / name, device="cpu")
        weights = tmp_path / name / "model.safetensors"
        raw = bytearray(weights.read_bytes())
        raw[-1] ^= 1
        weights.write_bytes(bytes(raw))
        with pytest.raises(CheckpointError, match=r"altered: model\.safetensors") as caught:
            load(tmp_path / name, device="cpu")
        assert caught.value.code is Reason.CHECKPOINT_ALTERED


def test_a_checkpoint_of_links_is_read(folder: Path, tmp_path: Path) -> None:
    # the hub's cache stores a snapshot so
    linked = tmp_path / "snapshot"
    linked.mkdir()
    store = Path(shutil.copytree(folder, tmp_path / "store", ignore=shutil.ignore_patterns("snapshot")))
    for file in store.iterdir():
        (linked / file.name).symlink_to(file)
    assert verify(linked) == read_for_loading(linked)


def test_a_finding_that_is_not_listed_is_not_assessed() -> None:
    assert INFO.finding("Edema").assessed
    assert not INFO.finding("Fracture").assessed


@pytest.mark.parametrize("name", ["a.bin", "a.PT", "a.pkl", "a.py", "a.npz", "a.so"])
def test_files_that_can_run_code_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        refuse_unsafe(tmp_path)
    assert caught.value.code is Reason.CHECKPOINT_UNSAFE


@pytest.mark.parametrize("ref", ["x" * 300, "a\0b"])
def test_a_name_that_no_folder_can_have_is_a_missing_checkpoint(ref: str) -> None:
    from hilum.models.expert import load_expert
    from hilum.models.janus import load_reporter

    for load in (load_expert, load_reporter):
        with pytest.raises(CheckpointError) as raised:
            load(ref)
        assert raised.value.code is Reason.CHECKPOINT_MISSING
