"""`hilum models`: what is bundled, what a checkpoint says, whether it is whole."""

import json
import re
import shutil

import pytest

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


def test_show_and_verify_take_the_same_references(hilum, tiny_original, expert, monkeypatch):
    shown, verified = hilum("models", "show", "starter"), hilum("models", "verify", "starter")
    assert (shown.status, verified.status) == (0, 0)
    for manifest in STARTERS.glob("*/hilum.json"):
        info = read_info(manifest.parent)
        assert f"{info.name} {info.version}" in shown.out
        assert f"{info.name} {info.version}: all {len(info.files)} files" in verified.out
    monkeypatch.setenv("HOME", str(expert.parent))
    for command in ("show", "verify"):
        assert hilum("models", command, f"~/{expert.name}").status == 0
        assert "no such model folder" in hilum("models", command, "nowhere").err
        assert "--download" in hilum("models", command, "hilum-tests/no-such-model").err
    assert "hilum.json" in hilum("models", "verify", tiny_original).err  # nothing to verify it against


def test_verify_finds_what_was_planted_in_a_folder_within(hilum, expert, tmp_path):
    folder = shutil.copytree(expert, tmp_path / "planted")
    (folder / "sub").mkdir()
    (folder / "sub" / "evil.py").write_text("")
    done = hilum("models", "verify", folder)
    assert (done.status, done.out) == (1, "")
    assert "sub/evil.py" in done.err


@pytest.mark.parametrize("command", [["show"], ["show", "--json"], ["verify"]])
def test_a_checkpoint_cannot_steer_the_terminal(hilum, expert, tmp_path, command):
    folder = shutil.copytree(expert, tmp_path / "evil")
    manifest = json.loads((folder / "hilum.json").read_text())
    evil = "x\x1b]0;pwned\x07\x9b31m\u202e"
    manifest |= {"name": evil, "version": evil, "licence": evil, "provenance": {evil: evil}}
    manifest["findings"][0]["reason"] = evil
    manifest["capabilities"]["language"] = evil
    (folder / "hilum.json").write_text(json.dumps(manifest))
    done = hilum("models", *command, folder)
    assert done.status == 0
    assert "pwned" in done.out
    assert not set("\x1b\x07\x9b\u202e") & set(done.out + done.err)
    if "--json" in command:
        assert json.loads(done.out)["name"] == evil


def test_convert_shows_no_control_characters_either(hilum, tiny_original, tmp_path):
    source = shutil.copytree(tiny_original, tmp_path / "a\x1b]0;pwned\x07")
    done = hilum("models", "convert", source, tmp_path / "b\x1b[31m")
    assert done.status == 0
    assert "pwned" in done.out
    assert "\x1b" not in done.out + done.err


def test_show_tells_every_capability(hilum, tiny_original):
    lines = dict(line[2:].split(maxsplit=1) for line in hilum("models", "show", tiny_original).out.splitlines()[1:])
    assert lines["language"] == "en"
    assert lines["indication"] == "not stated"


def test_show_tells_that_no_heat_map_passed_a_test(hilum, expert):
    assert "heat maps point    not tested, or not passed" in hilum("models", "show", expert).out


def test_show_tells_what_a_gate_recognises_and_from_which_score_on(hilum):
    shown = hilum("models", "show", STARTERS / "gate").out
    assert "looks at features of hilum-starter-expert, weights sha256 " in shown
    assert re.search(r"^  mirrored +0\.\d\d +-$", shown, flags=re.MULTILINE)
    assert re.search(r"^  child +- +-$", shown, flags=re.MULTILINE)


def test_several_models_are_one_json_list(hilum):
    shown = json.loads(hilum("models", "show", "starter", "--json").out)
    assert [info["kind"] for info in shown] == ["expert", "gate", "reporter"]
