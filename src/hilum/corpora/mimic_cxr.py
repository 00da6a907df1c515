"""MIMIC-CXR: the DICOM release with the reports, and MIMIC-CXR-JPG.

Counts (physionet.org/content/mimic-cxr/2.1.0 and mimic-cxr-jpg/2.1.0; patients from the lists): 377,110 images, 227,835
studies with one report each, 65,379 patients of one hospital; labels of 227,827 studies. Official split by image:
368,960 to train, 2,991 to validate and 5,159 to test on; no patient in two. The labelled test set of 2.1.0 has 687
studies.

Layout. Pictures ``files/p10/p10000032/s50414267/DICOM_ID.jpg`` (JPG release) or ``.dcm`` (DICOM release). Reports
(DICOM release only) ``files/p10/p10000032/s50414267.txt``, shipped as ``mimic-cxr-reports.zip``, which is read as it
is, whatever its root, and so is the tree it unpacks to. Tables, plain or gzipped: ``mimic-cxr-2.0.0-metadata.csv``,
``-split.csv``, ``-chexpert.csv``, ``-negbio.csv`` (JPG release, so called in 2.1.0 too),
``mimic-cxr-2.1.0-test-set-labeled.csv``, ``cxr-record-list.csv`` (DICOM release). The root is the folder of one
release, files of the other may lie in it, or one above both, as ``wget -r`` leaves it (``mimic-cxr/2.1.0``,
``mimic-cxr-jpg/2.1.0``, with or without ``physionet.org/files`` before it).

The DICOM release's tables have no views, dates or split: without those of the JPG release views are unknown, and a
build makes a split only where shares are given. Where both
sorts of pictures lie there, the JPG ones are taken; they are histogram-equalised, a DICOM window is not, and a model
trained on one sort does badly on the other. Of a report some headings mislead; the publishers' list of 54 such reports
goes with them (`CorpusStudy.body`), as do their corrections of views (all in ``mimic_cxr.toml``).

Licence: PhysioNet Credentialed Health Data License 1.5.0. Citation: Johnson et al., MIMIC-CXR, Scientific Data 6, 317
(2019); Johnson et al., MIMIC-CXR-JPG, arXiv 1901.07042.
"""

from __future__ import annotations

import re
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from hilum.corpora.contract import SPLITS, About, CorpusImage, CorpusStudy, Dropped, Split
from hilum.corpora.reports import Body
from hilum.corpora.tables import digest, find_optional, label_states, number, read_rows
from hilum.errors import DataError, UsageError
from hilum.records import NAMES, LabelState, View

Labels = Literal["chexpert", "negbio", "radiologist"]
Pictures = Literal["jpg", "dicom"]

ZIP, TAR, UNPACKED = "mimic-cxr-reports.zip", "mimic-cxr-reports.tar.gz", "mimic-cxr-reports"
RECORDS = "cxr-record-list.csv"
METADATA, SPLIT = "mimic-cxr-2.0.0-metadata.csv", "mimic-cxr-2.0.0-split.csv"
_TABLE_OF: Mapping[Labels, str] = {
    "chexpert": "mimic-cxr-2.0.0-chexpert.csv",
    "negbio": "mimic-cxr-2.0.0-negbio.csv",
    "radiologist": "mimic-cxr-2.1.0-test-set-labeled.csv",
}
_OPACITY = ("Lung Opacity", "Airspace Opacity")  # the second in the radiologists' table
_REPORT = re.compile(r"(?:^|/)p\d{2}/p(1\d{7})/s(5\d{7})\.txt$")
_PROBED = 100
"""So many studies are looked for to find out where pictures and reports lie."""

_ABOUT = About(
    name="mimic_cxr",
    title="MIMIC-CXR / MIMIC-CXR-JPG",
    licence="PhysioNet Credentialed Health Data License 1.5.0: not to be passed on, nor sent to services of others",
    citation="Johnson et al., Scientific Data 6, 317 (2019); Johnson et al., arXiv 1901.07042",
    official_split=f"{SPLIT}, of MIMIC-CXR-JPG",
    notes=("Dates are shifted by patient; ages and sexes are in no table.",),
)
_EQUALISED = (
    "The pictures are those of MIMIC-CXR-JPG, which are histogram-equalised: a model trained on them needs such "
    "pictures, and DICOM windows are none."
)
_NO_METADATA = "There is no metadata table of the JPG release, and so no views and no dates."


class MimicCxr:
    """Either release below a folder, or both.

    Args:
        root: the folder of a release, or one above both.
        labels: whose labels count as published: those of two labellers, or the radiologists' of 687 test studies.
        pictures: which pictures to take; what lies there, and JPG where both do, if None.
        reports: the folder with the reports (or their archive), or the archive, where it is not below the root.

    Raises:
        DataError: neither release is there, or not what was asked for.
        UsageError: no such labels or pictures.
    """

    def __init__(
        self,
        root: Path,
        *,
        labels: Labels = "chexpert",
        pictures: Pictures | None = None,
        reports: Path | None = None,
    ) -> None:
        for what, value, known in (("labels", labels, Labels), ("pictures", pictures or "jpg", Pictures)):
            if value not in get_args(known):
                raise UsageError(f"mimic_cxr has no {what} {value!r}; it has {', '.join(get_args(known))}.")
        if reports is not None and not reports.exists():
            raise DataError(f"{reports} does not exist, so it holds no reports.")
        self._root, self._reports_root, self._pictures, self._labeller = root, reports, pictures, labels
        self._places = _places(root)
        self._metadata = self._table(METADATA)
        self._records = self._table(RECORDS)
        if self._metadata is None and self._records is None:
            raise DataError(
                f"{root} holds neither {METADATA} nor {RECORDS} (plain or .gz); expected MIMIC-CXR-JPG or MIMIC-CXR "
                "as PhysioNet ships them."
            )
        self._split = self._table(SPLIT)
        self._labels = self._table(_TABLE_OF[labels])
        if labels == "radiologist" and self._labels is None:
            raise DataError(f"{root} holds no {_TABLE_OF[labels]}; MIMIC-CXR-JPG 2.1.0 ships it.")
        self._archive = self._find_archive()

    @cached_property
    def about(self) -> About:
        """What it is, with what there is to know of the pictures and reports that were found."""
        notes = [*_ABOUT.notes, *([_NO_METADATA] if self._metadata is None else [])]
        if self._where_pictures(list(islice(self._rows(), _PROBED)))[1] == "jpg":
            notes.append(_EQUALISED)
        return replace(_ABOUT, notes=tuple(notes), reports_missing=self._reports_missing())

    def _reports_missing(self) -> str:
        """Where to put the reports, if there are none; a single one will do, for others may be left out on purpose."""
        if self._archive is not None or self._tar() is not None:  # what is wrong with these the studies say
            return ""
        # the first of them as a rule, all where the first have no report
        if any(self._tree_of(row["subject_id"].strip(), row["study_id"].strip()) for row in self._rows()):
            return ""
        where = self._reports_root if self._reports_root is not None else self._root
        return (
            f"{where} holds no reports. Put {ZIP}, of MIMIC-CXR on PhysioNet, as it is beside the tables, or name it "
            "or the folder of its files/ with --reports."
        )

    def digests(self) -> Mapping[str, str]:
        """Of the tables that were found, and of the reports' archive."""
        found = [self._metadata, self._records, self._split, self._labels, self._archive]
        return {path.name: digest(path) for path in found if path is not None}

    def studies(self) -> Iterator[CorpusStudy | Dropped]:
        """See `hilum.corpora.contract.Corpus`; a study with images in two splits is refused."""
        labels: dict[str, dict[str, LabelState]] = {}
        for item in self._published():
            if isinstance(item, Dropped):
                yield item
            else:
                labels[item[0]] = item[1]
        splits: dict[str, tuple[str, Split]] = {}
        for given in self._official():
            if isinstance(given, Dropped):
                yield given
            else:
                splits[given[0]] = given[1:]
        exams: dict[str, _Exam] = {}
        for row in self._read(splits):
            if isinstance(row, Dropped):
                yield row
                continue
            exam = exams.setdefault(row.study, _Exam(row.patient, row.study, [], [], set()))
            if exam.patient != row.patient:
                yield Dropped("row", "study_of_two_patients", row.dicom)
                continue
            exam.images.append((row.dicom, row.view))
            exam.times.append(row.when)
            if row.split:
                exam.splits.add(row.split)
        if torn := sorted(exam.study for exam in exams.values() if len(exam.splits) > 1):
            raise DataError(
                f"{len(torn)} studies have images in more than one split (the first: {', '.join(torn[:5])}); mend "
                f"{SPLIT}, or take it as PhysioNet ships it."
            )
        yield from (Dropped("row", "split_row_without_image", dicom) for dicom in sorted(splits))
        yield from (Dropped("row", "label_row_without_image", study) for study in sorted(labels.keys() - exams.keys()))
        yield from self._finished(exams, labels)

    def _finished(
        self, exams: Mapping[str, _Exam], labels: Mapping[str, dict[str, LabelState]]
    ) -> Iterator[CorpusStudy | Dropped]:
        folder, suffix = self._where_pictures(
            [
                {"subject_id": e.patient, "study_id": e.study, "dicom_id": e.images[0][0]}
                for e in islice(exams.values(), _PROBED)
            ]
        )
        report_of: dict[str, str] = {}
        if self._archive is not None:
            for item in _members(self._archive, self._from_root(self._archive)):
                if isinstance(item, Dropped):
                    yield item
                elif item[0] not in exams:
                    yield Dropped("report", "report_without_image", item[0])
                else:
                    report_of[item[0]] = item[1]
            if not report_of:
                raise DataError(
                    f"{self._archive.name} holds no report of any of these studies; expected {ZIP} as PhysioNet ships "
                    "it, with files/p10/p10000032/s50414267.txt and the like."
                )
        tree = self._where_reports(list(islice(exams.values(), _PROBED)))
        bodies = special_bodies()
        for study, exam in exams.items():
            place = f"files/p{exam.patient[:2]}/p{exam.patient}/s{study}"
            day, time = min(exam.times, key=lambda when: (when[0] is None, when))
            yield CorpusStudy(
                patient=exam.patient,
                study=study,
                images=tuple(CorpusImage(f"{folder}{place}/{d}.{suffix}", view, d) for d, view in exam.images),
                report_path=report_of.get(study, f"{tree}{place}.txt"),
                body=bodies.get(study),
                labels=labels.get(study),
                labels_origin=f"mimic-cxr-jpg {self._labeller}",
                split=next(iter(exam.splits), None),
                date=day,
                time=time,
                centre="Beth Israel Deaconess Medical Center",
            )

    def _table(self, name: str) -> Path | None:
        return next((found for place in self._places if (found := find_optional(place, [name]))), None)

    def _rows(self) -> Iterator[dict[str, str]]:
        if self._metadata is not None:
            return read_rows(self._metadata, ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate"))
        assert self._records is not None  # one of them is there
        return read_rows(self._records, ("subject_id", "study_id", "dicom_id", "path"))

    def _read(self, splits: dict[str, tuple[str, Split]]) -> Iterator[_Row | Dropped]:
        """One row an image; takes what it uses out of the splits."""
        seen: set[str] = set()
        for row in self._rows():
            dicom, study, patient = row["dicom_id"].strip(), row["study_id"].strip(), row["subject_id"].strip()
            if not (dicom and study and patient):
                yield Dropped("row", "row_without_ids", dicom or study or patient)
                continue
            if dicom in seen:
                yield Dropped("row", "duplicate_row", dicom)
                continue
            seen.add(dicom)
            told = splits.pop(dicom, None)
            if told is not None and told[0] != study:
                yield Dropped("row", "split_row_of_another_study", dicom)
                told = None
            when = _date(row.get("StudyDate", "")), _seconds(row.get("StudyTime", ""))
            yield _Row(dicom, study, patient, _view(dicom, row), when, told[1] if told else None)

    def _official(self) -> Iterator[tuple[str, str, Split] | Dropped]:
        """Image, its study, its split."""
        if self._split is None:
            return
        seen: set[str] = set()
        for row in read_rows(self._split, ("dicom_id", "study_id", "subject_id", "split")):
            dicom, study, split = row["dicom_id"].strip(), row["study_id"].strip(), row["split"].strip().lower()
            if not dicom:
                yield Dropped("row", "row_without_ids", study)
            elif dicom in seen:
                yield Dropped("row", "duplicate_split_row", dicom)
            elif (found := next((s for s in SPLITS if s == split), None)) is None:
                # the image is there, and must not be taken for one that the table leaves out
                yield Dropped("row", "unknown_split", f"{dicom}: {split}")
            else:
                yield dicom, study, found
            seen.add(dicom)

    def _published(self) -> Iterator[tuple[str, dict[str, LabelState]] | Dropped]:
        """Study and its labels."""
        if self._labels is None:
            return
        seen: set[str] = set()
        for row in read_rows(self._labels, ("study_id", *(name for name in NAMES if name not in _OPACITY))):
            study = row["study_id"].strip()
            opacity = next((name for name in _OPACITY if name in row), None)
            if opacity is None:
                raise DataError(f"{self._labels.name} has no column {' or '.join(_OPACITY)}.")
            states = label_states({name: row[opacity if name in _OPACITY else name] for name in NAMES})
            if not study:
                yield Dropped("row", "row_without_ids", "a row of labels")
            elif study in seen:
                yield Dropped("row", "duplicate_label_row", study)
            elif states is None:
                yield Dropped("row", "unknown_label_value", study)
            else:
                yield study, states
            seen.add(study)

    def _where_pictures(self, rows: Sequence[Mapping[str, str]]) -> tuple[str, str]:
        """The folder of `files/`, as the beginning of a path from the root, and the suffix of the pictures."""
        kinds = {"jpg": ["jpg"], "dicom": ["dcm"], None: ["jpg", "dcm"]}[self._pictures]
        for suffix in kinds:
            for place in self._places:
                for row in rows:
                    patient = row["subject_id"].strip()
                    name = f"files/p{patient[:2]}/p{patient}/s{row['study_id'].strip()}/{row['dicom_id'].strip()}"
                    if (place / f"{name}.{suffix}").is_file():
                        return self._beginning(place), suffix
        table = self._metadata or self._records
        assert table is not None
        return self._beginning(table.parent), kinds[0] if self._metadata is not None else kinds[-1]

    def _find_archive(self) -> Path | None:
        if self._reports_root is not None and self._reports_root.is_file():
            return self._reports_root
        return next((place / ZIP for place in self._report_places if (place / ZIP).is_file()), None)

    @cached_property
    def _report_places(self) -> list[Path]:
        places = self._places if self._reports_root is None else [self._reports_root]
        return [folder for place in places for folder in (place, place / UNPACKED) if folder.is_dir()]

    def _where_reports(self, exams: Sequence[_Exam]) -> str:
        """The folder of the tree of reports, as the beginning of a path from the root."""
        for exam in exams:
            if place := self._tree_of(exam.patient, exam.study):
                return self._beginning(place)
        if self._archive is None and (tar := self._tar()) is not None:
            raise DataError(
                f"The reports lie in {tar}, of which no single one can be read; unpack it there: tar -xzf {TAR}"
            )
        places = self._report_places
        return self._beginning(places[0]) if places else ""

    def _tree_of(self, patient: str, study: str) -> Path | None:
        """The folder of the tree that has the report of a study."""
        name = f"files/p{patient[:2]}/p{patient}/s{study}.txt"
        return next((place for place in self._report_places if (place / name).is_file()), None)

    def _tar(self) -> Path | None:
        return next((place / TAR for place in self._report_places if (place / TAR).is_file()), None)

    def _from_root(self, path: Path) -> str:
        return (path.relative_to(self._root) if path.is_relative_to(self._root) else path.absolute()).as_posix()

    def _beginning(self, folder: Path) -> str:
        return "" if folder == self._root else f"{self._from_root(folder)}/"


class _Row(NamedTuple):
    dicom: str
    study: str
    patient: str
    view: View
    when: tuple[date | None, float]
    split: Split | None


class _Exam(NamedTuple):
    patient: str
    study: str
    images: list[tuple[str, View]]
    times: list[tuple[date | None, float]]
    splits: set[Split]


@cache
def special_bodies() -> Mapping[str, Body]:
    """Study -> where its report's body stands, of the 54 for which the publishers say so."""
    facts = _facts()
    under = {study: Body(heading=name) for study, name in facts["body_under"].items()}
    return under | {study: Body(start=start, stop=stop) for study, (start, stop) in facts["body_at"].items()}


@cache
def _facts() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("mimic_cxr.toml").read_text("utf-8"))


def _view(dicom: str, row: Mapping[str, str]) -> View:
    facts = _facts()
    if dicom in facts["pictures"]:
        return View(facts["pictures"][dicom])
    position, code, procedure = (
        " ".join(row.get(name, "").upper().split())
        for name in ("ViewPosition", "ViewCodeSequence_CodeMeaning", "PerformedProcedureStepDescription")
    )
    if position:
        return View(facts["views"].get(position, View.UNKNOWN))
    return View(facts["views"].get(code) or facts["procedures"].get(procedure, View.UNKNOWN))


def _places(root: Path) -> list[Path]:
    """The folders that files of either release may lie in: the root, and below it as they are fetched."""
    below = [
        root / start / release / version
        for start in ("", "physionet.org/files")
        for release in ("mimic-cxr-jpg", "mimic-cxr")
        for version in ("2.1.0", "2.0.0", "")
    ]
    return [root, *(place for place in below if place.is_dir())]


def _members(archive: Path, name: str) -> Iterator[tuple[str, str] | Dropped]:
    """Study and path of each report in the archive, whatever folders it has."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive.name} cannot be read ({error}); fetch it anew.") from None
    seen: set[str] = set()
    for member in members:
        if match := _REPORT.search(member):
            study = match[2]
            if study in seen:
                yield Dropped("report", "second_report_of_study", member)
                continue
            seen.add(study)
            yield study, f"{name}!{member}"


def _date(text: str) -> date | None:
    """YYYYMMDD, as shifted."""
    digits = text.strip().split(".")[0].replace("-", "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) if re.fullmatch(r"[0-9]{8}", digits) else None
    except ValueError:
        return None


def _seconds(text: str) -> float:
    """HHMMSS.FFF, leading zeros lost in the table, as seconds into the day; 0 where it is none."""
    value = number(text)
    if value is None or value < 0:
        return 0.0
    whole = int(value)
    hours, minutes, seconds = whole // 10000, whole // 100 % 100, whole % 100
    valid = hours < 24 and minutes < 60 and seconds < 61
    return hours * 3600 + minutes * 60 + seconds + round(value - whole, 3) if valid else 0.0
