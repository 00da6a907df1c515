"""From studies to drafts: pictures looked at once, each distinct question asked once, every row kept as it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hilum.errors import CapabilityError, InputError, Reason
from hilum.evaluation.ablation.cases import NO_LABELS, NO_SCORES, OutOfFoldScores, Reference, study_key
from hilum.evaluation.ablation.run import Rows
from hilum.imaging import Decoder
from hilum.records import NAMES, NO_FINDING, Radiograph, Report, Study, View
from hilum.reporting.settings import given_assessments, injected

if TYPE_CHECKING:
    import torch

    from hilum.models.expert import Expert
    from hilum.models.janus import Reporter

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many of it are done, and of how many."""

BLANK = "blank"
"""The picture that shows nothing: the same even grey for every study."""
_BLANK_SIDE, _BLANK_GREY = 256, 0.5


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at a study gave.

    Attributes:
        excluded: why it takes no part: a reason code; None where it does.
        predicted: the findings that the expert calls present, No Finding left out.
        assessed: those that it has a call for.
    """

    excluded: str | None
    predicted: tuple[str, ...] = ()
    assessed: tuple[str, ...] = ()


class Pictures:
    """The studies' pictures, read when they are asked for; the last one is kept.

    Args:
        rows: of the manifest.
        decoder: reads them.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], decoder: Decoder) -> None:
        self._rows = {study_key(row): row for row in rows}
        self._decoder = decoder
        self._last: tuple[str, Study] | None = None

    def study(self, key: str) -> Study:
        """A study with all of its pictures, or with the one blank picture.

        Raises:
            InputError: one of them cannot be read.
        """
        if self._last is None or self._last[0] != key:
            self._last = key, _blank() if key == BLANK else self._read(self._rows[key])
        return self._last[1]

    def _read(self, row: Mapping[str, Any]) -> Study:
        images = []
        for image in row["images"]:
            picture = self._decoder.read(Path(row["root"]) / image["path"])
            known = View(image["view"]) if picture.view is View.UNKNOWN else picture.view
            images.append(replace(picture, view=known))
        return Study(study_key(row), tuple(images))


def _blank() -> Study:
    pixels = np.full((_BLANK_SIDE, _BLANK_SIDE), _BLANK_GREY, dtype=np.float32)
    return Study(BLANK, (Radiograph(pixels, BLANK, View.PA),))


def look_at(
    rows: Sequence[Mapping[str, Any]],
    reference: Reference,
    pictures: Pictures,
    reporter: Reporter,
    expert: Expert,
    scores: OutOfFoldScores | None,
    kept: Rows,
    progress: Progress,
) -> dict[str, Looked]:
    """Look at every study once: can its pictures be read, and what does the expert say.

    Args:
        rows: of the manifest.
        reference: its labels.
        pictures: of the same rows.
        reporter: may refuse a study by its views, as the expert may.
        expert: its thresholds, and its scores unless others are given.
        scores: to be taken instead of the expert's own.
        kept: rows of an earlier start of this run; new ones are added.
        progress: told how many are done.

    Returns:
        Study -> what was seen, in the order of `rows`.
    """
    done = {row["study"]: row for row in kept.held}
    for n, row in enumerate(rows, 1):
        key = study_key(row)
        if key not in done:
            seen = _look(row, reference, pictures, reporter, expert, scores)
            done[key] = {"study": key, "excluded": seen.excluded, "predicted": list(seen.predicted),
                         "assessed": list(seen.assessed)}  # fmt: skip
            kept.add([done[key]])
        progress("pictures", n, len(rows))
    return {
        key: Looked(held["excluded"], tuple(held["predicted"]), tuple(held["assessed"]))
        for key in map(study_key, rows)
        for held in [done[key]]
    }


def _look(
    row: Mapping[str, Any],
    reference: Reference,
    pictures: Pictures,
    reporter: Reporter,
    expert: Expert,
    scores: OutOfFoldScores | None,
) -> Looked:
    from hilum.models.expert import assessments

    key = study_key(row)
    if reference.states[key] is None:
        return Looked(NO_LABELS)
    held = scores.of(row) if scores else None
    if scores and held is None:
        return Looked(NO_SCORES)
    if not row["images"]:
        return Looked(Reason.NOT_FOUND.value)
    try:
        study = pictures.study(key)
        if not study.frontals and any(View.LATERAL not in m.info.capabilities.views for m in (reporter, expert)):
            return Looked(Reason.NO_FRONTAL_VIEW.value)
        said = expert.assess(study.radiographs) if held is None else assessments(expert.info, held)
    except InputError as error:
        return Looked(error.code.value)
    told = [a for a in said if a.assessed and a.name != NO_FINDING]
    return Looked(None, tuple(a.name for a in told if a.present), tuple(a.name for a in told))


@dataclass(frozen=True, slots=True)
class Draft:
    """What the reporter wrote.

    Attributes:
        text: FINDINGS and IMPRESSION, a paragraph each, without their headings.
        finish: "stop", or "length" where it was cut off.
    """

    text: str
    finish: Literal["stop", "length"]


class Drafts:
    """Every distinct question to a reporter, and its answer.

    Args:
        reporter: answers.
        pictures: what it is shown.
        kept: answers of an earlier start of this run; new ones are added.
    """

    def __init__(self, reporter: Reporter, pictures: Pictures, kept: Rows) -> None:
        self._reporter, self._pictures, self._kept = reporter, pictures, kept
        self._asked: dict[tuple[str, str], frozenset[str] | None] = {}
        self._answers = {(row["picture"], row["instruction"]): _draft(row) for row in kept.held}
        self._prepared: tuple[str, list[torch.Tensor]] | None = None

    def ask(self, picture: str, told: frozenset[str] | None) -> tuple[str, str]:
        """Note a question; equal ones are one.

        Args:
            picture: a study's key, or `BLANK`.
            told: the findings in the prompt; None for the prompt without an expert.

        Returns:
            The key of its answer.
        """
        key = picture, self._instruction(told)
        self._asked.setdefault(key, told)
        return key

    def tells(self, told: frozenset[str]) -> bool:
        """Whether a prompt with these findings differs from the one without an expert; an empty list's may not."""
        return self._instruction(told) != self._instruction(None)

    def answer(self, key: tuple[str, str]) -> Draft:
        """The answer to a question that was asked before `write`."""
        return self._answers[key]

    @property
    def n_distinct(self) -> int:
        """Distinct questions asked."""
        return len(self._asked)

    def write(self, *, batch: int, max_new_tokens: int, progress: Progress) -> None:
        """Answer all questions.

        The batches are the same whether or not the run was stopped in between: one of which a part is there is written
        again, so that in half precision no text depends on when the run was stopped.

        Args:
            batch: prompts decoded together.
            max_new_tokens: longest draft.
            progress: told how many are done.

        Raises:
            CapabilityError: prompt and answer exceed the model's context, or memory does not hold the batch.
        """
        keys = sorted(self._asked)  # by picture, so that each is read once
        for start in range(0, len(keys), batch):
            here = keys[start : start + batch]
            if any(key not in self._answers for key in here):
                rows = list(self._generated(here, max_new_tokens))
                self._kept.add([row for row in rows if (row["picture"], row["instruction"]) not in self._answers])
                self._answers |= {(row["picture"], row["instruction"]): _draft(row) for row in rows}
            progress("drafts", start + len(here), len(keys))

    def _generated(self, keys: Sequence[tuple[str, str]], max_new_tokens: int) -> Iterator[dict[str, Any]]:
        prompts, pixels = [], []
        for picture, instruction in keys:
            told = self._asked[(picture, instruction)]
            prompt = self._reporter.prompt(self._pictures.study(picture), self._ordered(told))
            prompts.append(prompt)
            pixels.append(self._pixels(picture, prompt.images))
        written = _generate(self._reporter, prompts, pixels, max_new_tokens)
        for (picture, instruction), one in zip(keys, written, strict=True):
            names = self._ordered(self._asked[(picture, instruction)])
            yield {
                "picture": picture,
                "told": names,
                "instruction": instruction,
                "text": one.text,
                "finish": one.finish,
                "notices": [notice.code for notice in one.notices],
            }

    def _pixels(self, picture: str, images: Sequence[Radiograph]) -> list[torch.Tensor]:
        from hilum.models.pixels import janus_input

        if self._prepared is None or self._prepared[0] != picture:
            transform = self._reporter.image_transform
            self._prepared = picture, [janus_input(image.pixels, transform) for image in images]
        return self._prepared[1]

    def _ordered(self, told: frozenset[str] | None) -> list[str] | None:
        """The findings in the order that the reporter was trained with."""
        if told is None:
            return None
        names = [name for name in NAMES if name in told]
        return injected(given_assessments(names), given=True, prompt_version=self._reporter.info.prompt_version)

    def _instruction(self, told: frozenset[str] | None) -> str:
        from hilum.models.prompt import instruction

        return instruction(self._ordered(told), self._reporter.info.prompt_version or "janus-pro-cxr/1")


def _generate(reporter: Reporter, prompts: list[Any], pixels: list[Any], max_new_tokens: int) -> list[Any]:
    try:
        return list(reporter.generate_from(prompts, pixels, max_new_tokens=max_new_tokens))
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            raise CapabilityError(
                f"Memory does not hold a batch of {len(prompts)} prompts; give a smaller --batch.", Reason.MEMORY_LIMIT
            ) from error
        raise


def _draft(row: Mapping[str, Any]) -> Draft:
    report = Report.parse(row["text"])
    text = "\n\n".join(part for part in (report.findings_text, report.impression_text) if part)
    return Draft(text, row["finish"])
