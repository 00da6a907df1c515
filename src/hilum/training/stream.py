"""The samples of a run, one after the other: the k-th is a function of the recipe and of k alone.

A run that is killed and started again, or that is spread over several processes, meets the same samples in the same
order: nothing of the order or of chance has to be kept in a checkpoint.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils.data import Dataset

from hilum.labeling import compose
from hilum.models.janus import Reporter
from hilum.models.prompt import Prompt
from hilum.records import NAMES, NO_FINDING, Report, Study
from hilum.training.augmentation import augment
from hilum.training.conditioning import Told, corrupted, present_in, random_set
from hilum.training.pictures import PictureStore
from hilum.training.reporter_recipe import Conditioning, Images, Source
from hilum.training.studies import TrainingStudy

IGNORED = -100
"""Targets of this number have no loss."""
_MEGABATCH = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """One training text.

    Attributes:
        prompt: token ids, image places widened.
        answer: token ids, end-of-text included.
        pixels: float32 ``[3, S, S]`` for each image place, in their order.
    """

    prompt: list[int]
    answer: list[int]
    pixels: list[torch.Tensor]


class Order:
    """Which study is the k-th: epoch after epoch, each a new permutation cut into batches of like length.

    Args:
        sizes: `[n]` about how long each study's sample is; batches hold samples of like length, to pad little.
        sources: `[n]` the source of each study.
        weights: how often a study of each source is drawn in an epoch.
        batch: studies per step.
        seed: of the permutations.
    """

    def __init__(
        self, sizes: Sequence[float], sources: Sequence[int], weights: Sequence[float], batch: int, seed: int
    ) -> None:
        self._sizes = sizes
        self._of_source = [[i for i, s in enumerate(sources) if s == number] for number in range(len(weights))]
        self._weights = weights
        self._batch = batch
        self._seed = seed
        drawn = sum(map(self._drawn, range(len(weights))))
        self.epoch_length = max(drawn // batch, 1) * batch
        """Samples per epoch: whole batches; what is left over differs from epoch to epoch."""
        self._epoch = lru_cache(maxsize=2)(self._permutation)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_epoch"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=2)(self._permutation)

    def __getitem__(self, k: int) -> int:
        """The study of sample k, from 0."""
        epoch, place = divmod(k, self.epoch_length)
        return self._epoch(epoch)[place]

    def _drawn(self, source: int) -> int:
        """Samples of a source in an epoch; one at least, where it has studies."""
        n = len(self._of_source[source])
        return max(round(n * self._weights[source]), min(n, 1))

    def _permutation(self, epoch: int) -> list[int]:
        rng = random.Random(f"order/{self._seed}/{epoch}")  # noqa: S311  # reproducible order, no secret
        drawn: list[int] = []
        for source, members in enumerate(self._of_source):
            whole, part = divmod(self._drawn(source), max(len(members), 1))
            drawn += members * whole + rng.sample(members, part)
        rng.shuffle(drawn)
        while len(drawn) < self.epoch_length:  # fewer studies than a batch holds
            drawn += rng.sample(drawn, min(len(drawn), self.epoch_length - len(drawn)))
        drawn = drawn[: self.epoch_length]
        batches: list[list[int]] = []
        for start in range(0, len(drawn), _MEGABATCH * self._batch):
            near = sorted(drawn[start : start + _MEGABATCH * self._batch], key=lambda i: self._sizes[i], reverse=True)
            batches += [near[at : at + self._batch] for at in range(0, len(near), self._batch)]
        rng.shuffle(batches)
        return [study for batch in batches for study in batch]


class SampleMaker:
    """Makes a study into a sample, with the same prompt code and pixels as at reading time.

    Args:
        reporter: for its prompts and its tokenizer; the checkpoint under training.
        store: the prepared pictures.
        told: what the expert says of each study.
        assessed: the findings that the expert assesses; these may be added wrongly, and a grammar text may deny them.
        images: which pictures are shown.
        conditioning: shares of what the prompt says.
        sources: of the recipe.
    """

    def __init__(
        self,
        reporter: Reporter,
        store: PictureStore,
        told: dict[str, Told],
        assessed: Sequence[str],
        images: Images,
        conditioning: Conditioning,
        sources: Sequence[Source],
    ) -> None:
        self._reporter = reporter
        self._store = store
        self._told = told
        self._assessed = assessed
        self._images = images
        self._conditioning = conditioning
        self._sources = sources
        self._version = reporter.info.prompt_version or "janus-pro-cxr/1"
        self._encoded = lru_cache(maxsize=4096)(self._encode)

    def __getstate__(self) -> dict[str, Any]:
        # a worker writes prompts and encodes them; the weights, perhaps on a GPU, stay where they are trained
        reporter = copy(self._reporter)
        vars(reporter).pop("network", None)
        return {name: value for name, value in self.__dict__.items() if name != "_encoded"} | {"_reporter": reporter}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._encoded = lru_cache(maxsize=4096)(self._encode)

    def train(self, one: TrainingStudy, rng: random.Random) -> Sample:
        """A sample as training meets it: now and then without an expert, or with one that is wrong, pictures varied."""
        options = self._conditioning
        if self._sources[one.source].text == "grammar" and rng.random() < options.random_findings:
            states = random_set(self._assessed, rng)
            report = compose(states, seed=rng.getrandbits(32), assessed=self._assessed)
            # as often with the picture as without: a prompt counts the same whatever is shown
            return self._sample(
                self._shown(one, rng), present_in(states, self._version), report, rng, blank=rng.random() < 0.5
            )
        told: Told | None = self._told[one.key]
        draw = rng.random()
        if draw < options.without_expert:
            told = None
        elif draw < options.without_expert + options.corrupted:
            told = corrupted(self._told[one.key], self._assessed, rng, self._version)
        return self._sample(self._shown(one, rng), told, self._answer(one, rng.getrandbits(32)), rng)

    def held_out(self, one: TrainingStudy) -> tuple[Sample, Prompt, Report]:
        """A sample as validation meets it: what the expert says, every picture, nothing left to chance."""
        reference = self._answer(one, 0)
        prompt = self._reporter.prompt(one.study, self._told[one.key])
        return (
            self._assembled(prompt, reference, [self._store.pixels(i.source) for i in prompt.images]),
            prompt,
            reference,
        )

    def _shown(self, one: TrainingStudy, rng: random.Random) -> Study:
        several = len(one.study.radiographs) > 1 or one.study.prior is not None
        alone = rng.random() < self._images.single
        return Study(one.study.source, one.study.frontals[:1]) if several and alone else one.study

    def _answer(self, one: TrainingStudy, seed: int) -> Report:
        if one.report is not None:
            return one.report
        labels = {name: state for name, state in one.labels.items() if name in self._assessed or name == NO_FINDING}
        return compose(labels, seed=seed, assessed=self._assessed)

    def _sample(
        self, study: Study, told: Told | None, report: Report, rng: random.Random, *, blank: bool = False
    ) -> Sample:
        prompt = self._reporter.prompt(study, told)
        generator = torch.Generator().manual_seed(rng.getrandbits(63))
        strength, ends = self._images.augmentation, self._store.ends()
        pixels = [
            self._store.blank() if blank else augment(self._store.pixels(i.source)[None], generator, strength, ends)[0]
            for i in prompt.images
        ]
        return self._assembled(prompt, report, pixels)

    def _assembled(self, prompt: Prompt, report: Report, pixels: list[torch.Tensor]) -> Sample:
        tokenizer = self._reporter.tokenizer
        answer = tokenizer.tokenizer.encode(" " + report.format(), add_special_tokens=False).ids
        return Sample(list(self._encoded(prompt.content)), [*answer, tokenizer.eos], pixels)

    def _encode(self, content: str) -> tuple[int, ...]:
        return tuple(self._reporter.input_ids(Prompt(content, ())))


class SampleStream(Dataset[Sample]):
    """Samples first .. first + n - 1 of a run.

    It can be sent to worker processes however they are started: caches are made anew there, the prepared pictures are
    mapped again, and no weights go along.

    Args:
        studies: to train on.
        maker: makes their samples.
        order: which study comes when.
        n: how many samples the whole run has.
        seed: of everything that is left to chance within a sample.
    """

    def __init__(self, studies: Sequence[TrainingStudy], maker: SampleMaker, order: Order, n: int, seed: int) -> None:
        self._studies = studies
        self._maker = maker
        self._order = order
        self._n = n
        self._seed = seed

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, k: int) -> Sample:
        """Sample k, from 0."""
        rng = random.Random(f"sample/{self._seed}/{k}")  # noqa: S311  # reproducible samples, no secret
        return self._maker.train(self._studies[self._order[k]], rng)


def collate(samples: Sequence[Sample], pad: int) -> dict[str, torch.Tensor]:
    """A batch: ids, mask and targets ``[B, T]`` padded on the right, and the pictures ``[N, 3, S, S]`` of all rows.

    The loss sees the answers only.
    """
    length = max(len(s.prompt) + len(s.answer) for s in samples)
    ids = torch.full((len(samples), length), pad)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, sample in enumerate(samples):
        start, stop = len(sample.prompt), len(sample.prompt) + len(sample.answer)
        ids[row, :stop] = torch.tensor(sample.prompt + sample.answer)
        mask[row, :stop] = 1
        labels[row, start:stop] = torch.tensor(sample.answer)
    pixels = torch.stack([picture for sample in samples for picture in sample.pixels])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "pixel_values": pixels}


def length_of(one: TrainingStudy, image_tokens: int) -> float:
    """About how many tokens a study's sample has."""
    words = len(one.report.findings_text) + len(one.report.impression_text) if one.report else 0
    return words / 4 + image_tokens * len(one.files)


def assessed_findings(names: Sequence[str]) -> tuple[str, ...]:
    """The findings among names, in the order of the record, without No Finding."""
    return tuple(name for name in NAMES if name in names and name != NO_FINDING)
