"""What every corpus gives: studies with their images, texts and labels, and a record of everything left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol

from hilum.corpora.reports import Body
from hilum.records import LabelState, View

Split = Literal["train", "validate", "test"]
SPLITS: tuple[Split, ...] = ("train", "validate", "test")


@dataclass(frozen=True, slots=True)
class CorpusImage:
    """One picture of a study.

    Attributes:
        path: relative to the corpus' root, with forward slashes.
        view: projection as the corpus says it.
        id: the corpus' own name of the picture.
    """

    path: str
    view: View
    id: str


@dataclass(frozen=True, slots=True)
class CorpusStudy:
    """One examination as the corpus ships it, before its report is read and prepared.

    Attributes:
        patient: the corpus' pseudonym; groups studies.
        study: unique in the corpus.
        images: in the corpus' order.
        report_path: the file of its report, relative to the root, or absolute where reports lie elsewhere;
            "ARCHIVE.zip!NAME" for one inside an archive.
        report: the whole report text, where it lies in a table.
        body: where the body of that report stands, of the few whose publisher says so.
        sections: indication, findings and impression, where the corpus ships them apart.
        labels: the labels that the corpus ships; findings left out are not mentioned. None where it ships none.
        labels_origin: who made them.
        split: where the corpus has an official one.
        date: as shipped (often shifted); only its order within a patient means anything.
        time: seconds into the day, for the order within a day.
        order: a number for the order within a patient, where the corpus has no dates.
        centre: the hospital.
        age_years: at the examination.
        sex: "F", "M" or "O".
    """

    patient: str
    study: str
    images: tuple[CorpusImage, ...]
    report_path: str = ""
    report: str | None = field(default=None, repr=False)
    body: Body | None = None
    sections: tuple[str, str, str] | None = field(default=None, repr=False)
    labels: Mapping[str, LabelState] | None = None
    labels_origin: str = ""
    split: Split | None = None
    date: date | None = None
    time: float = 0.0
    order: float = 0.0
    centre: str = ""
    age_years: float | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something of the corpus that is in no row of the manifest.

    Attributes:
        what: "row" of a table, one "value" of a row that is in the manifest without it, "image", "report" or "study".
        reason: a stable code in words, as "image_missing".
        id: the corpus' own name of it.
    """

    what: Literal["row", "value", "image", "report", "study"]
    reason: str
    id: str


@dataclass(frozen=True, slots=True)
class About:
    """What must be known of a corpus before it is used.

    Attributes:
        name: as in `hilum corpus build NAME`.
        title: its publisher's name for it.
        licence: its terms in a few words.
        citation: what to cite.
        notes: traps that a user should know ("pictures are histogram-equalised").
        official_split: the tables that hold the publisher's split. Without them a build makes a split of its own only
            where it is asked to: figures on it compare with nobody's.
        reports_missing: where reports should lie and do not, a sentence on where to put them. Such a build must be
            asked for too.
    """

    name: str
    title: str
    licence: str
    citation: str
    notes: tuple[str, ...] = ()
    official_split: str = ""
    reports_missing: str = ""


class Corpus(Protocol):
    """One data set in the layout of its publisher."""

    @property
    def about(self) -> About:
        """What it is."""

    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each table that the studies come from, by name: what a manifest was made of."""

    def studies(self) -> Iterator[CorpusStudy | Dropped]:
        """Every study, and everything left out, in an order that is the same at every call.

        Report files are not opened, and no picture is decoded.

        Raises:
            DataError: a file of the corpus is missing, or has not the layout of its publisher.
        """
