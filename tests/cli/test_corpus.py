"""`hilum corpus` through the command, on reports made in Open-I's layout."""

import json

import polars as pl
import pytest

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{n}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">Cough</AbstractText>
<AbstractText Label="FINDINGS">Stable mild cardiomegaly. No effusion.</AbstractText>
<AbstractText Label="IMPRESSION">Mild cardiomegaly.</AbstractText></Abstract></Article></MedlineCitation>
<MeSH><major>Cardiomegaly/mild</major></MeSH><parentImage id="CXR{n}_IM-{n}-1001"/></eCitation>
"""


@pytest.fixture
def open_i(tmp_path):
    root = tmp_path / "open-i"
    (root / "ecgen-radiology").mkdir(parents=True)
    (root / "NLMCXR_png").mkdir()
    for n in range(1, 41):
        (root / "ecgen-radiology" / f"{n}.xml").write_text(XML.format(n=n))
        (root / "NLMCXR_png" / f"CXR{n}_IM-{n}-1001.png").write_bytes(b"x")
    return root


def test_build_show_check_sample_and_merge(hilum, open_i, tmp_path):
    out = tmp_path / "out"
    done = hilum("corpus", "build", "open_i", "--root", open_i, "--out", out, "--workers", 1)
    assert done.status == 0, done.err
    assert "studies kept: 40" in done.out
    assert sorted(path.name for path in out.iterdir()) == ["build.json", "manifest.parquet", "qc.html"]
    assert "Indiana University" in (out / "qc.html").read_text()
    table = pl.read_parquet(out / "manifest.parquet")
    assert table["findings_text"].unique().to_list() == ["Mild cardiomegaly. No effusion."]

    shown = hilum("corpus", "show", out)
    assert shown.out.startswith("40 studies of open_i")
    assert "Cardiomegaly                      40" in shown.out

    assert hilum("corpus", "check", out, "--images").status == 0
    (open_i / "NLMCXR_png" / "CXR7_IM-7-1001.png").unlink()
    lost = hilum("corpus", "check", out, "--images")
    assert (lost.status, lost.out) == (3, "image_missing: 1 (NLMCXR_png/CXR7_IM-7-1001.png)\n")

    drawn = hilum("corpus", "sample", out, "--out", tmp_path / "few.parquet", "--patients", 5)
    assert drawn.status == 0
    assert pl.read_parquet(tmp_path / "few.parquet").height == 5

    both = hilum("corpus", "merge", out, tmp_path / "few.parquet", "--out", tmp_path / "all.parquet")
    assert both.status == 1
    assert "study_twice 5 times" in both.err


def test_a_second_build_in_the_same_folder_needs_the_same_options(hilum, open_i, tmp_path):
    command = ["corpus", "build", "open_i", "--root", open_i, "--out", tmp_path / "out", "--workers", 1]
    assert hilum(*command).status == 0
    assert hilum(*command).status == 0
    other = hilum(*command, "--keep-comparisons")
    assert other.status == 1
    assert "options differ" in other.err
    assert json.loads((tmp_path / "out" / "build.json").read_text())["counts"]["studies_kept"] == 40


def test_wrong_usage(hilum, tmp_path):
    unknown = hilum("corpus", "build", "padchest", "--root", tmp_path, "--out", tmp_path / "o")
    assert unknown.status == 2
    assert "open_i" in unknown.err
    empty = hilum("corpus", "build", "open_i", "--root", tmp_path, "--out", tmp_path / "o")
    assert empty.status == 1
    assert "NLMCXR_reports.tgz" in empty.err
    shares = hilum("corpus", "build", "open_i", "--root", tmp_path, "--out", tmp_path / "o", "--shares", "1,2")
    assert shares.status == 2
    none = hilum("corpus", "show", tmp_path / "none")
    assert none.status == 1
    assert "Traceback" not in none.err
