"""The page of a run: half a run gives half a page, and nothing that is written breaks it."""

import json
from pathlib import Path
from typing import Any

import pytest

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
    for value, words in ((0.25, "step 2 with micro_f1_13 0.250"), (None, "nothing was measured")):
        (out / "best" / "best.json").write_text(json.dumps({"step": 2, "metric": "micro_f1_13", "value": value}))
        assert words in page(out)
    text = page(out)
    assert text.count("<svg") == 4
    assert "lung lesion" in text
    assert "0.125" in text
    assert "edema" not in text


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
