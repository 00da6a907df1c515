"""Whether a manifest may be learnt from by `hilum adapt`: a hospital's own, de-identified, split by patient, enough.

A manifest does not say that names were taken out; what it points to does. `hilum corpus deidentify` writes every image
as ``PATIENT/STUDY/IMAGE.dcm``, three pseudonyms, below a folder with `hilum-key-check.txt`, and `hilum corpus
pseudonymise` gives the table the same pseudonyms. All of that must be there, for every study. It is no setting, and no
option turns it off. Texts are not searched for names: that stays with who exports them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from hilum.corpora import published
from hilum.corpora.manifest import check_manifest, read_manifest
from hilum.errors import DataError
from hilum.evaluation.intervals import MINIMUM_GROUP
from hilum.imaging.deidentified_folders import KEY_CHECK
from hilum.models.checkpoint import sha256_of
from hilum.statistics.sample_size import n_for_proportion, proportion_half_width
from hilum.training.adapt_verdict import MARGIN

MINIMUM: Mapping[str, int] = {"train": 100, "validate": 10, "test": MINIMUM_GROUP}
"""Studies that each split needs. Of fewer reports than 100 single ones are learnt by heart, and no style; of fewer than
10 to validate on chance chooses the checkpoint; below 30 to test on an interval of any method means little. The first
two are conventions. The test split also needs as many patients, since patients are what is resampled."""

DISCORDANT = 0.25
"""Share of the test studies that the two models are taken to differ in, for what could be seen beforehand. The paired
difference of two shares then has the variance of a single share of one half."""

_PATIENT = re.compile(r"P[A-Z2-7]{20}")
_STUDY = re.compile(r"[AS][A-Z2-7]{15}|2\.25\.[0-9]+")
_IMAGE = re.compile(r"(P[A-Z2-7]{20})/(?:2\.25\.[0-9]+/)?2\.25\.[0-9]+(?:-[0-9a-f]{16})?\.dcm")
_HOW = "See docs/adapt-to-your-hospital.md: `hilum corpus deidentify`, then `pseudonymise`, then `build site`."


@dataclass(frozen=True, slots=True)
class Signed:
    """A hospital's signed reports, found fit to learn from.

    Attributes:
        table: the usable studies of all splits, in the order of the manifest.
        manifest_sha256: of the manifest's file.
        corpora: their names.
        left_out: why a study is not usable -> how many.
    """

    table: pl.DataFrame
    manifest_sha256: str
    corpora: tuple[str, ...]
    left_out: Mapping[str, int]

    @property
    def studies(self) -> dict[str, int]:
        """How many each split has."""
        return {split: self.of(split).height for split in MINIMUM}

    @property
    def patients(self) -> dict[str, int]:
        """How many each split has."""
        return {split: self.of(split).select("corpus", "patient").n_unique() for split in MINIMUM}

    @property
    def detectable(self) -> float:
        """The smallest difference of a share that the test patients could show: half the width of its interval."""
        return detectable(self.patients["test"])

    def of(self, split: str) -> pl.DataFrame:
        """The usable studies of a split."""
        return self.table.filter(pl.col("split").cast(pl.String) == split)

    def as_dict(self) -> dict[str, Any]:
        """As `adapt.json` holds it."""
        return {
            "manifest_sha256": self.manifest_sha256,
            "corpora": list(self.corpora),
            "studies": self.studies,
            "patients": self.patients,
            "left_out": dict(self.left_out),
            "detectable_difference": round(self.detectable, 4),
            "test_patients_for_the_margin": ENOUGH,
        }


def detectable(n_patients: int) -> float:
    """Half the width of the 95 % interval of a paired difference of shares, where `DISCORDANT` of the patients differ.

    Args:
        n_patients: at least 1.
    """
    return proportion_half_width(0.5, n_patients)


ENOUGH = n_for_proportion(0.5, MARGIN)
"""Test patients of whom the interval is within `MARGIN` either side, taken as above."""


def check_signed(manifest: Path, minimum_age_years: float | None) -> Signed:
    """Read a manifest and refuse it where it must not, or cannot, be learnt from.

    Args:
        manifest: the Parquet file, or the folder that `hilum corpus build site` made.
        minimum_age_years: of the model; studies of younger patients are left out.

    Raises:
        DataError: it is no manifest, of a published corpus, not de-identified, its splits leak, or it is too small.
    """
    table = read_manifest(manifest)
    corpora = tuple(table["corpus"].unique().drop_nulls().sort())
    if not table.height or any(published([name]) for name in corpora):
        raise DataError(
            f"{manifest.name} is of {', '.join(corpora) or 'no corpus'}; expected a hospital's own export alone. A "
            "model adapts to the reports of one house; for published corpora there are `hilum train stage1` and "
            f"`stage2`. {_HOW}"
        )
    _refuse_identifiable(table, manifest.name)
    _refuse_leaks(table, manifest.name)
    usable, left_out = _usable(table, minimum_age_years)
    file = manifest / "manifest.parquet" if manifest.is_dir() else manifest
    signed = Signed(usable, sha256_of(file), corpora, left_out)
    _refuse_few(signed, manifest.name)
    return signed


def _refuse_identifiable(table: pl.DataFrame, name: str) -> None:
    """Raises DataError where a study is not shown to be de-identified; names nobody."""
    faults = {
        "patients whose id is no pseudonym": 0,
        "studies whose id is no pseudonym": 0,
        "studies with pictures that `hilum corpus deidentify` did not write": 0,
    }
    patients, studies, pictures = faults
    seen: set[str] = set()
    for row in table.select("root", "patient", "study", "images").iter_rows(named=True):
        # with ids = "in_centre" the centre stands before the id
        patient = str(row["patient"]).rpartition("/")[2]
        if not _PATIENT.fullmatch(patient) and row["patient"] not in seen:
            faults[patients] += 1
        seen.add(row["patient"])
        faults[studies] += not _STUDY.fullmatch(str(row["study"]).rpartition("/")[2])
        paths = [str(image["path"]) for image in row["images"] or ()]
        faults[pictures] += not all(_is_clean(row["root"], path, patient) for path in paths)
    if found := [f"{n} {what}" for what, n in faults.items() if n]:
        raise DataError(
            f"{name} is not de-identified, as far as can be seen: {'; '.join(found)}. Nothing is learnt from it, and "
            f"no option changes that. {_HOW}"
        )


def _is_clean(root: str, path: str, patient: str) -> bool:
    """Whether a picture lies where `hilum corpus deidentify` wrote it, in its patient's folder."""
    match = re.search(rf"(?:^|/)({_IMAGE.pattern})$", path)
    return match is not None and match[2] == patient and _has_key_check(root, path[: match.start(1)])


@cache
def _has_key_check(root: str, folder: str) -> bool:
    return (Path(root) / folder / KEY_CHECK).is_file()


def _refuse_leaks(table: pl.DataFrame, name: str) -> None:
    faults = {fault.code: fault.n for fault in check_manifest(table)}
    pictures = (
        table.select("split", image=pl.col("images").list.eval(pl.element().struct.field("id")))
        .explode("image")
        .drop_nulls()
        .group_by("image")
        .agg(pl.col("split").n_unique().alias("splits"))
    )
    if torn := pictures.filter(pl.col("splits") > 1).height:
        faults["image_in_two_splits"] = torn
    grave = ("study_twice", "patient_in_two_splits", "no_split", "image_in_two_splits")
    if found := [f"{code.replace('_', ' ')} {faults[code]}" for code in grave if code in faults]:
        raise DataError(
            f"{name} cannot be tested on: {', '.join(found)}. A test on what was learnt from means nothing; build the "
            "manifest anew with one split of patients (`hilum corpus build site --shares`)."
        )


def _usable(table: pl.DataFrame, minimum_age_years: float | None) -> tuple[pl.DataFrame, dict[str, int]]:
    """The studies that can be learnt from or judged on, and how many are left out for what."""
    views = pl.col("images").list.eval(pl.element().struct.field("view") != "lateral")
    blank = (pl.col("findings_text") + pl.col("impression_text")).fill_null("").str.strip_chars() == ""
    reasons = {
        "without a report": blank,
        "with a report that the labeller cannot read": pl.col("text_labels").is_null(),
        "without a frontal picture": ~views.list.any().fill_null(False),
    }
    if minimum_age_years is not None:
        reasons[f"younger than {minimum_age_years:g}"] = (pl.col("age_years") < minimum_age_years).fill_null(False)
    left_out: dict[str, int] = {}
    for why, fault in reasons.items():
        kept = table.filter(~fault)
        if n := table.height - kept.height:
            left_out[why] = n
        table = kept
    return table, left_out


def _refuse_few(signed: Signed, name: str) -> None:
    studies, patients = signed.studies, signed.patients
    few = [f"{studies[split]} to {split} on (at least {n})" for split, n in MINIMUM.items() if studies[split] < n]
    if not few and patients["test"] < MINIMUM["test"]:
        few = [f"{patients['test']} patients to test on (at least {MINIMUM['test']})"]
    if not few:
        return
    lost = ", ".join(f"{n} {why}" for why, n in signed.left_out.items())
    at = max(patients["test"], 1)
    raise DataError(
        f"{name} has too few usable studies: {', '.join(few)}{f'; left out: {lost}' if lost else ''}. With {at} "
        f"patients to test on only a difference of {detectable(at):.2f} could be seen; {ENOUGH} are needed to see one "
        f"of {MARGIN:.2f}. Export more, or give the test split a larger share (`hilum corpus build site --shares`)."
    )
