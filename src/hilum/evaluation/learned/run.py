"""Each learned metric of each system: what is given is loaded once, what is not is named with what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import torch

from hilum.errors import CapabilityError, DependencyError, Reason, UsageError
from hilum.evaluation.card import Skipped
from hilum.evaluation.clinical import clinical_measures
from hilum.evaluation.labelled import label_pairs
from hilum.evaluation.learned import packages
from hilum.evaluation.learned.bertscore import bertscore, read_baseline
from hilum.evaluation.learned.graphs import radgraph_f1
from hilum.evaluation.learned.needs import NEEDS, left_out
from hilum.evaluation.learned.paths import LearnedPaths
from hilum.evaluation.learned.radcliq import LAYER, radcliq
from hilum.evaluation.measures import Measures
from hilum.evaluation.pairs import Pairs
from hilum.models.chexbert import CheXbert, load_chexbert
from hilum.models.encoders import load_encoder
from hilum.models.radgraph import RadGraph, load_radgraph

Measure = Callable[[Pairs], Sequence[Measures]]
Value = TypeVar("Value")


class _Loaded:
    """Networks that several metrics share, and each metric ready to measure."""

    def __init__(self, paths: LearnedPaths, device: str) -> None:
        self._paths = paths
        self._device = device

    @cached_property
    def chexbert(self) -> CheXbert:
        return load_chexbert(*self._paths.chexbert_files(), device=self._device)

    @cached_property
    def radgraph(self) -> RadGraph:
        paths = self._paths
        folder, encoder = _given(paths.radgraph), _given(paths.radgraph_encoder)
        return load_radgraph(folder, encoder, model_type=paths.radgraph_type, device=self._device)

    def metric(self, name: str) -> Measure:
        """Load a metric whose needs are met."""
        paths, device = self._paths, self._device
        if name == "chexbert":
            chexbert = self.chexbert
            return lambda pairs: clinical_measures(label_pairs(pairs, chexbert))
        if name == "radgraph":
            radgraph = self.radgraph
            return lambda pairs: [radgraph_f1(pairs, radgraph)]
        if name == "bertscore":
            layer, table = _given(paths.bertscore_layer), paths.bertscore_baseline
            encoder = load_encoder(_given(paths.bertscore), layer, device=device)
            baseline = None if table is None else read_baseline(table, layer)
            return lambda pairs: [bertscore(pairs, encoder, idf=paths.bertscore_idf, baseline=baseline)]
        if name == "radcliq_v1":
            parts = load_encoder(_given(paths.radcliq), LAYER, device=device), self.chexbert, self.radgraph
            return lambda pairs: radcliq(pairs, *parts, idf=paths.radcliq_idf)
        if name == "green":
            green = packages.load_green(_given(paths.green), device=device)
            return lambda pairs: [green(pairs)]
        folders = _given(paths.ratescore), _given(paths.ratescore_encoder)
        ratescore = packages.load_ratescore(*folders, matrix=paths.ratescore_matrix, device=device)
        return lambda pairs: [ratescore(pairs)]


def run(
    systems: Sequence[Pairs], paths: LearnedPaths, device: str, told: Callable[[str], None]
) -> tuple[list[list[Measures]], list[Skipped]]:
    """See `hilum.evaluation.learned.measures_of_systems`."""
    without = left_out(paths)
    loaded = _Loaded(paths, _named(device))
    measured: list[list[Measures]] = [[] for _ in systems]
    skipped: list[Skipped] = []
    for name in NEEDS:
        if name in without:
            skipped.append(Skipped(name, without[name]))
            continue
        told(name)
        try:
            measure = loaded.metric(name)
            found = [list(measure(pairs)) for pairs in systems]
        except DependencyError as error:
            skipped.append(Skipped(name, error.message))
            continue
        for own, measures in zip(measured, found, strict=True):
            own += measures
    return measured, skipped


def _named(device: str) -> str:
    """The device as torch names it; "auto" is a GPU where there is one.

    Raises:
        UsageError: torch knows no such name. CapabilityError: a GPU was asked for and there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageError(f"unknown device {device!r}; expected auto, cpu or cuda.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise CapabilityError("No CUDA device was found by torch; use the device cpu or auto.", Reason.DEVICE)
    return device


def _given(value: Value | None) -> Value:
    """A setting that `NEEDS` has found to be there."""
    assert value is not None
    return value
