"""The recipe of an input gate: every setting of its training."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from hilum.training.recipe import Settings


class Chests(Settings):
    """Frontal chest radiographs with a table: `image`, `patient_id`, `age_years`."""

    name: str
    """As the card calls it."""
    table: str
    """CSV, relative to the root."""
    images: str
    """Folder of the pictures, relative to the root."""
    judge_only: bool = False
    """Another source, never learned from and never chosen on."""


class Folder(Settings):
    """A folder of chest radiographs of children."""

    name: str
    """As the card calls it."""
    folder: str
    """Relative to the root."""


class Tar(Settings):
    """A tar file of pictures."""

    name: str
    """As the card calls it."""
    file: str
    """Relative to the root."""
    count: int = Field(default=1000, gt=0)
    """How many of them are used, the first by name."""


class GateData(Settings):
    """What is learned from and judged on."""

    root: Path
    """Folder of the sets; give it with `--set data.root=DIR`."""
    cache: Path | None = None
    """Folder where the features of the pictures are kept for the next run."""
    chests: tuple[Chests, ...]
    """The first set that is learned from is the one that false refusals are counted on."""
    children: tuple[Folder, ...] = ()
    """Chest radiographs of children, which the gate abstains from where it can tell."""
    small_chests: tuple[Tar, ...] = ()
    """Chest radiographs as small as the other body parts, of patients of unknown age."""
    others: tuple[Tar, ...]
    """What is no chest radiograph."""
    duplicate: float = Field(default=0.99, gt=0, le=1)
    """A picture of `small_chests` that correlates more than this with one of `chests` is the same one and left out."""


class GateIdentity(Settings):
    """What the checkpoint says of itself."""

    name: str
    """As pages and `hilum models` show it."""
    version: str
    """The same; text, so in quotes: "1"."""
    licence: str
    """Licence of the weights, with what the data ask for."""
    data_source: str
    """Where the pictures come from and whom to cite, for the checkpoint's provenance."""
    demonstration: bool = True
    """For trying Hilum out only."""


class Fit(Settings):
    """One logistic regression per kind, on standardised features."""

    penalty: float = Field(default=1e-3, gt=0)
    """Of the squared weights."""
    axes: int = Field(default=24, gt=0)
    """Directions in which the familiar is described."""
    validation: float = Field(default=0.2, gt=0, lt=1)
    """Share of patients that thresholds are chosen on."""
    test: float = Field(default=0.3, gt=0, lt=1)
    """Share of patients that nothing is chosen on."""
    seed: int = 0
    """Of everything that is drawn."""


class Operating(Settings):
    """How thresholds are chosen on the validation part."""

    abstain_share: float = Field(default=0.001, gt=0, lt=1)
    """Each kind that can abstain may do so for at most this share of the upright frontals of each set."""
    warn_share: float = Field(default=0.005, gt=0, lt=1)
    """Each kind may warn of at most this share of them."""
    caught: float = Field(default=0.98, gt=0, le=1)
    """The threshold of a kind that can abstain lies between those of frontals and what this share of its pictures
    reaches."""
    least_caught: float = Field(default=0.2, ge=0, le=1)
    """A kind of which fewer are caught at its warning threshold is left out."""
    silent: tuple[str, ...] = ()
    """Kinds that are learned and judged and say nothing."""
    margin: float = Field(default=1.1, ge=1)
    """By how much `unfamiliar` must exceed the distance that `abstain_share` of the frontals reach to abstain."""
    low_contrast: tuple[float, float] = (0.55, 0.65)
    """`low_contrast` from which on the gate warns and abstains: where the expert's scores of a picture in other grey
    values no longer rank the pictures as before (docs/experiments.md)."""
    clipped: tuple[float, float] = (0.1, 0.3)
    """The same of `clipped`."""


class GateRecipe(Settings):
    """An input gate."""

    data: GateData
    identity: GateIdentity
    fit: Fit = Fit()
    operating: Operating = Operating()
