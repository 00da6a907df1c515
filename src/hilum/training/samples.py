"""Training samples of a reporter: what it is asked about a picture, what it should answer, a batch's tensors."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from hilum.corpora.image_table import LabelledImage
from hilum.labeling import compose
from hilum.models.prompt import IMAGE_PLACEHOLDER, PromptVersion, instruction, render_deepseek
from hilum.models.tokens import JanusTokenizer
from hilum.records import NAMES, NO_FINDING, LabelState
from hilum.records.findings import ancestors
from hilum.training.recipe import Conditioning

IGNORED = -100  # torch's cross entropy leaves out these targets


@dataclass(frozen=True, slots=True)
class Sample:
    """One training text: which picture (None: blank), the prompt's ids, and the answer's ids with end-of-text."""

    image: int | None
    prompt: list[int]
    answer: list[int]


def label_states(image: LabelledImage, assessed: Sequence[str]) -> dict[str, LabelState]:
    """What the table says of the assessed findings: listed ones are present, the others absent."""
    return {
        name: LabelState.PRESENT if name in image.labels else LabelState.ABSENT
        for name in assessed
        if name != NO_FINDING
    }


def random_states(assessed: Sequence[str], rng: random.Random) -> dict[str, LabelState]:
    """A random set of present findings out of all, each number of them equally often; the assessed others are absent.

    The set is not closed upward, since a person may name Edema alone; a parent it implies is then not mentioned, so
    that the text says what the prompt says and denies nothing that the prompt implies.
    """
    names = [name for name in NAMES if name != NO_FINDING]
    chosen = rng.sample(names, rng.randint(0, len(names) * 3 // 4))
    implied = {parent for name in chosen for parent in ancestors(name)}
    absent = [name for name in assessed if name not in implied and name != NO_FINDING]
    return dict.fromkeys(absent, LabelState.ABSENT) | dict.fromkeys(chosen, LabelState.PRESENT)


def _present(states: Mapping[str, LabelState]) -> list[str]:
    return [name for name in NAMES if states.get(name) is LabelState.PRESENT]


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
        conditioning: Conditioning,
        version: PromptVersion,
    ) -> None:
        self.images = images
        self.assessed = assessed
        self.tokenizer = tokenizer
        self.image_tokens = image_tokens
        self.conditioning = conditioning
        self.version: PromptVersion = version
        self._prompts: dict[str, list[int]] = {}

    def make(self, index: int, rng: random.Random) -> Sample:
        """A sample for picture `index`, or, for the share `language_only`, for its prompt alone."""
        if rng.random() < self.conditioning.language_only:
            states = random_states(self.assessed, rng)
            # as often with the picture as without: a prompt counts the same whatever is shown
            return self._sample(index if rng.random() < 0.5 else None, states, _present(states), rng)
        states = label_states(self.images[index], self.assessed)
        present = _present(states)
        told: list[str] | None = present
        draw = rng.random()
        if draw < self.conditioning.without_expert:
            told = None
        elif draw < self.conditioning.without_expert + self.conditioning.corrupted:
            told = corrupt(present, self.assessed, rng)
        return self._sample(index, states, told, rng)

    def _sample(
        self, image: int | None, states: Mapping[str, LabelState], told: list[str] | None, rng: random.Random
    ) -> Sample:
        report = compose(states, seed=rng.getrandbits(32), assessed=self.assessed)
        answer = self.tokenizer.tokenizer.encode(" " + report.format(), add_special_tokens=False).ids
        return Sample(image, self._prompt_ids(told), [*answer, self.tokenizer.eos])

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
