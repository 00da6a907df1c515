"""`hilum evaluate card`: a reporter's folder to a card and its drafts; what it is is told by its hilum.json."""

import json
import shutil

from evaluation.starters.labelled_pictures import write_folder
from hilum.models.checkpoint import STARTERS


def test_a_reporters_folder(hilum, tmp_path):
    data = write_folder(tmp_path / "data")
    shutil.copytree(STARTERS / "reporter", tmp_path / "ours")
    done = hilum(
        "evaluate", "card", tmp_path / "ours", "--data", data, "--scores", data / "scores.csv", "--out",
        tmp_path / "card",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.out.splitlines()[1].startswith("!! No radiologist wrote the references")
    card = json.loads((tmp_path / "card" / "card.json").read_text(encoding="utf-8"))
    assert card["kind"] == "reports"
    drafts = (tmp_path / "card" / "drafts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(drafts) == card["data"]["studies"]
    assert "drafts.jsonl" in done.err


def test_starter_alone_is_two_models(hilum, tmp_path):
    done = hilum("evaluate", "card", "starter", "--data", tmp_path, "--scores", tmp_path / "s", "--out", tmp_path)
    assert done.status == 2
    assert "starter-expert or starter-reporter" in done.err
    assert done.err.count("\n") == 1
