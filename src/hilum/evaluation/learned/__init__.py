"""Metrics that are networks themselves: CheXbert's labels, BERTScore, RadGraph F1, RadCliQ, GREEN, RaTEScore.

Their weights are the user's: every path is given, nothing is fetched, and what is not given or not installed is named
with what it needs. Each number's convention names the network by the digest of its file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hilum.evaluation.card import Skipped
from hilum.evaluation.learned.needs import NEEDS, left_out
from hilum.evaluation.learned.paths import LearnedPaths
from hilum.evaluation.measures import Measures
from hilum.evaluation.pairs import Pairs

__all__ = ["LearnedPaths", "learned_measures", "left_out", "measures_of_systems"]


def learned_measures(
    pairs: Pairs, paths: LearnedPaths, device: str = "cpu", *, progress: Callable[[str], None] | None = None
) -> tuple[list[Measures], list[Skipped]]:
    """Every learned metric whose files are given.

    Args:
        pairs: the studies.
        paths: what is given.
        device: where the networks run, as torch names it; "auto" is a GPU where there is one.
        progress: told which metric comes next.

    Returns:
        The measures, `[n]` studies each, and what was not computed with what it needs.

    Raises:
        UsageError: part of what a metric needs is given.
        CheckpointError: something given is missing, damaged, unsafe or of another network.
        CapabilityError: a GPU was asked for and there is none.
    """
    measured, skipped = measures_of_systems([pairs], paths, device, progress=progress)
    return measured[0], skipped


def measures_of_systems(
    systems: Sequence[Pairs], paths: LearnedPaths, device: str = "cpu", *, progress: Callable[[str], None] | None = None
) -> tuple[list[list[Measures]], list[Skipped]]:
    """The same for several systems' predictions of the same studies, with each network loaded once.

    Args:
        systems: one for each system.
        paths: see `learned_measures`.
        device: see `learned_measures`.
        progress: see `learned_measures`.

    Returns:
        The measures of each system, and what was not computed of any.

    Raises:
        UsageError: see `learned_measures`.
        CheckpointError: see `learned_measures`.
        CapabilityError: see `learned_measures`.
    """
    without = left_out(paths)
    if len(without) == len(NEEDS):  # torch and transformers take seconds to import
        return [[] for _ in systems], [Skipped(name, why) for name, why in without.items()]
    from hilum.evaluation.learned.run import run

    return run(systems, paths, device, progress or (lambda _: None))
