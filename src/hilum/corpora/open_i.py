"""Open-I: the Indiana University chest X-ray collection.

Counts (read off the publisher's archive): 3,955 reports, one of a patient each; FINDINGS 3,425, IMPRESSION 3,921, both
3,419, neither 28; 7,470 pictures, 104 reports without any (papers count 3,996 and 8,121, before exclusions). Labels:
the human MeSH coding of what is present (``MeSH/major``); nothing is coded as absent or uncertain. Texts are
de-identified with ``XXXX``, which also stands for some ordinary words. There is no split, and nothing says which
reports are of one person; the date in the XML is not that of the examination.

Layout, as https://openi.nlm.nih.gov/faq offers it: ``NLMCXR_reports.tgz`` (``ecgen-radiology/N.xml``, N from 1 to 3999
with gaps) and ``NLMCXR_png.tgz`` (flat, ``CXR1_1_IM-0001-3001.png``, the ids of ``parentImage`` in the XML). Reports
are read from the archive or from its extracted folder; pictures must be extracted, anywhere below the root.

The view is in no file. The end of a picture's name (-1001, -2001, also 5 to 8 digits or two groups) is no code of it:
-1001 is often frontal and -2001 often lateral, and often not, so every view is unknown.

Licence: CC BY-NC-ND 4.0 (so in every XML). Citation: Demner-Fushman et al., Preparing a collection of radiology
examinations for distribution and retrieval, J Am Med Inform Assoc 2016; 23(2): 304-310.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hilum.corpora.contract import About, CorpusImage, CorpusStudy, Dropped
from hilum.errors import DataError
from hilum.records import LabelState, View

ARCHIVE = "NLMCXR_reports.tgz"
FOLDER = "ecgen-radiology"
PICTURES = "NLMCXR_png"
_LARGEST_XML = 1 << 20  # bytes; the real ones have some 8 kB


class OpenI:
    """The collection below a folder.

    Args:
        root: holds the reports (archive or `ecgen-radiology`) and the pictures.

    Raises:
        DataError: there are no reports.
    """

    about = About(
        name="open_i",
        title="Open-I, Indiana University chest X-ray collection",
        licence="CC BY-NC-ND 4.0",
        citation="Demner-Fushman et al., J Am Med Inform Assoc 2016",
        notes=(
            "No file says the view of a picture: all are unknown.",
            "Nothing says which reports are of one person: each counts as a patient.",
            "Published labels are MeSH codes of what is present; absent and uncertain are not coded.",
        ),
    )

    def __init__(self, root: Path) -> None:
        self._root = root
        folders = sorted(p for p in (root / FOLDER, root / "NLMCXR_reports" / FOLDER) if p.is_dir())
        self._folder = folders[0] if folders else None
        self._archive = root / ARCHIVE
        if self._folder is None and not self._archive.is_file():
            raise DataError(f"{root} holds neither {ARCHIVE} nor a folder {FOLDER}; expected Open-I as it is offered.")

    def digests(self) -> Mapping[str, str]:
        """Of all reports in their order."""
        digest = hashlib.sha256()
        for name, content in self._reports():
            digest.update(name.encode() + b"\0" + content)
        return {FOLDER: digest.hexdigest()}

    def studies(self) -> Iterator[CorpusStudy | Dropped]:
        """See `hilum.corpora.contract.Corpus`."""
        pictures = {path.stem: path.relative_to(self._root).as_posix() for path in sorted(self._root.rglob("*.png"))}
        seen: set[str] = set()
        taken: set[str] = set()
        for name, content in self._reports():
            report = read_report(content)
            if report is None:
                yield Dropped("report", "unreadable_report", name)
                continue
            if report.uid in seen:
                yield Dropped("report", "second_report_of_study", name)
                continue
            seen.add(report.uid)
            yield from (Dropped("image", "image_of_another_study", i) for i in report.images if i in taken)
            images = [i for i in report.images if i not in taken]
            taken.update(images)
            yield CorpusStudy(
                patient=report.uid,
                study=report.uid,
                images=tuple(CorpusImage(pictures.get(i, f"{PICTURES}/{i}.png"), View.UNKNOWN, i) for i in images),
                sections=(
                    report.sections.get("INDICATION", ""),
                    report.sections.get("FINDINGS", ""),
                    report.sections.get("IMPRESSION", ""),
                ),
                labels=None
                if (coded := gold_labels(report.mesh)) is None
                else dict.fromkeys(sorted(coded), LabelState.PRESENT),
                labels_origin="open-i MeSH/major, hilum mapping 1",
                centre="Indiana University",
            )

    def _reports(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every report, by number; of one that is too large, its beginning."""
        n = 0
        for name, content in self._from_archive() if self._folder is None else self._from_folder(self._folder):
            n += 1
            yield name, content
        if not n:
            raise DataError(f"{self._folder or self._archive} holds no reports (*.xml).")

    def _from_folder(self, folder: Path) -> Iterator[tuple[str, bytes]]:
        for file in sorted(folder.glob("*.xml"), key=lambda p: (len(p.stem), p.stem)):
            if file.is_file():
                with file.open("rb") as stream:
                    yield file.name, stream.read(_LARGEST_XML + 1)

    def _from_archive(self) -> Iterator[tuple[str, bytes]]:
        try:
            with tarfile.open(self._archive) as archive:
                members = [m for m in archive.getmembers() if m.isfile() and m.name.endswith(".xml")]
                for member in sorted(members, key=lambda m: (len(Path(m.name).stem), m.name)):
                    stream = archive.extractfile(member)
                    yield Path(member.name).name, stream.read(_LARGEST_XML + 1) if stream else b""
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._archive.name} cannot be read ({type(error).__name__}); fetch it anew.") from None


@dataclass(frozen=True, slots=True)
class OpenIReport:
    """One XML file.

    Attributes:
        uid: "CXR1".
        sections: COMPARISON, INDICATION, FINDINGS, IMPRESSION; "" where empty.
        mesh: the human coding, as "Opacity/lung/base/left".
        images: ids of its pictures.
    """

    uid: str
    sections: Mapping[str, str]
    mesh: tuple[str, ...]
    images: tuple[str, ...]


def read_report(content: bytes) -> OpenIReport | None:
    """Read one report; None where it is no such XML."""
    if len(content) > _LARGEST_XML:
        return None
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    identity = root.find("uId")
    uid = identity.get("id", "").strip() if identity is not None else ""
    if not uid:
        return None
    sections = {a.get("Label", ""): " ".join("".join(a.itertext()).split()) for a in root.iter("AbstractText")}
    mesh = tuple(" ".join(m.text.split()) for m in root.findall("MeSH/major") if m.text and m.text.strip())
    images = dict.fromkeys(i for p in root.iter("parentImage") if (i := p.get("id")))
    return OpenIReport(uid, sections, mesh, tuple(images))


# How the coders' MeSH heads (before the first "/") stand for the findings. Conventions of this coding (a scar or
# marking counts as opacity, a blunted angle as effusion) belong here and never into a labeller.
_HEADS: dict[str, str] = {
    "normal": "No Finding",
    "pulmonary atelectasis": "Atelectasis",
    "volume loss": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "pulmonary edema": "Edema",
    "pulmonary congestion": "Edema",
    "heart failure": "Edema",
    "fractures, bone": "Fracture",
    **dict.fromkeys(("nodule", "mass", "cavitation", "cysts", "blister"), "Lung Lesion"),
    **dict.fromkeys(
        ("opacity", "airspace disease", "infiltrate", "lung diseases, interstitial", "markings"), "Lung Opacity"
    ),
    "pleural effusion": "Pleural Effusion",
    "hydrothorax": "Pleural Effusion",
    "hemothorax": "Pleural Effusion",
    "pleura": "Pleural Other",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    **dict.fromkeys(
        (
            "catheters, indwelling", "implanted medical device", "surgical instruments", "tube, inserted",
            "medical device", "stents", "sutures", "spinal fusion",
        ),
        "Support Devices",
    ),
}  # fmt: skip
_BOTH = ("hydropneumothorax", "hemopneumothorax")
# head -> (one of these among its qualifiers, the finding)
_QUALIFIED: tuple[tuple[Collection[str], Collection[str], str], ...] = (
    (("cardiac shadow", "heart", "heart atria", "heart ventricles"), ("enlarged",), "Cardiomegaly"),
    (("mediastinum",), ("enlarged", "prominent"), "Enlarged Cardiomediastinum"),
    (("density", "cicatrix"), ("lung",), "Lung Opacity"),
    (("costophrenic angle",), ("blunted",), "Pleural Effusion"),
    (("thickening", "cicatrix", "calcinosis"), ("pleura",), "Pleural Other"),
)
_UNUSABLE = ("no indexing", "technical quality of image unsatisfactory")


def gold_labels(mesh: Sequence[str]) -> frozenset[str] | None:
    """The findings that the human coding of a report names as present.

    Args:
        mesh: the report's `MeSH/major` entries.

    Returns:
        Names of findings; None where the report was not coded.
    """
    entries = [[part.strip().lower() for part in entry.split("/")] for entry in mesh]
    if not entries or any(entry[0] in _UNUSABLE for entry in entries):
        return None
    found = set()
    for head, *qualifiers in entries:
        if head in _HEADS:
            found.add(_HEADS[head])
        if head in _BOTH:
            found |= {"Pneumothorax", "Pleural Effusion"}
        for heads, wanted, name in _QUALIFIED:
            if head in heads and any(q in wanted for q in qualifiers):
                found.add(name)
    return frozenset(found)
