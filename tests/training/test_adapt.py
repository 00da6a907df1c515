"""Adapting to a hospital: what may be learnt from, the rule, and a whole run that goes on after a kill."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
import torch

from hilum.corpora.manifest import read_manifest, write_manifest
from hilum.errors import CheckpointError, DataError, UsageError
from hilum.evaluation.card import read_card
from hilum.evaluation.intervals import Resampling
from hilum.models.checkpoint import sha256_of, verify
from hilum.models.folders import resolve
from hilum.models.janus import load_reporter
from hilum.training.adapt import Asked, adapt, make_recipe, next_version
from hilum.training.adapt_checks import ENOUGH, MINIMUM, Signed, check_signed, detectable
from hilum.training.adapt_verdict import MARGIN, PRIMARY, RULE, SAFETY, read_adaptation, verdict_of
from tiny_expert import write_expert
from tiny_reporter import write_running
from training.hospital import make_hospital
from training.shelves import card

# What may be learnt from


def changed(manifest: Path, out: Path, change: Any) -> Path:
    """The same manifest with its rows changed by a function of number and row."""
    table = read_manifest(manifest)
    rows = [row | change(n, row) for n, row in enumerate(table.iter_rows(named=True))]
    write_manifest(pl.DataFrame(rows, schema=table.schema), out / "manifest.parquet")
    return out


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean export whose pictures nobody opens."""
    return make_hospital(tmp_path_factory.mktemp("paper"), pictures=False)


def test_a_clean_export_is_taken(paper: Path) -> None:
    signed = check_signed(paper, 18)
    assert signed.studies == signed.patients == dict(MINIMUM)
    assert signed.as_dict()["corpora"] == ["our_hospital"]
    assert signed.detectable == pytest.approx(0.17, abs=0.01)
    assert detectable(ENOUGH) <= MARGIN < detectable(ENOUGH - 1)
    assert check_signed(paper / "manifest.parquet", None).manifest_sha256 == signed.manifest_sha256


def path_of(row: dict[str, Any], **parts: str) -> list[dict[str, Any]]:
    folder, patient, study, image = row["images"][0]["path"].split("/")
    path = "/".join({"folder": folder, "patient": patient, "study": study, "image": image, **parts}.values())
    return [{**row["images"][0], "path": path}]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda n, row: {"patient": "4711"} if n == 3 else {}, "1 patients whose id"),
        (lambda n, row: {"patient": f"p{n // 2}"}, "70 patients whose id"),
        (lambda n, row: {"study": f"ACC900{n}"}, "140 studies whose id"),
        (lambda n, row: {"images": path_of(row, image="a.png")}, "140 studies with pictures"),
        (lambda n, row: {"images": path_of(row, patient="P" + "A" * 20)} if n == 3 else {}, "1 studies with pictures"),
        (lambda n, row: {"images": path_of(row, folder="other")}, "140 studies with pictures"),
        (lambda n, row: {"root": "elsewhere"}, "140 studies with pictures"),
        (lambda n, row: {"images": path_of(row, image="QUACKENBUSH.dcm")} if n else {}, "139 studies with pictures"),
    ],
)
def test_what_is_not_de_identified_is_refused_and_nobody_is_named(
    paper: Path, tmp_path: Path, change: Any, says: str
) -> None:
    with pytest.raises(DataError, match="is not de-identified") as error:
        check_signed(changed(paper, tmp_path, change), None)
    message = error.value.message
    assert says in message
    assert "hilum corpus deidentify" in message
    assert not re.search(r"4711|ACC900|QUACK|P[A-Z2-7]{20}", message)


def test_ids_within_centres_are_pseudonyms_too(paper: Path, tmp_path: Path) -> None:
    within = changed(paper, tmp_path, lambda n, r: {"patient": f"甲/{r['patient']}", "study": f"甲/{r['study']}"})
    assert check_signed(within, None).patients == dict(MINIMUM)


def test_a_published_corpus_is_no_hospital(paper: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="own export alone"):
        check_signed(changed(paper, tmp_path, lambda n, r: {"corpus": "mimic_cxr"} if n == 3 else {}), None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda first: lambda n, row: {"patient": first["patient"], "images": []} if n == 139 else {},
            "patient in two",
        ),
        (lambda first: lambda n, row: {"study": first["study"]} if n == 139 else {}, "study twice 1"),
        (
            lambda first: (
                lambda n, row: {"images": [{**row["images"][0], "id": first["images"][0]["id"]}]} if n == 139 else {}
            ),
            "image in two splits 1",
        ),
        (lambda first: lambda n, row: {"split": None} if n == 139 else {}, "no split 1"),
    ],
)
def test_what_cannot_be_tested_on_is_refused(paper: Path, tmp_path: Path, change: Any, says: str) -> None:
    first = read_manifest(paper).row(0, named=True)
    with pytest.raises(DataError, match=f"cannot be tested on: .*{says}"):
        check_signed(changed(paper, tmp_path, change(first)), None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda n, row: {"findings_text": " ", "impression_text": ""} if n == 0 else {},
            "99 to train.*1 without a report",
        ),
        (lambda n, row: {"text_labels": None} if n == 100 else {}, "9 to validate.*1 with a report that the labeller"),
        (lambda n, row: {"age_years": 12.0} if n == 139 else {}, "29 to test.*younger than 18.*difference of 0.17"),
        (
            lambda n, row: {"images": [{**row["images"][0], "view": "lateral"}]} if n == 0 else {},
            "99 to train.*frontal",
        ),
        (lambda n, row: {"split": "train"} if n >= 110 else {}, "0 to test"),
    ],
)
def test_too_few_are_refused_with_what_could_be_seen(paper: Path, tmp_path: Path, change: Any, says: str) -> None:
    with pytest.raises(DataError, match=f"(?s){says}") as error:
        check_signed(changed(paper, tmp_path, change), 18)
    assert f"{ENOUGH} are needed" in error.value.message


def test_many_studies_of_few_patients_are_few(paper: Path, tmp_path: Path) -> None:
    table = read_manifest(paper)
    one = table.row(139, named=True)

    def same(n: int, row: dict[str, Any]) -> dict[str, Any]:
        if n < 138:
            return {}
        return {"patient": one["patient"], "images": path_of(row, patient=one["patient"])}

    with pytest.raises(DataError, match="29 patients to test on"):
        check_signed(changed(paper, tmp_path, same), None)


# The rule


@pytest.mark.parametrize(
    ("intervals", "outcome", "decided_by"),
    [
        ({}, "no worse", (PRIMARY,)),
        ({PRIMARY: (0.001, 0.2)}, "better", (PRIMARY,)),
        ({PRIMARY: (-0.2, -0.001)}, "worse", (PRIMARY,)),
        ({PRIMARY: (-0.06, 0.2)}, "cannot tell", (PRIMARY,)),
        ({PRIMARY: (-0.04, -0.001)}, "worse", (PRIMARY,)),
        ({PRIMARY: (0.1, 0.2), "invention_share": (0.001, 0.03)}, "worse", ("invention_share",)),
        ({PRIMARY: (0.1, 0.2), "negation_share": (-0.2, 0.06)}, "cannot tell", ("negation_share",)),
        ({PRIMARY: (-0.2, 0.2), "side_share": (0.1, 0.2)}, "worse", ("side_share",)),
        ({PRIMARY: (0.1, 0.2), "side_share": (-0.2, -0.1)}, "better", (PRIMARY,)),
        ({PRIMARY: (0.1, 0.2), "side_share": (float("nan"), float("nan"))}, "cannot tell", ("side_share",)),
    ],
)
def test_the_rule(intervals: dict[str, tuple[float, float]], outcome: str, decided_by: tuple[str, ...]) -> None:
    verdict = verdict_of(card(intervals))
    assert verdict.outcome == outcome
    assert tuple(one.name for one in verdict.decided_by) == decided_by
    assert [one.name for one in verdict.measures] == [PRIMARY, *SAFETY]
    assert verdict.lines()[0].startswith(f"{outcome}: ")
    assert any(line.startswith(f"{outcome}: ") for line in RULE)


def test_nothing_seen_of_few_is_no_certainty() -> None:
    same = dict.fromkeys((PRIMARY, *SAFETY), (0.0, 0.0))
    assert verdict_of(card(same, n_patients=30)).outcome == "cannot tell"
    assert verdict_of(card(same, n_patients=400)).outcome == "no worse"


def test_a_card_without_a_measure_of_the_rule() -> None:
    from dataclasses import replace

    with pytest.raises(DataError, match="no comparison of micro_f1_14"):
        verdict_of(replace(card({}), comparisons=()))


# The recipe


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_expert(tmp_path_factory.mktemp("expert") / "tiny")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_running(tmp_path_factory.mktemp("running") / "model")


def recipe_of(running: Path, signed: Signed, paper: Path, **more: Any) -> Any:
    asked = Asked(manifest=paper, model=running, out=Path("out"), **more)
    return make_recipe(asked, running, verify(running), signed)


def test_what_no_recipe_says_comes_from_the_model_and_the_reports(running: Path, paper: Path, tmp_path: Path) -> None:
    signed = check_signed(paper, None)
    made = recipe_of(running, signed, paper)
    assert (made.identity.name, made.identity.version, made.identity.demonstration) == ("ours", "1+site1", True)
    assert (made.model.base, made.data[0].manifest) == (str(running), paper.resolve())
    assert (made.optimiser.steps, made.validation.every, made.checkpoints.every) == (10, 2, 2), "three passes over 100"
    assert (
        made.optimiser.precision
        == made.model.frozen_weights
        == ("bfloat16" if torch.cuda.is_available() else "float32")
    )
    file = tmp_path / "r.toml"
    file.write_text(
        '[identity]\nname="new"\nversion="7"\n[model]\nbase="x"\n[[data]]\nmanifest="y"\n[optimiser]\nsteps=5\n'
        '[conditioning]\nexpert="z"\n'
    )
    made = recipe_of(running, signed, paper, recipe=file, changes={"identity.demonstration": "false"}, expert="e")
    assert (made.identity.name, made.identity.version, made.optimiser.steps) == ("new", "7", 5)
    assert made.identity.demonstration, "made of a model for trying out"
    assert (made.model.base, made.data[0].manifest) == (str(running), paper.resolve())
    assert made.conditioning.expert == "e"
    with pytest.raises(DataError, match=r"none\.toml cannot be read"):
        recipe_of(running, signed, paper, recipe=tmp_path / "none.toml")


@pytest.mark.parametrize("key", ["model.base", "data", "conditioning.expert", "model.fresh.context"])
def test_what_the_command_says_is_no_setting(running: Path, paper: Path, key: str) -> None:
    with pytest.raises(UsageError, match=f"--set {key}"):
        recipe_of(running, check_signed(paper, None), paper, changes={key: "1"})


def test_versions_count_on() -> None:
    assert next_version("2") == "2+site1"
    assert next_version("2+site9") == "2+site10"


# A whole run

CHANGES = {
    "optimiser.steps": "3", "optimiser.batch": "8", "optimiser.micro_batch": "8",
    "conditioning.unseen": "true",
    "lora.rank": "2", "validation.report_studies": "2",
    "validation.loss_studies": "4", "validation.max_new_tokens": "8", "optimiser.gradient_checkpointing": "false",
}  # fmt: skip


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hospital(tmp_path_factory.mktemp("hospital"))


def asked(signed: Path, running: Path, expert: Path, out: Path, *, micro: int = 8) -> Asked:
    how = Resampling(n_resamples=100, n_permutations=20)
    return Asked(
        manifest=signed, model=running, out=out, expert=str(expert), device="cpu", max_new_tokens=16,
        changes={**CHANGES, "optimiser.micro_batch": str(micro)}, resampling=how,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(
    signed: Path, running: Path, expert: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A run that nothing interrupted, and what it said."""
    torch.set_num_threads(1)
    out, lines = tmp_path_factory.mktemp("run") / "adapted", []
    verdict = adapt(asked(signed, running, expert, out), lines.append)
    assert verdict is not None
    return out, lines


def test_a_run_leaves_a_verdict_a_card_and_a_page(whole: tuple[Path, list[str]], running: Path, signed: Path) -> None:
    out, lines = whole
    held = json.loads((out / "adapt.json").read_text())
    assert (held["schema"], held["verdict"]) == ("hilum.adapt/1", "cannot tell"), "30 patients cannot show 5 points"
    assert held["rule"] == list(RULE)
    assert held["data"]["studies"] == dict(MINIMUM)
    assert held["running"]["digest"] != held["candidate"]["digest"]
    assert held["expert"]["name"] == "tiny-expert"
    assert held["failed"] == {"running": 0, "candidate": 0}
    candidate = verify(out / "stage3" / "checkpoint")
    assert [entry["stage"] for entry in candidate.provenance["stage_history"]] == ["stage1", "stage3"]
    found = read_adaptation(out)
    assert (found.verdict.outcome, found.sha256) == (held["verdict"], sha256_of(out / "adapt.json"))
    made = read_card(out / "shadow" / "card.json")
    assert made.data["studies"] == 30
    assert made.data["baseline"] == "running ours 1"
    assert made.provenance["checkpoint"] == "ours 1+site1"
    page = (out / "index.html").read_text()
    assert "cannot tell" in page
    assert page.count('<svg class="forest') == 5
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert str(out) not in page, "no place on a machine"
    # what is said is said first, and says nobody
    assert lines.index("The rule:") < next(n for n, line in enumerate(lines) if "loss" in line)
    assert any("a difference of 0.17 can be seen" in line for line in lines)
    ids = {part for row in read_manifest(signed).iter_rows(named=True) for part in (row["patient"], row["study"])}
    quiet = "\n".join([*lines, page, (out / "adapt.json").read_text(), (out / "stage3" / "log.jsonl").read_text()])
    assert not [each for each in ids if each in quiet]
    load_reporter(out / "stage3" / "checkpoint")


SCHEMA = json.loads(files("hilum.training").joinpath("adapt.schema.json").read_text(encoding="utf-8"))


def test_what_a_run_writes_is_what_the_schema_says(whole: tuple[Path, list[str]]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for part in [SCHEMA, *SCHEMA["$defs"].values()]:
        assert set(part.get("required", ())) == set(part.get("properties", ())), "no key is ever left out"
    jsonschema.validate(json.loads((whole[0] / "adapt.json").read_text()), SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [{"verdict": "perfect"}, {"measures": [{"name": PRIMARY}]}, {"running": {}}, {"expert": {"name": "x"}},
     {"card": {"path": "x", "sha256": "x"}}, {"failed": {"running": 0}}, {"more": 1}],
)  # fmt: skip
def test_the_schema_refuses_what_is_no_adaptation(whole: tuple[Path, list[str]], wrong: dict[str, Any]) -> None:
    held = json.loads((whole[0] / "adapt.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**held, **wrong}, SCHEMA)


def test_the_same_command_again_changes_nothing(
    whole: tuple[Path, list[str]], signed: Path, running: Path, expert: Path
) -> None:
    out, _ = whole
    before = {
        path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.suffix in (".json", ".html")
    }
    adapt(asked(signed, running, expert, out), lambda _: None)
    assert {path: path.read_bytes() for path in before} == before


def test_another_plan_is_refused_and_what_was_decided_stays(
    whole: tuple[Path, list[str]], signed: Path, running: Path, expert: Path, tmp_path: Path
) -> None:
    out, _ = whole
    other = Asked(manifest=signed, model=running, out=out, expert=str(expert), changes=CHANGES, max_new_tokens=17)
    with pytest.raises(UsageError, match=r"another comparison \(max_new_tokens, resampling differ\)"):
        adapt(other, lambda _: None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="holds no plan"):
        adapt(asked(signed, running, expert, tmp_path / "full"), lambda _: None)


def test_a_model_that_cannot_be_told_from_others_is_refused(
    signed: Path, expert: Path, tiny_original: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="hilum models convert"):
        adapt(asked(signed, tiny_original, expert, tmp_path / "x"), lambda _: None)
    with pytest.raises(CheckpointError, match="kind expert"):
        adapt(asked(signed, expert, expert, tmp_path / "x"), lambda _: None)
    assert not (tmp_path / "x").exists()


def die(asked: Asked, where: str) -> None:
    """Run and die by SIGKILL when this is told; in a child only."""
    torch.set_num_threads(1)

    def told(line: str) -> None:
        if line.startswith(where):
            os.kill(os.getpid(), signal.SIGKILL)

    adapt(asked, told, lambda what, done, n: told(f"{what} {done}"))


def test_a_run_that_was_killed_goes_on_to_the_same_verdict(
    whole: tuple[Path, list[str]], signed: Path, running: Path, expert: Path, tmp_path: Path
) -> None:
    again = asked(signed, running, expert, tmp_path / "run")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hilum.training.adapt", "training.test_adapt"])
    for where in ("step 2", "drafts of the candidate model 5", "judging: baseline"):
        process = context.Process(target=die, args=(again, where))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, where
        assert not (tmp_path / "run" / "adapt.json").exists()
    assert (tmp_path / "run" / "shadow" / "candidate.parquet").exists()
    adapt(again, lambda _: None)
    ended, uninterrupted = (json.loads((out / "adapt.json").read_text()) for out in (tmp_path / "run", whole[0]))
    del ended["card"], uninterrupted["card"]  # which names the files of drafts, and these say where the model lay
    assert ended == uninterrupted
    one, other = (out / "shadow" / "numbers.csv" for out in (tmp_path / "run", whole[0]))
    assert one.read_bytes() == other.read_bytes()


def test_a_shelf_s_model_is_held_fast_while_it_is_read(running: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(running)
    assert resolve(tmp_path / "current") == running.resolve()
    assert load_reporter(tmp_path / "current").info.name == "ours"


PARALLEL = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.test_adapt import asked
from hilum.training.adapt import adapt
signed, running, expert, out = map(Path, sys.argv[1:5])
verdict = adapt(asked(signed, running, expert, out, micro=4), print)
print("verdict", verdict and verdict.outcome)
"""


@pytest.mark.slow
def test_two_processes_train_and_the_first_compares(
    signed: Path, running: Path, expert: Path, tmp_path: Path, repository: Path
) -> None:
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(PARALLEL)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(script), *map(str, (signed, running, expert, out))],
        env={**os.environ, "PYTHONPATH": str(repository / "tests"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "verdict cannot tell" in done.stdout
    assert "verdict None" in done.stdout
    assert verify(out / "stage3" / "checkpoint").provenance["stage_history"][-1]["processes"] == 2
