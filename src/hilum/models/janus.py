"""The reporter: Janus-Pro's understanding path, from a prompt with pictures to the text of a draft.

The network is transformers' own `JanusForConditionalGeneration`, read downward: pictures ``[N, 3, S, S]`` -> SigLIP
vision tower ``[N, P, Dv]`` -> aligner ``[N, P, D]`` -> put in the places of the image tokens among the embedded
prompt ``[B, T, D]`` -> Llama -> logits ``[B, V]``. Its image-*generation* half is left out of memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers.models.janus.modeling_janus import JanusForConditionalGeneration
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from hilum.errors import CapabilityError, CheckpointError, Reason, UsageError
from hilum.models.checkpoint import CheckpointInfo, config_errors
from hilum.models.decoding import find_repetition, greedy, synchronize
from hilum.models.folders import Folder, open_folder, weights
from hilum.models.pixels import janus_input
from hilum.models.prompt import Prompt, build_prompt, render_deepseek, render_janus_chat
from hilum.models.tokens import JanusTokenizer
from hilum.records import Notice, Study

Precision = Literal["float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_GENERATION_HALF = ("vqmodel", "generation_embeddings", "generation_aligner", "generation_head")


class JanusReader(JanusForConditionalGeneration):  # type: ignore[misc]  # transformers is untyped here
    """Janus without its image-generation half: same names, same weights, 114 M parameters fewer at 1B size."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for part in _GENERATION_HALF:
            delattr(self.model, part)


@dataclass(frozen=True, slots=True)
class Generation:
    """What the reporter wrote for one prompt.

    Attributes:
        text: the draft as decoded, special tokens left out.
        token_ids: the new tokens, the end-of-text token included where it came.
        finish: "stop", or "length" where the limit cut the text off.
        prompt: the conversation as the model saw it, image placeholders not widened.
        notices: repetition, cut-off.
        vision_s, prefill_s, generate_s: wall time of the batch this prompt was in, divided by the batch's size.
    """

    text: str
    token_ids: list[int]
    finish: Literal["stop", "length"]
    prompt: str
    notices: tuple[Notice, ...]
    vision_s: float
    prefill_s: float
    generate_s: float


def pick_device(wish: str) -> torch.device:
    """The device of that name; "auto" takes a CUDA device where there is one.

    Raises:
        UsageError: unknown name. CapabilityError: no such device on this machine.
    """
    if wish not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {wish!r}; expected auto, cpu or cuda.")
    if wish == "cuda" and not torch.cuda.is_available():
        raise CapabilityError("No CUDA device was found by torch; use --device cpu or auto.", Reason.DEVICE)
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def build_network(folder: Folder, device: torch.device, dtype: torch.dtype | None) -> JanusReader:
    """The network with its weights, each read straight to its place so that memory never holds them twice.

    Args:
        folder: an opened checkpoint folder.
        device: where the weights go.
        dtype: None keeps the precision they are stored in.

    Raises:
        CheckpointError: weights are missing, unknown or of the wrong shape; the message names them.
    """
    config = folder.config
    with config_errors(folder.path / "config.json"), torch.device("meta"):
        network = JanusReader(config)
    wanted = dict(network.named_parameters())
    tied = bool(config.tie_word_embeddings)
    seen: set[str] = set()
    unexpected: list[str] = []
    twice: list[str] = []
    for name, tensor in weights(folder):
        if name not in wanted:
            unexpected.append(name)
            continue
        if name in seen:  # which of the two counts would be an accident
            twice.append(name)
            continue
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{folder.path}: {name} has shape {list(tensor.shape)}, expected {list(wanted[name].shape)} "
                "from config.json. The weights and the configuration do not belong together.",
                Reason.CHECKPOINT_MISMATCH,
            )
        # contiguous copies: a view would keep the whole file mapped
        value = tensor.to(device=device, dtype=dtype or tensor.dtype, copy=True).contiguous()
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, torch.nn.Parameter(value, requires_grad=False))
        seen.add(name)
    missing = sorted(set(wanted) - seen - ({"lm_head.weight"} if tied else set()))
    if missing or unexpected or twice:
        faults = [f"{len(names)} {what}, e.g. {names[0]}" for what, names in
                  (("missing", missing), ("unexpected", unexpected), ("stored twice", twice)) if names]  # fmt: skip
        raise CheckpointError(
            f"{folder.path}: the weights are not those of this Janus ({'; '.join(faults)}).",
            Reason.CHECKPOINT_INCOMPLETE,
        )
    if tied:
        network.lm_head.weight = network.model.language_model.embed_tokens.weight
    _fill_buffers(network, device)
    network.eval()
    return network


def _fill_buffers(network: JanusReader, device: torch.device) -> None:
    """Compute what is not stored: rotary frequencies (always float32) and position numbers."""
    language, embeddings = network.model.language_model, network.model.vision_model.embeddings
    with torch.device(device):
        language.rotary_emb = LlamaRotaryEmbedding(language.config)
        embeddings.position_ids = torch.arange(embeddings.num_positions)[None]
    if unfilled := [name for name, buffer in network.named_buffers() if buffer.is_meta]:
        raise RuntimeError(f"buffers without values: {unfilled}")  # a transformers version we do not know


class Reporter:
    """A loaded reporter.

    Attributes:
        info: what the checkpoint says of itself.
        network: the weights; callers should not need it, training and tests do.
    """

    def __init__(self, folder: Folder, network: JanusReader) -> None:
        self.info: CheckpointInfo = folder.info
        self.network = network
        self.tokenizer: JanusTokenizer = folder.tokenizer
        self.chat_template = folder.chat_template
        self.device = next(network.parameters()).device
        if folder.info.image is None:
            raise CheckpointError(
                f"{folder.path} does not say how pictures are prepared.", Reason.CHECKPOINT_INCOMPLETE
            )
        self.image_transform = folder.info.image
        vision = network.config.vision_config
        self.image_tokens = int((vision.image_size // vision.patch_size) ** 2)
        self.context = int(network.config.text_config.max_position_embeddings)

    def prompt(self, study: Study, findings: Sequence[str] | None, *, indication: str | None = None) -> Prompt:
        """The prompt for a study, see `hilum.models.prompt.build_prompt`."""
        return build_prompt(study, findings, self.info, indication=indication)

    def render(self, prompt: Prompt) -> str:
        """The whole conversation as text, image placeholders not widened."""
        if self.info.conversation == "deepseek":
            return render_deepseek(prompt.content)
        if self.chat_template is None:
            return render_janus_chat(prompt.content)
        return self.chat_template.render(prompt.content)

    def input_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, begin-of-sentence and image tokens included."""
        return self.tokenizer.encode(self.render(prompt), self.image_tokens)

    @torch.inference_mode()
    def image_features(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vision tower and aligner.

        Args:
            pixel_values: ``[N, 3, S, S]``.

        Returns:
            tower output ``[N, P, Dv]`` after its last norm, and what replaces the image tokens ``[N, P, D]``.
        """
        tower = self.network.model.vision_model(pixel_values.to(self.device)).last_hidden_state
        return tower, self.network.model.aligner(tower)

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int = 512) -> list[Generation]:
        """Write a draft for each prompt: one batch, greedy, until end-of-text or `max_new_tokens`.

        Args:
            prompts: any number; all are decoded together, so memory grows with it.
            max_new_tokens: at least 1.

        Raises:
            UsageError: `max_new_tokens` below 1. CapabilityError: prompt and answer exceed the model's context.
        """
        pixels = [[janus_input(image.pixels, self.image_transform) for image in prompt.images] for prompt in prompts]
        return self.generate_from(prompts, pixels, max_new_tokens=max_new_tokens)

    @torch.inference_mode()
    def generate_from(
        self, prompts: Sequence[Prompt], pixels: Sequence[Sequence[torch.Tensor]], *, max_new_tokens: int
    ) -> list[Generation]:
        """As `generate`, with the pictures already prepared: per prompt, float32 ``[3, S, S]`` per image."""
        if max_new_tokens < 1:
            raise UsageError(f"max_new_tokens must be at least 1, got {max_new_tokens}.")
        if not prompts:
            return []
        rows = [self.input_ids(prompt) for prompt in prompts]
        longest = max(len(row) for row in rows)
        if longest + max_new_tokens > self.context:
            raise CapabilityError(
                f"The prompt has {longest} tokens and {max_new_tokens} new ones were asked for, more than the "
                f"{self.context} this model holds. {self._making_room(longest)}"
            )
        started = time.perf_counter()
        pictures = [picture for row in pixels for picture in row]
        features = self.image_features(torch.stack(pictures))[1] if pictures else None
        synchronize(self.device)
        seen = time.perf_counter()

        ids = torch.full((len(rows), longest), self.tokenizer.pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, longest - len(row) :] = torch.tensor(row)
            mask[index, longest - len(row) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        language = self.network.model.language_model
        embedded = language.embed_tokens(ids)
        if features is not None:
            places = (ids == self.tokenizer.image)[..., None]
            embedded = embedded.masked_scatter(places, features.reshape(-1, features.shape[-1]).to(embedded.dtype))
        decoded, times = greedy(
            language,
            self.network.lm_head,
            embedded,
            mask,
            end_token=self.tokenizer.eos,
            max_new_tokens=max_new_tokens,
        )
        n = len(prompts)
        share = ((seen - started) / n, times.prefill_s / n, times.generate_s / n)
        return [
            self._generation(prompt, one.token_ids, one.finish, share)
            for prompt, one in zip(prompts, decoded, strict=True)
        ]

    def _making_room(self, prompt_tokens: int) -> str:
        """What to do about a prompt and an answer that together are too long."""
        room = self.context - prompt_tokens
        shorter = "shorten or leave out the indication, or give fewer images"
        return f"Ask for at most {room} new tokens, or {shorter}." if room > 0 else f"{shorter.capitalize()}."

    def _generation(
        self, prompt: Prompt, token_ids: list[int], finish: Literal["stop", "length"], share: tuple[float, float, float]
    ) -> Generation:
        text = self.tokenizer.decode(token_ids)
        notices: list[Notice] = []
        if finish == "length":
            notices.append(
                Notice("cut_off", f"The text was cut off at its token {len(token_ids)} without coming to its end.")
            )
        if repetition := find_repetition(token_ids, text):
            notices.append(repetition)
        return Generation(text, token_ids, finish, self.render(prompt), tuple(notices), *share)


def load_reporter(
    ref: str | Path = "starter",
    *,
    device: str = "auto",
    precision: Precision | None = None,
    download: bool = False,
) -> Reporter:
    """Load a reporter.

    Args:
        ref: "starter" (bundled); a checkpoint folder of ours, in Hugging Face format or in DeepSeek's original
            format; or a hub id such as ``ZrH42/Janus-Pro-CXR-Final``.
        device: auto, cpu or cuda.
        precision: None keeps the stored one.
        download: allow fetching a hub id that is not on this machine. Nothing is ever fetched without it.

    Raises:
        CheckpointError: missing, unsafe, incomplete, altered or of an unknown kind. Files of more than 256 MiB are not
            hashed, see `hilum.models.checkpoint.read_for_loading`.
        CapabilityError: no such device.
        UsageError: unknown device or precision.
    """
    where = pick_device(device)
    if precision is not None and precision not in _DTYPES:
        raise UsageError(f"unknown precision {precision!r}; expected one of {', '.join(_DTYPES)}.")
    folder = open_folder(ref, download=download)
    network = build_network(folder, where, _DTYPES[precision] if precision else None)
    return Reporter(folder, network)
