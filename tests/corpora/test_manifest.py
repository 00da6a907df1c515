"""Manifests: read, checked, merged, sampled."""

from pathlib import Path

import polars as pl
import pytest

from corpora.tiny import Tiny
from hilum.corpora.build import BuildOptions, build
from hilum.corpora.manifest import check_manifest, merge, read_manifest, sample, write_manifest
from hilum.corpora.qc import qc_page, summarise
from hilum.corpora.readable import unreadable_images
from hilum.errors import DataError, UsageError
from image_files import write_dicom, write_png


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("manifest")
    corpus = Tiny(folder / "c", n=30).make()
    return build(corpus, corpus.root, folder / "out", BuildOptions(workers=1)).manifest


def test_a_round_trip(table: pl.DataFrame, tmp_path: Path) -> None:
    write_manifest(table, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").equals(table)
    assert read_manifest(tmp_path / "m.parquet", ["study"]).columns == ["study"]
    assert list(tmp_path.iterdir()) == [tmp_path / "m.parquet"]


def test_what_is_no_manifest_says_so(table: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_manifest(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(tmp_path / "text.parquet")
    table.drop("split").write_parquet(tmp_path / "cut.parquet")
    with pytest.raises(DataError, match="split missing"):
        read_manifest(tmp_path / "cut.parquet")


def fault_codes(table: pl.DataFrame) -> dict[str, int]:
    return {fault.code: fault.n for fault in check_manifest(table)}


def test_faults_are_found_and_counted(table: pl.DataFrame) -> None:
    assert fault_codes(table) == {}
    assert fault_codes(pl.concat([table, table.head(2)]))["study_twice"] == 2
    other = table.filter(pl.col("split") != "train").head(1)["split"][0]
    leaking = table.with_columns(
        split=pl.when(pl.col("study") == "s000").then(pl.lit(other, table["split"].dtype)).otherwise(pl.col("split"))
    )
    assert fault_codes(leaking) == {"patient_in_two_splits": 1}
    assert fault_codes(table.filter(pl.col("study") != "s001")) == {"prior_not_in_manifest": 1}
    backwards = table.with_columns(order=-pl.col("order"))
    assert fault_codes(backwards) == {"prior_not_earlier": 20}
    assert fault_codes(table.with_columns(split=pl.lit(None, table["split"].dtype))) == {"no_split": 30}
    bare = table.with_columns(images=pl.col("images").list.head(0))
    assert fault_codes(bare) == {"no_images": 30}


def test_lost_pictures_are_found(table: pl.DataFrame) -> None:
    assert check_manifest(table, images=True) == []
    moved = table.with_columns(root=pl.lit("/nowhere"))
    (fault,) = check_manifest(moved, images=True)
    assert (fault.code, fault.n) == ("image_missing", 30)


def test_merging(table: pl.DataFrame) -> None:
    other = table.with_columns(corpus=pl.lit("other"))
    together = merge([table, other])
    assert together.height == 60
    assert fault_codes(together) == {}
    with pytest.raises(DataError, match="study_twice 30 times"):
        merge([table, table])


def test_samples_are_whole_patients_and_the_same_again(table: pl.DataFrame) -> None:
    drawn = sample(table, 3, seed=4)
    assert drawn["patient"].n_unique() == 3
    assert drawn.height == 9
    assert drawn.equals(sample(table, 3, seed=4))
    assert not drawn.equals(sample(table, 3, seed=5))
    assert set(sample(table, 99, seed=1, split="test")["split"]) == {"test"}
    assert sample(table, 3, seed=2**64 - 1).height == 9
    for seed in (-5, 2**64):
        with pytest.raises(UsageError, match=rf"The seed is {seed}; expected"):
            sample(table, 3, seed=seed)
    with pytest.raises(DataError, match=r"no study in the split 'tests'; it has test, train, validate\."):
        sample(table, 3, seed=0, split="tests")


def test_pictures_that_cannot_be_read_are_counted_by_reason(table: pl.DataFrame, tmp_path: Path) -> None:
    here = table.head(6).with_columns(root=pl.lit(str(tmp_path)))
    places = [tmp_path / row[0]["path"] for row in here["images"]]
    places[0].parent.mkdir()
    write_png(places[0])
    places[1].write_bytes(places[0].read_bytes()[:200])
    write_dicom(places[2], Modality="CT")
    places[3].write_bytes(b"no picture")
    places[4].write_bytes(b"no picture either")
    told: list[tuple[int, int]] = []
    faults = unreadable_images(here, workers=2, progress=lambda done, n: told.append((done, n)))
    assert [(fault.code, fault.n) for fault in faults] == [
        ("image_unreadable (unknown_format)", 2),
        ("image_unreadable (corrupt_pixels)", 1),
        ("image_unreadable (wrong_modality)", 1),
    ]
    assert faults[1].examples == (here["images"][1][0]["path"],)
    assert told[-1] == (5, 5), "the one that is not there is another matter"
    assert unreadable_images(here.head(1)) == []
    assert unreadable_images(here.head(0)) == []


def test_the_page_shows_what_is_there_and_what_was_left_out(table: pl.DataFrame) -> None:
    summary = summarise(table)
    assert sum(row["studies"] for row in summary.splits.values()) == 30
    assert summary.views == {"PA": 30}
    assert summary.priors == 20
    assert summary.prevalence["tiny"]["Edema"]["present"] == 15
    page = qc_page(
        table,
        Tiny(Path()).about,
        {"studies_kept": 30, "image_dropped: image_missing": 2},
        {"image_missing": ["<b>i9</b>"]},
    )
    assert "image missing" in page
    assert "&lt;b&gt;i9&lt;/b&gt;" in page
    assert "No patient is in two splits" in page or "no patient is in two splits" in page
    assert page.count("<table>") == page.count('<div class="wide" tabindex="0"><table>') > 0, "wide ones scroll inside"
    assert "http" not in page.split("</style>")[1].replace("http-equiv", "")
