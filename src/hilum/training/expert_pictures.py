"""Pictures as an expert in training sees them: what is kept of each, which show a study, and how they are varied."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from hilum.models.pixels import expert_input
from hilum.training.augmentation import augment
from hilum.training.expert_studies import ExpertMaterial
from hilum.training.expert_targets import Indices, Targets
from hilum.training.pictures import Preparation, Prepared
from hilum.training.stream import Order

_ENDS = tuple(expert_input(np.full((32, 32), grey, np.float32), 32)[:, :1, :1] for grey in (0, 1))
"""Black and white as the network takes them."""


def preparation(size: int) -> Preparation:
    """What is kept of a picture: the network's input in half precision, some 0.03 of a grey level fine."""

    def make(pixels: NDArray[np.float32]) -> NDArray[np.float16]:
        return expert_input(pixels, size).half().numpy()

    return Preparation(f"expert-{size}", (1, size, size), np.dtype(np.float16), make)


def picture(store: Prepared, file: str) -> torch.Tensor:
    """One picture as the network takes it, float32 ``[1, S, S]``."""
    return torch.from_numpy(np.asarray(store.arrays[store.rows[file]], np.float32))


@dataclass(frozen=True, slots=True)
class Shown:
    """Pictures and the study each belongs to."""

    files: tuple[str, ...]
    study: Indices

    @classmethod
    def of(cls, material: ExpertMaterial, studies: Indices) -> Shown:
        """Every frontal picture of the studies."""
        pairs = [(file, int(i)) for i in studies for file in material.studies[int(i)].files]
        return cls(tuple(file for file, _ in pairs), np.array([i for _, i in pairs], dtype=np.intp))


class PictureStream(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """The samples of a whole run; the k-th is a function of the recipe and of k.

    Args:
        store: the prepared pictures.
        files: of the training pictures.
        targets: of them.
        order: which picture comes when.
        n: samples of the whole run.
        strength: of the augmentation.
        seed: of the augmentation.
    """

    def __init__(
        self, store: Prepared, files: Sequence[str], targets: Targets, order: Order, n: int, strength: float, seed: int
    ) -> None:
        self._store = store
        self._files = files
        self._targets = targets
        self._order = order
        self._n = n
        self._strength = strength
        self._seed = seed

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sample k, from 0: a picture ``[1, S, S]``, its targets ``[K]`` and their weights ``[K]``."""
        number = self._order[k]
        shown = varied(picture(self._store, self._files[number]), self._strength, f"sample/{self._seed}/{k}")
        return shown, self._targets.values[number], self._targets.weights[number]


def varied(pixels: torch.Tensor, strength: float, chance: str) -> torch.Tensor:
    """A picture ``[1, S, S]`` shifted, turned and changed in grey, as `chance` says."""
    seed = random.Random(chance).getrandbits(63)  # noqa: S311  # reproducible samples, no secret
    return augment(pixels[None], torch.Generator().manual_seed(seed), strength, _ENDS)[0]  # type: ignore[arg-type]


def together(samples: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """A batch, the arguments of `ExpertLoss.forward`."""
    pictures, values, weights = (torch.stack(list(part)) for part in zip(*samples, strict=True))
    return {"pictures": pictures, "values": values, "weights": weights}
