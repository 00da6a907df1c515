"""What the coders of Open-I would have coded of a labelled report: the labeller judged on their terms.

The coding (``MeSH/major``) names what is present and has conventions of its own. They live here, so that the labeller
need not share them:

- an absent finding and an uncertain one are not coded, but
- of two alternatives ("scarring or atelectasis") both are coded as present, where nothing else hedges them;
- some hints are coded as the finding itself: pulmonary congestion as Edema, a blunted costophrenic angle as Pleural
  Effusion, a borderline heart as Cardiomegaly;
- scars, fibrosis and interstitial markings are coded as opacity, and so is a nodular opacity, which is then no nodule;
- bullae and blebs are coded as "blister", which our reading of the coding counts as Lung Lesion.
"""

from __future__ import annotations

from collections.abc import Mapping

from hilum.labeling import Labelling
from hilum.records import NO_FINDING, LabelState

CODED_AS: Mapping[str, tuple[str, ...]] = {
    "pulmonary congestion": ("Edema",),
    "blunted costophrenic angle": ("Pleural Effusion",),
    "borderline heart size": ("Cardiomegaly",),
    "scar": ("Lung Opacity",),
    "interstitial markings": ("Lung Opacity",),
    "nodular opacity": ("Lung Opacity",),
    "bulla": ("Lung Lesion",),
}
"""Concept of the labeller -> the findings it is coded as, where that differs from the labeller's own."""


def as_coded(labelling: Labelling) -> frozenset[str]:
    """The findings that the coders would have called present.

    Args:
        labelling: of FINDINGS and IMPRESSION together, by the rules (other labellers give no mentions).
    """
    found: set[str] = set()
    for mention in labelling.mentions:
        hinted = mention.by == "hint" and mention.concept in CODED_AS
        if mention.state is LabelState.PRESENT or mention.by == "alternative" or hinted:
            found |= set(CODED_AS.get(mention.concept, mention.findings))
    found.discard(NO_FINDING)
    if labelling.states.get(NO_FINDING) is LabelState.PRESENT:
        found.add(NO_FINDING)
    return frozenset(found)
