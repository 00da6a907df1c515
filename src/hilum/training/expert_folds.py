"""Scores of studies by networks that never saw their patients: one network for each fold, and one for each source."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hilum.errors import DataError
from hilum.records import NAMES
from hilum.training.expert_bench import Bench
from hilum.training.expert_cases import OutOfFold, cases_of, metadata_scores
from hilum.training.expert_scores import scores_table
from hilum.training.expert_targets import Indices
from hilum.training.run_folder import Progress, same_run
from hilum.training.run_page import write_page


def out_of_fold(bench: Bench, progress: Progress | None) -> OutOfFold | None:
    """The scores of the `train` split from networks that never saw the patients; None without folds."""
    n, material = bench.recipe.validation.folds, bench.material
    if not n:
        return None
    train, fold = material.of_split("train"), material.folds(n)
    scores, other_source = np.full((len(material.studies), len(NAMES)), np.nan), None
    for number in range(n):
        learn, tested = train[fold[train] != number], train[fold[train] == number]
        scores[tested] = _part(bench, learn, tested, f"fold {number + 1} of {n}", str(number), progress)
    if bench.recipe.validation.other_source:
        other_source = np.full(scores.shape, np.nan)
        in_peer = cases_of(material, train, bench.recipe).in_peer
        for here, name in ((True, "peer"), (False, "others")):
            learn, tested = train[in_peer == here], train[in_peer != here]
            other_source[tested] = _part(bench, learn, tested, f"trained on the {name}", name, progress)
    cases = cases_of(material, train, bench.recipe)
    return OutOfFold(
        bench.learned,
        fold[train],
        scores[train],
        metadata_scores(cases, fold[train], bench.learned),
        np.full((len(train), len(NAMES)), np.nan) if other_source is None else other_source[train],
    )


def _part(
    bench: Bench, learn: Indices, tested: Indices, what: str, name: str, progress: Progress | None
) -> NDArray[np.float64]:
    """Scores ``[n, 14]`` of studies by a network that did not learn from them; kept in a run folder of its own."""
    out = bench.out / "folds" / name
    file = out / "scores.parquet"
    if not tested.size:
        return np.empty((0, len(NAMES)))
    learn = learn[bench.material.learnable[learn]]
    if not file.exists():
        if not learn.size:  # looked at before training too, but pictures may have turned out to be unreadable
            raise DataError(f"{what}: no study is left to learn from; give fewer folds, or no validation.other_source.")
        with bench.state.main_process_first():
            out.mkdir(parents=True, exist_ok=True)
            same_run({**bench.identity, "part": what}, out)
        watched = bench.material.of_split("validate")
        if bench.recipe.validation.choose == "last" and not watched.size:
            watched = tested  # for the curves alone: nothing is chosen by it
        trained, _ = bench.network(learn, out, watched, _numbered(progress, name))
        scores = bench.scores(trained, tested)
        if bench.state.is_main_process:
            scores_table(bench.material, tested, scores, bench.learned, None).write_parquet(out / ".scores.parquet")
            (out / ".scores.parquet").replace(file)
            shutil.rmtree(out / "checkpoints", ignore_errors=True)
            write_page(out)
        bench.state.wait_for_everyone()
    kept = pl.read_parquet(file)
    return np.stack([kept["scores"].struct.field(n).cast(pl.Float64).to_numpy() for n in NAMES], axis=1).astype(float)


def _numbered(progress: Progress | None, name: str) -> Progress | None:
    """Progress of a part, which says its number."""
    if progress is None or not name.isdigit():
        return progress
    return lambda row: progress({**{k: v for k, v in row.items() if k == "step"}, "fold": int(name) + 1, **row})
