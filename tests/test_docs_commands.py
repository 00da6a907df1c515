"""Every command in the documents runs, in the order of its page, on small trees in the layouts that the page speaks of.

The commands are taken from the pages themselves, so a new one runs here by itself, or fails for want of what it reads.
"""

import csv
import datetime
import io
import json
import random
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pydicom
import pytest
from PIL import Image

import tiny_language
from corpora.fixtures import mimic_cxr
from corpora.fixtures.mimic_cxr import USUAL, Exam
from corpora.fixtures.open_i import Report, make_open_i
from corpora.fixtures.taken import built
from evaluation.ablation.pictures import make_manifest
from evaluation.made_up import made_up
from hilum.cli import main
from hilum.corpora import open_corpus
from hilum.corpora.manifest import write_manifest
from hilum.evaluation.reproduce import steps
from hilum.imaging import Pseudonyms, encode_png, example_path, read_radiograph
from hilum.models.checkpoint import STARTERS
from hilum.records import NAMES
from hilum.training.adapt_checks import MINIMUM
from image_files import write_dicom, write_png
from training.centres import make_centre

PROGRAM = ".venv/bin/hilum"
MIMIC, HOSPITAL, LABELLING = "docs/bring-mimic-cxr.md", "docs/bring-your-hospital.md", "docs/labelling.md"
JUDGING = "docs/judging.md"
ABLATION = "docs/ablation.md"
ADAPTING = "docs/adapt-to-your-hospital.md"
TRAINING = "docs/train-on-your-mimic-cxr.md"
PAGES = {MIMIC, HOSPITAL, LABELLING, JUDGING, ABLATION, ADAPTING, TRAINING, "README.md"}
# What no test can have, and what stands in for it: (page, path in a command) -> reason.
STAND_INS = {
    ("README.md", "path/to/Janus-Pro-CXR-Final"): "gigabytes of published weights: a tiny reporter in their format",
    ("README.md", "path/to/original"): "gigabytes of published weights: a tiny reporter in their format",
    (JUDGING, "distilroberta-base"): "published weights: a tiny encoder in their layout",
    (ABLATION, "runs/stage1/checkpoint"): "weights of hours of training: the bundled reporter",
    (ABLATION, "runs/stage2/checkpoint"): "the same",
    (TRAINING, "runs/expert/checkpoint"): "an expert of a few made pictures assesses nothing: the bundled one after it",
    (TRAINING, "path/to/chexbert"): "published weights: a tiny network in their layout",
    (TRAINING, "path/to/bert-base-uncased"): "the same",
    (ADAPTING, "path/to/our-model"): "a hospital's own weights: the bundled reporter",
}


# ---------------------------------------------------------------------------------------------------------------------
# A page, and a shell for it


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    return re.findall(r"^ *```([\w-]*)[^\n]*\n(.*?)^ *```\s*$", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """The commands of a page: every line of a shell block, and of a block without language that runs the program."""
    found = []
    for language, block in blocks(text):
        shell = language in ("bash", "sh", "shell", "console")
        if not shell and (language or not re.search(r"^(\$ |.*\| )?(\.venv/bin/)?hilum \w", block, flags=re.MULTILINE)):
            continue
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line for line in lines if line.startswith("$ ")]
        found += [line.removeprefix("$ ").strip() for line in lines]
    return [line for line in found if line and not line.startswith("#")]


@dataclass(frozen=True)
class Done:
    """One command of a page, and what came of it."""

    line: str
    words: list[str]  # what follows the program
    out: str
    err: str

    def option(self, name: str) -> str | None:
        return self.words[self.words.index(name) + 1] if name in self.words else None


Shell = Callable[[str], Done]
RunPage = Callable[[str], list[Done]]


def parse(line: str) -> tuple[Path | None, list[str], Path | None]:
    """What goes into the program, its words, and the file that takes what comes out; no other shell is spoken here."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    given = taken = None
    if words[:1] == ["cat"] and words[2:3] == ["|"]:
        given, words = Path(words[1]), words[3:]
    if words[-2:-1] == [">"]:
        words, taken = words[:-2], Path(words[-1])
    if words[:1] not in ([PROGRAM], ["hilum"]) or {"|", ">", ">>", "<", "&&", ";", "&"} & set(words):
        pytest.fail(f"a command that this test cannot run: {line}")
    return given, words[1:], taken


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    """Runs a line of a page in `tmp_path` and looks that it did what it says."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> Done:
        given, words, taken = parse(line)
        if given:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.read_bytes()), encoding="utf-8"))
        monkeypatch.setattr(sys, "argv", ["hilum", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        done = Done(line, words, *capfd.readouterr())
        assert (ended.value.code or 0) == 0, f"{line}\n{done.err}"
        assert "Traceback" not in done.err, line
        if taken:
            taken.write_text(done.out, encoding="utf-8")
        promised = [done.option(name) for name in ("--out", "--html", "--make-key")] + [taken]
        for path in (Path(each) for each in promised if each):
            assert path.exists(), f"{line}: no {path}"
            assert any(path.iterdir()) if path.is_dir() else path.stat().st_size, f"{line}: {path} is empty"
        if check := CHECKS.get(tuple(words[:2]), CHECKS.get(tuple(words[:1]))):
            check(done)
        return done

    return run


@pytest.fixture
def run_page(repository: Path, shell: Shell) -> RunPage:
    """Runs the commands of a page one after the other."""

    def run(page: str) -> list[Done]:
        lines = commands((repository / page).read_text(encoding="utf-8"))
        assert lines, f"{page} has no commands"
        return [shell(line) for line in lines]

    return run


# ---------------------------------------------------------------------------------------------------------------------
# What a command promises on every page


def check_build(done: Done) -> None:
    out = Path(done.option("--out") or "")
    assert sorted(path.name for path in out.iterdir()) == ["build.json", "manifest.parquet", "qc.html"]
    kept = json.loads((out / "build.json").read_text())["counts"]["studies_kept"]
    assert pl.read_parquet(out / "manifest.parquet").height == kept > 0
    assert f"studies kept: {kept}" in done.out
    assert (out / "qc.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def check_predict(done: Done) -> None:
    table = pl.read_parquet(Path(done.words[1]) / "manifest.parquet")
    asked = table.filter(table["split"] == done.option("--split"))
    made = pl.read_parquet(done.option("--out") or "")
    assert asked.height > 0
    assert made["study"].to_list() == asked["study"].to_list()
    for row in made.iter_rows(named=True):
        assert row["failed"] is None, row["failed"]
        assert row["findings_text"]
        assert 0 <= row["scores"]["Cardiomegaly"] <= 1


def check_label(done: Done) -> None:
    if "--explain" in done.words:
        assert re.search(r"^ +[-+?] [A-Z][\w ]+: (present|absent|uncertain)", done.out, flags=re.MULTILINE)
        return
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert rows
    assert all(list(row["labels"]) == list(NAMES) for row in rows)


def check_read(done: Done) -> None:
    if done.option("--format") == "json":
        document = json.loads(done.out)
        assert document["studies"]
        assert document["failures"] == []
    else:
        assert "AI draft, not for diagnosis" in done.out
    if out := done.option("--out"):
        assert json.loads((Path(out) / "report.json").read_text())["studies"]
        assert "<svg" in "".join(page.read_text(encoding="utf-8") for page in Path(out).glob("*.html"))


def check_deidentify(done: Done) -> None:
    n = len([path for path in Path(done.words[2]).rglob("*") if path.is_file()])
    assert done.out == f"written: {n}\n"


CHECKS: dict[tuple[str, ...], Callable[[Done], None]] = {
    ("corpus", "build"): check_build,
    ("corpus", "deidentify"): check_deidentify,
    ("predict",): check_predict,
    ("label",): check_label,
    ("read",): check_read,
}


# ---------------------------------------------------------------------------------------------------------------------
# The pages


def test_every_page_with_commands_is_run_here(repository: Path) -> None:
    pages = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    found = {page.relative_to(repository).as_posix() for page in pages if commands(page.read_text(encoding="utf-8"))}
    assert found == PAGES


def test_commands_are_found_and_trees_are_not() -> None:
    page = (
        "```\nmimic/\n  a.csv\n```\n```\n$ hilum read a.png\n.venv/bin/hilum label \\\n  b\n```\n"
        "  ```bash\n  # a remark\n  make\n  ```\n```console\n$ ls\na\n```\n```toml\nhilum = 1\n```\n"
    )
    assert commands(page) == ["hilum read a.png", ".venv/bin/hilum label    b", "make", "ls"]


@pytest.mark.parametrize("line", ["make demo", "hilum read a.png | less", "hilum read a && hilum read b", "cat a"])
def test_what_this_test_cannot_run_is_said(line: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="cannot run"):
        parse(line)


def test_bring_mimic_cxr(tmp_path: Path, run_page: RunPage) -> None:
    more = [
        mimic_cxr.Exam(10000200 + k, 50000200 + k, "test", 21990301, "101010.0", [("PA", "")], mimic_cxr.USUAL,
                       {"No Finding": "1.0"})
        for k in range(2)
    ]  # fmt: skip
    mimic_cxr.make_mimic_jpg(tmp_path / "mimic", [*mimic_cxr.EXAMS, *more], reports="zip")
    ran = run_page(MIMIC)
    table = pl.read_parquet(tmp_path / "mimic-manifest" / "manifest.parquet")
    # one study of the fixture has neither text nor labels
    assert table.height == mimic_cxr.STUDIES - 1 + len(more)
    assert table["corpus"].unique().to_list() == ["mimic_cxr"]
    assert "study dropped: neither text nor labels: 1" in ran[0].out
    text = table["findings_text"].str.join("") + table["impression_text"].str.join("")
    assert "___" not in "".join(text)
    assert table["published_labels"].drop_nulls().len() == table.height
    said = {tuple(done.words[:2]): done.out for done in ran}
    assert said["corpus", "show"].startswith(f"{table.height} studies of mimic_cxr\n")
    assert said["corpus", "check"] == "Nothing found.\n"
    few = pl.read_parquet(tmp_path / "few.parquet")
    assert few.sort("study").equals(table.filter(pl.col("split") == "train").sort("study"))
    assert pl.read_parquet(tmp_path / "test.parquet").height == 3


def test_a_stopped_build_goes_on_and_the_root_may_be_the_folder_above(
    repository: Path, tmp_path: Path, shell: Shell
) -> None:
    build = commands((repository / MIMIC).read_text(encoding="utf-8"))[0]
    mimic_cxr.make_mimic_jpg(tmp_path / "mimic" / "mimic-cxr-jpg", reports=None)
    mimic_cxr.make_reports(tmp_path / "mimic" / "mimic-cxr", form="zip")
    shell(build)
    before = (tmp_path / "mimic-manifest" / "manifest.parquet").read_bytes()
    shell(build)
    assert (tmp_path / "mimic-manifest" / "manifest.parquet").read_bytes() == before


PATIENT, OTHER, NAME = "MRN880417734", "MRN661930021", "QUACKENBUSH"
TEXTS = ("Stable cardiomegaly. No pleural effusion.", "Cardiomegaly.")
UIDS = "1.2.826.0.1.3680043.10.99."
# Patient, accession number, Study Instance UID and date of twelve studies; two patients have two each.
EXAMS = [
    (
        PATIENT if n < 3 else OTHER if n < 5 else f"MRN70000{n:02d}",
        f"ACC{9000 + n}",
        f"{UIDS}{n}",
        f"2024-03-{n + 1:02d}",
    )
    for n in range(1, 13)
]
IDENTIFIERS = {NAME, UIDS, *(part for patient, accession, *_ in EXAMS for part in (patient, accession))}


def page_toml(repository: Path) -> str:
    (block,) = [block for language, block in blocks((repository / HOSPITAL).read_text()) if language == "toml"]
    return block


def write_reports(path: Path, toml: str, files: list[str], exams: Sequence[tuple[str, str, str, str]] = EXAMS) -> None:
    """The table of an export, with the columns that a TOML file names, and some that it does not."""
    settings = tomllib.loads(toml)
    rows = []
    for (patient, study, uid, date), file in zip(exams, files, strict=True):
        said = {
            "patient": patient,
            "study": study,
            "date": date,
            "findings": TEXTS[0],
            "impression": TEXTS[1],
            "report": f"FINDINGS: {TEXTS[0]}\nIMPRESSION: {TEXTS[1]}",
        }
        row = {column: said[key] for key, column in settings["columns"].items()}
        pictures = {settings["images"].get("column", "file"): file, settings["images"].get("study_uid", "uid"): uid}
        rows.append(row | pictures | {"name": f"{NAME}^Anna"})
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode(settings["table"]["encoding"]))


def make_export(folder: Path, toml: str, exams: Sequence[tuple[str, str, str, str]] = EXAMS) -> None:
    """What comes out of the hospital's systems: DICOM files in two batches, and the table of their reports."""
    files = []
    for n, (patient, study, uid, date) in enumerate(exams):
        # the first study of the first patient in one batch, the second in the other
        batch = folder / "export" / ("more" if n % 2 else "dicom") / f"{NAME} {patient}"
        batch.mkdir(parents=True, exist_ok=True)
        header = {"PatientID": patient, "PatientName": f"{NAME}^Anna", "StudyDate": date.replace("-", "")}
        file = write_dicom(batch / f"{study}.dcm", n, StudyInstanceUID=uid, AccessionNumber=study, **header)
        files.append(str(file.relative_to(folder / "export")))
    write_reports(folder / "export" / "reports.csv", toml, files, exams)
    (folder / "site.toml").write_text(toml, encoding="utf-8")


def traces(path: Path, root: Path) -> set[str]:
    """What identifiers a file has in its name or content; a Parquet file is compressed, and read."""
    content = str(pl.read_parquet(path).to_dicts()).encode() if path.suffix == ".parquet" else path.read_bytes()
    return {each for each in IDENTIFIERS if each in str(path.relative_to(root)) or each.encode() in content}


def test_bring_your_hospital(repository: Path, tmp_path: Path, shell: Shell, run_page: RunPage) -> None:
    make_export(tmp_path, page_toml(repository))
    # the page merges with the manifest of the other page
    mimic_cxr.make_mimic_jpg(tmp_path / "mimic", reports="zip")
    shell(commands((repository / MIMIC).read_text(encoding="utf-8"))[0])
    ran = run_page(HOSPITAL)

    key = tmp_path / "hospital.key"
    assert (key.stat().st_size, key.stat().st_mode & 0o777) == (32, 0o600)
    clean = tmp_path / "clean"
    images = {path: pydicom.dcmread(path) for path in sorted((clean / "images").rglob("*.dcm"))}
    assert len(images) == len(EXAMS)
    for path in [path for path in [*clean.rglob("*"), *(tmp_path / "our-manifest").rglob("*")] if path.is_file()]:
        assert traces(path, tmp_path) == set(), path
    assert not {word for done in ran for word in IDENTIFIERS if word in done.out + done.err}

    (told,) = [done for done in ran if done.words[:2] == ["corpus", "pseudonymise"]]
    assert "patients with images: 10 of 10\nstudies with images: 12 of 12\n" in told.out
    assert "Left out: file, name." in told.err

    # both batches and the table know one patient and one study by one pseudonym, and the same moved date
    table = pl.read_parquet(tmp_path / "our-manifest" / "manifest.parquet")
    headers = {(str(each.PatientID), each.AccessionNumber, each.StudyDate) for each in images.values()}
    assert len({patient for patient, _, _ in headers}) == 10
    rows = table.select("patient", "study", pl.col("date").dt.strftime("%Y%m%d")).iter_rows()
    assert set(rows) == headers
    moved = {study: date for _, study, date in headers}
    for _, study, _, date in EXAMS:
        assert moved[Pseudonyms(key.read_bytes()).accession_number(study)] != date.replace("-", "")

    settings = tomllib.loads(page_toml(repository))
    assert table["corpus"].unique().to_list() == [settings["name"]]
    assert table["centre"].unique().to_list() == [settings["centre"]]
    assert table["findings_text"].unique().to_list() == ["Cardiomegaly. No pleural effusion."]
    assert table["images"].list.len().unique().to_list() == [1]
    assert {done.out for done in ran if done.words[:2] == ["corpus", "check"]} == {"Nothing found.\n"}
    merged = pl.read_parquet(tmp_path / "all.parquet")
    mimic = pl.read_parquet(tmp_path / "mimic-manifest" / "manifest.parquet")
    assert sorted(merged["study"]) == sorted([*table["study"], *mimic["study"]])


@pytest.mark.parametrize("way", ['column = "file"', 'pattern = "{study}"'])
@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "cp1252"])
def test_an_export_in_the_other_words_of_the_page(
    repository: Path, tmp_path: Path, shell: Shell, way: str, encoding: str
) -> None:
    """The ways that the comments of the TOML name, and `site.toml` in the folder instead of `--config`."""
    toml = page_toml(repository)
    assert way in toml, "the page names other ways"
    assert encoding in toml
    toml = re.sub(r"^study_uid = .*", way, toml, flags=re.MULTILINE)
    toml = re.sub(r"^findings = .*\nimpression = .*", 'report = "text"', toml, flags=re.MULTILINE)
    toml = toml.replace('encoding = "utf-8"', f'encoding = "{encoding}"')
    files = [f"{study}/{NAME}.png" for _, study, _, _ in EXAMS]
    for n, file in enumerate(files):
        path = tmp_path / "clean" / "images" / file
        path.parent.mkdir(parents=True)
        write_png(path, n)
    write_reports(tmp_path / "clean" / "reports.csv", toml, files)
    (tmp_path / "clean" / "site.toml").write_text(toml, encoding="utf-8")
    shell("hilum corpus build site --root clean --out our-manifest")
    table = pl.read_parquet(tmp_path / "our-manifest" / "manifest.parquet")
    assert table.height == len(EXAMS)
    assert table["impression_text"].unique().to_list() == [TEXTS[1]]
    assert table["images"].list.len().unique().to_list() == [1]


SMALL = "FINDINGS: Small left pleural effusion. No pneumothorax.\nIMPRESSION: Possible pneumonia."


def test_labelling(repository: Path, tmp_path: Path, run_page: RunPage) -> None:
    rows = [("a", SMALL), ("b", "Normal heart size."), ("c", "Chronic emphysema, as before.")]
    (tmp_path / "report.txt").write_text(SMALL)
    (tmp_path / "reports.jsonl").write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in rows))
    pl.DataFrame(rows, schema=["id", "text"], orient="row").write_csv(tmp_path / "reports.csv")
    explained, *labelled = run_page(LABELLING)
    assert "[- No pneumothorax]" in explained.out
    # JSON lines, CSV and standard input give the same
    assert len(labelled) >= 3
    assert {done.out for done in labelled} == {(tmp_path / "labels.jsonl").read_text()}
    page = (tmp_path / "labels.html").read_text(encoding="utf-8")
    assert '<mark class="absent" title="Pneumothorax">No pneumothorax</mark>' in page
    # the row that the page shows is what the program writes of this report
    (shown,) = [block for language, block in blocks((repository / LABELLING).read_text()) if language == "json"]
    example, made = json.loads(shown), json.loads(labelled[0].out.splitlines()[0])
    assert made["id"] == example["id"]
    assert example["labels"].items() <= made["labels"].items()


def test_each_back_end_of_the_table_runs_or_says_what_it_lacks(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A served model and CheXbert's weights cannot be here; tests of `labeling` and `models` have small ones."""
    text = (repository / LABELLING).read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)`[^|]*\| (.*?) \|", text.partition("## The three back ends")[2], flags=re.MULTILINE)
    expected = {"rules": (0, ""), "llm": (2, "--model"), "chexbert": (2, "--weights")}
    assert {name for name, _ in named} == set(expected)
    (tmp_path / "report.txt").write_text(SMALL)
    for name, needs in named:
        status, lacks = expected[name]
        assert f"`{lacks}" in needs
        monkeypatch.setattr(sys, "argv", ["hilum", "label", str(tmp_path / "report.txt"), "--backend", name])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code or 0) == status
        assert lacks in err
        assert bool(out) == (status == 0)
        assert "Traceback" not in err


def test_judging(tmp_path: Path, run_page: RunPage) -> None:
    good, bad = made_up(60, right=0.8), made_up(60, right=0.1)
    tables = {
        "references": [{"study": r.study, "patient": r.patient, "text": r.reference} for r in good.rows],
        "ours": [{"study": r.study, "text": r.prediction} for r in good.rows],
        "theirs": [{"study": r.study, "text": r.prediction} for r in bad.rows],
    }
    for name, rows in tables.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rng = random.Random(0)
    labels = [{"study": str(n), "Edema": n % 3 // 2, "Fracture": n % 2} for n in range(60)]
    scores = [{**row, **{name: (row[name] + rng.random()) / 2 for name in ("Edema", "Fracture")}} for row in labels]
    pl.DataFrame(labels).write_csv(tmp_path / "labels.csv")
    pl.DataFrame(scores).write_csv(tmp_path / "scores.csv")
    (tmp_path / "thresholds.toml").write_text("Edema = 0.5\nFracture = 0.5\n")
    exams = [
        Exam(10000300 + n, 50000300 + n, "test" if n % 2 else "train", 21990301, "101010.0", [("PA", "")], USUAL)
        for n in range(12)
    ]
    root = mimic_cxr.make_mimic_jpg(tmp_path / "mimic", exams)
    for n, path in enumerate(sorted(root.rglob("*.jpg"))):
        write_png(path.with_suffix(".png"), n)
        with Image.open(path.with_suffix(".png")) as picture:
            picture.convert("L").save(path)
    built(open_corpus("mimic_cxr", root), root, tmp_path / "manifest")
    (tmp_path / "images").mkdir()
    for n, row in enumerate(good.rows):
        write_png(tmp_path / "images" / f"{row.study}.png", n)
    tiny_language.roberta(tmp_path / "distilroberta-base")
    ran = run_page(JUDGING)
    first, _, drafts, starter, learned, findings, league = ran
    assert "Micro F1, 14 findings" in first.out
    assert (tmp_path / "starter-card" / "predictions.jsonl").exists()
    assert starter.out.partition("\n")[2] == drafts.out.partition("\n")[2], "two ways to the same card"
    page = (tmp_path / "learned-card" / "card.html").read_text(encoding="utf-8")
    assert "BERTScore F1" in page
    assert "<image id=" in page
    assert "60 studies" in learned.out
    for folder in ("card", "drafts-card", "starter-card", "learned-card", "findings-card"):
        card = json.loads((tmp_path / folder / "card.json").read_text(encoding="utf-8"))
        assert card["numbers"], folder
    assert json.loads((tmp_path / "drafts-card" / "card.json").read_text())["provenance"]["training_reports"] == 6
    assert "6 studies" in drafts.out
    assert "60 studies" in findings.out
    assert "ours" in league.out


def test_ablation(tmp_path: Path, run_page: RunPage) -> None:
    make_manifest(tmp_path)
    table = pl.read_parquet(tmp_path / "manifest" / "manifest.parquet")
    # patients with out-of-fold scores are those of the training split: half of them here
    half = pl.when(pl.col("patient").rank("dense") % 2 == 0).then(pl.lit("train")).otherwise(pl.lit("test"))
    write_manifest(
        table.with_columns(split=half.cast(table.schema["split"])), tmp_path / "manifest" / "manifest.parquet"
    )
    images = table["images"]
    files = [row[0]["path"].rsplit("/", 1)[-1] for row in images]
    (tmp_path / "runs" / "expert").mkdir(parents=True)
    pl.DataFrame(
        [{"image": file, "Edema": 0.1 * n, "Cardiomegaly": 0.9} for n, file in enumerate(files)]
    ).write_parquet(tmp_path / "runs" / "expert" / "scores.parquet")
    for page, place in STAND_INS:
        if page == ABLATION:
            shutil.copytree(STARTERS / "reporter", tmp_path / place)
    own, out_of_fold, stages = run_page(ABLATION)
    for done in (own, out_of_fold):
        made = json.loads((Path(done.option("--out") or "") / "ablation.json").read_text(encoding="utf-8"))
        assert made["propagation"]
        assert "The picture changes nothing measurable" in done.out
    assert made["facts"]["scores"] == "scores.parquet"
    assert "Cardiomegaly" in made["findings"]
    assert set(made["findings"]) <= {"Cardiomegaly", "Edema"}
    assert "stage12 is not told from stage1 in any of 9 measures." in stages.out
    # what the page names is what there is
    page = (Path(__file__).parent.parent / ABLATION).read_text(encoding="utf-8")
    assert all(f"`{arm['key']}`" in page for arm in made["arms"])


TINY_EXPERT = """
[identity]
name = "made"
version = "1"
licence = ""
data_source = "made"
[[data]]
manifest = "none"
[network]
input_size = 32
frozen_blocks = 15
[targets]
minimum_positives = 4
[head]
versions = 0
[optimiser]
epochs = 1
[validation]
folds = 2
resamples = 20
"""
TINY_STAGE = """
[identity]
name = "made"
version = "1"
[model]
base = "{base}"
language = "lora"
[lora]
rank = 2
[[data]]
manifest = "none"
{more}
[conditioning]
expert = "runs/expert/checkpoint"
scores = "runs/expert/scores.parquet"
[optimiser]
steps = 2
batch = 4
micro_batch = 4
[validation]
report_studies = 1
loss_studies = 1
max_new_tokens = 20
"""


def test_train_on_your_mimic_cxr(repository: Path, tmp_path: Path, shell: Shell) -> None:
    exams = [
        Exam(10000300 + n, 50000300 + n, split, 21990301, "101010.0", [("PA", ""), ("LATERAL", "")], USUAL,
             {"Cardiomegaly": str(n % 2), "Edema": str(n % 3 // 2)})
        for n, split in enumerate(["train"] * 16 + ["validate"] * 2 + ["test"] * 4)
    ]  # fmt: skip
    mimic_cxr.make_mimic_jpg(tmp_path / "mimic", exams, reports="zip")
    for name, style in (("centres", "north"), ("site", "south")):
        make_centre(tmp_path / "manifests" / name, style)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "expert.toml").write_text(TINY_EXPERT)
    bases = {"1": str(STARTERS / "reporter"), "2": "runs/stage1/checkpoint", "3": "runs/stage2/checkpoint"}
    for stage, base in bases.items():
        more = "[[data]]\nmanifest = 'none'\nweight = 0.5" if stage == "2" else ""
        (tmp_path / "recipes" / f"reporter-stage{stage}.toml").write_text(TINY_STAGE.format(base=base, more=more))
    weights, tokenizer = tiny_language.chexbert(tmp_path / "tiny")
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "chexbert").symlink_to(weights)
    (tmp_path / "path" / "to" / "bert-base-uncased").symlink_to(tokenizer)
    lines = commands((repository / TRAINING).read_text(encoding="utf-8"))
    for line in lines:
        done = shell(line)
        if done.words[:2] == ["train", "expert"]:
            scores = pl.read_parquet(tmp_path / "runs" / "expert" / "scores.parquet")
            assert scores.height == len(exams)
            assert scores["fold"].drop_nulls().len() == 16
            shutil.rmtree(tmp_path / "runs" / "expert" / "checkpoint")
            shutil.copytree(STARTERS / "expert", tmp_path / "runs" / "expert" / "checkpoint")
    wanted = [step.command for step in steps()]
    assert [line for line in (" ".join(line.split()) for line in lines) if line in wanted] == wanted
    history = json.loads((tmp_path / "runs" / "stage3" / "checkpoint" / "hilum.json").read_text())["provenance"]
    assert [entry["stage"] for entry in history["stage_history"]] == ["stage1", "stage1", "stage2", "stage3"]
    assert (tmp_path / "ablations" / "stages" / "index.html").is_file()
    assert "Ablation: expert" in (tmp_path / "runs" / "stage1" / "index.html").read_text(encoding="utf-8")


def test_adapt_to_your_hospital(
    repository: Path, tmp_path: Path, run_page: RunPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = "At least {train} studies to train on, {validate} to validate on and {test} patients to test on"
    assert least.format(**MINIMUM) in (repository / ADAPTING).read_text(encoding="utf-8")
    # fewer than are enough, since every one is read four times; a key that splits them so
    for split, n in {"train": 25, "validate": 3, "test": 8}.items():
        monkeypatch.setitem(MINIMUM, split, n)
    exams = [
        (
            f"MRN81{n:04d}",
            f"ACC7{n:04d}",
            f"{UIDS}7{n:04d}",
            str(datetime.date(2024, 1, 1) + datetime.timedelta(days=n)),
        )
        for n in range(40)
    ]
    make_export(tmp_path, page_toml(repository), exams)
    for file in (tmp_path / "export" / "more").rglob("*.dcm"):
        file.rename(tmp_path / "export" / "dicom" / file.name)  # the page has one batch
    (tmp_path / "hospital.key").write_bytes(bytes((35 + 37 * n) % 256 for n in range(32)))
    shutil.copytree(STARTERS / "reporter", tmp_path / "path/to/our-model")
    shutil.copy(example_path(), tmp_path / "chest.dcm")
    monkeypatch.setattr("hilum.training.adapt.PASSES", 0.2)  # of three, which take hours on true weights
    ran = run_page(ADAPTING)
    said = {tuple(done.words[:2]): done for done in ran}
    held = json.loads((tmp_path / "adapted" / "adapt.json").read_text(encoding="utf-8"))
    assert held["data"]["studies"] == {"train": 26, "validate": 6, "test": 8}
    page = (repository / ADAPTING).read_text(encoding="utf-8")
    assert held["verdict"] == "cannot tell", "the page promotes with --despite"
    assert all(f"| *{verdict}* |" in page for verdict in ("worse", "cannot tell", "better", "no worse"))
    history = [json.loads(line) for line in (tmp_path / "shelf" / "history.jsonl").read_text().splitlines()]
    assert [row["action"] for row in history] == ["init", "promote", "rollback"]
    assert history[1]["to"] in said["adapt", "status"].out
    assert (tmp_path / "shelf" / "current").resolve().name == history[0]["to"]
    secret = {NAME, "MRN81", "ACC7", UIDS}
    assert not {word for done in ran for word in secret if word in done.out + done.err}
    for folder in ("adapted", "shelf"):
        for path in [path for path in (tmp_path / folder).rglob("*") if path.is_file()]:
            assert not {word for word in secret if word.encode() in path.read_bytes()}, path


def test_readme(tmp_path: Path, tiny_original: Path, run_page: RunPage) -> None:
    # a real chest radiograph: the input gate abstains from anything else
    shutil.copy(example_path(), tmp_path / "chest.dcm")
    picture = encode_png(read_radiograph(example_path()).pixels, max_side=600)
    (tmp_path / "folder").mkdir()
    for name in ("chest.png", "folder/0.png", "folder/1.png"):
        (tmp_path / name).write_bytes(picture)
    for page, place in STAND_INS:
        if page == "README.md":
            shutil.copytree(tiny_original, tmp_path / place)
    (tmp_path / "report.txt").write_text(SMALL)
    studies = [Report(n, *TEXTS, ("Cardiomegaly",), (f"CXR{n}_IM-{n:04d}-1001",)) for n in range(1, 81)]
    make_open_i(tmp_path / "DIR", studies)
    ran = run_page("README.md")
    lines = "\n".join(done.line for done in ran)
    assert all(place in lines for page, place in STAND_INS if page == "README.md"), "a stand-in for nothing"
    reads = json.loads((tmp_path / "reads.json").read_text())
    assert len(reads["studies"]) == 2
    (own,) = [done for done in ran if "--findings" in done.words]
    assert re.search(r"FINDINGS GIVEN.*\n +Edema, Pleural Effusion\n", own.out)
    assert (tmp_path / "out-folder" / "hilum.json").exists()
    assert pl.read_parquet(tmp_path / "open-i" / "manifest.parquet").height == len(studies)
