"""Greedy decoding of a batch of prompts, and noticing when a text repeats itself."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from hilum.records import Notice


@dataclass(frozen=True, slots=True)
class Decoded:
    """What greedy decoding gave for one prompt.

    Attributes:
        token_ids: the new tokens, the end-of-text token included where it came.
        finish: "stop" at end-of-text, "length" where `max_new_tokens` ran out.
    """

    token_ids: list[int]
    finish: Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class DecodeTimes:
    """Wall time of one batch: reading the prompts, and all steps after the first token, in seconds."""

    prefill_s: float
    generate_s: float


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock read next means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def greedy(
    language_model: Any,
    lm_head: torch.nn.Module,
    embeddings: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    end_token: int,
    max_new_tokens: int,
) -> tuple[list[Decoded], DecodeTimes]:
    """Decode each row with the most likely token at every step.

    Args:
        language_model: transformers' decoder stack (`LlamaModel`).
        lm_head: hidden state -> logits.
        embeddings: ``[B, T, D]`` prompts, padded on the left.
        attention_mask: ``[B, T]``, 0 on the padding.
        end_token: a row stops after this token.
        max_new_tokens: at least 1.

    Returns:
        One `Decoded` per row, and the times of the batch.
    """
    device = embeddings.device
    batch = embeddings.shape[0]
    started = time.perf_counter()
    mask = attention_mask
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    # without padding no mask is needed, and the attention kernels without one are faster
    padded = bool((mask == 0).any())
    out = language_model(
        inputs_embeds=embeddings,
        attention_mask=mask if padded else None,
        position_ids=positions,
        use_cache=True,
    )
    cache = out.past_key_values
    token = lm_head(out.last_hidden_state[:, -1]).argmax(-1)
    position = positions[:, -1:]
    synchronize(device)
    prefilled = time.perf_counter()

    rows: list[list[int]] = [[] for _ in range(batch)]
    running = [True] * batch
    for step in range(max_new_tokens):
        for row, value in enumerate(token.tolist()):
            if running[row]:
                rows[row].append(value)
                running[row] = value != end_token
        if not any(running) or step + 1 == max_new_tokens:
            break
        position = position + 1
        mask = torch.cat([mask, mask.new_ones(batch, 1)], dim=1)
        out = language_model(
            inputs_embeds=language_model.embed_tokens(token[:, None]),
            attention_mask=mask if padded else None,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
        )
        token = lm_head(out.last_hidden_state[:, -1]).argmax(-1)
    synchronize(device)
    finished = time.perf_counter()
    decoded = [Decoded(ids, "length" if on else "stop") for ids, on in zip(rows, running, strict=True)]
    return decoded, DecodeTimes(prefilled - started, finished - prefilled)


# A loop is three or more repeats of one stretch; short stretches ("the the the") need more to count.
_LOOP_REPEATS = 3
_LOOP_TOKENS = 12


def find_repetition(token_ids: Sequence[int], text: str) -> Notice | None:
    """Whether a text is caught in a loop at its end, or says one sentence three times or more.

    Args:
        token_ids: as decoded; never altered.
        text: the same as text.
    """
    ids = list(token_ids)
    for period in range(1, len(ids) // _LOOP_REPEATS + 1):
        repeats = 1
        while (
            len(ids) >= (repeats + 1) * period
            and ids[len(ids) - (repeats + 1) * period : len(ids) - repeats * period] == ids[-period:]
        ):
            repeats += 1
        if repeats >= _LOOP_REPEATS and repeats * period >= _LOOP_TOKENS:
            return Notice("repetition", f"The text ends in a loop: its last {period} tokens stand {repeats} times.")
    sentences = Counter(" ".join(s.split()).casefold() for s in re.split(r"(?<=[.!?])\s+", text) if len(s.split()) > 2)
    if sentences and (most := sentences.most_common(1)[0])[1] >= _LOOP_REPEATS:
        return Notice("repetition", f"The text says one sentence {most[1]} times.")
    return None
