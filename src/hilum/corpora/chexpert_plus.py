"""CheXpert Plus.

Counts (github.com/Stanford-AIMI/chexpert-plus; arXiv 2405.19538; studies and splits by audits of the table): 223,462
pictures in 187,711 studies of 64,725 patients; 223,228 to train on and 234 (200 patients) to validate on, which are
CheXpert's own validation set; no test split. Frontal 191,071, lateral 32,391.

Layout: ``df_chexpert_plus_240401.csv``, 27 columns, one row for each picture. ``path_to_image`` is
``train/patient42142/study5/view1_frontal.jpg`` though the files are .png; they lie in ``PNG/train`` and ``PNG/valid``,
or so below the folder of each of five archives. Labels are CheXbert's, of the findings, the impression or the whole
report: ``chexbert_labels/report_fixed.json`` (JSON lines), read from ``chexbert_labels.zip`` too.

Traps. A study is a folder of a patient's folder, and its pictures share a report, but texts were de-identified picture
by picture: names and dates in them are surrogates, and some studies have two versions (and labels). The report and the
labels of the first picture with a text, by the number of its view, count. Rows whose section is empty carry labels all
the same; those do not count. ``patient_report_date_order`` gives the order of a patient's studies and is doubtful: an
audit found half of the neighbours the wrong way round by the dates in the reports. Ages end at 90, and 0 is unknown.

Licence: Stanford University Dataset Research Use Agreement: research only, not to be passed on. Citation: Chambon et
al., CheXpert Plus, arXiv 2405.19538 (2024).
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from hilum.corpora.contract import About, CorpusImage, CorpusStudy, Dropped, Split
from hilum.corpora.tables import digest, find_table, label_states, number, read_rows
from hilum.errors import DataError, UsageError
from hilum.records import NAMES, LabelState, View

Labels = Literal["report", "impression", "findings"]

TABLE = ("df_chexpert_plus_240401.csv",)
LABEL_FOLDERS = ("chexbert_labels", "CheXpert_Labels", ".")
LABEL_ARCHIVE = "chexbert_labels.zip"
_COLUMNS = (
    *("path_to_image", "frontal_lateral", "ap_pa", "deid_patient_id", "patient_report_date_order", "report"),
    *("section_clinical_history", "section_history", "section_findings", "section_impression", "age", "sex", "split"),
)
_PATH = re.compile(r"(?:CheXpert[^/]*/)?(train|valid)/(patient\d+)/(study\d+)/(view(\d+)_(?:frontal|lateral))\.\w+")
_SPLITS: Mapping[str, Split] = {"train": "train", "valid": "validate"}
# folders above train/ and valid/, as the archives leave them when unpacked in one way or another
_PICTURES = ("", "PNG", "PNG/PNG", "png_chexpert_plus_chunk_*", "png_chexpert_plus_chunk_*/PNG",
             "PNG/png_chexpert_plus_chunk_*", "PNG/png_chexpert_plus_chunk_*/PNG")  # fmt: skip


class ChexpertPlus:
    """The release below a folder.

    Args:
        root: holds the table, the labels and the pictures.
        labels: of which text the published labels are; None takes those of the report, where they are there.

    Raises:
        DataError: the table is not there, or not the labels that were asked for.
        UsageError: no such labels.
    """

    about = About(
        name="chexpert_plus",
        title="CheXpert Plus",
        licence="Stanford University Dataset Research Use Agreement: research only, not to be passed on",
        citation="Chambon et al., arXiv 2405.19538 (2024)",
        notes=(
            "Names, dates and numbers in the reports are surrogates, not marks.",
            "The order of a patient's studies is the publisher's and doubtful.",
            "There is no test split; the validation set is CheXpert's own.",
            "Published labels are CheXbert's, read from the reports, in the validation set too.",
        ),
    )

    def __init__(self, root: Path, *, labels: Labels | None = None) -> None:
        if labels is not None and labels not in get_args(Labels):
            raise UsageError(f"chexpert_plus has no labels {labels!r}; it has {', '.join(get_args(Labels))}.")
        self._root = root
        self._table = find_table(root, TABLE)
        self._section: Labels = labels or "report"
        name = f"{self._section}_fixed.json"
        places = [root / folder / name for folder in LABEL_FOLDERS] + [root / LABEL_ARCHIVE]
        self._labels = next((place for place in places if place.is_file()), None)
        if labels is not None and self._labels is None:
            raise DataError(f"{root} holds no {name}, neither in {LABEL_FOLDERS[0]} nor in {LABEL_ARCHIVE}.")

    def digests(self) -> Mapping[str, str]:
        """Of the table and the labels."""
        return {path.name: digest(path) for path in (self._table, self._labels) if path is not None}

    def studies(self) -> Iterator[CorpusStudy | Dropped]:
        """See `hilum.corpora.contract.Corpus`; a study with pictures in two splits is refused."""
        films: defaultdict[str, list[_Film]] = defaultdict(list)
        for item in self._films():
            if isinstance(item, Dropped):
                yield item
            else:
                films[f"{item.patient}/{item.study}"].append(item)
        if torn := sorted(study for study, group in films.items() if len({film.split for film in group}) > 1):
            raise DataError(
                f"{len(torn)} studies have pictures in more than one split (the first: {', '.join(torn[:5])}); mend "
                f"{self._table.name}, or take it as it is shipped."
            )
        known = {film.path for group in films.values() for film in group}
        labels: dict[str, dict[str, LabelState]] = {}
        for told in self._published():
            if isinstance(told, Dropped):
                yield told
            elif told[0] not in known:
                yield Dropped("row", "label_row_without_image", told[0])
            else:
                labels[told[0]] = told[1]
        bases = sorted({p.relative_to(self._root) for start in _PICTURES for p in _holding(self._root, start)})
        for study, group in films.items():
            yield from self._study(study, sorted(group, key=lambda film: (film.number, film.path)), labels, bases)

    def _study(
        self,
        study: str,
        films: Sequence[_Film],
        labels: Mapping[str, dict[str, LabelState]],
        bases: Sequence[Path],
    ) -> Iterator[CorpusStudy | Dropped]:
        """One study of its films, which stand in the order of their views."""
        told = next((film for film in films if any(film.sections[1:])), films[0])
        if any(film.sections[1:] != told.sections[1:] for film in films):
            yield Dropped("report", "report_differs_between_images", study)
        if not any(told.sections[1:]):
            yield Dropped("report", "no_sections", study)
        if any("\ufffd" in text for text in told.sections):
            yield Dropped("value", "text_not_utf8_replaced", study)
        states = labels.get(told.path)
        if states is not None and not told.has[self._section]:
            yield Dropped("value", "labels_of_empty_text", study)
            states = None
        yield CorpusStudy(
            patient=told.patient,
            study=study,
            images=tuple(CorpusImage(self._picture(film.path, bases), film.view, film.path) for film in films),
            sections=told.sections,
            labels=states,
            labels_origin=f"chexpert-plus chexbert {self._section}",
            split=_SPLITS[told.split],
            order=told.order,
            centre="Stanford",
            age_years=told.age,
            sex=told.sex,
        )

    def _picture(self, path: str, bases: Sequence[Path]) -> str:
        """The path of a picture from the root; several folders hold parts of the set where archives stand apart."""
        if len(bases) > 1:
            bases = [base for base in bases if (self._root / base / f"{path}.png").is_file()] or bases
        return ((bases[0] if bases else Path("PNG")) / f"{path}.png").as_posix()

    def _films(self) -> Iterator[_Film | Dropped]:
        """One row each."""
        seen: set[str] = set()
        for row in read_rows(self._table, _COLUMNS, errors="replace"):
            written = row["path_to_image"].strip()
            match = _PATH.fullmatch(written)
            split = row["split"].strip().lower()
            if match is None:
                yield Dropped("row", "unusable_path", written)
                continue
            folder, patient, study, view, count = match.groups()
            path = f"{folder}/{patient}/{study}/{view}"
            if path in seen:
                yield Dropped("row", "duplicate_row", path)
                continue
            seen.add(path)
            if row["deid_patient_id"].strip() != patient:
                yield Dropped("row", "row_of_another_patient", path)
            elif split not in _SPLITS:
                yield Dropped("row", "unknown_split", f"{path}: {split}")
            elif split != folder:
                yield Dropped("row", "split_contradicts_path", path)
            else:
                yield _film(row, path, patient, study, int(count), split)

    def _published(self) -> Iterator[tuple[str, dict[str, LabelState]] | Dropped]:
        """Picture and the labels of its text."""
        seen: set[str] = set()
        for n, line in enumerate(self._label_lines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                path = str(Path(row.pop("path_to_image")).with_suffix(""))
            except (ValueError, KeyError, TypeError, AttributeError):
                yield Dropped("row", "unreadable_label_row", f"line {n}")
                continue
            if path in seen:
                yield Dropped("row", "duplicate_label_row", path)
                continue
            seen.add(path)
            states = label_states(row)
            if not row.keys() <= set(NAMES):
                yield Dropped("row", "unknown_label", path)
            elif states is None:
                yield Dropped("row", "unknown_label_value", path)
            else:
                yield path, states

    def _label_lines(self) -> Iterator[str]:
        if self._labels is None:
            return
        try:
            if self._labels.suffix != ".zip":
                with self._labels.open(encoding="utf-8", errors="replace") as stream:
                    yield from stream
                return
            name = f"{self._section}_fixed.json"
            with zipfile.ZipFile(self._labels) as archive:
                member = next((m for m in archive.namelist() if Path(m).name == name), None)
                if member is None:
                    raise DataError(f"{self._labels.name} holds no {name}.")
                with archive.open(member) as raw:
                    yield from io.TextIOWrapper(raw, "utf-8", errors="replace")
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{self._labels.name} cannot be read ({error}); fetch it anew.") from None


class _Film(NamedTuple):
    path: str
    patient: str
    study: str
    number: int
    split: str
    view: View
    order: float
    sections: tuple[str, str, str]
    has: Mapping[str, bool]
    age: float | None
    sex: str | None


def _film(row: Mapping[str, str], path: str, patient: str, study: str, count: int, split: str) -> _Film:
    history = _normal(row["section_clinical_history"]) or _normal(row["section_history"])
    findings, impression = _normal(row["section_findings"]), _normal(row["section_impression"])
    return _Film(
        path,
        patient,
        study,
        count,
        split,
        _view(row["frontal_lateral"].strip().lower(), row["ap_pa"].strip().upper()),
        number(row["patient_report_date_order"]) or 0.0,
        (history, findings, impression),
        {"findings": bool(findings), "impression": bool(impression), "report": bool(row["report"].strip())},
        number(row["age"]) or None,
        {"female": "F", "male": "M"}.get(row["sex"].strip().lower()),
    )


def _view(kind: str, position: str) -> View:
    """Lateral positions that are marked frontal contradict themselves, and are unknown."""
    if kind == "lateral":
        return View.LATERAL if position in ("", "LL", "RL") else View.UNKNOWN
    return {"AP": View.AP, "PA": View.PA}.get(position, View.UNKNOWN)


def _holding(root: Path, start: str) -> Iterator[Path]:
    """The folders of that name that hold train/ or valid/."""
    for folder in root.glob(start) if start else (root,):
        if any((folder / split).is_dir() for split in _SPLITS):
            yield folder


def _normal(text: str) -> str:
    return " ".join(text.split())
