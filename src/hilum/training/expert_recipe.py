"""The recipe of an expert: every setting of its training."""

from __future__ import annotations

from pydantic import Field

from hilum.training.recipe import PictureData, Settings


class ExpertData(PictureData):
    """Labelled pictures, and another classifier's outputs for some of them."""

    peer: str | None = None
    """CSV relative to `root`: `image` and one `prob_CLASS` column for each class of a published NIH classifier. Figures
    are quoted on the pictures it lists; the others count as another source."""


class ExpertIdentity(Settings):
    """What the checkpoint says of itself."""

    name: str
    version: str
    licence: str
    """Licence of the weights, with what the data ask for."""
    data_source: str
    """Where the pictures come from and whom to cite, for the checkpoint's provenance."""
    demonstration: bool = True
    """For trying Hilum out only."""


class ExpertNetworkSettings(Settings):
    """EfficientNet-lite0 from ImageNet weights."""

    input_size: int = Field(default=320, gt=0, multiple_of=32)
    """Side of the square input, pixels."""
    frozen_blocks: int = Field(default=8, ge=1, le=15)
    """How many of the 16 blocks, from the stem on, keep their ImageNet weights; they run once per picture."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the last feature maps left out while training."""


class Targets(Settings):
    """What the network learns."""

    assessed: tuple[str, ...]
    """Findings the labels know; the network says nothing of the others."""
    unassessed_reason: str = "the training labels do not cover it"
    peer_weight: float = Field(default=0.0, ge=0)
    """Weight of extra outputs that learn the peer's own outputs, on the training pictures that have them (distillation;
    Hinton, Vinyals & Dean, 2015). A finding's output then learns what the mean of its classes' extra outputs leaves
    over. Being linear, all is added up into one output per finding afterwards."""


class ExpertOptimiser(Settings):
    """A linear head first, then all that is not frozen (Kumar et al., ICLR 2022): AdamW, one cycle."""

    epochs: int = Field(default=4, gt=0)
    batch: int = Field(default=16, gt=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    """Highest of the cycle."""
    weight_decay: float = Field(default=0.02, ge=0)
    head_penalty: float = Field(default=0.3, gt=0)
    """Squared-weight penalty of the linear head on standardised features."""
    views: int = Field(default=4, gt=0)
    """Augmented versions of each picture, taken in turn."""
    augmentation: float = Field(default=1.0, ge=0, le=1)
    """Strength of small shifts, scales, turns and grey-value changes; never a flip: left and right matter."""
    minimum_age_years: float = Field(default=18, ge=0)
    """Younger patients are not trained on."""
    seed: int = 0


class Validation(Settings):
    """How thresholds and figures are found."""

    folds: int = Field(default=5, gt=1)
    """Cross-validation folds; a patient is in one of them."""
    scores: str | None = None
    """`scores.csv` of this recipe's cross-validation, from which the thresholds are chosen; without it one fold is held
    out for them."""
    resamples: int = Field(default=2000, gt=0)
    """Bootstrap resamples of patients."""


class ExpertRecipe(Settings):
    """An expert."""

    data: ExpertData
    identity: ExpertIdentity
    network: ExpertNetworkSettings = ExpertNetworkSettings()
    targets: Targets
    optimiser: ExpertOptimiser = ExpertOptimiser()
    validation: Validation = Validation()
