"""A seeded corrupter of chest radiograph reports: what was changed is known, so a detector can be measured by it.

`corrupt` makes one clinical change of a chosen kind; `paraphrase` rewrites without changing the meaning, for the false
alarms. Both read only plain sentences, those whose whole form is understood, and leave a report alone where it offers
no such place: a change that may not be one would count as a detector's miss. A finding told twice (FINDINGS and
IMPRESSION) is changed wherever it is told, or not at all.

The vocabulary (`corruptions.toml`) is its own; nothing of the labeller's tables or code is used but `Span`. The same
text, kind and seed give the same result on every Python: chance comes from SHA-256, not from `random` or `hash`.

A text is one report; `FINDINGS:`, `IMPRESSION:` and the like at the start of a line are headings, and only those two,
their relatives and text under no heading are changed.
"""

from hilum.labeling.corrupter.dispatch import corrupt
from hilum.labeling.corrupter.kinds import Change, Corruption, Kind, Paraphrase
from hilum.labeling.corrupter.reading import talks_of_prior
from hilum.labeling.corrupter.rewritings import paraphrase

__all__ = ["Change", "Corruption", "Kind", "Paraphrase", "corrupt", "paraphrase", "talks_of_prior"]
