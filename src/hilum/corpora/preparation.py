"""Preparing reports for training: marks of de-identification and comparisons taken out, white space made single.

The paper cleans its reports of "underscores, metadata and prior-comparison text" and does not say how. Here a mask
(``___``, ``XXXX``) is left out with what hangs loose by it, and comparisons with earlier examinations go as
`hilum.corpora.comparisons` tells. Every step can be switched off, and counts what it did.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from hilum.corpora.comparisons import without_comparisons
from hilum.corpora.reports import Sections
from hilum.labeling import RuleLabeller
from hilum.records import Report

_MASK = re.compile(r"(?:\(\s*)?(?:_{2,}|\bX{3,}\b)(?:\s*\))?")


@dataclass(frozen=True, slots=True)
class Preparation:
    """Which steps are taken."""

    masks: bool = True
    """Take out the marks of de-identification."""
    comparisons: bool = True
    """Take out comparisons with priors."""


def prepare(sections: Sections, steps: Preparation, labeller: RuleLabeller, counts: Counter[str]) -> Report:
    """A report ready to be learnt from.

    Args:
        sections: as found.
        steps: which steps to take.
        labeller: of the report's language; finds the comparisons.
        counts: what was done is added here: "masks_removed" and what `without_comparisons` counts.
    """
    parts = []
    for section in (sections.findings, sections.impression):
        text = section
        if steps.masks:
            text, n = _MASK.subn(" ", text)
            counts["masks_removed"] += n
        text = _tidy(text)
        if steps.comparisons:
            text = without_comparisons(text, labeller, counts)
        parts.append(text)
    return Report(parts[0], parts[1])


def _tidy(text: str) -> str:
    """Single spaces, none before marks, no marks that follow each other or begin the text."""
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.;:!?])", r"\1", text)
    text = re.sub(r"([,.;:])(?:\s*[,.;:])+", lambda m: m[0].strip()[-1] if "." not in m[0] else ".", text)
    return re.sub(r"^[\s,.;:]+", "", text)
