"""The pictures of an expert's run, prepared before the first step; a wrong folder is refused before much is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hilum.errors import DataError
from hilum.training.expert_pictures import preparation
from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.expert_studies import ExpertMaterial
from hilum.training.pictures import Prepared, missing_pictures, prepare
from hilum.training.run_folder import Progress, write_json

_FIRST_LOOK = 50
_MOST_AT_FIRST_LOOK = 0.5
"""Pictures that are read before all others, and the share of them that may fail: whether the rest is worth hours."""


def prepare_material(
    material: ExpertMaterial, recipe: ExpertRecipe, out: Path, progress: Progress | None, *, first: bool
) -> tuple[ExpertMaterial, Prepared]:
    """Prepare every picture, or take what is prepared already; studies without one that can be read are left out.

    Which pictures could not be read when the run began is kept in `unreadable.json`, and they stay left out: a picture
    that came later would change the order of all that is still to be learnt.

    Args:
        material: the studies of the manifests.
        recipe: the input's size and the folder of prepared pictures.
        out: the run's folder.
        progress: told how many are ready.
        first: whether this is the first process; the others come after it.

    Raises:
        DataError: more studies than `ExpertMaterial.readable` allows lack a picture; most of a few that are looked at
            first cannot be read; a picture that the run began with is gone; and as `hilum.training.pictures.prepare`.
    """
    how, folder, settled = preparation(recipe.network.input_size), recipe.images.cache or out / "pictures", None
    files = list(dict.fromkeys(file for one in material.studies for file in one.files))
    if (kept := out / "unreadable.json").exists():
        settled = dict[str, str](json.loads(kept.read_text(encoding="utf-8")))
    again = {file for file in files if first and file not in (settled or ())}
    if settled is None:
        missing = missing_pictures(files)
        material.readable(dict.fromkeys(sorted(missing), ""), missing)
        spread = np.unique(np.linspace(0, len(files) - 1, _FIRST_LOOK).astype(int))
        looked = prepare([files[i] for i in spread], how, folder, again=again)  # kept: nothing is read twice
        if len(looked.unreadable) > _MOST_AT_FIRST_LOOK * len(spread):
            raise DataError(
                f"Of {len(files)} pictures, {len(spread)} from all over the manifests were read first: "
                f"{material.told_of(looked.unreadable, looked.missing)}"
            )

    def told(done: int, n: int) -> None:
        if progress and (done % 200 == 0 or done == n):
            progress({"pictures prepared": float(done), "of": float(n)})

    store = prepare(files, how, folder, told, again=again)
    if settled is None:
        readable = material.readable(store.unreadable, store.missing)
        if first:
            write_json(store.unreadable, kept)
        return readable, store
    if lost := {file: why for file, why in store.unreadable.items() if file not in settled}:
        raise DataError(
            f"This run began with pictures that cannot be read any more: {material.told_of(lost, store.missing)} Bring "
            "them back, or begin anew in another --out."
        )
    return material.readable(settled, store.missing), store
