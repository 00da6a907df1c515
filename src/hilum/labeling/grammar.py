"""Findings -> report: a FINDINGS and IMPRESSION text that says what a label set implies and nothing else.

What a text may say:

- Present and uncertain findings are stated, uncertain ones always hedged. Absent ones are denied by name, alone, in
  lists, or by a sentence that covers several ("The lungs are clear." where all six lung findings are absent).
- A finding that is not mentioned is neither denied nor named; nor is an absent one that was not assessed.
- Parents follow their children among the findings mentioned: an absent or uncertain Lung Opacity beside a present
  Edema is present. A parent that is not mentioned stays so.
- No Finding is said in general words only ("No cardiopulmonary abnormality."), never by denying a finding that has
  no label. It is said where it is labelled, or where all twelve others but Support Devices are absent (CheXpert's
  rule). Where findings are absent but No Finding is not said, the impression speaks of "the findings assessed".
  No Finding absent is said by the findings that are present, and has no sentence.
- The IMPRESSION states the present and uncertain findings, except a parent whose child it states, and support devices
  beside other findings.

The sentences are in `phrases.toml`; `hilum.labeling.sentences` chooses among them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hilum.errors import DataError
from hilum.labeling.phrases import LIST, phrase_table
from hilum.labeling.sentences import DEVICES, Plain, Seeded, write
from hilum.records import NAMES, NO_FINDING, Assessment, LabelState, Report, close_upward, finding

_ABNORMALITIES = tuple(name for name in NAMES if name not in (NO_FINDING, DEVICES))
_POSITIVE = (LabelState.PRESENT, LabelState.UNCERTAIN)


def sayable_states(labels: Mapping[str, LabelState], assessed: Collection[str] | None = None) -> dict[str, LabelState]:
    """The part of a label set that a report states: the rules in this module's docstring, as data.

    Args:
        labels: finding name -> state; those left out are not mentioned.
        assessed: the findings that were looked for, and so may be denied; None means all. No Finding counts as one:
            leave it out where the other findings were not all looked for.

    Returns:
        Finding -> present, absent or uncertain, in the order of `hilum.records.NAMES`.

    Raises:
        UsageError: a name is none of the 14.
        DataError: No Finding is labelled present beside a present or uncertain finding other than Support Devices.
    """
    known = {finding(name).name: LabelState(state) for name, state in labels.items()}
    looked_for = set(NAMES) if assessed is None else {finding(name).name for name in assessed}
    normal = known.pop(NO_FINDING, None) is LabelState.PRESENT
    mentioned = {
        name: state
        for name, state in known.items()
        if state in _POSITIVE or (state is LabelState.ABSENT and name in looked_for)
    }
    closed = close_upward(mentioned)
    states = {name: closed[name] for name in NAMES if name in mentioned}
    positive = [name for name in _ABNORMALITIES if states.get(name) in _POSITIVE]
    if normal and positive:
        raise DataError(f"No Finding is labelled present beside {', '.join(positive)}; give one or the other.")
    everything_absent = all(states.get(name) is LabelState.ABSENT for name in _ABNORMALITIES)
    if everything_absent or (normal and NO_FINDING in looked_for):
        return {NO_FINDING: LabelState.PRESENT, **states}
    return states


def compose(labels: Mapping[str, LabelState], *, seed: int, assessed: Collection[str] | None = None) -> Report:
    """Write a report for a label set, in wording chosen by a seed.

    The same labels, seed and `grammar_version()` give the same text on every platform and Python. Both sections are
    never empty; where the labels say nothing, the text says only that nothing is described.

    Args:
        labels: finding name -> state; those left out are not mentioned.
        seed: chooses among sentences of equal meaning.
        assessed: see `sayable_states`, which tells exactly what the text will say.

    Raises:
        UsageError: a name is none of the 14.
        DataError: No Finding is labelled present beside another finding.
    """
    return write(sayable_states(labels, assessed), Seeded(seed))


def template_draft(assessments: Sequence[Assessment]) -> Report:
    """Write the plain draft of an expert's assessments, for when no reporter is loaded.

    Always the same words for the same assessments; every finding that is absent is denied by its own name. The last
    sentence of FINDINGS lists what was not assessed: no assessment, `assessed` False, or `present` None.

    Args:
        assessments: in any order, at most one per finding.

    Raises:
        DataError: a finding is assessed twice, or No Finding is present beside another.
    """
    if len({a.name for a in assessments}) < len(assessments):
        raise DataError("A finding was assessed twice; give one assessment for each.")
    decided = {a.name: a.present for a in assessments if a.assessed and a.present is not None}
    labels = {name: LabelState.PRESENT if present else LabelState.ABSENT for name, present in decided.items()}
    report = write(sayable_states(labels, decided), Plain())
    unassessed = [name for name in NAMES if name not in decided and name != NO_FINDING]
    if not unassessed:
        return report
    caveat = phrase_table().not_assessed.replace(LIST, ", ".join(unassessed))
    return Report(f"{report.findings_text} {caveat}", report.impression_text)


def grammar_version() -> str:
    """Version of the phrase table, for the provenance of what was trained on its sentences."""
    return phrase_table().version
