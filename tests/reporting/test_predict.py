"""A whole split read: one row per study, nothing left out, nothing done twice."""

import json
from pathlib import Path

import polars as pl
import pytest

from hilum.corpora.manifest import SCHEMA as MANIFEST
from hilum.errors import DataError, UsageError
from hilum.imaging import encode_png, example_path, read_radiograph
from hilum.records import NAMES
from hilum.reporting import ReadSettings
from hilum.reporting import predict as module
from hilum.reporting.predict import SCHEMA, predict


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    root = tmp_path_factory.mktemp("pictures")
    png = encode_png(read_radiograph(example_path()).pixels, max_side=300)
    for name in ("a", "b", "c", "d"):
        (root / f"{name}.png").write_bytes(png)
    (root / "bad.png").write_bytes(b"no picture")
    studies = {
        "s1": [("a.png", "PA")],
        "s2": [("bad.png", "PA")],
        "s3": [("b.png", "PA"), ("c.png", "lateral")],
        "s4": [("gone.png", "PA"), ("bad.png", "AP")],
        "s5": [("bad.png", "PA"), ("d.png", "PA")],
        "s6": [("c.png", "lateral")],
    }
    blank = dict.fromkeys(MANIFEST)
    rows = [
        {
            **blank,
            "corpus": "t",
            "root": str(root),
            "patient": "p",
            "study": study,
            "order": 0,
            "split": "test",
            "images": [{"path": path, "view": view, "id": path} for path, view in images],
        }
        for study, images in studies.items()
    ]
    return pl.DataFrame(rows, schema=MANIFEST, orient="row")


@pytest.fixture
def settings(expert: Path) -> ReadSettings:
    return ReadSettings(model="template", expert=expert)


def test_every_study_is_a_row(table: pl.DataFrame, settings: ReadSettings, tmp_path: Path) -> None:
    made = predict(table, tmp_path / "p.parquet", settings)
    assert made.schema == pl.Schema(SCHEMA)
    assert pl.read_parquet(tmp_path / "p.parquet").equals(made)
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]
    assert made["study"].to_list() == ["s1", "s2", "s3", "s4", "s5", "s6"]
    rows = {row["study"]: row for row in made.iter_rows(named=True)}
    assert [study for study, row in rows.items() if row["failed"]] == ["s2", "s4", "s6"]
    assert rows["s1"]["findings_text"]
    assert 0 <= rows["s1"]["scores"]["Cardiomegaly"] <= 1
    assert set(rows["s1"]["scores"]) == set(NAMES)
    assert rows["s2"]["scores"]["Cardiomegaly"] is None
    assert "unknown_format" in rows["s2"]["failed"]
    assert "not_found" in rows["s4"]["failed"]
    assert "lateral" in rows["s3"]["warnings"], "the manifest's view counts"
    assert "incomplete_study" in rows["s5"]["warnings"]
    assert "no_frontal_view" in rows["s6"]["failed"]


def test_jsonl_has_the_same_rows(table: pl.DataFrame, settings: ReadSettings, tmp_path: Path) -> None:
    made = predict(table.head(2), tmp_path / "p.jsonl", settings)
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["study"] for row in rows] == made["study"].to_list()


def test_a_stopped_run_goes_on(
    table: pl.DataFrame, settings: ReadSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(table, tmp_path / "whole.parquet", settings)
    out = tmp_path / "p.parquet"

    def stop(done: int, n: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(table, out, settings, progress=stop)
    assert not out.exists()
    work = tmp_path / "p.parquet.partial"
    work.write_text(work.read_text() + '{"corpus": "t", "stu')  # as a kill in the middle of a line leaves it
    asked = []
    real = module._read
    monkeypatch.setattr(module, "_read", lambda todo, s: (asked.extend(row["study"] for row in todo), real(todo, s))[1])
    assert predict(table, out, settings).equals(whole)
    assert asked == ["s4", "s5", "s6"]
    assert not work.exists()


def test_another_run_s_work_is_not_mixed_in(table: pl.DataFrame, settings: ReadSettings, tmp_path: Path) -> None:
    def stop(done: int, n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(table, tmp_path / "p.parquet", settings, progress=stop)
    with pytest.raises(DataError, match="studies differ"):
        predict(table.head(2), tmp_path / "p.parquet", settings)
    with pytest.raises(UsageError, match="parquet or"):
        predict(table, tmp_path / "p.csv", settings)
