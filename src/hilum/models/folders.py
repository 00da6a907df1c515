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
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from safetensors import SafetensorError, safe_open
from transformers.models.janus.configuration_janus import JanusConfig, JanusVisionConfig
from transformers.models.llama.configuration_llama import LlamaConfig

from hilum.errors import CheckpointError, Reason
from hilum.models import original
from hilum.models.checkpoint import MANIFEST, STARTERS, CheckpointInfo, ImageTransform, read_info, refuse_unsafe
from hilum.models.prompt import IMAGE_PLACEHOLDER, SYSTEM_PROMPT
from hilum.models.tokens import JanusTokenizer, read_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt"]
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
        except TemplateError as error:
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
    if path.is_dir():
        return path
    if path.exists() or not _HUB_ID.fullmatch(str(ref)):
        raise CheckpointError(
            f"{ref}: no such model folder; expected a folder, 'starter', or a hub id such as "
            "ZrH42/Janus-Pro-CXR-Final.",
            Reason.CHECKPOINT_MISSING,
        )
    from huggingface_hub import snapshot_download

    files = [*_HUB_FILES, "*.bin"] if pickles else _HUB_FILES
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
        CheckpointError: see `resolve`; or the folder holds no Janus, only pickled weights, or broken configs.
    """
    path = resolve(ref, download=download)
    raw = read_json(path / "config.json")
    if not raw:
        raise CheckpointError(
            f"{path} has no config.json; expected a Janus checkpoint folder.", Reason.CHECKPOINT_MISSING
        )
    if (path / MANIFEST).is_file():
        refuse_unsafe(path)
        info = read_info(path)
        if info.kind != "reporter":
            raise CheckpointError(f"{path} is an {info.kind}, not a reporter.", Reason.CHECKPOINT_MISMATCH)
    else:
        info = None
    weight_files(path)  # refuses pickles before anything else is opened
    tokenizer = JanusTokenizer.from_folder(path)
    if original.is_original(raw):
        return Folder(path, "original", _original_config(path, raw, tokenizer), _original_info(path), tokenizer, None)
    if raw.get("model_type") != "janus":
        raise CheckpointError(
            f"{path} holds a model of type {raw.get('model_type')!r}; expected 'janus' (transformers) or "
            "'multi_modality' (DeepSeek's original format).",
            Reason.CHECKPOINT_UNKNOWN,
        )
    config = JanusConfig.from_pretrained(path)
    # What the file holds decides: transformers ties by default, Janus-Pro has a head of its own.
    config.tie_word_embeddings = not any(name == "lm_head.weight" for name, _ in _index(path))
    info = info or _transformers_info(path, config)
    return Folder(path, "hilum" if (path / MANIFEST).is_file() else "transformers", config, info, tokenizer,
                  _chat_template(path))  # fmt: skip


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a folder; the shards its index names where there is an index.

    Raises:
        CheckpointError: there are none (only pickles, say), or a shard is missing.
    """
    index = read_json(path / "model.safetensors.index.json")
    if index:
        names = sorted(set(index.get("weight_map", {}).values()))
        if bad := [name for name in names if Path(name).name != name or not (path / name).is_file()]:
            raise CheckpointError(
                f"{path}: its index names {bad[0]}, which is not there; fetch the missing file.",
                Reason.CHECKPOINT_INCOMPLETE,
            )
        return [path / name for name in names]
    files = sorted(path.glob("*.safetensors"))
    if not files:
        pickles = sorted(p.name for p in path.glob("*.bin"))
        raise CheckpointError(
            f"{path} has no safetensors weights"
            + (f", only {pickles[0]}, a pickle that can run code when opened. Convert it once with "
               "`hilum models convert IN OUT`." if pickles else "."),
            Reason.CHECKPOINT_UNSAFE if pickles else Reason.CHECKPOINT_MISSING,
        )  # fmt: skip
    return files


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
            tensor = handle.get_tensor(name)
            if folder.format == "original":
                yield from original.rename(name, tensor)
            else:
                yield name, tensor


def _original_config(path: Path, raw: dict[str, Any], tokenizer: JanusTokenizer) -> Any:
    """Transformers' config for an original folder, built from its parts (its own reader gives default sizes)."""
    language = dict(raw.get("language_config", {}))
    language.pop("torch_dtype", None)
    language.pop("_attn_implementation", None)
    if language.get("model_type") != "llama":
        raise CheckpointError(
            f"{path}: the language model is {language.get('model_type')!r}, expected 'llama'.",
            Reason.CHECKPOINT_MISMATCH,
        )
    aligner = raw.get("aligner_config", {}).get("params", {})
    if aligner.get("projector_type", "mlp_gelu") != "mlp_gelu":
        raise CheckpointError(
            f"{path}: the aligner is {aligner['projector_type']!r}, expected 'mlp_gelu'.", Reason.CHECKPOINT_MISMATCH
        )
    text = LlamaConfig(**language, bos_token_id=tokenizer.bos, eos_token_id=tokenizer.eos, pad_token_id=tokenizer.pad)
    vision = JanusVisionConfig(
        **original.tower_sizes(raw.get("vision_config", {}).get("params", {})),
        projection_dim=int(aligner.get("n_embed", text.hidden_size)),
        depth=int(aligner.get("depth", 2)),
    )
    return JanusConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.image,
        tie_word_embeddings=False,
        architectures=["JanusForConditionalGeneration"],
    )


def _original_info(path: Path) -> CheckpointInfo:
    """What an original folder says of itself, with the preprocessing of the original code."""
    pre = read_json(path / "preprocessor_config.json")
    grey = tuple(pre.get("background_color", (127, 127, 127)))
    if pre.get("do_normalize", True) is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    else:
        mean, std = tuple(pre.get("image_mean", (0.5,) * 3)), tuple(pre.get("image_std", (0.5,) * 3))
    image = ImageTransform(
        size=int(pre.get("image_size", 384)),
        short_side="truncate",
        min_side=int(pre.get("min_size", 14)),
        pad_grey=grey,
        mean=mean,
        std=std,
    )
    return CheckpointInfo(
        kind="reporter",
        name=path.resolve().name,
        version="original format",
        prompt_version="janus-pro-cxr/1",
        conversation="deepseek",
        image=image,
        licence="see the publisher",
    )


def _transformers_info(path: Path, config: Any) -> CheckpointInfo:
    """What a Hugging Face folder says of itself, with the preprocessing of transformers' Janus processor."""
    processor = read_json(path / "processor_config.json")
    pre = read_json(path / "preprocessor_config.json") or dict(processor.get("image_processor", {}))
    size = pre.get("size", {})
    side = size.get("height", 384) if isinstance(size, dict) else int(size)
    # transformers' class defaults to CLIP's numbers, which a folder that names none really gets
    mean = tuple(pre.get("image_mean") or (0.48145466, 0.4578275, 0.40821073))
    std = tuple(pre.get("image_std") or (0.26862954, 0.26130258, 0.27577711))
    image = ImageTransform(
        size=int(side),
        short_side="round",
        min_side=int(pre.get("min_size", 14)),
        pad_grey=tuple(int(value * 255) for value in mean),  # as the class derives it
        mean=mean,
        std=std,
    )
    if image.size != config.vision_config.image_size:
        raise CheckpointError(
            f"{path}: pictures are prepared at {image.size} px but the vision tower takes "
            f"{config.vision_config.image_size} px.",
            Reason.CHECKPOINT_MISMATCH,
        )
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
    source: Any = file.read_text(encoding="utf-8") if file.is_file() else None
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        source = source or read_json(path / name).get("chat_template")
    if not isinstance(source, str):
        return None
    return ChatTemplate(source, bool(read_json(path / "processor_config.json").get("use_default_system_prompt", False)))
