"""NIH ChestX-ray14.

Counts (nihcc.app.box.com/v/ChestXray-NIHCC: README_CHESTXRAY.pdf, and read off its tables): 112,120 frontal pictures of
30,805 patients (PA 67,310, AP 44,810), PNG of 1,024 px; official lists of 86,524 pictures of 28,008 patients to train
and validate on and 25,596 of 2,797 to test on; 984 boxes on 880 pictures, all to test on. No reports: 14 labels
text-mined from them (accuracy said to exceed 90 %), "No Finding" where none was found, which is not "normal".

Layout: ``Data_Entry_2017_v2020.csv`` or ``Data_Entry_2017.csv``, ``BBox_List_2017.csv``, ``train_val_list.txt``,
``test_list.txt``, pictures in ``images`` or in ``images_001/images`` ... ``images_012/images``. 519 pictures are RGBA.
The table exists in three generations: the first (ages "058Y", patients "00000001", header ending in a comma), a later
one of that name with plain numbers, and that of 2020, in which the labels of 181 pictures and the ages of 27,498
differ, and Follow-up # was made anew: only there does the age never fall within a patient, so only there is it the
order in time. It is not the number in the file's name. The one of 2020 is taken where both are there. Sex is called
Patient Gender or Patient Sex.

Every picture is a study of its own. The official list does not tell pictures to train on from those to validate on; a
tenth of its patients validate, chosen by a hash of the patient.

Licence: no restriction; name the NIH Clinical Center, link its download page. Citation: Wang et al., CVPR 2017.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hilum.corpora.contract import About, CorpusImage, CorpusStudy, Dropped, Split
from hilum.corpora.image_table import held_out
from hilum.corpora.tables import digest, find_optional, find_table, number, read_rows
from hilum.errors import DataError
from hilum.records import NAMES, LabelState, View

ENTRIES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "Data_entry_2017.csv")
BOXES = ("BBox_List_2017.csv", "BBox_list_2017.csv")
LISTS: tuple[tuple[str, Split], ...] = (("train_val_list.txt", "train"), ("test_list.txt", "test"))
_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "View Position")

# NIH's label -> ours; Emphysema, Fibrosis and Hernia are none of the 14.
FINDING_OF: Mapping[str, str | None] = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Effusion": "Pleural Effusion",
    "Infiltration": "Lung Opacity",
    "Mass": "Lung Lesion",
    "Nodule": "Lung Lesion",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Pleural_Thickening": "Pleural Other",
    "Emphysema": None,
    "Fibrosis": None,
    "Hernia": None,
    "No Finding": "No Finding",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A finding outlined by a radiologist.

    Attributes:
        image: its file name.
        label: NIH's.
        finding: ours.
        left, top, width, height: in pixels of the 1,024 px picture.
    """

    image: str
    label: str
    finding: str
    left: float
    top: float
    width: float
    height: float


class NihChestXray14:
    """The data set below a folder.

    Args:
        root: holds the entries' table, the lists, and the pictures.
        validate_share: of the patients in the official list to train and validate on, how many validate.

    Raises:
        DataError: the table of entries is not there, or one list without the other.
    """

    about = About(
        name="nih_chestxray14",
        title="NIH ChestX-ray14",
        licence="no restriction; name the NIH Clinical Center and link its download page",
        citation="Wang et al., CVPR 2017",
        notes=(
            "No reports. Labels are text-mined and noisy; No Finding is not normal.",
            "Patients repeat, and some are children.",
            "There is no official list to validate on: some patients of the one to train on do.",
            "Without Data_Entry_2017_v2020.csv the order within a patient is doubtful.",
        ),
        official_split=" and ".join(name for name, _ in LISTS),
    )

    def __init__(self, root: Path, *, validate_share: float = 0.1) -> None:
        self._root = root
        self._validate_share = validate_share
        self._entries = find_table(root, ENTRIES)
        self._lists = {name: path for name, _ in LISTS if (path := find_optional(root, [name]))}
        if len(self._lists) == 1:
            (there,), (lacking,) = self._lists, {name for name, _ in LISTS} - self._lists.keys()
            raise DataError(f"{root} holds {there} but not {lacking}; the official split needs both, or neither.")

    def digests(self) -> Mapping[str, str]:
        """Of the entries and the official lists."""
        return {path.name: digest(path) for path in [self._entries, *self._lists.values()]}

    def studies(self) -> Iterator[CorpusStudy | Dropped]:
        """See `hilum.corpora.contract.Corpus`; a picture in both lists is refused."""
        splits: dict[str, Split] = {}
        for item in self._official():
            if isinstance(item, Dropped):
                yield item
            else:
                splits[item[0]] = item[1]
        pictures = self._pictures()
        seen: set[str] = set()
        for row in read_rows(self._entries, _COLUMNS):
            name, patient = row["Image Index"].strip(), row["Patient ID"].strip().lstrip("0")
            if name in seen:
                yield Dropped("row", "duplicate_row", name)
                continue
            seen |= {name} - {""}
            if not (name and patient):
                yield Dropped("row", "row_without_ids", name or patient)
                continue
            if name.split("_")[0].lstrip("0") != patient:
                yield Dropped("row", "row_of_another_patient", name)
                continue
            labels = _labels([part.strip() for part in row["Finding Labels"].split("|") if part.strip()])
            if isinstance(labels, str):
                yield Dropped("row", labels, name)
                continue
            if splits and name not in splits:
                yield Dropped("row", "in_no_official_list", name)
                continue
            split = splits.get(name)
            if split == "train" and held_out(patient, self._validate_share, salt="nih validate"):
                split = "validate"
            yield CorpusStudy(
                patient=patient,
                study=Path(name).stem,
                images=(CorpusImage(pictures.get(name, f"images/{name}"), _view(row["View Position"]), name),),
                labels=labels,
                labels_origin="nih-chestxray14 (text-mined)",
                split=split,
                order=number(row["Follow-up #"]) or 0.0,
                centre="NIH Clinical Center",
                age_years=_age(row["Patient Age"]),
                sex=_sex(row),
            )
        yield from (Dropped("row", "list_row_without_entry", name) for name in sorted(splits.keys() - seen))

    def _pictures(self) -> dict[str, str]:
        """File name -> path from the root, of every picture below it."""
        found: dict[str, str] = {}
        for folder, _, files in sorted(os.walk(self._root)):
            for name in files:
                if name.lower().endswith(".png"):
                    found.setdefault(name, (Path(folder) / name).relative_to(self._root).as_posix())
        return found

    def _official(self) -> Iterator[tuple[str, Split] | Dropped]:
        """What the official lists say."""
        found: dict[str, Split] = {}
        both: list[str] = []
        for listed, split in LISTS if self._lists else ():
            try:
                lines = self._lists[listed].read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{listed} cannot be read ({error}); fetch it anew.") from None
            for name in filter(None, map(str.strip, lines)):
                if name not in found:
                    found[name] = split
                    yield name, split
                elif found[name] == split:
                    yield Dropped("row", "duplicate_list_row", name)
                else:
                    both.append(name)
        if both:
            raise DataError(
                f"{len(both)} pictures are in both official lists (the first: {', '.join(both[:5])}); fetch the lists "
                "anew."
            )

    def boxes(self) -> Iterator[Box | Dropped]:
        """The radiologists' boxes, where their table is there."""
        path = find_optional(self._root, BOXES)
        if path is None:
            return
        # the header names the four numbers "Bbox [x", "y", "w", "h]", its commas not being quoted
        corners = ("Bbox [x", "y", "w", "h]")
        for row in read_rows(path, ("Image Index", "Finding Label", *corners)):
            label = row["Finding Label"].strip()
            label = "Infiltration" if label == "Infiltrate" else label  # so written in this table alone
            finding = FINDING_OF.get(label)
            left, top, width, height = (number(row[corner]) for corner in corners)
            if finding is None or left is None or top is None or not width or not height or min(width, height) < 0:
                yield Dropped("row", "unusable_box", row["Image Index"])
            else:
                yield Box(row["Image Index"].strip(), label, finding, left, top, width, height)


def _view(text: str) -> View:
    return {"PA": View.PA, "AP": View.AP}.get(text.strip().upper(), View.UNKNOWN)


def _sex(row: Mapping[str, str]) -> str | None:
    sex = (row.get("Patient Sex") or row.get("Patient Gender") or "").strip().upper()
    return sex if sex in ("F", "M") else None


def _age(text: str) -> float | None:
    """Years; the first release writes "058Y", "011M" or "001D"."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([YMWD]?)\s*", text.upper())
    if not match:
        return None
    years = float(match[1]) / {"": 1, "Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match[2]]
    return years if years <= 120 else None  # 16 entries of the first release say 148 to 414


def _labels(names: list[str]) -> dict[str, LabelState] | str:
    """What is listed is present; what could have been listed and is not, absent. Or why they cannot be used."""
    if not names:
        return "no_label"
    if not set(names) <= FINDING_OF.keys():
        return "unknown_label"
    if "No Finding" in names and len(names) > 1:
        return "contradictory_labels"
    present = {found for name in names if (found := FINDING_OF[name])}
    covered = {found for found in FINDING_OF.values() if found}
    return {
        name: LabelState.PRESENT if name in present else LabelState.ABSENT
        for name in NAMES
        if name in covered and (name != "No Finding" or name in present)
    }
