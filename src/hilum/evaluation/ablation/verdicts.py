"""What an ablation says in plain sentences; each with the numbers that decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hilum.evaluation.ablation.measures import SAME_FINDINGS, Propagation
from hilum.evaluation.card import Comparison, Verdict
from hilum.evaluation.intervals import MINIMUM_GROUP
from hilum.evaluation.printed.tables import p_value, signed

if TYPE_CHECKING:
    from hilum.evaluation.ablation.expert import Difference, ExpertAblation

SIGNIFICANT = 0.05
"""Of p values corrected by Holm."""


def told_apart(one: Comparison) -> bool:
    """Whether a difference is told from none by its corrected p."""
    p = one.p if one.p_holm is None else one.p_holm
    return p < SIGNIFICANT  # false for nan


def difference_said(one: Comparison) -> str:
    """A difference as "+0.120 [+0.050, +0.190], p 0.003 after Holm"."""
    p = f"p {p_value(one.p_holm)} after Holm" if one.p_holm is not None else f"p {p_value(one.p)}"
    return f"{signed(one.difference)} [{signed(one.low)}, {signed(one.high)}], {p}"


def expert_verdicts(found: ExpertAblation) -> list[Verdict]:
    """What the experiment says, the warning that it is small first."""
    studies, patients = found.facts.get("studies", 0), found.facts.get("patients", 0)
    out = []
    if min(studies, patients) < MINIMUM_GROUP:
        out.append(
            Verdict(
                "few_studies",
                f"{studies} studies of {patients} patients are too few for any conclusion; {MINIMUM_GROUP} of each are "
                "the least.",
            )
        )
    return [*out, _of_expert(found), _of_picture(found), *_of_errors(found)]


def _of_expert(found: ExpertAblation) -> Verdict:
    by = {one.contrast.key: one.comparison for one in found.of_contrast()}
    helps, wrong = by["predicted/true-none/true"], by["predicted/true-wrong/true"]
    with_gain = f"micro F1 against the labels, with minus without: {difference_said(helps)}"
    if not told_apart(helps):
        text = f"Telling the expert's findings changes nothing measurable ({with_gain})."
    elif helps.difference > 0:
        text = f"Telling the expert's findings helps ({with_gain})."
    else:
        text = f"Telling the expert's findings harms ({with_gain})."
    how = "are better than" if told_apart(wrong) and wrong.difference > 0 else "are not told from"
    if told_apart(wrong) and wrong.difference < 0:
        how = "are worse than"
    text += f" They {how} another patient's ({difference_said(wrong)})."
    return Verdict("expert", text, grave=told_apart(helps) and helps.difference < 0)


def _of_picture(found: ExpertAblation) -> Verdict:
    """Another patient's picture decides: a blank one is told from any radiograph without a look at this patient."""
    shuffled = [one for one in found.of_contrast() if one.contrast.second.picture == "shuffled"]
    blank = [one for one in found.of_contrast() if one.contrast.second.picture == "blank"]
    worse = [one for one in shuffled if told_apart(one.comparison) and one.comparison.difference > 0]
    better = [one for one in shuffled if told_apart(one.comparison) and one.comparison.difference < 0]

    numbers = f"micro F1 with its own minus another patient's: {_each(shuffled)}"
    same = [found.number(one.contrast.second, SAME_FINDINGS) for one in shuffled]
    kept = (
        " With another patient's picture the text calls the same findings present in "
        + " and ".join(
            f"{100 * n.estimate:.0f} % of studies ({'no expert' if n.system.startswith('none') else 'expert told'})"
            for n in same
        )
        + "."
    )
    if worse:
        text = f"The picture is used: with another patient's the text is worse ({numbers})."
    elif better:
        text = f"The picture misleads: with another patient's the text is better ({numbers})."
    else:
        text = f"The picture changes nothing measurable ({numbers})."
    off = [one for one in blank if told_apart(one.comparison)]
    if off and not worse:
        text += f" That a blank picture does change it ({_each(off)}) shows only that a radiograph is told from none."
    return Verdict("picture", text + kept, grave=not worse)


def _each(rows: Sequence[Difference]) -> str:
    return "; ".join(
        f"{'no expert' if one.contrast.first.told == 'none' else 'expert told'} {difference_said(one.comparison)}"
        for one in rows
    )


def _of_errors(found: ExpertAblation) -> list[Verdict]:
    flipped = {p.direction: p for p in found.propagation if p.origin == "flip" and p.finding is None}
    own = {p.direction: p for p in found.propagation if p.origin == "natural" and p.finding is None}
    out = []
    if flipped:
        parts = []
        if missing := flipped.get("false_negative"):
            parts.append(
                f"of {missing.errors} findings left out of the prompt {_share(missing)} are missed by the text"
            )
        if added := flipped.get("false_positive"):
            parts.append(f"of {added.errors} absent ones put into it {_share(added)} are in the text")
        grave = any(p.propagation.estimate > 0.5 for p in flipped.values())
        out.append(Verdict("propagation", f"One wrong label in the prompt: {'; '.join(parts)}.", grave))
    if own:
        parts = [f"{_share(p)} of its {p.errors} {_ERRORS[p.direction]}" for p in own.values()]
        out.append(
            Verdict("natural_errors", f"Of the expert's own errors the text repeats {' and '.join(parts)}.", False)
        )
    return out


_ERRORS = {"false_negative": "missed findings", "false_positive": "false alarms"}


def _share(one: Propagation) -> str:
    number = one.propagation
    return f"{100 * number.estimate:.0f} % [{100 * number.low:.0f}, {100 * number.high:.0f}]"
