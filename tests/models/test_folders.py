"""Opening folders: the three formats, and everything that is refused with a reason."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import JanusProcessor, LlamaConfig, PreTrainedTokenizerFast
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

from hilum.errors import CapabilityError, CheckpointError, Reason, UsageError
from hilum.models.checkpoint import CheckpointInfo, ImageTransform, read_info, verify, write_info
from hilum.models.convert import convert
from hilum.models.folders import open_folder
from hilum.models.janus import JanusReader, load_reporter
from hilum.models.pixels import janus_input
from hilum.models.prompt import WITHOUT_EXPERT
from hilum.records import Radiograph, Study
from original_format import TINY, write_original

# Laid out as transformers' converter writes it for Janus: roles with bars, the image before the text.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}<|User|>: {% else %}<|Assistant|>: {% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image_placeholder>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}\n\n{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|>:{% endif %}"
)


def study(seed: int = 3) -> Study:
    pixels = np.random.default_rng(seed).random((80, 101), dtype=np.float32)
    return Study("s", (Radiograph(pixels, "s"),))


def tokens(folder: Path) -> list[int]:
    reporter = load_reporter(folder, device="cpu")
    return reporter.generate([reporter.prompt(study(), ["Edema"])], max_new_tokens=16)[0].token_ids


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def edit(folder: Path, name: str, change) -> None:
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def test_converted_weights_give_the_same_tokens(tiny_original: Path, tmp_path: Path) -> None:
    info = convert(tiny_original, tmp_path / "out")
    assert info == read_info(tmp_path / "out") == verify(tmp_path / "out")
    assert info.provenance["source_format"] == "original"
    assert tokens(tmp_path / "out") == tokens(tiny_original)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]  # nothing half-written is left beside it


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_stored_precision_is_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    source = write_original(tmp_path / "source", dtype=dtype)
    convert(source, tmp_path / "out")
    for folder in (source, tmp_path / "out"):
        assert {p.dtype for p in load_reporter(folder, device="cpu").network.parameters()} == {dtype}
    as_float = load_reporter(source, device="cpu", precision="float32")
    assert {p.dtype for p in as_float.network.parameters()} == {torch.float32}


# What transformers of the 4.x and 5.x series write of a language model; every key the network is built from, and more.
FULL = {
    "4": {
        "_attn_implementation_autoset": True, "_name_or_path": "x", "architectures": ["LlamaForCausalLM"],
        "attention_bias": False, "attention_dropout": 0.0, "bad_words_ids": None, "bos_token_id": 1, "do_sample": False,
        "eos_token_id": 2, "finetuning_task": None, "head_dim": 12, "hidden_act": "silu", "id2label": {"0": "LABEL_0"},
        "initializer_range": 0.02, "is_decoder": False, "label2id": {"LABEL_0": 0}, "max_length": 20, "mlp_bias": False,
        "num_beams": 1, "pad_token_id": None, "pretraining_tp": 1, "pruned_heads": {}, "return_dict": True,
        "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 10000.0, "temperature": 1.0, "tf_legacy_loss": False,
        "tie_word_embeddings": False, "top_k": 50, "torch_dtype": "bfloat16", "torchscript": False, "use_cache": True,
    },
    "5": LlamaConfig(hidden_size=48, num_attention_heads=4).to_dict() | {"dtype": "bfloat16"},
}  # fmt: skip


@pytest.mark.parametrize("series", FULL)
def test_a_language_config_written_out_in_full(tiny_original: Path, tmp_path: Path, series: str) -> None:
    folder = copy(tiny_original, tmp_path / "full")
    edit(folder, "config.json", lambda c: c.update(language_config=FULL[series] | c["language_config"]))
    reporter = load_reporter(folder, device="cpu")
    text = reporter.network.config.text_config
    # the numbers in that config may be the class's defaults; the tokenizer knows
    assert (text.bos_token_id, text.eos_token_id) == (reporter.tokenizer.bos, reporter.tokenizer.eos)
    assert {p.dtype for p in reporter.network.parameters()} == {torch.float32}
    assert tokens(folder) == tokens(tiny_original)


def test_an_original_folder_may_carry_a_manifest(tiny_original: Path, tmp_path: Path) -> None:
    folder = copy(tiny_original, tmp_path / "described")
    info = CheckpointInfo(kind="reporter", name="described", version="1", image=ImageTransform(size=64))
    info = write_info(folder, info)
    opened = open_folder(folder)
    assert opened.format == "original"
    assert opened.info == info
    assert tokens(folder) == tokens(tiny_original)


def test_transformers_reads_a_converted_folder(tiny_original: Path, tmp_path: Path) -> None:
    convert(tiny_original, tmp_path / "out")
    theirs, report = JanusReader.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    ours = load_reporter(tmp_path / "out", device="cpu").network
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.fixture
def transformers_folder(tiny_original: Path, tmp_path: Path) -> Path:
    """A folder as transformers itself saves one: no hilum.json, chat template and processor config."""
    folder = tmp_path / "hf"
    reporter = load_reporter(tiny_original, device="cpu")
    reporter.network.save_pretrained(folder)
    names = reporter.tokenizer.names
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tiny_original / "tokenizer.json"),
        bos_token=names["bos_token"],
        eos_token=names["eos_token"],
        pad_token=names["pad_token"],
        extra_special_tokens={key: names[key] for key in ("image_token", "boi_token", "eoi_token")},
        add_bos_token=True,
    )
    pictures = JanusImageProcessorPil(size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    JanusProcessor(
        pictures, tokenizer, chat_template=CHAT_TEMPLATE, use_default_system_prompt=True, num_image_tokens=16
    ).save_pretrained(folder)
    return folder


def test_a_transformers_folder_is_asked_as_transformers_asks(transformers_folder: Path) -> None:
    reporter = load_reporter(transformers_folder, device="cpu")
    prompt = reporter.prompt(study(), None)
    processor = JanusProcessor.from_pretrained(transformers_folder)
    grey = np.rint(prompt.images[0].pixels * 255).astype(np.uint8)
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": WITHOUT_EXPERT}]}],
        add_generation_prompt=True,
    )
    theirs = processor(text=text, images=[Image.fromarray(grey).convert("RGB")], return_tensors="pt")
    assert reporter.input_ids(prompt) == theirs["input_ids"][0].tolist()
    ours = janus_input(prompt.images[0].pixels, reporter.image_transform)
    torch.testing.assert_close(ours, theirs["pixel_values"][0].float(), atol=1e-5, rtol=0)
    assert "<|User|>: <image_placeholder>\nGive" in reporter.render(prompt)


def test_without_a_chat_template_the_known_form_is_used(transformers_folder: Path) -> None:
    for name in ("chat_template.jinja", "chat_template.json"):
        (transformers_folder / name).unlink(missing_ok=True)
    text = load_reporter(transformers_folder, device="cpu").render(
        load_reporter(transformers_folder, device="cpu").prompt(study(), None)
    )
    assert text.endswith("<|Assistant|>:")
    assert text.startswith("You are a helpful")


def test_a_chat_template_runs_in_a_sandbox(transformers_folder: Path) -> None:
    (transformers_folder / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    reporter = load_reporter(transformers_folder, device="cpu")
    with pytest.raises(CheckpointError, match="chat template"):
        reporter.render(reporter.prompt(study(), None))


def test_a_transformers_folder_converts(transformers_folder: Path, tmp_path: Path) -> None:
    convert(transformers_folder, tmp_path / "out")
    assert tokens(tmp_path / "out") == tokens(transformers_folder)


def test_tied_weights_are_tied_when_no_head_is_stored(tiny_original: Path, tmp_path: Path) -> None:
    convert(tiny_original, tmp_path / "out")
    state = load_file(tmp_path / "out" / "model.safetensors")
    state.pop("lm_head.weight")
    save_file(state, tmp_path / "out" / "model.safetensors", {"format": "pt"})
    write_info(tmp_path / "out", read_info(tmp_path / "out"))
    network = load_reporter(tmp_path / "out", device="cpu").network
    assert network.lm_head.weight is network.model.language_model.embed_tokens.weight


def refused(folder: Path | str, reason: Reason, words: str, **options: object) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load_reporter(folder, device="cpu", **options)  # type: ignore[arg-type]
    assert caught.value.code is reason


def test_pickles_are_refused_and_converted(tiny_original: Path, tmp_path: Path) -> None:
    folder = copy(tiny_original, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    refused(folder, Reason.CHECKPOINT_UNSAFE, "models convert")
    convert(folder, tmp_path / "out")
    assert tokens(tmp_path / "out") == tokens(tiny_original)


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def unpickled(
    source: Path, target: Path, state: object, *, name: str = "pytorch_model.bin", zipped: bool = True
) -> Path:
    """A copy of an original folder with its weights in a pickle instead."""
    folder = copy(source, target)
    (folder / "model.safetensors").unlink(missing_ok=True)
    torch.save(state, folder / name, _use_new_zipfile_serialization=zipped)
    return folder


def test_pickles_beside_the_weights_are_left_alone(tiny_original: Path, tmp_path: Path) -> None:
    state = load_file(tiny_original / "model.safetensors")
    folder = unpickled(tiny_original, tmp_path / "trained", state)
    for name in ("training_args.bin", "optimizer.bin"):  # as Trainer and accelerate leave them
        torch.save({"a": _Payload(tmp_path / "ran")}, folder / name)
    info = convert(folder, tmp_path / "out")
    assert list(info.provenance["source_files"]) == ["pytorch_model.bin"]
    assert tokens(tmp_path / "out") == tokens(tiny_original)
    assert not (tmp_path / "ran").exists()
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match="no safetensors weights") as caught:
        convert(folder, tmp_path / "more")
    assert caught.value.code is Reason.CHECKPOINT_MISSING


def test_a_pickle_in_torch_s_old_format_is_converted(tiny_original: Path, tmp_path: Path) -> None:
    state = load_file(tiny_original / "model.safetensors")
    folder = unpickled(tiny_original, tmp_path / "old", state, zipped=False)
    convert(folder, tmp_path / "out")
    assert tokens(tmp_path / "out") == tokens(tiny_original)


def test_pickled_shards_are_those_of_their_index(tiny_original: Path, tmp_path: Path) -> None:
    state = load_file(tiny_original / "model.safetensors")
    names = sorted(state)
    halves = {f"pytorch_model-0000{n + 1}-of-00002.bin": names[n::2] for n in range(2)}
    folder = copy(tiny_original, tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    for file, part in halves.items():
        torch.save({name: state[name] for name in part}, folder / file)
    torch.save(state, folder / "pytorch_model.old.bin")
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    info = convert(folder, tmp_path / "out")
    assert list(info.provenance["source_files"]) == list(halves)
    assert tokens(tmp_path / "out") == tokens(tiny_original)
    for value in ({"a": "../evil.bin"}, {"a": 1}, ["x"]):
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": value}))
        with pytest.raises(CheckpointError, match=r"pytorch_model\.bin\.index\.json"):
            convert(folder, tmp_path / "more")
    (folder / "pytorch_model.bin.index.json").unlink()
    with pytest.raises(CheckpointError, match="stored twice"):  # which of them counts cannot be known
        convert(folder, tmp_path / "more")


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ({1: torch.ones(2)}, Reason.CHECKPOINT_MISMATCH, "other than named weights"),
        ([torch.ones(2)], Reason.CHECKPOINT_MISMATCH, "other than named weights"),
        (None, Reason.CHECKPOINT_INCOMPLETE, "cannot be read"),
    ],
)
def test_pickles_of_something_else(
    tiny_original: Path, tmp_path: Path, state: object, reason: Reason, words: str
) -> None:
    folder = unpickled(tiny_original, tmp_path / "source", state)
    if state is None:
        raw = (folder / "pytorch_model.bin").read_bytes()
        (folder / "pytorch_model.bin").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CheckpointError, match=words) as caught:
        convert(folder, tmp_path / "out")
    assert caught.value.code is reason


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_does_not_run(tiny_original: Path, tmp_path: Path, zipped: bool) -> None:
    folder = unpickled(tiny_original, tmp_path / "evil", {"a": _Payload(tmp_path / "ran")}, zipped=zipped)
    with pytest.raises(CheckpointError) as caught:
        convert(folder, tmp_path / "out")
    assert caught.value.code is Reason.CHECKPOINT_UNSAFE
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_an_altered_or_unsafe_checkpoint_of_ours(tiny_original: Path, tmp_path: Path) -> None:
    convert(tiny_original, tmp_path / "out")
    extra = copy(tmp_path / "out", tmp_path / "extra")
    (extra / "custom.py").write_text("print('hello')")
    refused(extra, Reason.CHECKPOINT_UNSAFE, r"custom\.py")
    changed = copy(tmp_path / "out", tmp_path / "changed")
    raw = bytearray((changed / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (changed / "model.safetensors").write_bytes(bytes(raw))
    with pytest.raises(CheckpointError, match=r"altered: model\.safetensors"):
        verify(changed)


def test_conversion_never_overwrites(tiny_original: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        convert(tiny_original, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["keep.txt"]


def test_broken_folders(tiny_original: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", Reason.CHECKPOINT_MISSING, "no such model folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", Reason.CHECKPOINT_MISSING, r"config\.json")
    cut = copy(tiny_original, tmp_path / "cut")
    raw = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    refused(cut, Reason.CHECKPOINT_INCOMPLETE, "fetch it anew")
    other = copy(tiny_original, tmp_path / "other")
    (other / "config.json").write_text('{"model_type": "bert"}')
    refused(other, Reason.CHECKPOINT_UNKNOWN, "bert")
    broken = copy(tiny_original, tmp_path / "broken")
    (broken / "config.json").write_text("{")
    refused(broken, Reason.CHECKPOINT_INCOMPLETE, "JSON")
    lost = copy(tiny_original, tmp_path / "lost")
    state = load_file(lost / "model.safetensors")
    del state["language_model.model.norm.weight"]
    save_file(state, lost / "model.safetensors")
    refused(lost, Reason.CHECKPOINT_INCOMPLETE, "1 missing")
    state["language_model.model.norm.weight"] = torch.ones(TINY["hidden"])
    state["language_model.extra"] = torch.ones(2)
    save_file(state, lost / "model.safetensors")
    refused(lost, Reason.CHECKPOINT_INCOMPLETE, "1 unexpected")
    shaped = copy(tiny_original, tmp_path / "shaped")
    edit(shaped, "config.json", lambda c: c["language_config"].update(intermediate_size=128))
    refused(shaped, Reason.CHECKPOINT_MISMATCH, "do not belong together")
    tower = copy(tiny_original, tmp_path / "tower")
    edit(tower, "config.json", lambda c: c["vision_config"]["params"].pop("width"))
    refused(tower, Reason.CHECKPOINT_MISMATCH, "not known")
    sharded = write_original(tmp_path / "sharded", shards=3)
    (sharded / "model-00002-of-00003.safetensors").unlink()
    refused(sharded, Reason.CHECKPOINT_INCOMPLETE, "00002")
    traversal = write_original(tmp_path / "traversal", shards=2)
    edit(traversal, "model.safetensors.index.json", lambda i: i["weight_map"].update(x="../../secret.safetensors"))
    refused(traversal, Reason.CHECKPOINT_INCOMPLETE, "secret")


def test_a_hub_id_is_never_fetched_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused("hilum-tests/no-such-model", Reason.DOWNLOAD_REFUSED, "--download")


def test_sizes_come_from_the_tower_name_when_not_given(tiny_original: Path, tmp_path: Path) -> None:
    folder = copy(tiny_original, tmp_path / "named")
    edit(
        folder, "config.json", lambda c: c.update(vision_config={"params": {"model_name": "siglip_large_patch16_384"}})
    )
    edit(folder, "preprocessor_config.json", lambda p: p.update(image_size=384))
    vision = open_folder(folder).config.vision_config
    assert (vision.hidden_size, vision.num_hidden_layers, vision.image_size, vision.num_image_tokens) == (
        1024,
        24,
        384,
        576,
    )


def test_devices_and_precisions(tiny_original: Path) -> None:
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        load_reporter(tiny_original, device="tpu")
    with pytest.raises(UsageError, match="bfloat16"):
        load_reporter(tiny_original, device="cpu", precision="int4")  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(CapabilityError, match="CUDA"):
            load_reporter(tiny_original, device="cuda")
