"""Manifests as material of an expert: which studies, their frontal pictures, what is known of each finding."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hilum.corpora import published
from hilum.errors import DataError
from hilum.records import NAMES, NO_FINDING, LabelState, Study, View, close_upward
from hilum.training.expert_recipe import ExpertRecipe, ExpertSource, Targets
from hilum.training.studies import SourceSummary, digest_of, pictures_of, read_tables

Bools = NDArray[np.bool_]
_MOST_UNREADABLE = 0.02
_NAMED = 3
"""Files that a message names."""


@dataclass(frozen=True, slots=True)
class ExpertStudy:
    """One study.

    Attributes:
        corpus, study, patient: as in the manifest; patient is "corpus/patient".
        source: which of the recipe's sources it is from.
        split: train, validate or test.
        files: its frontal pictures.
        view: of the first.
        age_years, sex: None where unknown.
        labels: closed upward; None where nobody labelled it.
    """

    corpus: str
    study: str
    patient: str
    source: int
    split: str
    files: tuple[str, ...]
    view: View
    age_years: float | None
    sex: str | None
    labels: Mapping[str, LabelState] | None


@dataclass(frozen=True, slots=True, eq=False)
class ExpertMaterial:
    """All that a recipe's sources give; arrays in the order of the studies.

    Attributes:
        studies: of all splits, in the order of sources and manifests.
        present: ``[N, 14]`` in the order of `NAMES`, what counts as positive.
        known: ``[N, 14]``, False where a label is masked.
        learnable: ``[N]``, False for studies without labels and of patients too young.
        sources: one summary each.
    """

    studies: tuple[ExpertStudy, ...]
    present: Bools
    known: Bools
    learnable: Bools
    sources: tuple[SourceSummary, ...]

    def of_split(self, split: str) -> NDArray[np.intp]:
        """The studies of a split."""
        return np.flatnonzero([one.split == split for one in self.studies])

    def folds(self, n: int) -> NDArray[np.int_]:
        """``[N]``, the fold of each study of the `train` split, by a hash of its patient; -1 outside."""
        return np.array([fold_of(one.patient, n) if one.split == "train" else -1 for one in self.studies])

    def readable(self, unreadable: Mapping[str, str], missing: Collection[str] = ()) -> ExpertMaterial:
        """Without pictures that cannot be read, and without studies that have no other.

        Args:
            unreadable: file -> why.
            missing: those of them that are not there.

        Raises:
            DataError: more than 2 % of the studies lack a picture, and more than one does: that is no odd file, it is a
                wrong folder.
        """
        whole = [replace(one, files=tuple(f for f in one.files if f not in unreadable)) for one in self.studies]
        kept = np.array([bool(one.files) for one in whole])
        if (lost := int((~kept).sum())) > max(1, _MOST_UNREADABLE * len(whole)):
            raise DataError(
                f"{lost} of {len(whole)} studies have no picture that can be read, more than {_MOST_UNREADABLE:.0%}: "
                f"{self.told_of(unreadable, missing)}"
            )
        sources = self.sources
        if unreadable:
            n_missing = sum(file in missing for file in unreadable)
            more = {"missing": n_missing, "unreadable": len(unreadable) - n_missing}
            counted = {f"{what} pictures, over all sources": n for what, n in more.items() if n}
            left_out = {**sources[0].left_out, **counted}
            sources = (replace(sources[0], left_out=left_out), *sources[1:])
        studies = tuple(one for one in whole if one.files)
        return ExpertMaterial(studies, self.present[kept], self.known[kept], self.learnable[kept], sources)

    def told_of(self, unreadable: Mapping[str, str], missing: Collection[str]) -> str:
        """How many files are not there and how many cannot be read, the first of them, and what to do.

        Files are named where the corpora are published: those of a hospital's own may be patient or accession numbers.

        Args:
            unreadable: file -> why.
            missing: those of them that are not there.
        """
        named = published({one.corpus for one in self.studies})
        gone = [file for file in unreadable if file in missing]
        broken = {file: why for file, why in unreadable.items() if file not in missing}
        said = []
        if gone:
            names = f" ({_first(gone)}; looked for in {Path(gone[0]).parent})" if named else ""
            said.append(
                f"{_files(len(gone), 'is', 'are')} missing{names}: if the data set was moved, build the manifest again "
                "with the new --root."
            )
        if broken:
            names = f" ({_first(list(broken))})" if named else ""
            said.append(
                f"{_files(len(broken), 'cannot', 'cannot')} be read{names}; the first: {next(iter(broken.values()))}"
            )
        which = "--images --examples" if gone and not broken else "--read-images --examples"
        return f"{' '.join(said)} `hilum corpus check MANIFEST {which}` counts them by their reason and names some."


def _files(n: int, one: str, several: str) -> str:
    return f"1 file {one}" if n == 1 else f"{n} files {several}"


def _first(files: Sequence[str]) -> str:
    """The first few by their names."""
    return ", ".join(Path(file).name for file in files[:_NAMED]) + (", ..." if len(files) > _NAMED else "")


def fold_of(patient: str, n: int) -> int:
    """The fold of a patient, by a hash: it stays when others come."""
    return int.from_bytes(hashlib.sha256(f"hilum expert fold:{patient}".encode()).digest()[:8], "big") % n


def read_expert_material(recipe: ExpertRecipe) -> ExpertMaterial:
    """Read the manifests of a recipe.

    Studies without a frontal picture are left out and counted. Those without labels, and those of younger patients,
    are scored and not learned from; they are counted too.

    Raises:
        DataError: as `hilum.training.studies.read_tables`; nothing is left to train on.
    """
    tables = read_tables([source.manifest for source in recipe.data])
    studies: list[ExpertStudy] = []
    parts: list[tuple[Bools, Bools]] = []
    summaries = []
    learnable: list[bool] = []
    for number, (source, table) in enumerate(zip(recipe.data, tables, strict=True)):
        left_out: Counter[str] = Counter()
        found = _studies(table, number, source, left_out)
        of_age = [_of_age(one, recipe.minimum_age_years) for one in found]
        usable = [one.labels is not None and grown for one, grown in zip(found, of_age, strict=True)]
        left_out[f"without {source.labels} labels"] = sum(one.labels is None for one in found)
        left_out[f"younger than {recipe.minimum_age_years or 0:g}"] = sum(not grown for grown in of_age)
        parts.append(_arrays([one.labels for one in found], _covered(table, source), recipe.targets))
        used = {s: [one for one, ok in zip(found, usable, strict=True) if ok and one.split == s] for s in _LEARNED}
        summaries.append(
            SourceSummary(
                tuple(table["corpus"].unique().sort()),
                digest_of(source.manifest),
                {split: len(part) for split, part in used.items()},
                {split: len({one.patient for one in part}) for split, part in used.items()},
                {what: n for what, n in left_out.items() if n},
            )
        )
        studies += found
        learnable += usable
    if not any(ok and one.split == "train" for one, ok in zip(studies, learnable, strict=True)):
        why = ", ".join(f"{n} {what}" for one in summaries for what, n in one.left_out.items())
        raise DataError(f"The recipe's manifests leave no study to train on{f' ({why})' if why else ''}.")
    present, known = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    return ExpertMaterial(tuple(studies), present, known, np.array(learnable), tuple(summaries))


_LEARNED = ("train", "validate")


def _of_age(one: ExpertStudy, minimum: float | None) -> bool:
    return one.age_years is None or minimum is None or one.age_years >= minimum


def _studies(table: pl.DataFrame, number: int, source: ExpertSource, left_out: Counter[str]) -> list[ExpertStudy]:
    """Every study that has a frontal picture."""
    found = []
    for row in table.filter(pl.col("split").is_not_null()).iter_rows(named=True):
        pictures = pictures_of(row)
        frontals = Study(row["study"], pictures).frontals if pictures else ()
        if not frontals:
            left_out["without a frontal picture"] += 1
            continue
        found.append(
            ExpertStudy(
                row["corpus"],
                row["study"],
                f"{row['corpus']}/{row['patient']}",
                number,
                row["split"],
                tuple(dict.fromkeys(image.source for image in frontals)),
                frontals[0].view,
                row["age_years"],
                row["sex"],
                _closed(row[f"{source.labels}_labels"]),
            )
        )
    return found


def _closed(raw: Mapping[str, str | None] | None) -> dict[str, LabelState] | None:
    """The labels of a row, closed upward."""
    if raw is None or all(state is None for state in raw.values()):
        return None
    return close_upward({name: LabelState(state) for name in NAMES if (state := raw[name]) is not None})


def _covered(table: pl.DataFrame, source: ExpertSource) -> Bools:
    """``[14]``, the findings that a source looks for: those that any of its labels mentions, before any closure."""
    labels = table[f"{source.labels}_labels"].struct
    return np.array(
        [(labels.field(name).fill_null(LabelState.NOT_MENTIONED.value) != LabelState.NOT_MENTIONED.value).any()
         for name in NAMES]
    )  # fmt: skip


def _arrays(labels: Sequence[Mapping[str, LabelState] | None], covered: Bools, options: Targets) -> tuple[Bools, Bools]:
    """What is present and what is known, ``[n, 14]`` each, of the studies of one source."""
    silent = LabelState.NOT_MENTIONED
    states = [[(one or {}).get(name, silent) for name in NAMES] for one in labels]
    columns: dict[LabelState, Bools] = {
        state: np.array([[cell is state for cell in row] for row in states], dtype=bool).reshape(-1, len(NAMES))
        for state in LabelState
    }
    uncertain = columns[LabelState.UNCERTAIN]
    present = columns[LabelState.PRESENT] | (uncertain if options.uncertain == "positive" else False)
    known = ~columns[silent] | (options.not_mentioned == "negative")
    if options.uncertain == "mask":
        known = known & ~uncertain
    known = known & covered & np.array([one is not None for one in labels], dtype=bool)[:, None]
    known[:, NAMES.index(NO_FINDING)] = False
    return present & known, known


def portable(recipe: ExpertRecipe) -> dict[str, Any]:
    """The recipe without this machine's places: of paths the names alone."""
    raw = recipe.model_dump(mode="json", exclude_none=True)
    for source in raw["data"]:
        source["manifest"] = Path(source["manifest"]).name
    raw["images"].pop("cache", None)
    if raw["network"]["start"] != "imagenet":
        raw["network"]["start"] = Path(raw["network"]["start"]).name
    if "peer" in raw:
        raw["peer"]["table"] = Path(raw["peer"]["table"]).name
    return raw
