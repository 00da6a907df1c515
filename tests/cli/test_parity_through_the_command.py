"""`hilum read` on a picture gives the tokens that the original Janus code gives, before and after conversion."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hilum.cli import app

pytestmark = pytest.mark.shared
FINDINGS = "Lung Opacity, Pleural Effusion, Pleural Other, Pneumothorax, Support Devices"


def hilum(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_tokens(shared: Path, tmp_path: Path) -> None:
    fixture = shared / "fixtures" / "janus_original_tiny_a"
    cases = {case["id"]: case for case in json.loads((fixture / "expected.json").read_text())["cases"]}
    hilum("models", "convert", fixture / "checkpoint", tmp_path / "converted")
    hilum("models", "verify", tmp_path / "converted")
    picture = fixture / "images" / "3_crop_700x1000.png"
    for model in (fixture / "checkpoint", fixture / "checkpoint_sharded", tmp_path / "converted"):
        for options, case in (
            (["--findings", FINDINGS], cases["crop_3.expert"]),
            (["--no-expert"], cases["crop_3.standard"]),
        ):
            document = json.loads(
                hilum(
                    "read", picture, "--model", model, *options, "--max-new-tokens", "32", "--format", "json", "--force"
                )
            )
            (study,) = document["studies"]
            assert study["report"]["token_ids"] == case["generated_ids"]
            assert study["report"]["raw"] == case["generated_text"]
            assert study["prompt"] == case["rendered_prompt"]
