"""`hilum adapt` through the command: a run to a verdict, promotion by a name, bad input to one clear line."""

import json
from importlib.resources import files

import jsonschema
import pytest

from tiny_reporter import write_running
from training.hospital import make_hospital
from training.shelves import FEW, write_checkpoint, write_comparison

QUICK = {
    "optimiser.steps": 2, "optimiser.batch": 4, "optimiser.micro_batch": 4, "lora.rank": 2,
    "conditioning.unseen": "true",
    "validation.report_studies": 1, "validation.loss_studies": 2, "validation.max_new_tokens": 4,
}  # fmt: skip
CHANGES = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def shelf(tmp_path):
    """Put there by hand: the command of its own is asked below."""
    return tmp_path / "shelf"


def test_from_the_signed_reports_to_the_shelf_and_back(hilum, expert, shelf, tmp_path):
    signed = make_hospital(tmp_path)
    running = write_running(tmp_path / "running")
    made = hilum("adapt", "init", shelf, "--model", running, "--by", "Ann")
    assert (made.status, made.err) == (0, "")
    assert made.out.startswith(f"{shelf / 'current'} is ours-1-")
    done = hilum(
        "adapt", "run", signed, "--model", shelf / "current", "--expert", expert, "--out", tmp_path / "adapted",
        "--max-new-tokens", 8, "--device", "cpu", *CHANGES,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.out.startswith("cannot tell: ")
    assert "a difference of 0.17 can be seen" in done.err
    assert "Nothing was promoted" in done.err
    assert "Traceback" not in done.err
    held = json.loads((tmp_path / "adapted" / "adapt.json").read_text())
    assert held["verdict"] == "cannot tell"
    jsonschema.validate(held, json.loads(files("hilum.training").joinpath("adapt.schema.json").read_text("utf-8")))
    refused = hilum("adapt", "promote", tmp_path / "adapted", "--shelf", shelf, "--by", "Bo")
    assert (refused.status, refused.out) == (2, "")
    assert "--despite" in refused.err
    promoted = hilum("adapt", "promote", tmp_path / "adapted", "--shelf", shelf, "--by", "Bo", "--despite", "a trial")
    assert promoted.status == 0
    assert "ours-1+site1-" in promoted.out
    picture = next((tmp_path / "clean").rglob("*.dcm"))
    read = hilum(
        "read", picture, "--model", shelf / "current", "--expert", expert, "--format", "json", "--max-new-tokens", 4
    )
    (study,) = json.loads(read.out)["studies"]
    assert study["models"]["reporter"]["version"] == "1+site1"
    assert (shelf / "current").resolve().name.endswith(study["models"]["reporter"]["digest"][:8])
    back = hilum("adapt", "rollback", shelf, "--by", "Ann", "--reason", "enough")
    assert back.status == 0
    said = hilum("adapt", "status", shelf)
    assert said.out.startswith("running: ours-1-")
    assert [line.split()[2] for line in said.out.splitlines()[1:]] == ["init", "promote", "rollback"]
    assert "by Bo  verdict cannot tell  reason: a trial" in said.out
    held = json.loads(hilum("adapt", "status", shelf, "--json").out)
    assert (held["schema"], len(held["versions"]), held["history"][1]["from"]) == (
        "hilum.shelf/1",
        2,
        held["history"][0]["to"],
    )


def test_what_may_not_be_learnt_from_is_one_line(hilum, expert, tmp_path):
    running = write_running(tmp_path / "running")
    signed = make_hospital(tmp_path / "few", splits={"train": 5, "test": 5}, pictures=False)
    out = tmp_path / "out"
    done = hilum("adapt", "run", signed, "--model", running, "--expert", expert, "--out", out)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "5 to train on (at least 100)" in done.err
    wrong = make_hospital(tmp_path / "wrong", pictures=False, patient="4711")
    done = hilum("adapt", "run", wrong, "--model", running, "--expert", expert, "--out", out)
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "is not de-identified" in done.err
    done = hilum("adapt", "run", wrong, "--model", running, "--out", out, "--set", "data.checked=true")
    assert done.status != 0
    assert not out.exists()


def test_a_shelf_names_cannot_steer_the_terminal(hilum, shelf, tmp_path):
    old = write_checkpoint(tmp_path / "old", name="a/../\x1b[31m")
    assert hilum("adapt", "init", shelf, "--model", old, "--by", "\x1b[2JAnn").status == 0
    write_comparison(tmp_path / "adapted", old, write_checkpoint(tmp_path / "new", weights=b"2"), FEW)
    assert (
        hilum("adapt", "promote", tmp_path / "adapted", "--shelf", shelf, "--by", "Bo", "--despite", "\x1bx").status
        == 0
    )
    said = hilum("adapt", "status", shelf)
    assert "\x1b" not in said.out
    assert {path.parent for path in (shelf / "versions").iterdir()} == {shelf / "versions"}


def test_no_shelf_is_one_line(hilum, tmp_path):
    for words in (("status", tmp_path), ("rollback", tmp_path, "--by", "Ann", "--reason", "x")):
        done = hilum("adapt", *words)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        assert "hilum adapt init" in done.err
