"""Small sets of reports for the judge's tests: written here, of nobody."""

from __future__ import annotations

import random

from hilum.evaluation.pairs import Pair, Pairs

_ABNORMAL = (
    "Small left pleural effusion.",
    "Large right pneumothorax.",
    "Moderate cardiomegaly.",
    "Left basilar atelectasis.",
    "Right upper lobe consolidation.",
    "Mild interstitial pulmonary edema.",
    "Healed right rib fracture.",
    "A 9 mm nodule in the left upper lobe.",
    "Right internal jugular catheter ends in the superior vena cava.",
)
_NORMAL = (
    "The lungs are clear. Heart size is normal. No pleural effusion or pneumothorax.",
    "No focal consolidation, effusion or pneumothorax. The cardiomediastinal silhouette is normal.",
    "Normal heart size. Clear lungs. No acute bony abnormality.",
    "The heart is not enlarged. There is no effusion. The lungs are clear.",
)


def report(rng: random.Random) -> str:
    """A report with none to three abnormal sentences among normal ones."""
    said = rng.sample(_ABNORMAL, rng.choice((0, 0, 1, 2, 3)))
    return " ".join([*said, rng.choice(("", "The bones are intact.")), rng.choice(_NORMAL) if not said else ""]).strip()


def pairs_of(references: list[str], predictions: list[str], **columns: list) -> Pairs:
    """Pairs of two studies to a patient; `columns` are further attributes of `Pair`."""
    rows = [
        Pair(f"s{i}", f"p{i // 2}", r, p, **{name: values[i] for name, values in columns.items()})
        for i, (r, p) in enumerate(zip(references, predictions, strict=True))
    ]
    empty = tuple(row.study for row in rows if not row.prediction)
    return Pairs(tuple(rows), "both", True, (), empty)


def made_up(n: int, seed: int = 0, right: float = 0.5) -> Pairs:
    """Pairs in which a share of the predictions is the reference and the others are any report."""
    rng = random.Random(seed)
    references = [report(rng) for _ in range(n)]
    predictions = [one if rng.random() < right else report(rng) for one in references]
    views = [rng.choice(("PA", "AP")) for _ in range(n)]
    return pairs_of(references, predictions, view=views)
