"""Opening a model folder of any of the three formats a reporter comes in: ours, Hugging Face's, DeepSeek's original.

After this file nothing needs to know which it was: a `Folder` has transformers' config, a tokenizer, what the
checkpoint says of itself, and an iterator over its weights under transformers' names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from safetensors import SafetensorError, safe_open
from transformers.models.janus.configuration_janus import JanusConfig, JanusVisionConfig
from transformers.models.llama.configuration_llama import LlamaConfig

from hilum.errors import CheckpointError, Reason
from hilum.models import original
from hilum.models.checkpoint import (
    MANIFEST,
    STARTERS,
    CheckpointInfo,
    ForeignConfig,
    config_errors,
    is_folder,
    read_for_loading,
)
from hilum.models.pictures import PICTURES, OriginalPictures, TransformersPictures
from hilum.models.prompt import IMAGE_PLACEHOLDER, SYSTEM_PROMPT
from hilum.models.tokens import JanusTokenizer, read_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt"]
PICKLES = "pytorch_model*.bin"
"""Pickled weights. Other `.bin` files (Trainer's `training_args.bin`, an optimiser's state) are none."""
_GENERATION = re.compile(r"model\.(vqmodel|generation_)")

Format = Literal["hilum", "transformers", "original"]


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A folder's own chat template (Jinja), run in a sandbox: a template is data from elsewhere.

    Attributes:
        source: the template.
        system_prompt: whether transformers' `JanusProcessor` would put its default system prompt before the text.
    """

    source: str
    system_prompt: bool

    def render(self, content: str) -> str:
        """The conversation up to where the assistant starts to write."""
        parts: list[dict[str, str]] = []
        for index, piece in enumerate(content.split(IMAGE_PLACEHOLDER)):
            if index:
                parts.append({"type": "image"})
                piece = piece.removeprefix("\n")  # templates break the line after an image themselves
            if piece:
                parts.append({"type": "text", "text": piece})
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        try:
            text = environment.from_string(self.source).render(
                messages=[{"role": "user", "content": parts}], add_generation_prompt=True
            )
        except Exception as error:  # jinja's own errors, and whatever the expressions of a template raise
            raise CheckpointError(
                f"The folder's chat template cannot be used ({error}); mend or remove chat_template.jinja.",
                Reason.CHECKPOINT_UNSAFE if isinstance(error, SecurityError) else Reason.CHECKPOINT_MISMATCH,
            ) from None
        return f"{SYSTEM_PROMPT}\n\n{text}" if self.system_prompt else str(text)


@dataclass(frozen=True, slots=True)
class Folder:
    """An opened checkpoint folder.

    Attributes:
        path: where it lies.
        format: which of the three it is.
        config: transformers' `JanusConfig`.
        info: what it says of itself; made from its configs where there is no `hilum.json`.
        tokenizer: text to ids.
        chat_template: its own way to write a conversation, if it has one.
    """

    path: Path
    format: Format
    config: Any
    info: CheckpointInfo
    tokenizer: JanusTokenizer
    chat_template: ChatTemplate | None


def resolve(ref: str | Path, *, download: bool = False, pickles: bool = False) -> Path:
    """The folder a reference means: a path, "starter", or a hub id.

    Args:
        ref: the reference.
        download: allow fetching a hub id.
        pickles: fetch pickled weights too (for conversion only).

    A hub id that is already in the local cache is used from there; anything else is fetched only with `download`.

    Raises:
        CheckpointError: no such folder; a download is needed and not allowed, or it failed.
    """
    if str(ref) == "starter":
        return STARTERS / "reporter"
    path = Path(ref).expanduser()
    if is_folder(path):
        # a link, as a shelf's `current`, may lead elsewhere a moment later: one model's files, not two models'
        return path.resolve() if path.is_symlink() else path
    if not _HUB_ID.fullmatch(str(ref)) or path.exists():
        raise CheckpointError(
            f"{ref}: no such model folder; expected a folder, 'starter', or a hub id such as "
            "ZrH42/Janus-Pro-CXR-Final.",
            Reason.CHECKPOINT_MISSING,
        )
    from huggingface_hub import snapshot_download

    files = [*_HUB_FILES, PICKLES] if pickles else _HUB_FILES
    if not download:
        try:
            return Path(snapshot_download(str(ref), allow_patterns=files, local_files_only=True))
        except Exception:  # whatever the reason, it is not here
            raise CheckpointError(
                f"{ref} is neither a folder nor on this machine. Hilum never downloads silently: give --download "
                "(download=True) to fetch it from the Hugging Face hub, or the path of a folder.",
                Reason.DOWNLOAD_REFUSED,
            ) from None
    try:
        return Path(snapshot_download(str(ref), allow_patterns=files))
    except Exception as error:
        raise CheckpointError(
            f"{ref} could not be downloaded: {type(error).__name__}. Check the name and the connection, or fetch it by "
            "other means and give the folder.",
            Reason.DOWNLOAD_FAILED,
        ) from error


def open_folder(ref: str | Path, *, download: bool = False) -> Folder:
    """Open a reporter's folder, whichever format it has; weights are not read yet.

    Raises:
        CheckpointError: see `resolve`; or the folder holds no Janus, only pickled weights, broken configs, or other
            files than its `hilum.json` lists.
    """
    path = resolve(ref, download=download)
    raw = read_json(path / "config.json")
    if not raw:
        raise CheckpointError(
            f"{path} has no config.json; expected a Janus checkpoint folder.", Reason.CHECKPOINT_MISSING
        )
    info = read_for_loading(path) if (path / MANIFEST).is_file() else None
    if info is not None and info.kind != "reporter":
        raise CheckpointError(f"{path} is of kind {info.kind}, not a reporter.", Reason.CHECKPOINT_MISMATCH)
    weight_files(path)  # refuses pickles before anything else is opened
    tokenizer = JanusTokenizer.from_folder(path)
    if original.is_original(raw):
        with config_errors(path / "config.json"):
            config = _original_config(path, raw, tokenizer)
        folder = Folder(path, "original", config, info or _original_info(path), tokenizer, None)
    elif raw.get("model_type") == "janus":
        with config_errors(path / "config.json"):
            config = JanusConfig.from_pretrained(path)
        # What the file holds decides: transformers ties by default, Janus-Pro has a head of its own.
        config.tie_word_embeddings = not any(name == "lm_head.weight" for name, _ in _index(path))
        format_: Format = "hilum" if info else "transformers"
        folder = Folder(path, format_, config, info or _transformers_info(path), tokenizer, _chat_template(path))
    else:
        raise CheckpointError(
            f"{path} holds a model of type {raw.get('model_type')!r}; expected 'janus' (transformers) or "
            "'multi_modality' (DeepSeek's original format).",
            Reason.CHECKPOINT_UNKNOWN,
        )
    picture, side = folder.info.image, config.vision_config.image_size
    if picture is not None and picture.size != side:
        raise CheckpointError(
            f"{path / (MANIFEST if info else PICTURES)}: pictures are prepared at {picture.size} px but the vision "
            f"tower of config.json takes {side} px.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return folder


class _Index(ForeignConfig):
    """An index of sharded weights."""

    weight_map: dict[str, str]


def shards(index: Path) -> list[Path]:
    """The files an index names; none where there is no index.

    Raises:
        CheckpointError: it is no index, or names a file that does not lie beside it.
    """
    raw = read_json(index)
    if not raw:
        return []
    with config_errors(index):
        names = sorted(set(_Index.model_validate(raw).weight_map.values()))
    if bad := [name for name in names if Path(name).name != name or not (index.parent / name).is_file()]:
        raise CheckpointError(
            f"{index} names {bad[0]}, which does not lie beside it; fetch the missing file.",
            Reason.CHECKPOINT_INCOMPLETE,
        )
    return [index.parent / name for name in names]


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a folder; the shards its index names where there is an index.

    Raises:
        CheckpointError: there are none (only pickles, say), or a shard is missing.
    """
    if files := shards(path / "model.safetensors.index.json") or sorted(path.glob("*.safetensors")):
        return files
    if pickles := sorted(p.name for p in path.glob(PICKLES)):
        raise CheckpointError(
            f"{path} has no safetensors weights, only {pickles[0]}, a pickle that can run code when opened. Convert it "
            "once with `hilum models convert IN OUT`.",
            Reason.CHECKPOINT_UNSAFE,
        )
    raise CheckpointError(f"{path} has no safetensors weights.", Reason.CHECKPOINT_MISSING)


def _index(path: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of every stored tensor, in file order."""
    for file in weight_files(path):
        try:
            with safe_open(file, framework="pt") as handle:
                names = list(handle.keys())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{file} is no complete safetensors file ({error}); fetch it anew.", Reason.CHECKPOINT_INCOMPLETE
            ) from None
        yield from ((name, file) for name in names)


def weights(folder: Folder) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight of the understanding path under transformers' name, one at a time.

    Each is a view of the file, valid until the next: the file is opened for every tensor, because one long-lived
    mapping would count every page read so far as memory in use.
    """
    dropped = original.DROPPED if folder.format == "original" else _GENERATION
    for name, file in _index(folder.path):
        if dropped.match(name):
            continue
        with safe_open(file, framework="pt") as handle:
            with config_errors(file):  # a weight of another shape cannot be taken apart
                tensor = handle.get_tensor(name)
                found = list(original.rename(name, tensor)) if folder.format == "original" else [(name, tensor)]
            yield from found


def _original_config(path: Path, raw: dict[str, Any], tokenizer: JanusTokenizer) -> Any:
    """Transformers' config for an original folder, built from its parts (its own reader gives default sizes)."""
    file = path / "config.json"
    parts = original.OriginalConfig.model_validate(raw)
    language = {
        k: v for k, v in parts.language_config.items() if k not in ("torch_dtype", "dtype", "_attn_implementation")
    }
    if language.get("model_type") != "llama":
        raise CheckpointError(
            f"{file}: the language model is {language.get('model_type')!r}, expected 'llama'.",
            Reason.CHECKPOINT_MISMATCH,
        )
    # A config written out in full has these too, often as the class's defaults: the tokenizer knows better.
    language |= {"bos_token_id": tokenizer.bos, "eos_token_id": tokenizer.eos, "pad_token_id": tokenizer.pad}
    aligner = parts.aligner_config.params
    text = LlamaConfig(**language)
    vision = JanusVisionConfig(
        **original.tower_sizes(file, parts.vision_config.params),
        projection_dim=aligner.n_embed or text.hidden_size,
        depth=aligner.depth,
    )
    _refuse_other_prompts(path / "processor_config.json", vision.num_image_tokens, tokenizer)
    return JanusConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.image,
        tie_word_embeddings=False,
        architectures=["JanusForConditionalGeneration"],
    )


def _refuse_other_prompts(file: Path, image_tokens: int, tokenizer: JanusTokenizer) -> None:
    """Refuse an original folder whose `VLChatProcessor` is told to write another prompt than we do.

    What it does not say has the original class's default, which is ours. A `system_prompt` is no key of the
    original's, whose words are fixed: who writes other ones there means a prompt that we do not know.
    """
    ours = {
        "sft_format": "deepseek",
        "system_prompt": SYSTEM_PROMPT,
        "num_image_tokens": image_tokens,
        "image_tag": tokenizer.names["image_token"],
        "image_start_tag": tokenizer.names["boi_token"],
        "image_end_tag": tokenizer.names["eoi_token"],
        "add_special_token": False,
    }
    for key, theirs in read_json(file).items():
        if key in ours and theirs != ours[key]:
            raise CheckpointError(
                f"{file}: {key} is {theirs!r:.80}, expected {ours[key]!r:.80}. The prompt would not be the one this "
                "checkpoint was trained with.",
                Reason.CHECKPOINT_MISMATCH,
            )


def _original_info(path: Path) -> CheckpointInfo:
    """What an original folder says of itself, with the preprocessing of the original code."""
    with config_errors(path / PICTURES):
        image = OriginalPictures.model_validate(read_json(path / PICTURES)).transform()
    return CheckpointInfo(
        kind="reporter",
        name=path.resolve().name,
        version="original format",
        prompt_version="janus-pro-cxr/1",
        conversation="deepseek",
        image=image,
        licence="see the publisher",
    )


def _transformers_info(path: Path) -> CheckpointInfo:
    """What a Hugging Face folder says of itself, with the preprocessing of transformers' Janus processor."""
    with config_errors(path / PICTURES):
        raw = read_json(path / PICTURES) or read_json(path / "processor_config.json").get("image_processor", {})
        image = TransformersPictures.model_validate(raw).transform()
    return CheckpointInfo(
        kind="reporter",
        name=path.resolve().name,
        version="Hugging Face format",
        prompt_version="janus-pro-cxr/1",
        conversation="chat_template",
        image=image,
        licence="see the publisher",
    )


def _chat_template(path: Path) -> ChatTemplate | None:
    """The folder's chat template: a file of its own, or a key of the processor's or tokenizer's config."""
    file = path / "chat_template.jinja"
    with config_errors(file):
        source: Any = file.read_text(encoding="utf-8") if file.is_file() else None
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        if not source:
            file = path / name
            source = read_json(file).get("chat_template")
    if not source:
        return None
    if not isinstance(source, str):
        raise CheckpointError(
            f"{file}: chat_template is a {type(source).__name__}, expected one template as text.",
            Reason.CHECKPOINT_MISMATCH,
        )
    return ChatTemplate(source, bool(read_json(path / "processor_config.json").get("use_default_system_prompt", False)))
