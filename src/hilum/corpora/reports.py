"""The sections of a report, found by their headings.

The rules are those of the section parser that MIMIC-CXR's publishers provide (MIT-LCP/mimic-code,
``mimic-iv-cxr/txt/section_parser.py``): a run of capitals with a colon at the start of a line is a heading; a table of
names, typing errors included, says what it opens, then a part of its name does, then whether it names a chest
examination; the last section of a name that is not empty counts; of a report without findings and impression, what
follows the first paragraph of its last section stands for it. Headings of other houses are known too: in small
letters, several on one line, Chinese.

Where it differs from theirs, and why:

- HISTORY and INDICATION are one section, each cut after its first paragraph: findings without a heading often follow
  it, and would tell a model in its prompt what it is to find.
- FINDINGS outranks the name of the examination, whichever is last; headings of organs within a section stay in it.
- Wet reads and addenda are left out as whole blocks, with the headings in them.
- NDICATION opens an indication (theirs takes it for an impression), PFI (a provisional reading) nothing.
- The last paragraph is not sought under NOTIFICATION and the like, nor under a heading with nothing below it; and the
  first paragraph below a heading is that section's own ("INDICATION:", then a line of it), never the report's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_NAMES: Mapping[str, str] = {
    "findings": "FINDINGS|FINDING|REFERENCE FINDINGS|FINDINS|FINDINDGS|FINDGINGS|FINDNGS|FINDNINGS|FINIDNGS|"
    "检查所见|影像所见|影像学所见|影像表现|影像学表现|放射学表现|X线所见|X线表现|所见",
    "impression": "IMPRESSION|IMPRESSIONS|CONCLUSION|CONCLUSIONS|OPINION|FINDINGS AND IMPRESSION|FINDINGS/IMPRESSION|"
    "FINDINGS/ IMPRESSION|IMPRESSION AND PLAN|IMPRESSON|IMPRRESSION|IMORESSION|IMPRESSOIN|IMPRSSION|IMPRESION|"
    "IMPERSSION|MPRESSION|IMPESSION|诊断意见|影像诊断|影像学诊断|放射学诊断|诊断印象|印象|结论",
    "indication": "INDICATION|INDICATIONS|CLINICAL INDICATION|REASON FOR EXAMINATION|REASON FOR EXAM|"
    "REASON FOR THE EXAM|REASON FOR STUDY|REASON|IDICATION|NDICATION|检查目的|检查原因",
    "history": "HISTORY|CLINICAL HISTORY|CLINICAL INFORMATION|CLINICAL INFO|PATIENT HISTORY|"
    "临床诊断|临床病史|病史|主诉",
    # weak: where nothing else opens the section
    "narrative": "NARRATIVE|REPORT",
    "summary": "SUMMARY",
    # what ends a section
    "addendum": "ADDENDUM|FINAL ADDENDUM",
    "wet read": "WET READ|WETREAD",
    "comparison": "COMPARISON|COMPARISONS|REFERENCE EXAM|COMPARISON EXAM|COMPARISON FILM|COMPARISION|COMPARSION|"
    "COMPARRISON|COMPARISIONS|对比",
    "examination": "EXAMINATION|EXAM|STUDY|PROCEDURE|TYPE OF EXAMINATION|TYPE OF EXAM|检查部位|检查项目",
    "technique": "TECHNIQUE|VIEWS|检查方法|检查技术",
    "recommendations": "RECOMMENDATION|RECOMMENDATIONS|RECOMMENDATION(S)|建议",
    "notification": "NOTIFICATION",
    "date": "DATE|报告日期|检查日期",
    "comment": "COMMENT",
    "pfi": "PFI",
    "end": "FINAL REPORT|END OF IMPRESSION|ACCESSION NUMBER|SIGNED BY|DICTATED BY|"
    "PHYSICIAN TO PHYSICIAN RADIOLOGY CONSULT LINE|报告医师|审核医师|报告医生|审核医生",
}  # fmt: skip
_SECTION_OF = {name: section for section, names in _NAMES.items() for name in names.split("|")}
# a part of a heading's name, in the order of asking, and what it then opens
_PARTS = (("impression", "impression"), ("findings", "findings"), ("history", "history"), ("comparison", "comparison"),
          ("addendum", "addendum"), ("indication", "indication"), ("reason for", "indication"))  # fmt: skip
_EXAMINATION = re.compile(
    r"chest|portable|pa and lat|lateral and pa|ap and lateral|lateral and ap|frontal and|two views|one view|"
    r"(?:frontal|pa|ap|lateral) view|bone window|frontal (?:semi-)?upright|ribs"
)
_ORGAN_WORDS = (
    "LUNG LUNGS PLEURA PLEURAL SPACE SPACES HEART CARDIAC CARDIOMEDIASTINUM MEDIASTINUM MEDIASTINAL HILA HILUM HILAR "
    "SILHOUETTE CONTOUR CONTOURS VASCULATURE VESSELS BONES BONE BONY OSSEOUS STRUCTURES SOFT TISSUES TISSUE DIAPHRAGM "
    "DIAPHRAGMS AIRWAY AIRWAYS TRACHEA LINES TUBES DEVICES SUPPORT CATHETERS UPPER ABDOMEN WALL AND THE OTHER"
)
_ORGANS = frozenset(_ORGAN_WORDS.split())
_NO_BODY = ("addendum", "wet read", "notification", "date", "comment", "pfi", "end")
"""Sections whose paragraphs never stand for a report without headings."""

_KNOWN = "|".join(re.escape(name) for name in sorted(_SECTION_OF, key=len, reverse=True))
_ASIDE = "|".join(
    re.escape(name)
    for section in ("findings", "impression", "indication", "history", "comparison", "technique", "notification")
    for name in sorted(_NAMES[section].split("|"), key=len, reverse=True)
)
_HEADING = re.compile(
    # a wet read or an addendum, with whatever else stands on the line
    r"^[ \t]*(?P<block>WET ?READ|(?:FINAL )?ADDENDUM|(?i:addendum|wet read)(?=[ \t]*:))\b[^\n:]*(?::|$)"
    # a known name: with a colon, or in capitals alone on its line
    rf"|^[ \t]*(?:(?P<known>(?i:{_KNOWN}))[ \t]*[:：]|(?P<alone>{_KNOWN})[ \t]*$)"
    # any other run of capitals with a colon
    r"|^[ \t]*(?P<capitals>[A-Z][A-Z ()/,-]*):(?=\s|$)"
    # further headings on the same line
    rf"|(?<=\s)(?P<aside>{_ASIDE})[ \t]*[:：]|(?<=[.;!?][ \t])(?P<after>Findings|Impression|Conclusion)[ \t]*:"
    # a line drawn across the page
    r"|^[ \t]*(?P<line>[_=-]{10,})[ \t]*$",
    re.MULTILINE,
)
_FINAL = re.compile(r"^[ \t*]*FINAL REPORT[ \t*:]*$", re.IGNORECASE | re.MULTILINE)
_BREAK = re.compile(r"\n[ \t]*\n")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Body:
    """Where the body of a report stands, for one whose headings mislead; as its publisher found it.

    Attributes:
        heading: the section it stands in, by the name that a heading is known under ("technique"), else in small
            letters; "" where it is a place.
        start, stop: that place, in characters of the text with line feeds alone; an empty one is no body.
    """

    heading: str = ""
    start: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True)
class Sections:
    """A report's sections; "" where it has none of that name.

    Attributes:
        indication, findings, impression: as written, white space made single. A body that stands under neither
            heading is the findings.
        problem: "no_sections" where neither findings nor an impression were found, else "".
        notes: what a count should tell: "last_paragraph" and "body_as_published" where that body was taken,
            "addendum_left_out", "wet_read_left_out".
    """

    indication: str = field(repr=False)
    findings: str = field(repr=False)
    impression: str = field(repr=False)
    problem: str = ""
    notes: tuple[str, ...] = ()


class _Section(NamedTuple):
    name: str
    text: str
    start: int
    stop: int


def split_sections(report: str, body: Body | None = None) -> Sections:
    """Find the sections of a report by its headings.

    Args:
        report: the text of one report, lines as in the file.
        body: where its body stands, of the few reports for which a corpus says so; it then is the findings.
    """
    report = report.replace("\r\n", "\n")
    if body is not None:
        return _published(report, body)
    final = [match.end() for match in _FINAL.finditer(report)]
    # what stands before the last of these lines is a wet read or an addendum, unless nothing stands after it
    after = _choose(_sections(report, final[-1])) if final else None
    return after if after and not after.problem else _choose(_sections(report, 0))


def _published(report: str, body: Body) -> Sections:
    sections = _sections(report, 0)
    start, stop = body.start, body.stop
    if body.heading:
        named = [section for section in sections if section.name == body.heading]
        start, stop = (named[-1].start, named[-1].stop) if named else (0, 0)
    text = _normal(report[start:stop])
    before = [s._replace(text=s.text[: start - s.start]) for s in sections if s.start < start]
    after = [s for s in sections if s.start >= stop]
    notes = ("body_as_published",) if text else ()
    return Sections(_indication(before + after), text, "", "" if text else "no_sections", notes)


def _first_paragraph(section: _Section) -> re.Match[str] | None:
    """The break after a section's first paragraph, which under a heading may begin below it."""
    lead = 0 if section.name == "preamble" else len(section.text) - len(section.text.lstrip())
    return _BREAK.search(section.text, lead)


def _sections(report: str, start: int) -> list[_Section]:
    """Every section from a place on, the text before the first heading being the first."""
    headings = [("preamble", start, start)]
    for match in _HEADING.finditer(report, start):
        kind, written = next((kind, text) for kind, text in match.groupdict().items() if text is not None)
        if kind == "capitals" and set(re.findall(r"[A-Z]+", written)) <= _ORGANS:
            continue
        headings.append((_name(kind, written), match.start(), match.end()))
    stops = [begin for _, begin, _ in headings[1:]] + [len(report)]
    return [_Section(name, report[end:stop], end, stop) for (name, _, end), stop in zip(headings, stops, strict=True)]


def _name(kind: str, written: str) -> str:
    written = " ".join(written.upper().split())
    if kind == "block":
        return "wet read" if written.startswith("WET") else "addendum"
    if kind == "line":
        return "end"
    if known := _SECTION_OF.get(written):
        return known
    name = written.lower()
    if part := next((section for part, section in _PARTS if part in name), None):
        return part
    return "view" if _EXAMINATION.search(name) else name


def _choose(sections: list[_Section]) -> Sections:
    """Findings, impression and indication out of all that stands in a report."""
    notes: list[str] = []
    body: list[_Section] = []
    told = False
    for section in sections:
        if section.name in ("addendum", "wet read") and told:
            notes.append(f"{section.name.replace(' ', '_')}_left_out")
            break
        told |= section.name in ("findings", "impression", "view", "narrative") and bool(section.text.strip())
        body.append(section)

    def last(*names: str) -> str:
        return next((text for s in reversed(body) if s.name in names and (text := _normal(s.text))), "")

    findings = last("findings") or last("view") or last("narrative")
    impression = last("impression") or last("summary")
    if not findings and not impression:
        usable = next((s for s in reversed(body) if s.name not in _NO_BODY and s.text.strip()), None)
        end = _first_paragraph(usable) if usable else None
        if usable and end and (findings := _normal(usable.text[end.end() :])):
            notes.append("last_paragraph")
            body[body.index(usable)] = usable._replace(text=usable.text[: end.start()])
    problem = "" if findings or impression else "no_sections"
    return Sections(_indication(body), findings, impression, problem, tuple(notes))


def _indication(sections: list[_Section]) -> str:
    """The first paragraph of each section that tells why the examination was asked for, nothing twice."""
    first = [
        _normal(_BREAK.split(section.text.strip(), maxsplit=1)[0])
        for section in sections
        if section.name in ("indication", "history")
    ]
    return " ".join(dict.fromkeys(filter(None, first)))


def _normal(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
