"""How good a recipe's expert is: patient-grouped cross-validation, and what guards its figures against flattery.

Every score comes from a network that never saw the patient. Figures are quoted on the studies that the recipe's peer
was run on; beside them stand those on PA pictures alone, those of networks trained on one source and tested on the
other, and those of a regression that sees only view, sex and age. A masked label counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hilum.errors import DataError
from hilum.training.expert_cases import Cases
from hilum.training.expert_judge import Judge, rounded
from hilum.training.expert_missing import with_what_is_missing
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_scores import read_scored


def figures(judge: Judge, data: Cases) -> dict[str, Any]:
    """Everything that is quoted, ready for JSON."""
    peer, grown = data.in_peer, data.usable
    assessed = judge.assessed()
    flat = peer & data.postero_anterior
    out: dict[str, Any] = {
        "on_peer_pictures": judge.part(peer),
        "pa_only": judge.part(flat),
        "ap_only": judge.part(peer & ~data.postero_anterior),
        "grown_patients": judge.part(peer & grown),
        "assessed_only": {
            key: judge.macros(part, [name for name in judge.countable(part) if name in assessed])
            for key, part in (("on_peer_pictures", peer), ("pa_only", flat))
        },
        "verdicts": {name: rounded(one) for name, one in judge.verdicts().items()},
        "operating_points": judge.operating_points(peer),
        "operating_points_cross_fitted": judge.cross_fitted_points(peer),
        "reliability": {name: rounded(one) for name, one in judge.reliability(peer).items()},
    }
    names = judge.countable(peer)
    if 0 < len(theirs := judge.known_to_peer(names)) < len(names):
        out["findings_of_the_peer"] = judge.macros(peer, theirs)
    if not peer.all():
        out["the_other_source"] = judge.part(~peer)
        if judge.has_other_source:
            out["leave_one_source_out"] = judge.other_source()
    return out


def from_scores(recipe: ExpertRecipe, scores: Path, before: Mapping[str, Any], *, tries: int | None) -> dict[str, Any]:
    """Every figure of a cross-validation made anew from the scores it wrote, without training.

    Args:
        recipe: as it was cross-validated, over the same manifests.
        scores: what `write_scores` wrote.
        before: the figures written then; what needs other networks than those of the folds is taken from them.
        tries: among how many recipes this one was chosen on the same folds; None where it was not.

    Raises:
        DataError: `before` is of other studies, and as `read_scored`.
    """
    cases, found = read_scored(recipe, scores)
    if cases.digest() != before["cases_sha256"]:
        raise DataError(
            "The recipe's manifests do not hold the studies, labels and patients of these figures; their digest is "
            f"{cases.digest()[:12]}, expected {before['cases_sha256'][:12]}."
        )
    judge = Judge(cases, found, resamples=recipe.validation.resamples, seed=recipe.optimiser.seed)
    kept = {key: before[key] for key in ("schema", "recipe", "minimum_age_years", "folds", "cases_sha256", "made_with")}
    out = {**kept, "resamples": recipe.validation.resamples, "tries": tries, **figures(judge, cases)}
    if "leave_one_source_out" in before:
        out["leave_one_source_out"] = before["leave_one_source_out"]
    return with_what_is_missing(out, judge, cases)
