"""The original Janus code's own numbers: ids, pixels, features, logits and tokens must come out the same."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hilum.models.checkpoint import verify
from hilum.models.convert import convert
from hilum.models.janus import Reporter, load_reporter
from hilum.models.pixels import janus_input
from hilum.models.prompt import IMAGE_PLACEHOLDER, WITH_EXPERT, WITHOUT_EXPERT, Prompt

pytestmark = pytest.mark.shared
LAYOUTS = ("checkpoint", "checkpoint_sharded", "converted", "pickled")


@pytest.fixture(scope="module")
def fixture(shared: Path) -> Path:
    return shared / "fixtures" / "janus_original_tiny_a"


@pytest.fixture(scope="module")
def expected(fixture: Path) -> dict:
    return json.loads((fixture / "expected.json").read_text())


@pytest.fixture(scope="module")
def truth(fixture: Path) -> dict[str, torch.Tensor]:
    return load_file(fixture / "expected.safetensors")


@pytest.fixture(scope="module", params=LAYOUTS)
def reporter(request: pytest.FixtureRequest, fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Reporter:
    folder = fixture / request.param
    work = tmp_path_factory.mktemp("parity")
    if request.param == "converted":
        folder = work / "converted"
        convert(fixture / "checkpoint_sharded", folder)
        verify(folder)
    elif request.param == "pickled":
        source = work / "pickled"
        source.mkdir()
        for file in (fixture / "checkpoint").glob("*.json"):
            (source / file.name).write_bytes(file.read_bytes())
        torch.save(load_file(fixture / "checkpoint" / "model.safetensors"), source / "pytorch_model.bin")
        folder = work / "from_pickle"
        convert(source, folder)
    return load_reporter(folder, device="cpu")


def rgb(fixture: Path, expected: dict, image: str) -> np.ndarray:
    return np.asarray(Image.open(fixture / expected["images"][image]["file"]).convert("RGB"))


def test_prompts_are_the_authors_strings(expected: dict) -> None:
    assert expected["prompts"]["standard"] == WITHOUT_EXPERT
    names = "Lung Opacity, Pleural Effusion, Pleural Other, Pneumothorax, Support Devices"
    assert expected["prompts"]["expert"] == WITH_EXPERT.format(findings=names)


def test_every_case(reporter: Reporter, fixture: Path, expected: dict, truth: dict[str, torch.Tensor]) -> None:
    assert len(expected["cases"]) == 6
    for case in expected["cases"]:
        names = case["tensors"]
        pixels = janus_input(rgb(fixture, expected, case["image"]), reporter.image_transform)
        prompt = Prompt(f"{IMAGE_PLACEHOLDER}\n{case['prompt']}", ())
        assert reporter.render(prompt) == case["rendered_prompt"]
        ids = reporter.input_ids(prompt)
        assert ids == case["input_ids"] == truth[names["input_ids"]].tolist()
        torch.testing.assert_close(pixels, truth[names["pixel_values"]], atol=1e-5, rtol=0)
        tower, aligned = reporter.image_features(pixels[None])
        torch.testing.assert_close(tower[0], truth[names["vision_tower_output"]], atol=1e-3, rtol=0)
        torch.testing.assert_close(aligned[0], truth[names["aligner_output"]], atol=1e-3, rtol=0)
        with torch.inference_mode():
            logits = reporter.network(
                input_ids=torch.tensor([ids]), pixel_values=pixels[None], logits_to_keep=1
            ).logits[0, -1]
        torch.testing.assert_close(logits, truth[names["first_logits"]], atol=1e-3, rtol=0)
        written = reporter.generate_from([prompt], [[pixels]], max_new_tokens=32)[0]
        assert written.token_ids == case["generated_ids"]
        assert written.text == case["generated_text"]
        assert written.finish == "length"


def test_a_batch_of_different_lengths_gives_the_same_tokens(reporter: Reporter, fixture: Path, expected: dict) -> None:
    cases = expected["cases"]
    prompts = [Prompt(f"{IMAGE_PLACEHOLDER}\n{case['prompt']}", ()) for case in cases]
    pixels = [[janus_input(rgb(fixture, expected, case["image"]), reporter.image_transform)] for case in cases]
    assert len({len(reporter.input_ids(prompt)) for prompt in prompts}) > 1
    written = reporter.generate_from(prompts, pixels, max_new_tokens=32)
    assert [w.token_ids for w in written] == [case["generated_ids"] for case in cases]


def test_a_grey_radiograph_gives_the_same_pixels_as_its_rgb_picture(
    reporter: Reporter, fixture: Path, expected: dict, truth: dict[str, torch.Tensor]
) -> None:
    picture = rgb(fixture, expected, "crop_3")
    assert (picture[..., 0] == picture[..., 1]).all()
    assert (picture[..., 0] == picture[..., 2]).all()
    pixels = janus_input(picture[..., 0].astype(np.float32) / np.float32(255), reporter.image_transform)
    assert torch.equal(pixels, truth["image.crop_3.pixel_values"])
