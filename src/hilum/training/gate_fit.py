"""Fitting a gate's network to features, and choosing its thresholds on the validation part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hilum.errors import DataError
from hilum.models.checkpoint import GateKind
from hilum.models.gate import KINDS, MEASURES, GateNetwork
from hilum.training.gate_features import PictureSet
from hilum.training.gate_recipe import GateRecipe

ABSTAINING = ("not_chest", "inverted", "turned_90", "turned_180", "turned_270")
"""Kinds of which nothing can be read; the others warn."""
_LEAST_VARIANCE = 1e-6
ORDINARY = ("plain", "whole", "grey", "small", "medium")
"""Versions in which an adult's upright frontal is still one."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Pictures of several sets, row by row.

    Attributes:
        features: float32 ``[N, 4, C]``.
        truth: ``[N, K]``: 1, 0 and -1 for unknown.
        greys: ``[N, 2]``, `low_contrast` and `clipped` of each.
        sets, parts, versions, groups, files, split: ``[N]``.
    """

    features: torch.Tensor
    truth: NDArray[np.int8]
    greys: NDArray[np.float32]
    sets: NDArray[np.str_]
    parts: NDArray[np.str_]
    versions: NDArray[np.str_]
    groups: NDArray[np.str_]
    files: NDArray[np.str_]
    split: NDArray[np.str_]

    @classmethod
    def of(cls, sets: list[PictureSet], recipe: GateRecipe) -> Table:
        """All sets one below the other."""
        return cls(
            torch.cat([one.features for one in sets]).float(),
            np.concatenate([one.truth for one in sets]),
            np.concatenate([one.greys for one in sets]),
            np.concatenate([np.full(len(one.files), one.name) for one in sets]),
            np.concatenate([np.full(len(one.files), one.part) for one in sets]),
            np.concatenate([one.versions for one in sets]),
            np.concatenate([np.array([f"{one.name}/{group}" for group in one.groups]) for one in sets]),
            np.concatenate([np.array([f"{one.name}/{file}" for file in one.files]) for one in sets]),
            np.concatenate([one.split(recipe.fit.validation, recipe.fit.test) for one in sets]),
        )

    def is_(self, kind: str, value: bool = True) -> NDArray[np.bool_]:
        """``[N]``, rows of which it is known that they are so."""
        known: NDArray[np.bool_] = self.truth[:, KINDS.index(kind)] == int(value)
        return known

    @property
    def frontals(self) -> NDArray[np.bool_]:
        """``[N]``, upright frontals of all but known children, as they are or in ordinary versions."""
        ordinary: NDArray[np.bool_] = np.isin(self.versions, ORDINARY) & np.isin(self.parts, ["chests", "small_chests"])
        return ordinary & ~self.is_("child")

    @property
    def adults(self) -> NDArray[np.bool_]:
        """``[N]``, those of them that are known to be of adults."""
        return self.frontals & self.is_("child", value=False)

    def by_set(self, rows: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """The same rows, each set for itself."""
        return [rows & (self.sets == name) for name in dict.fromkeys(self.sets[rows].tolist())]


def fit_gate(table: Table, recipe: GateRecipe) -> GateNetwork:
    """Fit head and distance to the part that is learned from; the same rows and threads give the same weights."""
    rows = np.flatnonzero(table.split == "learn")
    features = table.features[torch.from_numpy(rows)]
    network = GateNetwork(features.shape[2], len(KINDS), recipe.fit.axes)
    weight, bias = fit_head(features.flatten(1), table.truth[rows], recipe.fit.penalty)
    familiar = table.features[torch.from_numpy(np.flatnonzero((table.split == "learn") & table.frontals))].mean(1)
    n = recipe.fit.axes
    if len(familiar) < 2 * n:
        raise DataError(
            f"There are {len(familiar)} upright frontals of adults to learn from, in all versions; {n} axes need "
            f"at least {2 * n}. Give more, or set fit.axes lower."
        )
    centre = familiar.mean(0)
    _, values, axes = torch.linalg.svd(familiar - centre, full_matrices=False)
    variances = (values.square() / (len(familiar) - 1)).clamp_min(_LEAST_VARIANCE)
    network.load_state_dict(
        {
            "head.weight": weight,
            "head.bias": bias,
            "centre": centre,
            "axes": axes[:n].clone(),
            "variances": variances[:n].clone(),
            "rest": (variances[n:].sum() / max(1, familiar.shape[1] - n)).clamp_min(_LEAST_VARIANCE),
        }
    )
    return network.eval().requires_grad_(False)


def fit_head(features: torch.Tensor, truth: NDArray[np.int8], penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    """One logistic regression per kind, on standardised features; rows of unknown truth are left out of a kind's.

    Args:
        features: ``[n, F]``.
        truth: ``[n, K]``: 1, 0 and -1 for unknown.
        penalty: of the squared weights.

    Returns:
        weight ``[K, F]`` and bias ``[K]`` for features that are not standardised. Positives and negatives of a kind
        weigh the same, so a score of 0.5 means nothing about how common the kind is.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    unit = (features - mean) / deviation
    wanted = torch.from_numpy((truth == 1).astype(np.float32))
    positive, negative = (truth == 1), (truth == 0)
    each = positive / np.maximum(positive.sum(0), 1) + negative / np.maximum(negative.sum(0), 1)
    weights = torch.from_numpy(each.astype(np.float32)) / 2
    weight = torch.zeros(truth.shape[1], features.shape[1], requires_grad=True)
    bias = torch.zeros(truth.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=60, history_size=8, line_search_fn="strong_wolfe")

    def loss() -> float:
        solver.zero_grad()
        raw = unit @ weight.T + bias
        fits = functional.binary_cross_entropy_with_logits(raw, wanted, weight=weights, reduction="sum")
        total = fits + penalty * weight.square().sum()
        total.backward()
        return float(total.detach())

    solver.step(loss)
    scaled = weight.detach() / deviation
    return scaled, bias.detach() - scaled @ mean


@torch.inference_mode()
def scores_of(network: GateNetwork, features: torch.Tensor) -> dict[str, NDArray[np.float64]]:
    """Kind -> ``[N]`` scores of features ``[N, 4, C]``, and the distance as `unfamiliar`."""
    outputs = torch.sigmoid(network(features)).double().numpy()
    found = {kind: outputs[:, column] for column, kind in enumerate(KINDS)}
    return found | {"unfamiliar": network.distance(features).double().numpy()}


def choose(table: Table, scores: Mapping[str, NDArray[np.float64]], recipe: GateRecipe) -> tuple[GateKind, ...]:
    """Thresholds of every kind and measure, chosen on the validation part alone.

    A share of frontals holds in every set for itself: what one hospital's pictures have in common must not be what
    another's are refused for.

    Args:
        table: the pictures.
        scores: of all of them.
        recipe: the shares.
    """
    options = recipe.operating
    choosing = table.split == "choose"
    frontals = table.by_set(choosing & table.frontals)

    def least(code: str, share: float) -> float:
        return max(_upper(scores[code][rows], share) for rows in frontals)

    kinds = []
    for kind in KINDS:
        n = int((table.is_(kind) & (table.split == "learn")).sum())
        positives = scores[kind][choosing & table.is_(kind)]
        warn = least(kind, options.warn_share)
        caught = float((positives >= warn).mean()) if len(positives) else 0.0
        if kind in options.silent or caught < options.least_caught:
            kinds.append(GateKind(code=kind, n=n))
        elif kind in ABSTAINING:
            reached = float(np.quantile(positives, 1 - options.caught))
            abstain = between(least(kind, options.abstain_share), reached)
            kinds.append(GateKind(code=kind, warn=min(warn, abstain), abstain=abstain, n=n))
        else:
            kinds.append(GateKind(code=kind, warn=warn, n=n))
    far = MEASURES[0]
    warn, abstain = least(far, options.warn_share), least(far, options.abstain_share) * options.margin
    kinds.append(GateKind(code=far, warn=warn, abstain=round(max(warn, abstain), 4)))
    for code, (warn, abstain) in zip(MEASURES[1:], (options.low_contrast, options.clipped), strict=True):
        kinds.append(GateKind(code=code, warn=warn, abstain=abstain))
    return tuple(kinds)


def between(lowest: float, reached: float) -> float:
    """A threshold halfway, on the logit scale, between what frontals stay below and what a kind's pictures reach.

    Where the two overlap it is the former, whatever is lost.
    """
    if reached <= lowest:
        return lowest
    ends = np.clip([lowest, reached], 1e-4, 1 - 1e-4)
    middle = np.log(ends / (1 - ends)).mean()
    return round(float(1 / (1 + np.exp(-middle))), 4)


def _upper(values: NDArray[np.float64], share: float) -> float:
    """The least four-digit number that at most `share` of the values reach."""
    ordered = np.sort(values)[::-1]
    above = ordered[min(int(share * len(ordered)), len(ordered) - 1)]
    return float(np.floor(above * 1e4 + 1) / 1e4)
