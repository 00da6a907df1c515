"""The recipe of an expert: every setting of its training. Paths are relative to the current folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from hilum.records import NAMES, NO_FINDING
from hilum.statistics import MINIMUM_POSITIVES
from hilum.training.recipe import Checkpoints, Settings, Updates


class ExpertIdentity(Settings):
    """What the checkpoint says of itself."""

    name: str
    """As reports, pages and `hilum models` show it."""
    version: str
    """The same; text, so in quotes: "1"."""
    licence: str
    """Licence of the weights, with what the data ask for."""
    data_source: str
    """Where the pictures come from and whom to cite, for the checkpoint's provenance."""
    demonstration: bool = True
    """For trying Hilum out only."""


class ExpertSource(Settings):
    """One manifest to learn from: the `train` split trains, the `validate` split validates, all splits are scored."""

    manifest: Path
    """The Parquet file, or the folder `hilum corpus build` made."""
    labels: Literal["published", "text"] = "published"
    """The labels that the corpus ships, or those that our labeller read from the reports."""
    weight: float = Field(default=1.0, gt=0)
    """How often a picture of this source is drawn in an epoch; 0.5 takes a new random half each time."""


class Peer(Settings):
    """A published classifier's outputs on the same pictures: a teacher, and what the figures are held against."""

    table: Path
    """CSV: `image` (file name) and one `prob_CLASS` column for each class of a classifier of NIH ChestX-ray14. Figures
    are quoted on the pictures it lists; the others count as another source."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of extra outputs that learn the peer's own outputs, on the training pictures that have them (distillation;
    Hinton, Vinyals & Dean, 2015). A finding's output then learns what the mean of its classes' extra outputs leaves
    over. Being linear, all is added up into one output per finding afterwards. 0 compares and does not learn."""


class Backbone(Settings):
    """The network and where it starts."""

    start: str = "imagenet"
    """`imagenet` is EfficientNet-lite0 with its ImageNet weights; else an expert's checkpoint folder."""
    head: Literal["fitted", "kept"] = "fitted"
    """fitted: a new linear head on the start's features, before anything else is trained. kept: that of the start."""
    input_size: int = Field(default=320, gt=0, multiple_of=32)
    """Side of the square input, pixels."""
    frozen_blocks: int = Field(default=8, ge=0)
    """How many blocks, from the stem on, keep the weights of the start (lite0 has 16); 0 trains the stem too."""
    batch_norm: Literal["frozen", "learned"] = "frozen"
    """frozen: the start's statistics stay, so that a picture counts the same whatever is beside it, on one process or
    several. learned: those of blocks that are trained follow the batches; several processes need CUDA for that, where
    they are taken over all of them (SyncBatchNorm)."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the last feature maps left out while training."""

    @model_validator(mode="after")
    def _kept_from_somewhere(self) -> Self:
        if self.head == "kept" and self.start == "imagenet":
            raise ValueError("head = 'kept' needs start = an expert's folder; ImageNet's head knows no finding")
        return self


class Targets(Settings):
    """What the network learns."""

    assessed: tuple[str, ...] | None = None
    """Findings to learn; none given: all that have enough positives."""
    unassessed_reason: str = "the training labels do not cover it"
    """What the checkpoint says of the findings that are not among them."""
    minimum_positives: int = Field(default=MINIMUM_POSITIVES, gt=0)
    """A finding with fewer positive training studies is not learned, and the checkpoint says so."""
    uncertain: Literal["mask", "negative", "positive"] = "mask"
    """What an uncertain label counts as; masked ones are not learned from."""
    not_mentioned: Literal["negative", "mask"] = "negative"
    """A finding that a labelled study does not mention. One that a source never mentions at all is always masked
    there: that source does not look for it."""
    positive_weight: float | Literal["balanced"] = 1.0
    """Weight of positives; balanced: negatives per positive, 20 at most. Other than 1 it moves the scores away from
    the share of positives, and the thresholds with them."""
    finding_weights: dict[str, float] = Field(default_factory=dict)
    """Weights of single findings in the loss; 1 where none is given."""

    @model_validator(mode="after")
    def _findings(self) -> Self:
        for name in (*(self.assessed or ()), *self.finding_weights):
            if name not in NAMES or name == NO_FINDING:
                raise ValueError(f"{name!r} is not a finding to train; No Finding is derived")
        if not isinstance(self.positive_weight, str) and self.positive_weight <= 0:
            raise ValueError("positive_weight must be above 0")
        return self


class Pictures(Settings):
    """How pictures vary and where they are kept."""

    augmentation: float = Field(default=1.0, ge=0, le=1)
    """Strength of small shifts, scales, turns and grey-value changes; never a flip: left and right matter."""
    cache: Path | None = None
    """Folder where prepared pictures are kept for later runs; by default `pictures` in the run's own folder."""
    intensity: Literal["window", "histogram_equalised", "mixed"] = "window"
    """Grey values of the pictures (MIMIC-CXR-JPG's are histogram-equalised); the checkpoint says so."""


class Head(Settings):
    """The linear head that is fitted before the fine-tuning (Kumar et al., ICLR 2022)."""

    penalty: float = Field(default=0.3, gt=0)
    """Of the squared weights, on standardised features."""
    versions: int = Field(default=4, ge=0)
    """Augmented versions of each picture that it is fitted on, beside the picture as it is."""
    pictures: int = Field(default=20_000, gt=0)
    """It is fitted on so many at most, drawn once."""


class ExpertUpdates(Updates):
    """The fine-tuning: all that is not frozen, together."""

    epochs: float = Field(default=4, gt=0)
    """A draw of every picture, by the weights of the sources."""
    warmup: float = Field(default=0.15, ge=0, lt=1)
    """Share of the steps."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """The highest, reached at the end of the warm-up."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay of the moving averages of the gradient and of its square."""
    weight_decay: float = Field(default=0.02, ge=0)
    """Of matrices; norms and biases have none."""
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a moving average of the weights, as 0.999; the average is what is validated, scored and written."""


class ExpertValidation(Settings):
    """How thresholds and figures are found."""

    every: int = Field(default=500, gt=0)
    """Steps between measurements of loss and AUROC on the `validate` split."""
    choose: Literal["last", "auroc", "loss"] = "last"
    """Which weights are kept: the last ones, or the best on the `validate` split."""
    folds: int = Field(default=5, ge=0)
    """Patients of the `train` split are cut into so many parts by a hash; a network is trained without each and scores
    it, and thresholds and figures come from these out-of-fold scores. 0: thresholds come from the `validate` split, and
    studies of the `train` split get no score, so that no reporter can be trained on them with predicted findings."""
    other_source: bool = False
    """Also train on the peer's pictures alone and on the others alone, and test each on what it did not see."""
    resamples: int = Field(default=2000, gt=0)
    """Bootstrap resamples of patients."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds: 1 leaves nothing to train on; give 0 or at least 2")
        return self


class ExpertRecipe(Settings):
    """An expert."""

    identity: ExpertIdentity
    network: Backbone = Backbone()
    data: tuple[ExpertSource, ...] = Field(min_length=1)
    peer: Peer | None = None
    targets: Targets = Targets()
    images: Pictures = Pictures()
    head: Head = Head()
    optimiser: ExpertUpdates = ExpertUpdates()
    validation: ExpertValidation = ExpertValidation()
    checkpoints: Checkpoints = Checkpoints()
    minimum_age_years: float | None = 18
    """Studies of younger patients are scored and not learned from; those of unknown age are learned from."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.optimiser.batch % min(self.optimiser.micro_batch, self.optimiser.batch):
            raise ValueError("optimiser.batch must be a multiple of optimiser.micro_batch")
        if self.network.head == "kept" and self.peer and self.peer.weight:
            raise ValueError("network.head = 'kept' has no outputs for a peer; give peer.weight = 0 or head = 'fitted'")
        if self.validation.other_source and self.peer is None:
            raise ValueError("validation.other_source needs [peer]: its pictures are one of the two sources")
        return self
