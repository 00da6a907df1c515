"""`hilum models`: what is bundled, what a checkpoint says, whether it is whole."""

import json

from hilum.models.checkpoint import STARTERS, read_info


def test_list_names_every_bundled_model(hilum):
    done = hilum("models", "list")
    assert done.status == 0
    for manifest in STARTERS.glob("*/hilum.json"):
        info = read_info(manifest.parent)
        assert f"{info.name} {info.version}" in done.out


def test_show_tells_findings_thresholds_and_what_is_not_assessed(hilum, expert):
    done = hilum("models", "show", expert)
    assert done.status == 0
    assert "tiny-expert 0" in done.out
    assert "for demonstration only" in done.out
    lines = {line[:28].strip(): line[30:].strip() for line in done.out.splitlines()}
    assert lines["Cardiomegaly"].split() == ["0.00", "-", "no"]
    assert lines["Fracture"] == "not assessed: for the test"
    assert json.loads(hilum("models", "show", expert, "--json").out) == json.loads((expert / "hilum.json").read_text())


def test_show_reads_foreign_folders_too(hilum, tiny_original):
    done = hilum("models", "show", tiny_original)
    assert "tiny original format" in done.out
    assert "janus-pro-cxr/1" in done.out


def test_verify_finds_what_was_altered(hilum, expert, tmp_path):
    assert "all 2 files are as listed" in hilum("models", "verify", expert).out
    for path in expert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text("{}")
    done = hilum("models", "verify", tmp_path)
    assert (done.status, done.out) == (1, "")
    assert "altered: config.json" in done.err


def test_convert_gives_a_folder_that_reads(hilum, tiny_original, tmp_path):
    done = hilum("models", "convert", tiny_original, tmp_path / "new")
    assert done.status == 0
    assert f"--model {tmp_path / 'new'}" in done.out
    assert hilum("models", "verify", tmp_path / "new").status == 0
    again = hilum("models", "convert", tiny_original, tmp_path / "new")
    assert again.status == 2
    assert "not empty" in again.err
