"""Stage 1: teach a reporter basic reporting from labelled pictures, with the expert's findings in the prompt.

The pictures have labels and no reports, so the text a picture is paired with is what the sentence grammar says of its
labels: nothing that no label states. The prompt names the labels as the expert would at reading time: for a set share
of samples there is no expert (so that the reporter can write without one), and for another one label of the prompt is
wrong while the text stays right (so that it does not learn to copy blindly). Loss on the answer only.

A plain loop over one process; the three stages at full size come with a later part of the work.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hilum.corpora.image_table import LabelledImage
from hilum.errors import TrainingError
from hilum.labeling import compose
from hilum.models.janus import JanusReader
from hilum.models.prompt import IMAGE_PLACEHOLDER, PromptVersion, instruction, render_deepseek
from hilum.models.tokens import JanusTokenizer
from hilum.records import NAMES, NO_FINDING, LabelState
from hilum.training.recipe import Stage1Recipe

IGNORED = -100  # torch's cross entropy leaves out these targets
Progress = Callable[[dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """One training text: which picture, the prompt's ids, and the answer's ids with end-of-text."""

    image: int
    prompt: list[int]
    answer: list[int]


def label_states(image: LabelledImage, assessed: Sequence[str]) -> dict[str, LabelState]:
    """What the table says of the assessed findings: listed ones are present, the others absent; No Finding derived."""
    states = {
        name: LabelState.PRESENT if name in image.labels else LabelState.ABSENT
        for name in assessed
        if name != NO_FINDING
    }
    return states


def corrupt(present: Sequence[str], assessed: Sequence[str], rng: random.Random) -> list[str]:
    """The same findings with one wrong: a present one left out or an absent one added, with equal chance."""
    absent = [name for name in assessed if name not in present and name != NO_FINDING]
    drop = bool(present) and (not absent or rng.random() < 0.5)
    changed = set(present)
    if drop:
        changed.remove(rng.choice(list(present)))
    elif absent:
        changed.add(rng.choice(absent))
    return [name for name in NAMES if name in changed]


class SampleMaker:
    """Makes training samples from labelled pictures; the same seed gives the same samples."""

    def __init__(
        self,
        images: Sequence[LabelledImage],
        assessed: Sequence[str],
        tokenizer: JanusTokenizer,
        image_tokens: int,
        recipe: Stage1Recipe,
    ) -> None:
        self.images = images
        self.assessed = assessed
        self.tokenizer = tokenizer
        self.image_tokens = image_tokens
        self.conditioning = recipe.conditioning
        self.version: PromptVersion = recipe.network.prompt_version
        self._prompts: dict[str, list[int]] = {}

    def make(self, index: int, rng: random.Random) -> Sample:
        """A sample for picture `index`."""
        states = label_states(self.images[index], self.assessed)
        present = [name for name in NAMES if states.get(name) is LabelState.PRESENT]
        told: list[str] | None = present
        draw = rng.random()
        if draw < self.conditioning.without_expert:
            told = None
        elif draw < self.conditioning.without_expert + self.conditioning.corrupted:
            told = corrupt(present, self.assessed, rng)
        report = compose(states, seed=rng.getrandbits(32), assessed=self.assessed)
        answer = self.tokenizer.tokenizer.encode(" " + report.format(), add_special_tokens=False).ids
        return Sample(index, self._prompt_ids(told), [*answer, self.tokenizer.eos])

    def _prompt_ids(self, told: list[str] | None) -> list[int]:
        text = instruction(told, self.version)
        if text not in self._prompts:
            self._prompts[text] = self.tokenizer.encode(
                render_deepseek(f"{IMAGE_PLACEHOLDER}\n{text}"), self.image_tokens
            )
        return self._prompts[text]


def collate(samples: Sequence[Sample], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and targets ``[B, T]``, padded on the right; the loss sees the answers only."""
    length = max(len(s.prompt) + len(s.answer) for s in samples)
    ids = torch.full((len(samples), length), pad)
    mask = torch.zeros_like(ids)
    targets = torch.full_like(ids, IGNORED)
    for row, sample in enumerate(samples):
        start, stop = len(sample.prompt), len(sample.prompt) + len(sample.answer)
        ids[row, :stop] = torch.tensor(sample.prompt + sample.answer)
        mask[row, :stop] = 1
        targets[row, start:stop] = torch.tensor(sample.answer)
    return ids, mask, targets


def answer_loss(
    network: JanusReader, ids: torch.Tensor, mask: torch.Tensor, targets: torch.Tensor, pixels: torch.Tensor
) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens; logits are computed only where they count.

    Args:
        network: the reporter.
        ids, mask, targets: ``[B, T]``, see `collate`.
        pixels: ``[B, 3, S, S]``, one picture per row.
    """
    hidden = network.model(input_ids=ids, attention_mask=mask, pixel_values=pixels, use_cache=False).last_hidden_state
    wanted = targets[:, 1:]
    chosen = wanted != IGNORED
    logits = network.lm_head(hidden[:, :-1][chosen])
    return functional.cross_entropy(logits.float(), wanted[chosen])


def augment(pixels: torch.Tensor, generator: torch.Generator, strength: float) -> torch.Tensor:
    """Small shifts, scales, turns and grey-value changes; never a flip, since left and right matter.

    Args:
        pixels: ``[B, 3, S, S]`` normalised.
        generator: source of chance.
        strength: 0 (none) to 1.
    """
    if strength == 0:
        return pixels
    n = pixels.shape[0]

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    angle = between(-0.12, 0.12) * strength
    scale = 1 + between(-0.1, 0.1) * strength
    shift = torch.stack([between(-0.08, 0.08), between(-0.08, 0.08)], 1) * strength
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = (1 + between(-0.15, 0.15) * strength)[:, None, None, None]
    offset = (between(-0.15, 0.15) * strength)[:, None, None, None]
    return (moved * gain + offset).clamp(-1, 1)


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a fit ended: steps, last smoothed loss, seconds."""

    steps: int
    loss: float
    seconds: float


def fit(
    network: JanusReader,
    maker: SampleMaker,
    pixels: torch.Tensor,
    train: Sequence[int],
    recipe: Stage1Recipe,
    progress: Progress | None = None,
) -> FitResult:
    """Train the whole network on the samples of the pictures `train`.

    Args:
        network: changed in place.
        maker: makes the samples.
        pixels: ``[N, 3, S, S]`` of every picture, normalised as at reading.
        train: indices of the pictures to train on.
        recipe: steps, batch, learning rate, seed.
        progress: called now and then with step, loss and learning rate.

    Raises:
        TrainingError: the loss is not a number.
    """
    options = recipe.optimiser
    rng = random.Random(options.seed)  # noqa: S311  # reproducible samples, no secret
    generator = torch.Generator().manual_seed(options.seed)
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(0.9, 0.95),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warm_cosine(step, options.warmup, options.steps))
    order: list[int] = []
    smoothed = math.nan
    started = time.perf_counter()
    network.train()
    for step in range(options.steps):
        while len(order) < options.batch:
            order.extend(rng.sample(list(train), len(train)))
        batch = [maker.make(order.pop(), rng) for _ in range(options.batch)]
        ids, mask, targets = collate(batch, maker.tokenizer.pad)
        pictures = augment(pixels[[s.image for s in batch]], generator, options.augmentation)
        loss = answer_loss(network, ids, mask, targets, pictures)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"The loss became {value} at step {step}; lower the learning rate.")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), options.gradient_clip)
        optimiser.step()
        schedule.step()
        smoothed = value if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * value
        if progress and (step % 50 == 0 or step + 1 == options.steps):
            progress({"step": step, "loss": smoothed, "learning_rate": schedule.get_last_lr()[0]})
    network.eval()
    return FitResult(options.steps, smoothed, time.perf_counter() - started)


def _warm_cosine(step: int, warmup: int, steps: int) -> float:
    """Linear rise, then a half cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
