"""The committed report cards are those that the code makes today, up to their intervals."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hilum.evaluation.card import Card, read_card
from hilum.evaluation.printed.page import render_card
from hilum.evaluation.starters.drafts import read_drafts, read_held_out, write_drafts
from hilum.evaluation.starters.expert import starter_expert_card
from hilum.evaluation.starters.make import BUNDLED
from hilum.evaluation.starters.reporter import reporter_card
from hilum.models.checkpoint import read_info
from hilum.models.expert import STARTER
from hilum.models.janus import load_reporter
from hilum.records import Report

REPOSITORY = Path(__file__).parents[3]
CARDS = REPOSITORY / "docs/cards"
SCORES = CARDS / "starter-expert-scores.csv"
REPORTER = CARDS / "starter-reporter"
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
WRITTEN_AGAIN = 20
"""Drafts that the test writes anew: some seconds, where all would take half a minute."""


def not_drifted(made: Card, kept: Card) -> None:
    assert [verdict.code for verdict in made.verdicts] == [verdict.code for verdict in kept.verdicts]
    assert [number.key for number in made.numbers] == [number.key for number in kept.numbers]
    for new, old in zip(made.numbers, kept.numbers, strict=True):
        if math.isnan(old.estimate):
            assert math.isnan(new.estimate), new.key
        elif math.isnan(old.low):
            assert new.estimate == pytest.approx(old.estimate), new.key
        else:
            assert old.low - 1e-9 <= new.estimate <= old.high + 1e-9, new.key


@pytest.mark.shared
def test_the_starter_experts_card_has_not_drifted(shared) -> None:
    made = starter_expert_card(shared / "data/nih_chestxray14", SCORES, STARTER)
    not_drifted(made, read_card(CARDS / "starter-expert"))


@pytest.fixture(scope="module")
def held(shared):
    models = [read_info(BUNDLED[name]) for name in ("starter-reporter", "starter-expert")]
    return read_held_out(shared / "data/nih_chestxray14", SCORES, *models)


@pytest.mark.shared
def test_the_starter_reporters_card_has_not_drifted(held) -> None:
    made, kept = reporter_card(held, read_drafts(REPORTER / "drafts.jsonl")), read_card(REPORTER)
    assert made.provenance["files"] == kept.provenance["files"]
    assert made.data == kept.data
    not_drifted(made, kept)


@pytest.mark.shared
def test_the_starter_reporter_still_writes_the_committed_drafts(held) -> None:
    step = len(held.images) // WRITTEN_AGAIN
    few = replace(held, images=held.images[::step], findings=held.findings[::step])
    kept = read_drafts(REPORTER / "drafts.jsonl")[::step]
    made = write_drafts(few, load_reporter(device="cpu", precision="float32"))

    def sections(report: Report) -> tuple[str, str]:
        return report.findings_text, report.impression_text

    assert len(made) >= WRITTEN_AGAIN
    for new, old in zip(made, kept, strict=True):
        assert (new.study, new.findings) == (old.study, old.findings)
        assert sections(new.report) == sections(old.report), new.study
        assert sections(new.without_findings) == sections(old.without_findings), new.study


@pytest.mark.parametrize("name", ["starter-expert", "starter-reporter"])
def test_their_pages_have_the_look_of_today(name) -> None:
    page = (CARDS / name / "card.html").read_text(encoding="utf-8")
    made = render_card(read_card(CARDS / name))
    assert STYLE.findall(page) == STYLE.findall(made), "make cards"


@pytest.mark.parametrize("name", ["starter-expert", "starter-reporter"])
def test_the_model_card_names_them(name) -> None:
    assert f"docs/cards/{name}/card.html" in (REPOSITORY / "MODEL_CARD.md").read_text(encoding="utf-8")
