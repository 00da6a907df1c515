"""A new expert against an earlier one on the same studies."""

import csv
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hilum.errors import DataError
from hilum.records import NAMES
from hilum.reporting.predict import SCHEMA
from hilum.statistics import auc
from hilum.training.expert_comparison import compare_experts, read_score_table
from training.expert_runs import recipe, write_rows

N = 240
FINDINGS = ("Cardiomegaly", "Edema")


@pytest.fixture
def labels() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.random(N) < 0.4 for name in FINDINGS}


@pytest.fixture
def settings(tmp_path: Path, labels: dict[str, np.ndarray]) -> Any:
    rows = [
        {"study": f"{i:03}", "patient": i // 2, "images": [(f"{i:03}.png", ("PA", "AP")[i % 3 == 0])],
         "labels": {name: ("absent", "present")[bool(there[i])] for name, there in labels.items()}}
        for i in range(N)
    ]  # fmt: skip
    return recipe(write_rows(tmp_path, rows), validation={"resamples": 50})


def drawn(labels: dict[str, np.ndarray], strength: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([strength * there + rng.random(N) for there in labels.values()], axis=1) / (1 + strength)


def write_csv(file: Path, scores: np.ndarray, studies: range = range(N)) -> Path:
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "fold", *FINDINGS])
        writer.writerows([f"{i:03}", i % 2, *scores[i]] for i in studies)
    return file


def test_new_earlier_and_their_difference_are_of_the_same_studies(
    tmp_path: Path, settings: Any, labels: dict[str, np.ndarray]
) -> None:
    new, earlier = drawn(labels, 0.8, 1), drawn(labels, 0.2, 2)
    found = compare_experts(
        settings, write_csv(tmp_path / "new.csv", new), write_csv(tmp_path / "old.csv", earlier, range(200))
    )
    assert list(found) == ["all", "PA", "AP", "old enough"]
    assert found["all"]["n"] == 200
    for title, part in (("all", np.arange(200)), ("AP", np.arange(0, 200, 3))):
        one = found[title]
        for key, scores in (("new", new), ("earlier", earlier)):
            areas = [auc(labels[name][part], scores[part, k]).auc for k, name in enumerate(FINDINGS)]
            assert one[key]["estimate"] == pytest.approx(np.mean(areas), abs=1e-4)
            assert one["by_finding"]["Edema"][key]["estimate"] == pytest.approx(areas[1], abs=1e-4)
        difference = one["difference"]
        assert difference["estimate"] == pytest.approx(one["new"]["estimate"] - one["earlier"]["estimate"], abs=2e-4)
        assert difference["method"] == "percentile bootstrap over clusters"
        assert difference["low"] < difference["estimate"] < difference["high"]
    assert found["all"]["difference"]["low"] > 0
    same = compare_experts(settings, tmp_path / "new.csv", tmp_path / "new.csv")["all"]["difference"]
    assert same["low"] == same["high"] == 0, "the same resamples for both"


def test_tables_of_every_kind_say_the_same(tmp_path: Path, settings: Any, labels: dict[str, np.ndarray]) -> None:
    scores = drawn(labels, 0.8, 1)
    run = tmp_path / "run"
    run.mkdir()
    rows = [{"corpus": "made", "study": f"{i:03}", "fold": 0,
             "scores": {n: float(scores[i, FINDINGS.index(n)]) if n in FINDINGS else None for n in NAMES}}
            for i in range(N)]  # fmt: skip
    schema = {"corpus": pl.String, "study": pl.String, "fold": pl.Int32, "scores": SCHEMA["scores"]}
    pl.DataFrame(rows, schema=schema).write_parquet(run / "scores.parquet")
    of_splits = compare_experts(settings, run, run / "scores.parquet")
    write_csv(run / "validation" / "scores.csv", scores, range(60))
    assert len(read_score_table(run)) == 60, "the out-of-fold ones, where there are such"
    other = compare_experts(settings, run, run / "scores.parquet")["all"]
    assert other["n"] == 60
    assert other["difference"]["estimate"] == of_splits["all"]["difference"]["estimate"] == 0


def test_what_cannot_be_compared_is_refused(tmp_path: Path, settings: Any, labels: dict[str, np.ndarray]) -> None:
    good = write_csv(tmp_path / "good.csv", drawn(labels, 0.8, 1))
    for name, text, words in (
        ("others.csv", "image,Edema\nx.png,0.5\n", "no labelled study of the recipe's manifests in common"),
        ("silent.csv", "image,Fracture\n000,0.5\n", "score no finding in common"),
        ("nameless.csv", "name,Edema\n000,0.5\n", "no column image or study; it has name, Edema"),
        ("words.csv", "image,Edema\n000,high\n", "holds a score that is no number"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=words):
            compare_experts(settings, good, tmp_path / name)
    with pytest.raises(DataError, match=r"gone\.csv cannot be read"):
        compare_experts(settings, good, tmp_path / "gone.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is its run at its end"):
        compare_experts(settings, tmp_path / "empty", good)


def test_the_benchmark_prints_a_table(
    tmp_path: Path, settings: Any, labels: dict[str, np.ndarray], repository: Path, monkeypatch: Any, capsys: Any
) -> None:
    spec = importlib.util.spec_from_file_location("compare", repository / "benchmarks" / "compare_experts.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"recipe": settings.model_dump(mode="json")}))
    write_csv(run / "validation" / "scores.csv", drawn(labels, 0.8, 1))
    old = write_csv(tmp_path / "old.csv", drawn(labels, 0.2, 2))
    arguments = [str(run), str(old), "--findings", "--json", str(tmp_path / "out.json")]
    changes = ["--set", f"data.0.manifest={tmp_path}", "--set", "validation.resamples=20"]
    monkeypatch.setattr(sys, "argv", ["compare_experts.py", *arguments, *changes])
    script.main()
    printed = capsys.readouterr().out
    assert "| pictures | n | patients | findings | new | earlier | new minus earlier |" in printed
    assert "| all | 240 | 120 | 2 | 0." in printed
    assert "| PA: Edema |" in printed
    assert json.loads((tmp_path / "out.json").read_text())["all"]["difference"]["n_resamples"] == 20
