"""Whether heat maps point at what they claim to: their strongest place against radiologists' boxes.

A heat map that does no better than a pin stuck into the picture, or into the same place of every picture, must not be
shown to anyone as evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hilum.corpora.contract import Dropped
from hilum.corpora.nih_chestxray14 import Box
from hilum.errors import CapabilityError, DataError, InputError
from hilum.evaluation.card import Number
from hilum.evaluation.clinical import slug
from hilum.imaging import Decoder
from hilum.records import NAMES, Radiograph
from hilum.statistics import Proportion, wilson
from hilum.statistics.inputs import Bools

TOLERANCE = 15 / 1024
"""How far outside a box still counts, as a share of the picture's side: 15 px of NIH's 1,024 (Zhang et al., IJCV
126:1084-1102, 2018, use 15 px)."""
MINIMUM_PICTURES = 10
_NIH_SIDE = 1024.0
_GRID = 128


class HeatMaps(Protocol):
    """What makes heat maps: `hilum.models.expert.Expert` is one."""

    def heatmaps(self, radiograph: Radiograph, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Finding -> float32 ``[H, W]`` in 0..1, 0 throughout where nothing speaks for it."""


@dataclass(frozen=True, slots=True)
class Region:
    """A finding outlined by a radiologist.

    Attributes:
        picture: its name.
        patient: whose it is.
        finding: one of the 14.
        left, top, right, bottom: as shares of the picture's width and height, 0..1.
    """

    picture: str
    patient: str
    finding: str
    left: float
    top: float
    right: float
    bottom: float

    def holds(self, x: float, y: float, tolerance: float) -> bool:
        """Whether a place, as shares, lies in it or no further off than the tolerance."""
        across = self.left - tolerance <= x <= self.right + tolerance
        return across and self.top - tolerance <= y <= self.bottom + tolerance


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a heat map is strongest: `x`, `y` as shares of the picture; None where it is empty."""

    picture: str
    finding: str
    place: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Pointing:
    """How often a finding's heat maps point into its boxes.

    Attributes:
        finding: one of the 14.
        n: pictures with a box and a heat map.
        n_patients: theirs.
        hits: pictures whose strongest place lies in a box of the finding.
        empty: pictures whose map is empty, which are no hits.
        share: the share of hits with its Wilson interval; of as many trials as there are patients where they repeat.
        area: the share of the picture that the boxes cover, tolerance included, averaged: what a random place hits.
        fixed_place: the share that one and the same place hits in every picture, chosen for each picture on the others;
            nan for a single picture.
        tolerance: as a share of the picture's side.
    """

    finding: str
    n: int
    n_patients: int
    hits: int
    empty: int
    share: Proportion
    area: float
    fixed_place: float
    tolerance: float = TOLERANCE

    @property
    def floor(self) -> float:
        """The better of the two ways to point without looking at the picture."""
        return self.area if math.isnan(self.fixed_place) else max(self.area, self.fixed_place)

    @property
    def passes(self) -> bool:
        """Whether the heat map may be shown: at least ten pictures, and the interval's lower end above the floor."""
        return self.n >= MINIMUM_PICTURES and self.share.low > self.floor

    @property
    def verdict(self) -> str:
        """One sentence."""
        share, low = f"{self.hits} of {self.n}", f"{self.share.low:.2f}"
        if self.n < MINIMUM_PICTURES:
            return f"{share} hit: too few pictures to say; at least {MINIMUM_PICTURES} are needed"
        against = f"a place chosen without looking hits {self.floor:.2f}"
        if self.passes:
            return f"{share} hit, at least {low} by the interval; {against}: shown"
        return f"{share} hit, the interval reaches down to {low}; {against}: not shown"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `Card.details`."""
        return {**asdict(self), "floor": self.floor, "passes": self.passes, "verdict": self.verdict}


def nih_regions(boxes: Iterable[Box | Dropped]) -> tuple[list[Region], int]:
    """NIH's boxes as shares of their 1,024 px pictures, and how many rows could not be used.

    Args:
        boxes: from `hilum.corpora.nih_chestxray14.NihChestXray14.boxes`.
    """
    found, dropped = [], 0
    for box in boxes:
        if isinstance(box, Dropped):
            dropped += 1
            continue
        left, top = box.left / _NIH_SIDE, box.top / _NIH_SIDE
        right, bottom = left + box.width / _NIH_SIDE, top + box.height / _NIH_SIDE
        name = Path(box.image).stem
        found.append(Region(name, name.split("_")[0].lstrip("0"), box.finding, left, top, right, bottom))
    return found, dropped


def strongest(heat: NDArray[np.float32]) -> tuple[float, float] | None:
    """Where a heat map ``[H, W]`` is largest, as shares of width and height; None where it is 0 throughout.

    Of places that are equal, the one nearest to their middle counts.
    """
    top = float(heat.max(initial=0.0))
    if not top > 0.0:
        return None
    row, column = _middle(heat == top)
    return (column + 0.5) / heat.shape[1], (row + 0.5) / heat.shape[0]


def _middle(places: Bools) -> tuple[int, int]:
    """The true place (row, column) that is nearest to the middle of all true ones."""
    where = np.argwhere(places)
    nearest = where[int(((where - where.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    return int(nearest[0]), int(nearest[1])


def take_aim(
    regions: Sequence[Region], pictures: Mapping[str, Path], maps: HeatMaps, decoder: Decoder
) -> tuple[list[Aim], dict[str, str]]:
    """Make the heat maps of all pictures with boxes.

    Args:
        regions: the boxes.
        pictures: name -> file; pictures without one are passed over.
        maps: the expert.
        decoder: reads the files.

    Returns:
        One aim for each picture and finding; and what could not be done, by "finding" or "picture", with the reason.
    """
    wanted: dict[str, list[str]] = {}
    for region in regions:
        if region.picture in pictures and region.finding not in wanted.setdefault(region.picture, []):
            wanted[region.picture].append(region.finding)
    aims: list[Aim] = []
    left_out: dict[str, str] = {}
    for picture, findings in wanted.items():
        try:
            radiograph = decoder.read(pictures[picture])
        except InputError as error:
            left_out[picture] = error.message
            continue
        for name in findings:
            if name in left_out:
                continue
            try:
                aims.append(Aim(picture, name, strongest(maps.heatmaps(radiograph, [name])[name])))
            except CapabilityError as error:
                left_out[name] = error.message
    return aims, left_out


def point(
    regions: Sequence[Region], aims: Sequence[Aim], *, tolerance: float = TOLERANCE, level: float = 0.95
) -> list[Pointing]:
    """The pointing game: a hit is a strongest place within a box of the finding, or `tolerance` off it.

    Args:
        regions: the boxes; several of one finding and picture count as one target.
        aims: one for each picture and finding.
        tolerance: as a share of the picture's side.
        level: confidence level.

    Returns:
        One for each finding that has both, in the order of `hilum.records.NAMES`.

    Raises:
        DataError: two aims of one picture and finding.

    Source:
        Zhang et al., International Journal of Computer Vision 126:1084-1102 (2018) (the pointing game).
    """
    targets: dict[tuple[str, str], list[Region]] = {}
    for region in regions:
        targets.setdefault((region.picture, region.finding), []).append(region)
    keys = [(aim.picture, aim.finding) for aim in aims]
    if len(set(keys)) < len(keys):
        raise DataError("A picture has two heat maps of one finding; expected one.")
    out = []
    for name in NAMES:
        here = [aim for aim in aims if aim.finding == name and (aim.picture, name) in targets]
        if here:
            out.append(_pointing(name, here, [targets[aim.picture, name] for aim in here], tolerance, level))
    return out


def _pointing(
    name: str, aims: Sequence[Aim], targets: Sequence[Sequence[Region]], tolerance: float, level: float
) -> Pointing:
    hit = [
        aim.place is not None and any(region.holds(*aim.place, tolerance) for region in target)
        for aim, target in zip(aims, targets, strict=True)
    ]
    covered = np.stack([_covered(target, tolerance) for target in targets])  # [n, g, g]
    n, patients = len(aims), len({target[0].patient for target in targets})
    trials = min(n, patients)
    return Pointing(
        finding=name,
        n=n,
        n_patients=patients,
        hits=sum(hit),
        empty=sum(aim.place is None for aim in aims),
        share=wilson(round(sum(hit) / n * trials), trials, level=level),
        area=float(covered.mean()),
        fixed_place=_fixed_place(covered),
        tolerance=tolerance,
    )


def _covered(target: Sequence[Region], tolerance: float) -> Bools:
    """Which places of a grid over the picture count as hits, ``[g, g]``."""
    at = (np.arange(_GRID) + 0.5) / _GRID
    out = np.zeros((_GRID, _GRID), dtype=np.bool_)
    for region in target:
        across = (at >= region.left - tolerance) & (at <= region.right + tolerance)
        down = (at >= region.top - tolerance) & (at <= region.bottom + tolerance)
        out |= down[:, None] & across
    return out


def _fixed_place(covered: Bools) -> float:
    """The share of pictures hit at the place that lies in most boxes of the other pictures."""
    if len(covered) < 2:
        return math.nan
    total = covered.sum(axis=0)
    hits = 0
    for one in covered:
        others = total - one
        hits += bool(one[_middle(others == others.max())])
    return hits / len(covered)


def pointing_numbers(found: Sequence[Pointing], level: float = 0.95) -> list[Number]:
    """The numbers of a card: `pointing_{finding}`, and the two floors beside it.

    Args:
        found: from `point`.
        level: of the intervals.
    """
    out = []
    for one in found:
        convention = f"boxes|hit:strongest_place_within_{one.tolerance:.4f}_of_the_side|empty_map:miss"
        method = "Wilson" if one.n == one.n_patients else "Wilson, one trial for each patient"
        rest: dict[str, Any] = {
            "family": "pointing", "level": level, "n": one.n, "n_patients": one.n_patients, "convention": convention,
        }  # fmt: skip
        floors = {"pointing_random": one.area, "pointing_fixed": one.fixed_place}
        out.append(
            Number(name=f"pointing_{slug(one.finding)}", estimate=one.hits / one.n, low=one.share.low,
                   high=one.share.high, method=method, **rest)
        )  # fmt: skip
        out += [
            Number(name=f"{what}_{slug(one.finding)}", estimate=value, low=math.nan, high=math.nan, better="none",
                   method="of the boxes themselves, no interval", **rest)
            for what, value in floors.items()
        ]  # fmt: skip
    return out
