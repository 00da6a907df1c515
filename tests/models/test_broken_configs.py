"""Configs that are broken, or ask for what we do not do: one error that names the file and the fault."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from hilum.errors import CheckpointError, Reason
from hilum.models.checkpoint import MANIFEST
from hilum.models.convert import convert
from hilum.models.expert import load_expert
from hilum.models.janus import load_reporter
from hilum.models.prompt import SYSTEM_PROMPT
from original_format import write_original
from tiny_expert import write_expert

CONFIG, PICTURES, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
CODES = (Reason.CHECKPOINT_MISMATCH, Reason.CHECKPOINT_INCOMPLETE)


def put(folder: Path, name: str, path: str, value: object) -> None:
    """Set one value of a JSON file, at a path of keys with dots between them."""
    whole = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    *parents, last = path.split(".")
    part = whole
    for key in parents:
        part = part[key]
    part[last] = value
    (folder / name).write_text(json.dumps(whole))


def refused(folder: Path, file: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load_reporter(folder, device="cpu")
    assert caught.value.code in CODES
    assert str(folder / file) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.fixture
def original(tiny_original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_original, tmp_path / "original"))


@pytest.fixture
def transformers_folder(tiny_original: Path, tmp_path: Path) -> Path:
    """A folder as transformers would save it, without a hilum.json."""
    folder = tmp_path / "transformers"
    convert(tiny_original, folder)
    (folder / MANIFEST).unlink()
    return folder


@pytest.mark.parametrize(
    ("file", "path", "value", "words"),
    [
        (CONFIG, "vision_config", None, "vision_config"),
        (CONFIG, "vision_config.params", None, r"vision_config\.params"),
        (CONFIG, "vision_config.params.width", "abc", r"vision_config\.params\.width.*'abc'"),
        (CONFIG, "vision_config.params.image_size", [96, 96], r"params\.image_size.*\[96, 96\]"),
        (CONFIG, "vision_config.params.patch_size", 0, r"params\.patch_size"),
        (CONFIG, "vision_config.params.heads", 5, "divisible|multiple"),
        (CONFIG, "vision_config.params.mlp_ratio", float("nan"), "mlp_ratio"),
        (CONFIG, "aligner_config", None, "aligner_config"),
        (CONFIG, "aligner_config.params.depth", "deep", r"aligner_config\.params\.depth"),
        (CONFIG, "language_config", [1], "language_config"),
        (CONFIG, "language_config.hidden_size", "x", "hidden_size"),
        (CONFIG, "language_config.num_attention_heads", 5, "heads"),
        (CONFIG, "language_config.hidden_act", "nonsense", "nonsense"),
        (PICTURES, "image_mean", 0.5, r"image_mean.*0\.5"),
        (PICTURES, "image_std", [0.5, 0.0, 0.5], "image_std"),
        (PICTURES, "background_color", [127.5, 127, 127], r"background_color.*127\.5"),
        (PICTURES, "background_color", [127, 127, 300], "background_color"),
        (PICTURES, "image_size", [64, 64], "image_size"),
        (PICTURES, "image_size", 96, "96 px.*64 px"),
        (PICTURES, "rescale_factor", 1.0, "rescale_factor"),
    ],
)
def test_an_original_folder(original: Path, file: str, path: str, value: object, words: str) -> None:
    put(original, file, path, value)
    refused(original, file, words)


@pytest.mark.parametrize(
    ("file", "path", "value", "words"),
    [
        (CONFIG, "text_config", [1], "."),
        (CONFIG, "text_config.hidden_size", "x", "hidden_size"),
        (CONFIG, "vision_config.hidden_size", "x", "hidden_size"),
        (CONFIG, "vision_config.num_attention_heads", 5, "divisible|multiple"),
        (PICTURES, "image_mean", 0.5, "image_mean"),
        (PICTURES, "size", {"height": "tall"}, "size"),
        (PICTURES, "size", None, "size"),
        (PICTURES, "size", {"height": 96, "width": 96}, "96 px.*64 px"),
        (PICTURES, "do_normalize", False, "do_normalize"),
        (PICTURES, "rescale_factor", 1.0, "rescale_factor"),
        ("tokenizer_config.json", "chat_template", [{"name": "default", "template": "x"}], "chat_template"),
    ],
)
def test_a_transformers_folder(transformers_folder: Path, file: str, path: str, value: object, words: str) -> None:
    put(transformers_folder, file, path, value)
    refused(transformers_folder, file, words)


def test_what_transformers_itself_writes_of_pictures_is_taken(transformers_folder: Path) -> None:
    (transformers_folder / PICTURES).unlink()
    JanusImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(transformers_folder)
    assert load_reporter(transformers_folder, device="cpu").image_transform.mean[0] == pytest.approx(0.48145466)
    put(transformers_folder, PICTURES, "size", 64)
    assert load_reporter(transformers_folder, device="cpu").image_transform.size == 64


@pytest.mark.parametrize(
    "weight_map", [["model-00001-of-00002.safetensors"], {"a": 1}, {"a": {"file": "x"}}, {"a": None}, "x", None]
)
def test_an_index_of_another_shape(tmp_path: Path, weight_map: object) -> None:
    folder = write_original(tmp_path / "sharded", shards=2)
    index = "model.safetensors.index.json"
    put(folder, index, "weight_map", weight_map)
    refused(folder, index, "weight_map")
    (folder / index).write_text(json.dumps({"metadata": {}}))
    refused(folder, index, "weight_map")


def test_a_fused_weight_that_cannot_be_split(original: Path) -> None:
    state = load_file(original / "model.safetensors")
    state["vision_model.vision_tower.blocks.0.attn.qkv.bias"] = torch.ones(1)
    save_file(state, original / "model.safetensors")
    refused(original, "model.safetensors", "cannot be used")


@pytest.mark.parametrize("text", ["[" * 100_000, "\xff\xfe", "[1]"])
def test_a_file_that_is_no_json_object(original: Path, text: str) -> None:
    (original / CONFIG).write_bytes(text.encode("latin-1"))
    refused(original, CONFIG, "JSON")


def test_a_manifest_in_another_encoding(transformers_folder: Path) -> None:
    (transformers_folder / MANIFEST).write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(CheckpointError, match=re.escape(str(transformers_folder / MANIFEST))):
        load_reporter(transformers_folder, device="cpu")


@pytest.mark.parametrize(("key", "value"), [("hidden_act", "nonsense"), ("width_coefficient", "x")])
def test_an_expert(tmp_path: Path, key: str, value: object) -> None:
    folder = write_expert(tmp_path / "expert")
    put(folder, MANIFEST, "files", {})  # as if it had been written so
    put(folder, CONFIG, key, value)
    with pytest.raises(CheckpointError, match=re.escape(str(folder / CONFIG))) as caught:
        load_expert(folder)
    assert caught.value.code is Reason.CHECKPOINT_INCOMPLETE


# --- an original folder that asks for another prompt than the one we write


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sft_format", "plain"),
        ("sft_format", None),
        ("system_prompt", "You are a pirate."),
        ("system_prompt", ""),
        ("num_image_tokens", 576),
        ("num_image_tokens", "16"),
        ("image_tag", "<image>"),
        ("image_start_tag", "<img>"),
        ("image_end_tag", "</img>"),
        ("add_special_token", True),
    ],
)
def test_another_prompt_than_ours_is_refused(original: Path, key: str, value: object) -> None:
    put(original, PROCESSOR, key, value)
    refused(original, PROCESSOR, key)


def test_our_own_prompt_may_be_written_out(original: Path) -> None:
    for key, value in (
        ("sft_format", "deepseek"),
        ("system_prompt", SYSTEM_PROMPT),
        ("num_image_tokens", 16),
        ("image_start_tag", "<begin_of_image>"),
        ("image_end_tag", "<end_of_image>"),
        ("add_special_token", False),
        ("ignore_id", -1),
    ):
        put(original, PROCESSOR, key, value)
    assert load_reporter(original, device="cpu").image_tokens == 16
    (original / PROCESSOR).unlink()
    assert load_reporter(original, device="cpu").image_tokens == 16
