"""A hospital's own export, of one centre or many, such as CXR-27: one table of reports, and pictures or DICOM files.

No two exports are alike, so a small TOML file (`hilum corpus build site --root DIR --config site.toml`; by default
``site.toml`` in the root) declares what this one is: the table's encoding, its columns, what single values mean, and
how pictures are found. Nothing of that is guessed. Every key is described in `hilum.corpora.site_settings`; a whole
file is ``tests/corpora/fixtures/site.toml``. In short::

    name = "cxr_example"          # what the corpus is called in the manifest
    ids = "in_centre"             # or "everywhere": does one id mean one patient in all centres?

    [table]
    path = "reports.csv"
    encoding = "gb18030"          # or utf-8, utf-16, cp1252

    [columns]
    patient = "病人编号"
    study = "检查号"
    centre = "医院"
    date = "检查日期"
    findings = "检查所见"          # or report = "...", the whole report with its headings
    impression = "诊断意见"

    [images]
    folder = "images"
    pattern = "{centre}/{study}"  # or column = "图像", or study_uid = "StudyInstanceUID" for DICOM files

A study may have several rows, one for each picture. Of several texts of one study the last counts. Where pictures are
found by their Study Instance UID their headers are read, and nothing else of them: they say the view, and a file that
is no radiograph is left out with the reason.

A row of more or fewer cells than the header, or a quote that is not closed, stops the work with the number of the row:
a report would be cut without a word.

The export should be pseudonymised before (`hilum corpus deidentify`, `hilum corpus pseudonymise`): ids of patients and
studies stand in the manifest as they stand in the table, though in no message. Counts, licence and citation are the
hospital's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hilum.corpora import CORPORA
from hilum.corpora.contract import SPLITS, About, CorpusImage, CorpusStudy, Dropped, Split
from hilum.corpora.reports import split_sections
from hilum.corpora.site_settings import Labels, read_settings
from hilum.corpora.tables import age_in_years, digest, label_states, read_rows
from hilum.errors import DataError, UsageError
from hilum.imaging.decoder import Decoder  # not by way of the package, whose names for type checkers lead to pydicom
from hilum.imaging.folders import find_images
from hilum.records import LabelState, View, finding

CONFIG = "site.toml"

_SPLITS: Mapping[str, Split] = {split: split for split in SPLITS}
_SEXES = {"f": "F", "female": "F", "女": "F", "m": "M", "male": "M", "男": "M", "o": "O", "other": "O"}
_VIEWS = {
    **dict.fromkeys(("pa", "后前位", "正位后前位"), View.PA),
    **dict.fromkeys(("ap", "前后位", "正位前后位"), View.AP),
    **dict.fromkeys(("lateral", "lat", "ll", "rl", "侧位", "左侧位", "右侧位"), View.LATERAL),
}
_LONGEST_NAME = 255  # bytes; asking a file system for a longer one is an error of its own
# as tables of labels write the states
_CELLS = {LabelState.PRESENT: "1", LabelState.ABSENT: "0", LabelState.UNCERTAIN: "-1", LabelState.NOT_MENTIONED: ""}
_EXPECTED = {
    "sex": "is a sex; say what they mean in values.sex",
    "age": "is an age, as 45, 45Y or 8M",
    "date": "is a date; say their form in values.date",
    "split": "is a split; say what they mean in values.split",
    "view": "is a view; say what they mean in values.view",
}


@dataclass(slots=True)
class _Exam:
    """What the rows of one study say."""

    patient: str
    centre: str
    own_study: str
    own_patient: str
    uid: str = ""
    texts: dict[tuple[str, str, str], None] = field(default_factory=dict)  # indication, findings or report, impression
    images: dict[str, View] = field(default_factory=dict)
    splits: dict[Split, int] = field(default_factory=dict)  # and the first row that says so
    labels: dict[str, LabelState] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Site:
    """An export below a folder.

    Args:
        root: holds the table and the pictures.
        config: the TOML file, from the current folder or else from the root; `site.toml` in the root if None.

    Raises:
        DataError: the TOML file is not there or wrong, or names what is not there.
    """

    def __init__(self, root: Path, *, config: Path | None = None) -> None:
        self._root = root
        self._config = _config(root, config)
        self._settings = read_settings(self._config)
        if self._settings.name in set(CORPORA) - {"site"}:
            raise DataError(f"{self._config.name}: name: {self._settings.name} is another corpus; choose another.")
        self._table = root / self._settings.table.path
        self._folder = root / self._settings.images.folder
        for key, path, there, what in (
            ("table.path", self._table, self._table.is_file(), "file"),
            ("images.folder", self._folder, self._folder.is_dir(), "folder"),
        ):
            if not there:
                lack = f"is no {what}" if path.exists() else "does not exist"
                raise DataError(f"{self._config.name}: {key}: {path} {lack}.")

    @property
    def about(self) -> About:
        """What the TOML file says of it."""
        settings = self._settings
        notes = [f"Several centres; an id means one patient {settings.ids}."] if settings.ids else []
        return About(settings.name, settings.title or settings.name, settings.licence, settings.citation, tuple(notes))

    def digests(self) -> Mapping[str, str]:
        """Of the table and of the TOML file."""
        return {path.name: digest(path) for path in (self._table, self._config)}

    def studies(self) -> Iterator[CorpusStudy | Dropped]:
        """See `hilum.corpora.contract.Corpus`; a study in two splits is refused."""
        cells = _Cells(self._settings.columns.model_dump(exclude_none=True), self._table.name, self._config.name)
        exams: dict[str, _Exam] = {}
        seen: set[tuple[str, ...]] = set()
        for n, row in enumerate(self._rows(), start=1):
            whole = tuple(row.values())
            if whole in seen:
                yield Dropped("row", "duplicate_row", f"row {n}")
                continue
            seen.add(whole)
            yield from self._take(n, row, exams, cells)
        cells.refuse_useless_columns()
        # by the numbers of rows: a hospital's ids have no place in a message
        if torn := [list(exam.splits.values()) for exam in exams.values() if len(exam.splits) > 1]:
            raise DataError(
                f"{len(torn)} studies are in more than one split (the first in rows "
                f"{' and '.join(map(str, torn[0]))}); mend {self._table.name}, or the ids in {self._config.name}."
            )
        yield from self._find_pictures(exams)
        taken: set[str] = set()
        for study, exam in exams.items():
            yield from (Dropped("image", "image_of_another_study", path) for path in exam.images if path in taken)
            images = {path: view for path, view in exam.images.items() if path not in taken}
            taken |= images.keys()
            if len(exam.texts) > 1:
                yield Dropped("report", "several_reports_last_taken", study)
            sections = next(reversed(exam.texts), ("", "", ""))
            if self._settings.columns.report:
                found = split_sections(sections[1])
                if found.problem and sections[1]:
                    yield Dropped("report", found.problem, study)
                sections = (sections[0] or found.indication, found.findings, found.impression)
            yield self._study(study, exam, images, sections)

    def _rows(self) -> Iterator[dict[str, str]]:
        """The table's rows, empty where a cell holds what stands for that."""
        table, settings = self._settings.table, self._settings
        wanted = list(settings.columns.model_dump(exclude_none=True).values())
        wanted += [name for name in (settings.images.column, settings.images.study_uid) if name]
        if settings.labels:
            wanted += [*settings.labels.columns.values(), *filter(None, [settings.labels.listed])]
        try:
            for row in read_rows(
                self._table,
                list(dict.fromkeys(wanted)),
                encoding=table.encoding,
                delimiter=table.delimiter,
                errors="replace" if table.wrong_bytes == "replace" else "strict",
            ):
                yield {name: "" if value.strip() in table.empty else value.strip() for name, value in row.items()}
        except DataError as error:
            raise DataError(f"{error.message} See [table] and [columns] in {self._config.name}.") from None

    def _take(self, n: int, row: Mapping[str, str], exams: dict[str, _Exam], cells: _Cells) -> Iterator[Dropped]:
        """Add what a row says to its study."""
        settings, values = self._settings, self._settings.values
        own_patient, own_study = cells.text("patient", row), cells.text("study", row)
        centre = cells.text("centre", row) or settings.centre
        if not own_patient or not own_study or (settings.ids == "in_centre" and not centre):
            yield Dropped("row", "row_without_ids", f"row {n}")
            return
        within = f"{centre}/" if settings.ids == "in_centre" else ""
        patient, study = within + own_patient, within + own_study
        exam = exams.setdefault(study, _Exam(patient, centre, own_study, own_patient))
        if exam.patient != patient:
            yield Dropped("row", "study_of_two_patients", f"row {n}")
            return
        if any("\ufffd" in value for value in row.values()):
            yield Dropped("row", "wrong_bytes_replaced", study)
        findings = cells.text("report", row) or cells.text("findings", row)
        text = cells.text("indication", row), findings, cells.text("impression", row)
        if any(text[1:]):
            exam.texts.pop(text, None)
            exam.texts[text] = None  # the last one last
        facts: tuple[tuple[str, Callable[[str], Any]], ...] = (
            ("sex", _in(values.sex, _SEXES)),
            ("age", age_in_years),
            ("date", self._date),
            ("split", _in(values.split, _SPLITS)),
        )
        for what, read in facts:
            told, dropped = cells.read(what, cells.text(what, row), study, read)
            yield from dropped
            if what == "split":
                if told:
                    exam.splits.setdefault(told, n)
            elif told is not None:
                exam.facts.setdefault(what, told)
        yield from self._labelled(row, study, exam)
        if settings.images.study_uid:
            exam.uid = exam.uid or row[settings.images.study_uid]
        if settings.images.column:
            yield from self._named(row, study, exam, cells)

    def _labelled(self, row: Mapping[str, str], study: str, exam: _Exam) -> Iterator[Dropped]:
        """The labels of a row that has any."""
        if self._settings.labels is None:
            return
        if self._settings.labels.listed:
            states = _listed(row[self._settings.labels.listed], self._settings.labels)
        else:
            declared = {cell: _CELLS[state] for cell, state in self._settings.labels.values.items()}
            cells = {name: row[column] for name, column in self._settings.labels.columns.items()}
            states = label_states({name: declared.get(cell, cell) for name, cell in cells.items()})
        if states is None:
            yield Dropped("value", "unknown_label_value", study)
        elif states:
            if exam.labels not in (None, states):
                yield Dropped("value", "several_labels_last_taken", study)
            exam.labels = states

    def _named(self, row: Mapping[str, str], study: str, exam: _Exam, cells: _Cells) -> Iterator[Dropped]:
        """The pictures that a cell names, with their views."""
        column, separator = self._settings.images.column, self._settings.images.separator
        names = [name.strip() for name in row[column or ""].split(separator) if name.strip()]
        views = [View.UNKNOWN] * len(names)
        if told := cells.text("view", row):
            written = [part.strip() for part in told.split(separator)]
            if len(written) == len(names):
                views = []
                for part in written:
                    view, dropped = cells.read("view", part, study, _in(self._settings.values.view, _VIEWS))
                    yield from dropped
                    views.append(view or View.UNKNOWN)
            else:
                yield Dropped("value", "views_not_as_many_as_pictures", study)
        for name, view in zip(names, views, strict=True):
            place = _inside(name)
            if place is None:
                yield Dropped("image", "path_outside_folder", study)
            elif (self._folder / place).is_dir():
                exam.images |= dict.fromkeys(self._pictures(self._folder / place), view)
            else:
                exam.images[self._from_root(self._folder / place)] = view

    def _find_pictures(self, exams: Mapping[str, _Exam]) -> Iterator[Dropped]:
        """The pictures that no cell names: those below the study's folder, or with its UID in their header."""
        if pattern := self._settings.images.pattern:
            for study, exam in exams.items():
                place = _inside(pattern.format(study=exam.own_study, patient=exam.own_patient, centre=exam.centre))
                if place is None:
                    yield Dropped("image", "path_outside_folder", study)
                elif found := self._pictures(self._folder / place):
                    exam.images |= dict.fromkeys(found, View.UNKNOWN)
                else:
                    yield Dropped("image", "folder_missing", study)
        if self._settings.images.study_uid:
            of_uid: dict[str, _Exam] = {}
            for study, exam in exams.items():
                if exam.uid and of_uid.setdefault(exam.uid, exam) is not exam:
                    yield Dropped("value", "study_uid_of_another_study", study)
            with Decoder() as decoder:
                for path in find_images([self._folder]):
                    header, name = decoder.header(path), self._from_root(path)
                    if header.refused is not None:
                        yield Dropped("image", header.refused.value, name)
                    elif header.study_uid is None:
                        yield Dropped("image", "no_study_uid", name)
                    elif header.study_uid not in of_uid:
                        yield Dropped("image", "image_without_row", name)
                    else:
                        of_uid[header.study_uid].images[name] = header.view

    def _pictures(self, place: Path) -> list[str]:
        """Those in a folder, or the one of that name."""
        return [self._from_root(path) for path in find_images([place]) if path.is_file()]

    def _from_root(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _study(
        self, study: str, exam: _Exam, images: Mapping[str, View], sections: tuple[str, str, str]
    ) -> CorpusStudy:
        indication, findings, impression = (" ".join(text.split()) for text in sections)
        day, time = exam.facts.get("date", (None, 0.0))
        return CorpusStudy(
            patient=exam.patient,
            study=study,
            images=tuple(CorpusImage(path, view, PurePosixPath(path).name) for path, view in images.items()),
            sections=(indication, findings, impression),
            labels=exam.labels,
            labels_origin=self._settings.labels.origin if self._settings.labels else "",
            split=next(iter(exam.splits), None),
            date=day,
            time=time,
            centre=exam.centre,
            age_years=exam.facts.get("age"),
            sex=exam.facts.get("sex") or None,
        )

    def _date(self, text: str) -> tuple[date, float] | None:
        """Day, and seconds into it."""
        form = self._settings.values.date
        try:
            when = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
        except ValueError:
            return None
        return when.date(), when.hour * 3600.0 + when.minute * 60 + when.second


def _config(root: Path, given: Path | None) -> Path:
    """The TOML file: as given, in the current folder, or else in the root."""
    if given is None:
        return root / CONFIG
    return root / given if not given.exists() and (root / given).exists() else given


class _Cells:
    """Reads single cells, and finds the columns of which nothing can be read: a fault of the TOML file, not dirt."""

    def __init__(self, columns: Mapping[str, str], table: str, config: str) -> None:
        self._columns, self._table, self._config = columns, table, config
        self._tried: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def text(self, what: str, row: Mapping[str, str]) -> str:
        """The cell of a column, "" where it is empty or there is no such column."""
        return row.get(self._columns.get(what, ""), "")

    def read(self, what: str, text: str, study: str, reader: Callable[[str], Any]) -> tuple[Any, list[Dropped]]:
        """What a cell means, None where it is empty or means nothing; and then what to count."""
        if not text:
            return None, []
        self._tried[what] += 1
        value = reader(text)
        if value is not None:
            return value, []
        self._failed[what] += 1
        return None, [Dropped("value", f"unknown_{what}", study)]

    def refuse_useless_columns(self) -> None:
        """Raises DataError where every cell of a column meant nothing."""
        for what, n in self._tried.items():
            if n == self._failed[what]:
                raise DataError(
                    f"None of the {n} values of column {self._columns[what]} in {self._table} {_EXPECTED[what]} of "
                    f"{self._config}."
                )


def _listed(cell: str, settings: Labels) -> dict[str, LabelState] | None:
    """The labels of a cell that lists what is present; empty if nobody labelled it, None if it lists no finding."""
    written = [part.strip() for part in cell.split(settings.separator) if part.strip()]
    try:
        present = {finding(part).name for part in written}
    except UsageError:
        return None
    labelled = bool(written) or settings.nothing_listed == "absent"
    absent = dict.fromkeys(settings.covered if labelled else (), LabelState.ABSENT)
    return absent | dict.fromkeys(sorted(present), LabelState.PRESENT)


def _in(declared: Mapping[str, Any], known: Mapping[str, Any]) -> Callable[[str], Any]:
    """Reads a value as declared, else as everybody knows it."""
    return lambda text: declared[text] if text in declared else known.get(text.lower())


def _inside(name: str) -> str | None:
    """A path as written on any system, with forward slashes; None where it leads out of the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or "\0" in name:
        return None
    if any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in path.parts):
        return None
    return path.as_posix()
