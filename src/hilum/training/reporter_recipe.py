"""The recipe of a reporter's stage: what it starts from, what it learns from, what it is told, how it is trained.

The three stages are one loop with three recipes. Stage 1 starts from Janus-Pro (or, at the starter's size, from
nothing) and learns basic diagnosis and reporting; stage 2 starts from stage 1 and learns from several centres; stage 3
starts from that and learns the style of one hospital. Paths in a recipe are relative to the current folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from hilum.models.prompt import PromptVersion
from hilum.training.recipe import Checkpoints, Settings, Updates

Part = Literal["frozen", "lora", "full"]


class FreshNetwork(Settings):
    """Sizes of a reporter made from nothing, in transformers' Janus classes."""

    image_size: int = Field(default=160, gt=0)
    """Side of the square picture, pixels; a multiple of `patch_size`."""
    patch_size: int = Field(default=16, gt=0)
    """Side of the squares that the picture is cut into, pixels; one image token each."""
    vision_width: int = Field(default=192, gt=0)
    """Features of an image token in the vision tower; a multiple of `vision_heads`."""
    vision_layers: int = Field(default=6, gt=0)
    """Transformer layers of the vision tower."""
    vision_heads: int = Field(default=6, gt=0)
    """Attention heads of each."""
    language_width: int = Field(default=192, gt=0)
    """Features of a token in the language model; a multiple of twice `language_heads`."""
    language_layers: int = Field(default=4, gt=0)
    """Transformer layers of the language model."""
    language_heads: int = Field(default=6, gt=0)
    """Attention heads of each."""
    language_ffn: int = Field(default=512, gt=0)
    """Features in the middle of its feed-forward layers."""
    vocabulary: int = Field(default=1024, gt=0)
    """Tokens of the byte-level BPE tokenizer, special ones included; it is trained on the answers and the prompts."""
    context: int = Field(default=1024, gt=0)
    """Tokens of prompt and answer together."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError("image_size must be a multiple of patch_size")
        if self.vision_width % self.vision_heads:
            raise ValueError("vision_width must be a multiple of vision_heads")
        if self.language_width % (2 * self.language_heads):
            raise ValueError("language_width must be a multiple of twice language_heads")
        return self


class Identity(Settings):
    """What the checkpoint will be called."""

    name: str
    """As reports, pages and `hilum models` show it."""
    version: str
    """The same; text, so in quotes: "1"."""
    licence: str = ""
    """Licence of the weights, with what base and data ask for."""
    demonstration: bool = False
    """True: for trying Hilum out only; a server refuses it outside its demo mode."""


class Model(Settings):
    """What is trained."""

    base: str | None = None
    """A reporter's checkpoint folder, or a hub id that is on this machine already; none makes a network from
    [model.fresh]. For stages 2 and 3 the checkpoint of the stage before, `OUT/checkpoint`."""
    fresh: FreshNetwork | None = None
    """Instead of `base`, in stage 1 only: a network made from nothing."""
    prompt_version: PromptVersion = "hilum/1"
    """Only `hilum/1` tells an expert that found nothing from none; stages after the first keep their base's."""
    language: Part = "lora"
    """How the language model is trained: not at all, by low-rank adapters (see [lora]), or every weight."""
    aligner: Literal["frozen", "full"] = "frozen"
    """The same of the layers that hand image tokens to the language model."""
    vision: Part = "frozen"
    """The same of the vision tower."""
    frozen_weights: Literal["float32", "bfloat16"] = "float32"
    """Precision that weights which are not trained are kept in. Trained ones are always float32."""
    stored_weights: Literal["float32", "bfloat16"] = "bfloat16"
    """Precision of the finished checkpoint."""

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.base is not None and self.fresh is not None:
            raise ValueError(
                "both base and [model.fresh] are given, expected one; remove [model.fresh] from the recipe to start "
                "from the checkpoint that base names, or base to make a network from nothing (stage 1 only)"
            )
        if self.base is None and self.fresh is None:
            raise ValueError(
                "neither base nor [model.fresh] is given, expected one; give base, a reporter's checkpoint folder, or "
                "the sizes of a network made from nothing (stage 1 only)"
            )
        if self.fresh is not None and (self.language, self.vision, self.aligner) != ("full", "full", "full"):
            raise ValueError("a fresh network is trained in full: language, vision and aligner must be 'full'")
        if (self.language, self.aligner, self.vision) == ("frozen", "frozen", "frozen"):
            raise ValueError("nothing is trained: language, aligner and vision are all 'frozen'")
        return self


class Lora(Settings):
    """Low-rank adaptation (Hu et al., ICLR 2022) of the linear layers of attention and feed-forward.

    Rank 64 is that of the paper's first version (arXiv 2507.19493); its alpha and targets are not reported.
    """

    rank: int = Field(default=64, gt=0)
    """Of the two small matrices that stand for the change of a large one."""
    alpha: int = Field(default=128, gt=0)
    """The change counts alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of an adapter's inputs left out while training."""


class Source(Settings):
    """One manifest to learn from; its `train` split is trained on, its `validate` split validates."""

    manifest: Path
    """The Parquet file, or the folder `hilum corpus build` made."""
    text: Literal["report", "grammar"] = "report"
    """Where the answer comes from: the manifest's report, or sentences that say its labels and nothing else."""
    labels: Literal["published", "text"] = "published"
    """Which labels a grammar text is made of and `oracle` findings are taken from."""
    weight: float = Field(default=1.0, gt=0)
    """How often a study of this source is drawn in an epoch; 0.5 takes a new random half each time."""


class Images(Settings):
    """Which pictures of a study are shown, and how they vary."""

    most: int = Field(default=1, ge=1)
    """Pictures in one prompt at most; frontal ones come first, then lateral, then prior."""
    lateral: bool = False
    """Show a lateral picture of the study too."""
    prior: bool = False
    """Show a frontal picture of the patient's study before."""
    single: float = Field(default=0.3, ge=0, le=1)
    """Share of the studies with several pictures that are shown with their first alone, so that one is enough."""
    augmentation: float = Field(default=0.5, ge=0, le=1)
    """Strength of small shifts, turns and changes of grey; never a flip, since left and right matter."""
    cache: Path | None = None
    """Folder where prepared pictures are kept for later runs; by default `pictures` in the run's own folder."""
    intensity: Literal["window", "histogram_equalised", "mixed"] = "window"
    """Grey values of the pictures (MIMIC-CXR-JPG's are histogram-equalised); the checkpoint says so."""

    @model_validator(mode="after")
    def _room(self) -> Self:
        if (self.lateral or self.prior) and self.most < 2:
            raise ValueError("lateral and prior pictures follow a frontal one: most must be at least 2")
        return self


class Conditioning(Settings):
    """What the prompt says of the expert's findings while training: as at reading time, wrong now and then."""

    findings: Literal["predicted", "oracle"] = "predicted"
    """`predicted`: from `scores` or `expert`; `oracle`: the labels themselves, which teaches to parrot."""
    expert: str = "starter"
    """The expert, for its thresholds; it is asked about studies that `scores` does not hold."""
    scores: Path | None = None
    """Out-of-fold scores of the studies that the expert learnt from, `scores.parquet` of `hilum train expert`."""
    unseen: bool = False
    """Says that the expert never learnt from these studies, where its checkpoint does not say what it learnt from."""
    without_expert: float = Field(default=0.15, ge=0, le=1)
    """Share of the samples whose prompt is the one without an expert."""
    corrupted: float = Field(default=0.15, ge=0, le=1)
    """Share of the samples with one finding of the prompt left out or one added; the answer stays right. Not where the
    answer says what the prompt says (`random_findings`)."""
    random_findings: float = Field(default=0, ge=0, le=1)
    """Sources of `grammar` only. Share of the samples whose prompt and answer both say a random set of findings,
    half of them with a blank picture: they teach to say what the prompt says."""

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.without_expert + self.corrupted > 1:
            raise ValueError("without_expert and corrupted are shares of the same samples and exceed 1 together")
        return self


class Optimiser(Updates):
    """How weights change."""

    steps: int = Field(gt=0)
    """Updates of the weights in the whole run, `batch` studies each."""
    warmup: int = Field(default=100, ge=0)
    """Steps over which the learning rate rises from 0."""
    gradient_checkpointing: bool = False
    """Compute activations a second time instead of keeping them: less memory, some 30 % more time."""
    shard: bool = False
    """Under torchrun: spread weights, gradients and moments over the processes (FSDP2) instead of copying (DDP)."""


class Validation(Settings):
    """What is measured while training, on the `validate` splits; the best checkpoint is chosen by it."""

    every: int = Field(default=500, gt=0)
    """Steps between two measurements."""
    loss_studies: int = Field(default=512, gt=0)
    """Studies whose loss is measured, drawn once; all, where there are fewer."""
    report_studies: int = Field(default=128, ge=0)
    """Studies that reports are written for and labelled; 0 measures the loss alone."""
    metric: Literal["micro_f1_14", "micro_f1_13", "micro_f1_5", "macro_f1_14", "macro_f1_13", "macro_f1_5", "loss"] = (
        "micro_f1_13"
    )
    """Chooses the best checkpoint. The loss goes on falling after clinical metrics have turned."""
    max_new_tokens: int = Field(default=256, gt=0)
    """Longest draft, tokens; prompt and draft together must fit the model."""

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        if self.metric != "loss" and not self.report_studies:
            raise ValueError(f"{self.metric} needs reports: report_studies must be above 0")
        return self


class ReporterRecipe(Settings):
    """A stage of a reporter."""

    identity: Identity
    model: Model
    lora: Lora = Lora()
    data: tuple[Source, ...] = Field(min_length=1)
    images: Images = Images()
    conditioning: Conditioning = Conditioning()
    optimiser: Optimiser
    validation: Validation = Validation()
    checkpoints: Checkpoints = Checkpoints()
    assessed: tuple[str, ...] | None = None
    """Findings that grammar texts may deny and that may be added wrongly to a prompt; none given: those that the
    expert assesses."""
    minimum_age_years: float | None = None
    """Studies of younger patients are left out; those of unknown age stay."""

    @model_validator(mode="after")
    def _batches(self) -> Self:
        if self.conditioning.random_findings and any(source.text != "grammar" for source in self.data):
            raise ValueError(
                "conditioning.random_findings needs data of text = 'grammar' only: a real report cannot say it"
            )
        if self.model.frozen_weights == "bfloat16" and self.optimiser.precision != "bfloat16":
            raise ValueError("model.frozen_weights = 'bfloat16' needs optimiser.precision = 'bfloat16'")
        if self.optimiser.batch % min(self.optimiser.micro_batch, self.optimiser.batch):
            raise ValueError("optimiser.batch must be a multiple of optimiser.micro_batch")
        return self
