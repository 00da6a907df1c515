"""The report card of a reporter that learned from labelled pictures, on the patients that its training left out.

A reference is what the sentence grammar says of the picture's labels, and a draft is what the reporter writes with the
expert's out-of-fold findings in its prompt, as `hilum read` puts them there. Beside it stand the same reporter without
findings in its prompt (the baseline) and with another patient's picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hilum.corpora.image_table import digest
from hilum.errors import DataError
from hilum.evaluation.card import Card, Number, Verdict
from hilum.evaluation.intervals import Resampling, numbers
from hilum.evaluation.labelled import label_texts
from hilum.evaluation.measures import Measures, mean_of
from hilum.evaluation.pairs import Pair, Pairs, whole_text
from hilum.evaluation.printed.tables import with_interval
from hilum.evaluation.reports.judge import PROTOCOLS, JudgeOptions, judge_reports
from hilum.evaluation.reports.text_metrics import text_measures, tokenise
from hilum.evaluation.starters.drafts import DRAFTS, LABELLED, Draft, HeldOut, Progress, drafts_jsonl, reference
from hilum.labeling import grammar_version
from hilum.records import Report

REFERENCES = "sentences that Hilum's grammar makes of text-mined labels"
BASELINE = "without findings in its prompt"


def reporter_card(
    held: HeldOut, drafts: Sequence[Draft], *, how: Resampling | None = None, progress: Progress | None = None
) -> Card:
    """Judge the drafts of held-out patients, beside the same reporter without findings in its prompt.

    Args:
        held: the studies.
        drafts: of the same, in their order.
        how: resamples, seed, level.
        progress: told what is being done.

    Raises:
        DataError: the drafts are of other studies, or were written with other findings in the prompt.
    """
    _check(held, drafts)
    how = how or Resampling()
    pairs = _pairs(held, [one.report for one in drafts])
    swapped = _other_picture(drafts)
    reporter, expert = held.reporter, held.expert
    files = {what: {"name": path.name, "sha256": digest(path)} for what, path in held.files.items()}
    written = hashlib.sha256(drafts_jsonl(drafts).encode()).hexdigest()
    options = JudgeOptions(
        system=f"{reporter.name} {reporter.version}, out of fold",
        baseline=BASELINE,
        resampling=how,
        training=held.training,
        with_meteor=False,  # it takes Java: the card would depend on the machine
        references=REFERENCES,
        notes=tuple(_notes(held, pairs, swapped, how)),
        provenance={
            "files": {**files, "drafts": {"name": DRAFTS, "sha256": written}},
            "checkpoint": f"{reporter.name} {reporter.version}",
            "weights_sha256": reporter.files.get("model.safetensors"),
            "precision": "float32",
            "expert": f"{expert.name} {expert.version}",
            "expert_weights_sha256": expert.files.get("model.safetensors"),
            "grammar": grammar_version(),
        },
    )
    baseline = _pairs(held, [one.without_findings for one in drafts])
    return judge_reports(pairs, options, baseline=baseline, further=(swapped,), progress=progress)


def _check(held: HeldOut, drafts: Sequence[Draft]) -> None:
    asked = [(image.path.stem, names) for image, names in zip(held.images, held.findings, strict=True)]
    found = [(one.study, one.findings) for one in drafts]
    if differ := [study for study, names in asked if (study, names) not in set(found)]:
        raise DataError(
            f"The drafts lack {len(differ)} of {len(asked)} studies as they are asked now, e.g. {differ[0]}; they are "
            "of other pictures or other findings. Write them anew."
        )
    if asked != found:
        raise DataError(f"{len(found)} drafts for {len(asked)} studies; expected one for each, in their order.")


def _pairs(held: HeldOut, reports: Sequence[Report]) -> Pairs:
    rows = tuple(
        Pair(
            study=image.path.stem,
            patient=image.patient,
            reference=reference(image),
            prediction=_text(report),
            view=image.view.value,
            sex=image.sex,
            age_years=image.age_years,
            centre="NIH Clinical Center",
        )
        for image, report in zip(held.images, reports, strict=True)
    )
    return Pairs(rows, "both", True, empty_predictions=tuple(row.study for row in rows if not row.prediction))


def _other_picture(drafts: Sequence[Draft]) -> Measures:
    """How often a draft stays as it is where another patient's picture is shown."""
    own, other = [_text(one.report) for one in drafts], [_text(one.other_picture) for one in drafts]
    labels = label_texts([*own, *other])
    n = len(drafts)
    values = np.array(
        [
            [float((labels.states[i] == labels.states[n + i]).all()), float(own[i] == other[i])]
            for i in range(n)
        ]
    )  # fmt: skip
    return mean_of(
        "other_picture",
        ("same_findings_share", "same_text_share"),
        values,
        f"picture:the next patient's|labeller:{labels.labeller}|states:4",
        "none",
    )


def _notes(held: HeldOut, pairs: Pairs, swapped: Measures, how: Resampling) -> list[Verdict]:
    """What the numbers of such a card cannot say, and what stands beside them."""
    info, expert = held.reporter, held.expert
    rest = [reference(image, "another wording") for image in held.images]
    reworded = numbers(text_measures(tokenise(pairs.references, rest, by=PROTOCOLS[0])), held.patients, how)
    same = _by_name(numbers([swapped], held.patients, how))
    ceiling = _by_name(reworded)
    notes = [
        Verdict(
            "composed_references",
            "No radiologist wrote the references. They are sentences that Hilum's own grammar makes of labels which a "
            "program mined from reports at the NIH, and the reporter learned to write the same sentences: its words "
            "are right by its making, and measures of words say little beyond whether the findings agree. The very "
            "same labels in another wording of the grammar reach bleu_4 "
            f"{with_interval(ceiling['bleu_4'])} and rouge_l {with_interval(ceiling['rouge_l'])}. Nothing here tells "
            "how the drafts would fare against radiologists' reports, or on other patients than the NIH's.",
        ),
        Verdict(
            "out_of_fold",
            "The prompts hold out-of-fold findings: each by a network that never saw its patient, at the thresholds "
            f"of {expert.name} {expert.version}. These were chosen on the scores of all patients, those judged here "
            f"among them, which flatters. {info.name} {info.version} never saw these patients.",
            grave=False,
        ),
        Verdict(
            "other_picture",
            "With the findings left as they are and another patient's picture shown, the same findings are drafted in "
            f"{with_interval(same['same_findings_share'])} of the studies, and the very same text in "
            f"{with_interval(same['same_text_share'])}. The nearer to 1, the less a draft depends on its picture.",
            grave=False,
        ),
    ]
    unasked = [name for name in LABELLED if not expert.finding(name).assessed]
    if unasked:
        n = sum(any(name in image.labels for name in unasked) for image in held.images)
        notes.append(
            Verdict(
                "never_told",
                f"{expert.name} does not assess {' and '.join(unasked)}, so that no prompt names them and no draft can "
                f"state them on its word; {n} of the {len(held.images)} references do.",
                grave=False,
            )
        )
    return notes


def _text(report: Report) -> str:
    return whole_text(report.findings_text, report.impression_text)


def _by_name(found: Sequence[Number]) -> dict[str, Number]:
    return {number.name: number for number in found}
