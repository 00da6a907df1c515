"""The page of a run: half a run gives half a page, and nothing that is written breaks it."""

import json
from pathlib import Path
from typing import Any

import pytest

from hilum.training.expert_recipe import ExpertRecipe
from hilum.training.run_page import write_page
from training.runs import recipe


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run that has only begun."""
    run = {
        "stage": "stage1",
        "recipe": recipe(tmp_path / "m.parquet").model_dump(mode="json"),
        "manifests": ["0123456789abcdef" * 4],
        "hilum": "0",
        "packages": {"torch": "2"},
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    return tmp_path


def log(out: Path, *rows: dict[str, Any], tail: str = "") -> None:
    (out / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


def page(out: Path) -> str:
    write_page(out)
    assert not list(out.glob("*.part"))
    return (out / "index.html").read_text(encoding="utf-8")


TRAINED = {"step": 1, "loss": 6.5, "grad_norm": 2.0, "learning_rate": 1e-3}
VALIDATED = {"step": 2, "validation_loss": 6.0, "validation_micro_f1_13": 0.25, "validation_macro_f1_13": 0.2,
             "validation_f1_lung_lesion": 0.125, "validation_f1_edema": None}  # fmt: skip


def test_a_run_that_has_only_begun_has_a_page(out: Path) -> None:
    text = page(out)
    assert "Step 0 of 12." in text
    assert "Nothing was logged yet." in text
    assert "<svg" not in text
    assert "Best so far" not in text
    assert "0123456789ab" in text


def test_half_a_run_has_half_a_page(out: Path) -> None:
    log(out, TRAINED, tail='{"step": 2, "lo')
    text = page(out)
    assert "Step 1 of 12." in text
    assert text.count("<svg") == 3  # loss, gradient, learning rate
    assert "F1 per finding" not in text


def test_a_validated_run_shows_its_findings_and_its_best(out: Path) -> None:
    log(out, TRAINED, VALIDATED)
    (out / "best").mkdir()
    assert "Figures are of a sample of the validation split" in page(out)
    for value, words in ((0.25, "step 2 with micro_f1_13 0.250"), (None, "nothing was measured by micro_f1_13")):
        (out / "best" / "best.json").write_text(json.dumps({"step": 2, "metric": "micro_f1_13", "value": value}))
        assert words in page(out)
    text = page(out)
    assert text.count("<svg") == 4
    assert "lung lesion" in text
    assert "0.125" in text
    assert "<td>edema</td>" not in text
    assert "Without a figure: atelectasis, cardiomegaly, consolidation, edema, " in text
    assert "neither a reference nor a draft" in text


def test_a_run_that_validates_nothing_says_so(out: Path) -> None:
    log(out, TRAINED)
    assert "Nothing was validated yet." in page(out)
    (out / "best").mkdir()
    (out / "best" / "best.json").write_text(json.dumps({"step": 2, "metric": "micro_f1_13", "value": None}))
    text = page(out)
    assert "Nothing was validated: the manifests leave no study to validate on" in text
    assert "the last weights were kept" in text
    assert "sample of the validation split" not in text


def test_a_draft_that_is_empty_or_cut_off_is_explained(out: Path) -> None:
    one = {"step": 2, "prompt": "", "reference": "No pleural effusion.", "draft": ""}
    cases: list[tuple[dict[str, Any], list[str]]] = [
        (one, ["(empty)"]),
        ({**one, "written": " ", "cut_off": False}, ["(empty)"]),
        ({**one, "written": "FINDINGS: ", "cut_off": True}, ["(empty)", "as it was written", "Cut off at 40 tokens"]),
        ({**one, "draft": "Clear.", "written": "Clear.", "cut_off": False}, []),
    ]
    for sample, said in cases:
        (out / "samples.jsonl").write_text(json.dumps(sample) + "\n")
        text = page(out)
        assert [w for w in ("(empty)", "as it was written", "Cut off at 40 tokens") if w in text] == said


@pytest.fixture
def expert(tmp_path: Path) -> Path:
    """The run folder of an expert that has only begun."""
    settings = ExpertRecipe.model_validate(
        {
            "identity": {"name": "made", "version": "1", "licence": "x", "data_source": "x"},
            "data": [{"manifest": "m"}],
            "optimiser": {"epochs": 1},
        }
    )
    run = {"stage": "expert", "recipe": settings.model_dump(mode="json"), "manifests": [], "hilum": "0", "packages": {}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    return tmp_path


def test_an_expert_has_epochs_and_no_peer_unless_it_has_one(expert: Path) -> None:
    assert "Step 0 of a run of 1 epoch." in page(expert)
    rows = [{**TRAINED, "step": step, "epoch": step / 8} for step in (1, 4)]
    log(expert, *rows, {"step": 4, "validation_loss": 0.5, "validation_auroc": 0.7, "validation_auroc_edema": 0.7})
    text = page(expert)
    assert "Step 4, epoch 0.5 of 1." in text
    assert "Figures are of the validation split:" in text
    assert "peer" not in text
    assert "training (solid)" in text
    assert "<td>edema</td>" in text
    assert "Without a figure: atelectasis, cardiomegaly, consolidation, enlarged" in text
    assert "no finding" not in text
    run = json.loads((expert / "run.json").read_text())
    run["recipe"]["peer"] = {"table": "t", "weight": 0.5}
    (expert / "run.json").write_text(json.dumps(run))
    assert "training, with the peer" in page(expert)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf"), 1e300, 0.0])
def test_values_that_are_no_numbers_break_nothing(out: Path, value: Any) -> None:
    rows = [{**TRAINED, "step": step, "loss": value, "grad_norm": value} for step in (1, 2)]
    log(out, *rows, {**VALIDATED, **{name: value for name in VALIDATED if name != "step"}})
    text = page(out)
    assert "Step 2 of 12." in text
    for drawn in text.split("<polyline")[1:]:
        assert not {"nan", "inf"} & set(drawn.partition(">")[0].replace(",", " ").replace('"', " ").lower().split())
    log(out, *rows, TRAINED)
    page(out)


def test_drafts_are_shown_as_text_whatever_is_in_them(out: Path) -> None:
    strange = "FINDINGS: <script>alert(1)</script> & \u2028 next\x85line \x1c."
    rows = [{"step": 2, "prompt": "<b>", "reference": strange, "draft": strange} for _ in range(20)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "samples.jsonl").write_text(lines, encoding="utf-8")
    text = page(out)
    assert text.count("alert(1)") == 24, "twelve samples, each with reference and draft"
    assert "<script>alert" not in text
    assert "AI draft" in text


def test_the_page_is_made_anew(out: Path) -> None:
    first = page(out)
    log(out, TRAINED)
    assert page(out) != first
    assert page(out) == page(out)


def test_an_ablation_in_the_folder_is_on_the_page(out: Path) -> None:
    log(out, TRAINED)
    assert "Ablation" not in page(out)
    (out / "checkpoint").mkdir()
    assert "hilum ablate expert --model RUN/checkpoint" in page(out)
    (out / "looks").mkdir()
    said = {"experiment": "expert", "verdicts": [{"code": "picture", "text": "It <looks>.", "grave": False}]}
    (out / "looks" / "ablation.json").write_text(json.dumps(said))
    text = page(out)
    assert "It &lt;looks&gt;." in text
    assert 'href="looks/index.html"' in text
    assert "RUN/checkpoint" not in text
