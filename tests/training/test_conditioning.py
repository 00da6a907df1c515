"""What the prompt says of the expert's findings: what reading would say, and a set share of it wrong."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import DataError
from hilum.imaging import Decoder
from hilum.labeling.grammar import sayable_states
from hilum.models.checkpoint import Thresholds, read_info, write_info
from hilum.models.expert import STARTER, assessments, load_expert
from hilum.records import NAMES, NO_FINDING, Assessment, LabelState, Study, View
from hilum.records.findings import ancestors
from hilum.reporting.settings import injected
from hilum.training.conditioning import (
    ask,
    corrupted,
    findings_of,
    present_in,
    random_set,
    read_scores,
    told_findings,
)
from hilum.training.reporter_recipe import Conditioning, Images, Source
from hilum.training.studies import TrainingStudy, read_material
from image_files import write_dicom

BUNDLED = read_info(STARTER)
VERSIONS = ("hilum/1", "janus-pro-cxr/1")


@pytest.fixture(scope="session")
def studies(centre: Path) -> tuple[TrainingStudy, ...]:
    """Six studies of the made centre, some with a lateral picture."""
    return read_material([Source(manifest=centre)], Images(most=2, lateral=True), None).train[:6]


@pytest.fixture(scope="session")
def said(studies: tuple[TrainingStudy, ...]) -> dict[str, list[Assessment]]:
    """What the bundled expert says of them when it reads them."""
    expert = load_expert("starter")
    with Decoder() as decoder:
        read = {one.key: [decoder.read(image.source) for image in one.study.radiographs] for one in studies}
    views = {one.key: [image.view for image in one.study.radiographs] for one in studies}
    return {
        key: expert.assess([replace(image, view=view) for image, view in zip(images, views[key], strict=True)])
        for key, images in read.items()
    }


@pytest.fixture(scope="session")
def scores(said: dict[str, list[Assessment]]) -> dict[str, dict[str, float | None]]:
    return {key: {a.name: a.score for a in findings} for key, findings in said.items()}


@pytest.fixture(scope="session")
def undecided(tmp_path_factory: pytest.TempPathFactory, scores: dict[str, dict[str, float | None]]) -> Path:
    """The bundled expert with thresholds at its scores of the third study: some findings reach them, some do not."""
    third = list(scores.values())[2]
    specs = [
        spec
        if third[spec.name] is None
        else spec.model_copy(update={"thresholds": Thresholds(inject=third[spec.name])})
        for spec in read_info(STARTER).findings
    ]
    return changed(STARTER, tmp_path_factory.mktemp("expert") / "undecided", findings=tuple(specs))


def changed(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy of a checkpoint that says something else of itself."""
    shutil.copytree(folder, target)
    write_info(target, read_info(folder).model_copy(update=changes))
    return target


def table(file: Path, scores: dict[str, dict[str, float | None]]) -> Path:
    """Scores as `hilum predict` writes them."""
    rows = [dict(zip(("corpus", "study"), key.split("/"), strict=True)) | {"scores": s} for key, s in scores.items()]
    kinds = {"corpus": pl.String, "study": pl.String, "scores": pl.Struct(dict.fromkeys(NAMES, pl.Float64))}
    pl.DataFrame(rows, schema=kinds).write_parquet(file)
    return file


# --- the same as at reading


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_told_is_what_reading_would_inject(
    undecided: Path,
    studies: tuple[TrainingStudy, ...],
    scores: dict[str, dict[str, float | None]],
    tmp_path: Path,
    version: Any,
) -> None:
    info = read_info(undecided)
    expected = {
        key: tuple(injected(tuple(assessments(info, one)), given=False, prompt_version=version))
        for key, one in scores.items()
    }
    assert len(set(expected.values())) > 2, "an expert that says the same of every picture tests nothing"
    told, about = told_findings(studies, Conditioning(expert=str(undecided)), version)
    assert told == expected
    assert (about["asked"], about["out_of_fold"]) == (len(studies), 0)
    kept = table(tmp_path / "scores.parquet", dict(list(scores.items())[:4]))
    told, about = told_findings(studies, Conditioning(expert=str(undecided), scores=kept), version)
    assert told == expected
    assert (about["asked"], about["out_of_fold"]) == (2, 4)


def test_the_bundled_expert_tells_what_it_does_at_reading(
    studies: tuple[TrainingStudy, ...], said: dict[str, list[Assessment]], tmp_path: Path
) -> None:
    kept = table(tmp_path / "s.parquet", {key: {a.name: a.score for a in one} for key, one in said.items()})
    for options in (Conditioning(), Conditioning(scores=kept)):
        told, about = told_findings(studies, options, "hilum/1")
        assert told == {
            key: tuple(injected(tuple(one), given=False, prompt_version="hilum/1")) for key, one in said.items()
        }
        assert about["expert"] == "hilum-starter-expert 1"


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=14, max_size=14))
@settings(max_examples=60, deadline=None)
def test_findings_of_scores_are_closed_upward_and_assessed(values: list[float | None]) -> None:
    info = BUNDLED
    scores = dict(zip(NAMES, values, strict=True))
    told = findings_of(info, scores, "hilum/1")
    assert NO_FINDING not in told
    assert told == tuple(name for name in NAMES if name in told)
    reached = {
        name
        for name in NAMES
        if (at := info.finding(name).thresholds.inject) is not None
        and (score := scores[name]) is not None
        and score >= at
    }
    implied = {parent for name in reached for parent in ancestors(name) if scores[parent] is not None}
    assert set(told) == reached | {name for name in implied if info.finding(name).assessed}
    assert sorted(told) == list(findings_of(info, scores, "janus-pro-cxr/1"))


def test_the_manifests_view_counts_where_the_file_does_not_say_its_own(tmp_path: Path, undecided: Path) -> None:
    said, silent = write_dicom(tmp_path / "a.dcm", 1), write_dicom(tmp_path / "b.dcm", 2, ViewPosition="")
    with Decoder() as decoder:
        pictures = [decoder.read(path) for path in (said, silent)]
    assert [p.view for p in pictures] == [View.PA, View.UNKNOWN]
    stand_ins = tuple(replace(p, pixels=np.zeros((1, 1), np.float32), view=View.PA) for p in pictures)
    one = TrainingStudy("c/s", "c/p", 0, Study("s", stand_ins), None, {}, ())
    expert = load_expert(undecided)
    both = expert.assess([replace(p, view=View.PA) for p in pictures])
    assert both != expert.assess(pictures), "the second picture must matter"
    assert ask(expert, [one])["c/s"] == {a.name: a.score for a in both}


def test_a_picture_that_cannot_be_read_is_one_clear_error(tmp_path: Path, undecided: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with Decoder() as decoder:
        good = decoder.read(write_dicom(tmp_path / "b.dcm"))
    one = TrainingStudy("c/s", "c/p", 0, Study("s", (replace(good, source=str(tmp_path / "a.png")),)), None, {}, ())
    with pytest.raises(DataError, match="cannot be read"):
        ask(load_expert(undecided), [one])


def test_oracle_tells_the_present_labels(studies: tuple[TrainingStudy, ...]) -> None:
    for version in VERSIONS:
        told, about = told_findings(studies, Conditioning(findings="oracle"), version)  # type: ignore[arg-type]
        for one in studies:
            present = {name for name, state in one.labels.items() if state is LabelState.PRESENT} - {NO_FINDING}
            assert set(told[one.key]) == present
        assert about == {"findings": "oracle"}
        assert any(told.values())


# --- the guard against leaks


def test_an_expert_is_not_asked_about_a_corpus_it_learnt_from(
    undecided: Path,
    studies: tuple[TrainingStudy, ...],
    scores: dict[str, dict[str, float | None]],
    tmp_path: Path,
) -> None:
    own, other = (changed(undecided, tmp_path / c, provenance={"corpora": [c]}) for c in ("north", "south"))
    with pytest.raises(DataError, match=r"^6 studies have no out-of-fold score.*conditioning\.scores"):
        told_findings(studies, Conditioning(expert=str(own)), "hilum/1")
    some = table(tmp_path / "some.parquet", dict(list(scores.items())[:4]))
    with pytest.raises(DataError, match=r"^2 studies have no out-of-fold score"):
        told_findings(studies, Conditioning(expert=str(own), scores=some), "hilum/1")
    whole = table(tmp_path / "whole.parquet", scores)
    told, about = told_findings(studies, Conditioning(expert=str(own), scores=whole), "hilum/1")
    assert about["asked"] == 0
    assert told == told_findings(studies, Conditioning(expert=str(other)), "hilum/1")[0]


def test_a_row_of_nothing_but_nulls_is_no_score(
    undecided: Path,
    studies: tuple[TrainingStudy, ...],
    scores: dict[str, dict[str, float | None]],
    tmp_path: Path,
) -> None:
    """`hilum predict` writes one for a study that it could not read; the expert did not find nothing there."""
    file = table(tmp_path / "scores.parquet", scores | {studies[0].key: dict.fromkeys(NAMES)})
    assert studies[0].key not in read_scores(file)
    own = changed(undecided, tmp_path / "own", provenance={"corpora": ["north"]})
    with pytest.raises(DataError, match=r"^1 studies have no out-of-fold score"):
        told_findings(studies, Conditioning(expert=str(own), scores=file), "hilum/1")


# --- tables of scores


def test_scores_come_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores: dict[str, dict[str, float | None]] = {
        f"c/s{i}": {name: None if rng.random() < 0.3 else float(rng.random()) for name in NAMES} for i in range(9)
    }
    assert read_scores(table(tmp_path / "scores.parquet", scores)) == scores


def test_findings_that_a_table_does_not_have_are_unassessed(tmp_path: Path) -> None:
    pl.DataFrame({"corpus": ["c"], "study": ["s"], "scores": [{"Edema": 0.5}]}).write_parquet(tmp_path / "a.parquet")
    assert read_scores(tmp_path / "a.parquet") == {"c/s": {name: 0.5 if name == "Edema" else None for name in NAMES}}


def broken_table(case: str, file: Path) -> None:
    row: dict[str, Any] = {"corpus": "c", "study": "s", "scores": {"Edema": 0.5}}
    rows = {
        "no scores": [{"corpus": "c", "study": "s"}],
        "scores of no struct": [row | {"scores": 0.5}],
        "scores of words": [row | {"scores": {"Edema": "0.5"}}],
        "findings of other names": [row | {"scores": {"edema": 0.5}}],
        "twice": [row, row | {"scores": {"Edema": 0.6}}],
        "above one": [row | {"scores": {"Edema": 1.0001}}],
        "below zero": [row | {"scores": {"Edema": -0.1}}],
        "no number": [row | {"scores": {"Edema": float("nan")}}],
    }[case]
    pl.DataFrame(rows).write_parquet(file)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no scores", "columns corpus, study and scores"),
        ("scores of no struct", "expected a struct of findings"),
        ("scores of words", "expected a struct of findings"),
        ("findings of other names", "expected a struct of findings"),
        ("twice", "more than once"),
        ("above one", r"outside 0\.\.1"),
        ("below zero", r"outside 0\.\.1"),
        ("no number", r"outside 0\.\.1"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, case: str, message: str) -> None:
    broken_table(case, tmp_path / "scores.parquet")
    with pytest.raises(DataError, match=message):
        read_scores(tmp_path / "scores.parquet")


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"corpus,study\n")
    (tmp_path / "folder").mkdir()
    for name in ("a.parquet", "missing.parquet", "folder"):
        with pytest.raises(DataError, match="cannot be read"):
            read_scores(tmp_path / name)


# --- what is wrong on purpose


FOUND = [name for name in NAMES if name != NO_FINDING]
sets = st.sets(st.sampled_from(FOUND))


def closed(names: set[str]) -> set[str]:
    return names | {parent for name in names for parent in ancestors(name)}


@given(sets, sets, st.integers(0, 2**32), st.sampled_from(VERSIONS), st.booleans())
@settings(max_examples=300, deadline=None)
def test_exactly_one_finding_is_wrong(names: set[str], more: set[str], seed: int, version: Any, whole: bool) -> None:
    """Up to what it implies, or what implies it; and nobody is told No Finding."""
    given_names = closed(names) if whole else names
    assessed = [NO_FINDING, *(name for name in NAMES if name in given_names | more)]
    told = present_in(dict.fromkeys(given_names, LabelState.PRESENT), version)
    wrong = corrupted(told, assessed, random.Random(seed), version)
    assert wrong == corrupted(told, assessed, random.Random(seed), version)
    assert wrong == present_in(dict.fromkeys(wrong, LabelState.PRESENT), version), "in the order of the prompt"
    assert NO_FINDING not in wrong
    lost, new = set(told) - set(wrong), set(wrong) - set(told)
    if not told and not set(assessed) - {NO_FINDING}:
        assert wrong == told
        return
    assert bool(lost) != bool(new), "one direction at a time"
    if lost:
        assert [gone for gone in lost if all(gone == name or gone in ancestors(name) for name in lost)]
        assert not any(gone in ancestors(name) for gone in lost for name in wrong)
    if new:
        assert new <= set(assessed)
        (first,) = [
            name for name in new if new <= {name, *ancestors(name)} and not any(name in ancestors(n) for n in new)
        ]
        assert set(ancestors(first)) & set(assessed) <= set(wrong)
    if whole and set(assessed) - {NO_FINDING} >= closed(set(assessed) - {NO_FINDING}):
        assert closed(set(wrong)) == set(wrong), "a prompt that the expert could give"


def test_findings_are_left_out_and_added_about_as_often() -> None:
    rng = random.Random(0)
    told = ("Lung Opacity", "Edema", "Pleural Effusion")
    changes = [len(corrupted(told, FOUND, rng, "hilum/1")) - len(told) for _ in range(2000)]
    added = sum(change > 0 for change in changes)
    assert 0 not in changes
    assert abs(added - 1000) < 4 * 22.4  # four standard deviations of a fair coin
    every = {corrupted(told, FOUND, rng, "hilum/1") for _ in range(2000)}
    assert {name for wrong in every for name in wrong} == set(FOUND), "any finding may be the one"
    assert all(corrupted((), FOUND, rng, "hilum/1") for _ in range(50)), "where nothing can be left out, one is added"
    assert all(len(corrupted(tuple(FOUND), FOUND, rng, "hilum/1")) < 13 for _ in range(50))


@given(sets, st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_random_set_is_said_whole_and_by_the_text_too(assessed: set[str], seed: int) -> None:
    looked_for = [name for name in NAMES if name in assessed]
    states = random_set(looked_for, random.Random(seed))
    assert states == random_set(looked_for, random.Random(seed))
    told = present_in(states, "hilum/1")
    said = sayable_states(states, looked_for)
    assert {name for name, state in said.items() if state is LabelState.PRESENT and name != NO_FINDING} == set(told)
    denied = {name for name, state in said.items() if state is LabelState.ABSENT}
    assert not denied & closed(set(told))
    assert denied <= assessed


def test_random_sets_have_every_size_and_finding() -> None:
    rng = random.Random(1)
    made = [present_in(random_set(FOUND, rng), "hilum/1") for _ in range(600)]
    assert {len(told) for told in made} == set(range(10))
    assert {name for told in made for name in told} == set(FOUND)
