"""How long a manifest of MIMIC-CXR's size takes, in how much memory, and whether a killed build goes on without loss.

Makes a tree in MIMIC-CXR-JPG's layout (377,110 pictures of one byte, 227,835 reports in `mimic-cxr-reports.zip`, the
tables of metadata, split and labels; texts from the sentence grammar with headings, masks and comparisons in
MIMIC's manner), builds it, and prints seconds, the largest memory of the processes together, and the floor: reading
every report from the archive and asking for every picture's size. Then the same with SIGKILL half way and a second
run, and compares the two manifests row by row.

    .venv/bin/python benchmarks/manifest_mimic_size.py [SHARE] [FOLDER]

SHARE (1.0) is the share of the real size, FOLDER keeps the tree for the next time.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import polars as pl
import psutil

from hilum.labeling import compose
from hilum.records import NAMES, LabelState

IMAGES, STUDIES, PATIENTS = 377_110, 227_835, 65_379
ALLOWED_S, ALLOWED_GB = 600, 3.0
TEXTS = 4000  # distinct sections; composing 227,835 would take longer than the build


def make_tree(root: Path, share: float) -> None:
    """The tree, at `share` of the real size; a study has one to three pictures, a patient some studies."""
    rng = random.Random(1)
    studies, patients = round(STUDIES * share), max(1, round(PATIENTS * share))
    extra = round(IMAGES * share) - studies
    names = [name for name in NAMES if name != "No Finding"]
    texts = []
    for seed in range(TEXTS):
        states = {name: rng.choice((LabelState.ABSENT, LabelState.ABSENT, LabelState.PRESENT)) for name in names}
        report = compose(states, seed=seed, assessed=names)
        compared = rng.choice(
            ("", " In comparison with the study of ___, there is little change.", " Unchanged scarring.")
        )
        texts.append(
            "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n"
            " INDICATION:  ___ year old woman with cough  // eval for infection\n \n COMPARISON:  ___\n \n"
            f" FINDINGS: \n \n {report.findings_text}{compared}\n \n IMPRESSION: \n \n {report.impression_text}\n"
        )
    root.mkdir(parents=True)
    metadata, split, labels = [], [], []
    with zipfile.ZipFile(root / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as reports:
        for n in range(studies):
            patient, study = 10_000_000 + (n * patients // studies) * 137, 50_000_000 + n * 41
            folder = f"files/p{str(patient)[:2]}/p{patient}"
            reports.writestr(f"{folder}/s{study}.txt", texts[rng.randrange(TEXTS)])
            (root / folder / f"s{study}").mkdir(parents=True)
            part = ("train", "train", "train", "validate", "test")[patient // 137 % 5]
            for k in range(2 if n < extra else 1):
                dicom = f"{n:08x}-{k:08x}-{study:08x}-{patient:08x}-{rng.getrandbits(32):08x}"
                (root / folder / f"s{study}" / f"{dicom}.jpg").write_bytes(b"x")
                view = ("PA", "LATERAL")[k]
                metadata.append(
                    (dicom, patient, study, "", view, 3056, 2544, 21800506 + n % 20, f"{n % 86399}.5", "", "", "")
                )
                split.append((dicom, study, patient, part))
            labels.append((patient, study, *(rng.choice(("", "1.0", "0.0", "-1.0")) for _ in names), ""))
    header = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    )
    header += (
        ",ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
    )
    for table, columns, rows in (
        ("metadata", header.split(","), metadata),
        ("split", ["dicom_id", "study_id", "subject_id", "split"], split),
        ("chexpert", ["subject_id", "study_id", *names, "No Finding"], labels),
    ):
        with gzip.open(root / f"mimic-cxr-2.0.0-{table}.csv.gz", "wt", newline="", compresslevel=1) as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(rows)


def floor(root: Path) -> float:
    """Seconds to read every report and to ask for every picture's size, and nothing else."""
    started = time.perf_counter()
    with zipfile.ZipFile(root / "mimic-cxr-reports.zip") as reports:
        for name in reports.namelist():
            reports.read(name)
    for folder, _, files in os.walk(root / "files"):
        for name in files:
            Path(folder, name).stat()
    return time.perf_counter() - started


def build(root: Path, out: Path, *, kill: bool = False) -> tuple[float, float, int]:
    """Run the command; seconds, the largest memory (GB, all processes), exit status. `kill`: SIGKILL half way."""
    command = [sys.executable, "-m", "hilum", "corpus", "build", "mimic_cxr", "--root", str(root), "--out", str(out)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    most = [0.0]
    done = threading.Event()

    def watch() -> None:
        parent = psutil.Process(process.pid)
        while not done.wait(0.2):
            try:
                family = [parent, *parent.children(recursive=True)]
                most[0] = max(most[0], sum(p.memory_full_info().pss for p in family) / 1e9)
            except psutil.Error:
                continue
            parts = len(list((out / "parts").glob("*.parquet"))) if kill and (out / "parts").exists() else 0
            if kill and parts >= 5:
                os.killpg(process.pid, signal.SIGKILL)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    status = process.wait()
    done.set()
    thread.join()
    return time.perf_counter() - started, most[0], status


def main() -> int:
    """Measure and print; status 1 where what is allowed is missed, or the killed build differs."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as made:
        root = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(made) / "mimic"
        work = Path(made)
        if not root.exists():
            started = time.perf_counter()
            make_tree(root, share)
            print(f"tree made in {time.perf_counter() - started:.0f} s")
        least = floor(root)
        seconds, memory, status = build(root, work / "whole")
        whole = pl.read_parquet(work / "whole" / "manifest.parquet")
        images = int(whole["images"].list.len().sum())
        print(f"{whole.height} studies, {images} images: {seconds:.0f} s, {memory:.2f} GB, status {status}")
        print(f"floor (reading reports, sizes of pictures): {least:.0f} s; ratio {seconds / least:.1f}")
        _, _, killed = build(root, work / "killed", kill=True)
        kept = len(list((work / "killed" / "parts").glob("*.parquet")))
        again, _, status_again = build(root, work / "killed")
        second = pl.read_parquet(work / "killed" / "manifest.parquet")
        same = second.equals(whole)
        print(
            f"killed (status {killed}) with {kept} parts done; second run {again:.0f} s, status {status_again}; "
            f"{second.height} rows, {second.height - second['study'].n_unique()} double, equal: {same}"
        )
        good = seconds <= ALLOWED_S and memory <= ALLOWED_GB and same and status == status_again == 0
        print("allowed: 600 s and 3 GB" + ("" if good else "; MISSED"))
        return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
