"""A published classifier's outputs on the same pictures: a peer to be compared with, and a teacher."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hilum.errors import DataError

# Which classes of NIH ChestX-ray14 make up a finding, upward closure included (NIH's Infiltration is a Lung Opacity).
NIH_CLASSES: dict[str, tuple[str, ...]] = {
    "Cardiomegaly": ("Cardiomegaly",),
    "Lung Lesion": ("Mass", "Nodule"),
    "Lung Opacity": ("Infiltration", "Mass", "Nodule", "Edema", "Consolidation", "Pneumonia", "Atelectasis"),
    "Edema": ("Edema",),
    "Consolidation": ("Consolidation", "Pneumonia"),
    "Pneumonia": ("Pneumonia",),
    "Atelectasis": ("Atelectasis",),
    "Pneumothorax": ("Pneumothorax",),
    "Pleural Effusion": ("Effusion",),
    "Pleural Other": ("Pleural_Thickening",),
}


@dataclass(frozen=True, slots=True, eq=False)
class PeerOutputs:
    """Outputs of the peer.

    Attributes:
        classes: its class names.
        known: ``[N]``, whether it was run on the picture.
        probabilities: ``[N, C]``; nan where not known.
    """

    classes: tuple[str, ...]
    known: NDArray[np.bool_]
    probabilities: NDArray[np.float64]

    def knows(self, name: str) -> bool:
        """Whether it has a class for a finding."""
        return any(part in self.classes for part in NIH_CLASSES.get(name, ()))

    def columns(self, name: str) -> list[int]:
        """The columns of the classes that make up a finding.

        Raises:
            DataError: the peer has no class for it.
        """
        columns = [self.classes.index(part) for part in NIH_CLASSES.get(name, ()) if part in self.classes]
        if not columns:
            raise DataError(f"The peer has no class for {name}; it has {', '.join(self.classes)}.")
        return columns

    def of_finding(self, name: str) -> NDArray[np.float64]:
        """``[N]``: the chance that any of the finding's classes is there, taken as independent (noisy or).

        Raises:
            DataError: the peer has no class for it.
        """
        return np.asarray(1.0 - np.prod(1.0 - self.probabilities[:, self.columns(name)], axis=1))

    def soft_targets(self, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        """Targets ``[n, C]`` for a student: the peer's logits on one scale for all classes; 0 where not known.

        A rare class has small probabilities everywhere; standardised over the chosen pictures and stretched by 1.5,
        its logits carry as much signal as a common one's.
        """
        known = self.known[chosen]
        targets = np.zeros((len(chosen), len(self.classes)), np.float32)
        if known.any():
            logits = special.logit(np.clip(self.probabilities[chosen][known], 1e-5, 1 - 1e-5))
            targets[known] = special.expit(1.5 * (logits - logits.mean(axis=0)) / (logits.std(axis=0) + 1e-6))
        return targets


def read_peer(table: Path, images: Sequence[str]) -> PeerOutputs:
    """Read a peer's outputs.

    Args:
        table: CSV with `image` and one `prob_CLASS` column per class.
        images: file names in the order wanted.

    Raises:
        DataError: unreadable, no such columns, or a value that is no number or outside 0..1.
    """
    try:
        reader = csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise DataError(f"{table} cannot be read ({why}); it is the recipe's peer.table.") from None
    columns = [name for name in reader.fieldnames or () if name.startswith("prob_")]
    if not columns or "image" not in (reader.fieldnames or ()):
        raise DataError(f"{table} needs the columns image and prob_CLASS; it has {', '.join(reader.fieldnames or ())}.")
    try:
        rows = {row["image"]: [float(row[name]) for name in columns] for row in reader}
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{table} holds what is no number in line {reader.line_num} ({error}); expected probabilities."
        ) from None
    missing = [np.nan] * len(columns)
    probabilities = np.array([rows.get(name, missing) for name in images], dtype=np.float64)
    if not ((probabilities >= 0) & (probabilities <= 1) | np.isnan(probabilities)).all():
        raise DataError(f"{table} holds values outside 0..1.")
    return PeerOutputs(
        tuple(name.removeprefix("prob_") for name in columns), ~np.isnan(probabilities[:, 0]), probabilities
    )
