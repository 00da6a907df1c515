"""`hilum corpus` through the command: manifests, and a hospital's images and table without its patients."""

import csv
import json
import os
import signal
import subprocess
import sys
from datetime import date

import polars as pl
import pydicom
import pytest

from corpora.fixtures.mimic_cxr import make_mimic_jpg, make_reports
from corpora.fixtures.site import make_site
from image_files import write_dicom, write_png

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

    looked = hilum("corpus", "check", out, "--images")
    assert (looked.status, looked.out) == (0, "Nothing found (every picture is there; none was read).\n")
    assert hilum("corpus", "check", out).out == "Nothing found (pictures were not looked for).\n"
    (open_i / "NLMCXR_png" / "CXR7_IM-7-1001.png").unlink()
    lost = hilum("corpus", "check", out, "--images")
    assert (lost.status, lost.out) == (3, "image_missing: 1 (NLMCXR_png/CXR7_IM-7-1001.png)\n")

    drawn = hilum("corpus", "sample", out, "--out", tmp_path / "few.parquet", "--patients", 5)
    assert drawn.status == 0
    assert drawn.err == f"Written to {tmp_path / 'few.parquet'}: 5 studies of 5 patients.\n"
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


def test_pictures_are_read_when_asked_for(hilum, open_i, tmp_path):
    assert hilum("corpus", "build", "open_i", "--root", open_i, "--out", tmp_path / "out", "--workers", 1).status == 0
    junk = hilum("corpus", "check", tmp_path / "out", "--read-images")
    assert junk.status == 3
    assert junk.out.startswith("image_unreadable (unknown_format): 40 (NLMCXR_png/CXR1_IM-1-1001.png, ")
    for path in (open_i / "NLMCXR_png").iterdir():
        write_png(path)
    assert hilum("corpus", "check", tmp_path / "out", "--read-images").out == "Nothing found.\n"
    (open_i / "NLMCXR_png" / "CXR7_IM-7-1001.png").unlink()
    lost = hilum("corpus", "check", tmp_path / "out", "--read-images")
    assert lost.out == "image_missing: 1 (NLMCXR_png/CXR7_IM-7-1001.png)\n"


def test_samples_and_merged_manifests_replace_nothing_unasked(hilum, open_i, tmp_path):
    out = tmp_path / "out"
    assert hilum("corpus", "build", "open_i", "--root", open_i, "--out", out, "--workers", 1).status == 0
    before = (out / "manifest.parquet").read_bytes()
    for command in (["corpus", "sample", out], ["corpus", "merge", out]):
        for name, status, said in (
            ("few.csv", 2, "few.csv: expected a name that ends in .parquet."),
            ("few", 2, "few: expected a name that ends in .parquet."),
            ("none/few.parquet", 1, "none of few.parquet does not exist; make it first"),
            ("out/manifest.parquet", 2, "manifest.parquet exists; give another --out, or --overwrite."),
        ):
            wrong = hilum(*command, "--out", tmp_path / name)
            assert (wrong.status, wrong.err.count("\n")) == (status, 1)
            assert said in wrong.err
    assert (out / "manifest.parquet").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["open-i", "out"]
    few = hilum("corpus", "sample", out, "--out", out / "manifest.parquet", "--patients", 3, "--overwrite")
    assert few.status == 0
    assert pl.read_parquet(out / "manifest.parquet").height == 3


def test_what_cannot_be_drawn_is_said(hilum, open_i, tmp_path):
    out = tmp_path / "out"
    assert hilum("corpus", "build", "open_i", "--root", open_i, "--out", out, "--workers", 1).status == 0
    all_of_them = hilum("corpus", "sample", out, "--out", tmp_path / "a.parquet", "--patients", 99)
    assert "40 studies of 40 patients.\nThere are no more than 40 patients.\n" in all_of_them.err
    train = hilum("corpus", "sample", out, "--out", tmp_path / "b.parquet", "--patients", 99, "--split", "train")
    assert "patients in the split train.\n" in train.err
    wrong = hilum("corpus", "sample", out, "--out", tmp_path / "c.parquet", "--split", "holdout")
    assert wrong.status == 1
    assert "no study in the split 'holdout'; it has test, train, validate." in wrong.err
    for seed in (-5, 2**64):
        wrong = hilum("corpus", "sample", out, "--out", tmp_path / "c.parquet", "--seed", seed)
        assert (wrong.status, wrong.err.count("\n")) == (2, 1)
        assert f"The seed is {seed}" in wrong.err
    assert not (tmp_path / "c.parquet").exists()


STOPPED = """
import signal, sys
from rich.progress import Progress
from hilum.corpora import build

update = Progress.update
build.PART = 4

def and_stop(self, task, **more):
    update(self, task, **more)
    if more["completed"] >= 4:
        print("a part is done", flush=True)

Progress.update = and_stop
if __name__ == "__main__":
    from hilum.cli import main
    main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_build_that_was_interrupted_says_that_it_goes_on(hilum, open_i, tmp_path, sent, status):
    (tmp_path / "stopped.py").write_text(STOPPED)
    command = ["corpus", "build", "open_i", "--root", open_i, "--out", tmp_path / "out", "--workers", "2"]
    command = [sys.executable, tmp_path / "stopped.py", *command]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "a part is done\n"
        os.killpg(process.pid, sent)  # as a terminal does, to the workers too
        _, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert (process.returncode, err) == (status, "hilum: stopped. The same command goes on where it stopped.\n")
    assert not (tmp_path / "out" / "build.lock").exists()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert pl.read_parquet(tmp_path / "out" / "manifest.parquet")["study"].n_unique() == 40


def test_what_is_missing_of_mimic_must_be_done_without_in_so_many_words(hilum, tmp_path):
    root = make_mimic_jpg(tmp_path / "mimic", gz=False, reports=None)
    command = ["corpus", "build", "mimic_cxr", "--root", root, "--out", tmp_path / "out", "--workers", 1]
    no_reports = hilum(*command)
    assert no_reports.status == 2
    assert "mimic holds no reports. Put mimic-cxr-reports.zip" in no_reports.err
    pictures = hilum(*command, "--no-reports")
    assert pictures.status == 0, pictures.err
    assert "split: as the corpus gives it\n" in pictures.out
    make_reports(root)
    (root / "mimic-cxr-2.0.0-split.csv").unlink()
    command[6] = tmp_path / "new"
    no_split = hilum(*command)
    assert no_split.status == 2
    assert "official split (mimic-cxr-2.0.0-split.csv, of MIMIC-CXR-JPG)" in no_split.err
    own = hilum(*command, "--shares", "0,0,1")
    assert own.status == 0, own.err
    said = "made here by a hash of the patient: 0 to train, 0 to validate, 1 to test on"
    assert f"split: {said}\n" in own.out
    assert json.loads((tmp_path / "new" / "build.json").read_text())["split"] == said
    assert f"Split of the patients: {said}." in (tmp_path / "new" / "qc.html").read_text()


# What the corpora take


def test_the_options_of_the_corpora(hilum, tmp_path):
    root = make_mimic_jpg(tmp_path / "mimic", reports=None)
    reports = make_reports(tmp_path / "elsewhere", form="zip")
    command = ["corpus", "build", "mimic_cxr", "--root", root, "--workers", 1, "--reports", reports]
    done = hilum(*command, "--out", tmp_path / "out", "--labels", "negbio", "--pictures", "jpg")
    assert done.status == 0, done.err
    table = pl.read_parquet(tmp_path / "out" / "manifest.parquet")
    assert table["published_origin"].drop_nulls().unique().to_list() == ["mimic-cxr-jpg negbio"]
    assert table.filter(pl.col("findings_text") != "").height
    other = hilum(*command, "--out", tmp_path / "out", "--labels", "negbio", "--pictures", "dicom")
    assert other.status == 1
    assert "options differ" in other.err
    for option, value, said in (
        ("--labels", "mesh", "mimic_cxr has no labels 'mesh'; it has chexpert, negbio, radiologist"),
        ("--pictures", "png", "mimic_cxr has no pictures 'png'; it has jpg, dicom"),
        ("--config", "x.toml", "mimic_cxr takes no config; it takes labels, pictures, reports"),
    ):
        wrong = hilum(*command, "--out", tmp_path / "new", option, value)
        assert wrong.status == 2
        assert said in wrong.err
    lost = hilum(*command[:-1], tmp_path / "nowhere", "--out", tmp_path / "new")
    assert lost.status == 1
    assert "holds no reports" in lost.err
    # the place of the reports counts, not how it was written
    again = [*command[:-1], f"{reports}/../elsewhere", "--labels", "negbio", "--pictures", "jpg"]
    done = hilum(*again, "--out", tmp_path / "out")
    assert done.status == 0, done.err


@pytest.mark.parametrize("option", ["--labels", "--reports", "--pictures", "--config"])
def test_a_corpus_that_takes_nothing_says_so(hilum, open_i, tmp_path, option):
    wrong = hilum("corpus", "build", "open_i", "--root", open_i, "--out", tmp_path / "out", option, "x")
    assert wrong.status == 2
    assert f"open_i takes no {option[2:]}; it takes nothing but a folder" in wrong.err


@pytest.mark.parametrize(
    "shares", ["nan,0.5,0.5", "0.5,nan,0.5", "inf,0,0", "-0.1,0.6,0.5", "0.8,0.1,0.2", "1,0", "a,b,c"]
)
def test_shares_are_three_that_add_up_to_one(hilum, open_i, tmp_path, shares):
    command = ["corpus", "build", "open_i", "--root", open_i, "--out", tmp_path / "o", f"--shares={shares}"]
    wrong = hilum(*command)
    assert wrong.status == 2
    assert "0.8,0.1,0.1" in wrong.err
    assert not (tmp_path / "o").exists()


def test_ids_of_a_hospital_are_only_shown_when_asked_for(hilum, tmp_path):
    root = make_site(tmp_path / "site")
    built = hilum("corpus", "build", "site", "--root", root, "--out", tmp_path / "out", "--workers", 1)
    assert built.status == 0, built.err
    (root / "images" / "甲" / "101" / "a.png").unlink()
    check = hilum("corpus", "check", tmp_path / "out", "--images")
    assert (check.status, check.out) == (3, "image_missing: 1\n")
    assert "--examples" in check.err
    shown = hilum("corpus", "check", tmp_path / "out", "--images", "--examples")
    assert shown.out == "image_missing: 1 (images/甲/101/a.png)\n"
    both = hilum("corpus", "merge", tmp_path / "out", tmp_path / "out", "--out", tmp_path / "all.parquet")
    assert "study_twice 4 times; expected" in both.err


# A hospital's table and images


EXAMS = [  # patient, issuer, accession, study id, study UID, date
    ("MRN0042", "H1", "ACC1001", "SID1", "1.2.826.0.1.3680043.10.99.1", "20210304"),
    (" MRN0042", "H1", "ACC1002", "SID2", "1.2.826.0.1.3680043.10.99.2", "20210311"),
    ("MRN0043", "H1", "ACC1003 ", "SID3", "1.2.826.0.1.3680043.10.99.3", "20200229"),
    ("", "", "ACC1004", "SID4", "1.2.826.0.1.3680043.10.99.4", "20190101"),
]
COLUMNS = ["pid", "accession", "sid", "StudyInstanceUID", "exam_date", "findings", "impression", "patient_name", "age"]
AS_COLUMNS = ["--patient", "pid", "--accession", "accession", "--study-id", "sid", "--study-uid", "StudyInstanceUID",
              "--date", "exam_date", "--age", "age", "--keep", "findings", "--keep", "impression"]  # fmt: skip
SITE = """name = "our_hospital"
centre = "General Hospital"
[table]
path = "reports.csv"
encoding = "utf-8"
[columns]
patient = "pid"
study = "accession"
date = "exam_date"
age = "age"
findings = "findings"
impression = "impression"
[images]
folder = "images"
study_uid = "StudyInstanceUID"
"""
SECRET = ("MRN004", "ACC100", "SID", "3680043", "Quackenbush", "2021-03", "2020-02")


@pytest.fixture
def export(tmp_path):
    """DICOM files, a table of the same ids with other padding, and a key."""
    folder = tmp_path / "export"
    (folder / "dicom").mkdir(parents=True)
    with (folder / "reports.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for n, (patient, issuer, accession, sid, uid, day) in enumerate(EXAMS):
            header = {"PatientID": patient, "IssuerOfPatientID": issuer, "AccessionNumber": accession, "StudyID": sid}
            write_dicom(folder / "dicom" / f"{n}.dcm", n, StudyInstanceUID=uid, StudyDate=day, **header)
            said = ["Stable cardiomegaly.", "Cardiomegaly.", "Quackenbush^Anna", "97"]
            writer.writerow([f"{patient.strip()} ", accession.strip(), sid, uid, date.fromisoformat(day), *said])
    (tmp_path / "hospital.key").write_bytes(bytes(range(32)))
    return folder


def test_a_table_joins_the_images_that_were_deidentified_with_the_same_key(hilum, export, tmp_path):
    clean, key = tmp_path / "clean", tmp_path / "hospital.key"
    images = hilum("corpus", "deidentify", export / "dicom", "--out", clean / "images", "--key", key)
    assert images.status == 0, images.err
    command = ["corpus", "pseudonymise", export / "reports.csv", "--out", clean / "reports.csv", "--key", key]
    table = hilum(*command, *AS_COLUMNS, "--issuer-value", "H1", "--images", clean / "images")
    assert table.status == 0, table.err
    assert table.out == (
        "dates emptied: 0\nrows: 4\nrows without a patient: 0\nvalues that are no UID: 0\n"
        "patients with images: 3 of 3\nstudies with images: 4 of 4\n"
    )
    assert table.err == (
        "Left out: patient_name.\nKept as they are, not searched for names: findings, impression. Read some.\n"
    )
    text = (clean / "reports.csv").read_text()
    assert not [word for word in SECRET if word in text + table.out + table.err]

    (clean / "site.toml").write_text(SITE)
    built = hilum("corpus", "build", "site", "--root", clean, "--out", tmp_path / "out", "--workers", 1)
    assert built.status == 0, built.err
    assert not [line for line in built.out.splitlines() if "dropped" in line]
    manifest = pl.read_parquet(tmp_path / "out" / "manifest.parquet")
    assert manifest.height == len(EXAMS)
    assert manifest["age_years"].unique().to_list() == [90]
    for row in manifest.iter_rows(named=True):
        (image,) = row["images"]
        header = pydicom.dcmread(clean / image["path"], stop_before_pixels=True)
        assert (row["patient"], row["study"]) == (header.PatientID, header.AccessionNumber)
        assert f"{row['date']:%Y%m%d}" == header.StudyDate
    same = manifest.group_by("patient").len().sort("len")["len"].to_list()
    assert same == [1, 1, 2]
    assert not [word for word in SECRET if word in str(manifest.to_dicts())]


def test_another_issuer_is_noticed_by_the_images(hilum, export, tmp_path):
    key = tmp_path / "hospital.key"
    hilum("corpus", "deidentify", export / "dicom", "--out", tmp_path / "images", "--key", key)
    command = ["corpus", "pseudonymise", export / "reports.csv", "--out", tmp_path / "t.parquet", "--key", key]
    table = hilum(*command, *AS_COLUMNS, "--images", tmp_path / "images")
    assert "patients with images: 1 of 3\nstudies with images: 4 of 4\n" in table.out


def test_rows_that_name_nobody_are_said(hilum, export, tmp_path):
    command = ["corpus", "pseudonymise", export / "reports.csv", "--out", tmp_path / "t.csv"]
    done = hilum(*command, "--key", tmp_path / "hospital.key", "--patient", "pid", "--date", "exam_date")
    assert done.status == 3
    assert "rows without a patient: 1" in done.out
    assert "dates emptied: 1" in done.out


def test_faults_of_a_table_name_no_value(hilum, export, tmp_path):
    out, key = tmp_path / "t.csv", tmp_path / "hospital.key"
    command = ["corpus", "pseudonymise", export / "reports.csv", "--out", out]
    short = tmp_path / "short.key"
    short.write_bytes(b"x" * 31)
    headless = tmp_path / "headless.csv"
    headless.write_text("\n".join((export / "reports.csv").read_text().splitlines()[1:]))
    for arguments, status, said in (
        (
            [*command, "--key", key, "--patient", "pid", "--date", "accession"],
            1,
            "4 cells are no dates (rows 1, 2, 3, 4",
        ),
        ([*command, "--key", key, "--patient", "mrn"], 1, "reports.csv has no column mrn; its first row has 9 cells"),
        (["corpus", "pseudonymise", headless, *command[3:], "--key", key, "--patient", "pid"], 1, "no column pid"),
        ([*command, "--key", key, "--patient", "pid", "--keep", "pid"], 2, "column pid is named twice"),
        ([*command, "--key", key, "--patient", "pid", "--issuer", "sid", "--issuer-value", "H"], 2, "not both"),
        ([*command, "--key", key, "--patient", "pid", "--delimiter", ";;"], 2, "expected one character"),
        ([*command, "--key", short, "--patient", "pid"], 2, "at least 32 are needed"),
        ([*command, "--key", tmp_path / "none", "--patient", "pid"], 2, "cannot be read"),
        ([*command, "--key", key, "--patient", "pid", "--encoding", "latin-1"], 2, "gb18030"),
        ([*command[:4], key, "--key", key, "--patient", "pid"], 2, "expected a name that ends in .csv"),
        ([*command[:4], export / "reports.csv", "--key", key, "--patient", "pid"], 2, "would be written over"),
    ):
        wrong = hilum(*arguments)
        assert wrong.status == status, wrong.err
        assert said in wrong.err
        assert not [word for word in SECRET if word in wrong.out + wrong.err]
        assert not out.exists()
    assert key.read_bytes() == bytes(range(32))
