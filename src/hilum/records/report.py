"""The clinical text: FINDINGS and IMPRESSION, read from and written to plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hilum.records.radiograph import Notice

# A heading: at the start of a line or of a sentence, perhaps numbered or in Markdown, closed by a colon, or alone on
# its line. "Findings are unchanged" is a sentence, so a heading without a colon must own its line. Inside running
# text only the exact upper- or title-case words with a colon count, as Janus-Pro-CXR writes "... IMPRESSION: ...".
_WORD = r"(?P<{0}>FINDINGS?|IMPRESSIONS?|CONCLUSIONS?)"
_HEADING = re.compile(
    r"(?:^|(?<=\n))[ \t]*(?:\d{1,2}[.)][ \t]*)?[#*_]{0,4}[ \t]*"
    + _WORD.format("line")
    + r"[ \t]*[*_]{0,4}[ \t]*(?::[*_]{0,4}|[-–—](?=[ \t])|(?=\n|$))"
    + r"|(?:(?<=[.!?\s])|^)[*_]{0,4}"
    + _WORD.format("inline")
    + r"[*_]{0,4}[ \t]*:[*_]{0,4}",
    re.IGNORECASE,
)
_INLINE_CASED = re.compile(r"FINDINGS?|Findings?|IMPRESSIONS?|Impressions?|CONCLUSIONS?")


def _headings(text: str) -> list[tuple[int, int, str]]:
    """(start, end, section) of every heading, section being 'findings' or 'impression'."""
    out = []
    for match in _HEADING.finditer(text):
        word = match["line"] or match["inline"]
        if match["line"] is None and not _INLINE_CASED.fullmatch(word):
            continue
        out.append((match.start(), match.end(), "findings" if word[0] in "fF" else "impression"))
    return out


@dataclass(frozen=True, slots=True)
class Report:
    """A chest radiograph report.

    Attributes:
        findings_text: the FINDINGS section without its heading; empty if there is none.
        impression_text: the IMPRESSION section without its heading; empty if there is none.
        raw: the text it was read from, untouched; empty where it was written by hand.
        problems: what was wrong with the text (a section missing or doubled, no headings at all, text before them).
    """

    findings_text: str
    impression_text: str
    raw: str = ""
    problems: tuple[Notice, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Report:
        """Read a report from text, however badly it was written; never raises.

        Headings may have any case, a number, Markdown marks, a colon or a line of their own. A section that comes
        twice is joined. Text with no heading becomes FINDINGS. Whatever was irregular is named in `problems`.

        Args:
            text: the report, sections in any order.
        """
        problems: list[Notice] = []
        parts: dict[str, list[str]] = {"findings": [], "impression": []}
        headings = _headings(text)
        lead = (text[: headings[0][0]] if headings else text).strip()
        if not text.strip():
            problems.append(Notice("empty_report", "The text is empty."))
        elif not headings:
            problems.append(
                Notice("no_sections", "The text has no FINDINGS or IMPRESSION heading; all of it is shown as FINDINGS.")
            )
            parts["findings"].append(lead)
        elif lead:
            problems.append(
                Notice("text_before_sections", "Text stands before the first heading; it was put into FINDINGS.")
            )
            parts["findings"].append(lead)
        for index, (_, end, section) in enumerate(headings):
            stop = headings[index + 1][0] if index + 1 < len(headings) else len(text)
            parts[section].append(text[end:stop].strip())
        for section in ("findings", "impression"):
            n = sum(1 for h in headings if h[2] == section)
            if n > 1:
                problems.append(
                    Notice(
                        f"repeated_{section}",
                        f"The {section.upper()} heading stands {n} times; the sections were joined.",
                    )
                )
        joined = {section: _tidy("\n".join(p for p in texts if p)) for section, texts in parts.items()}
        for section, content in joined.items():
            if not content and text.strip() and headings:
                problems.append(Notice(f"missing_{section}", f"The {section.upper()} section is missing or empty."))
        return cls(joined["findings"], joined["impression"], raw=text, problems=tuple(problems))

    def format(self) -> str:
        """The report as text: `FINDINGS: ...` and `IMPRESSION: ...`, a line break between; empty sections left out."""
        sections = (("FINDINGS", self.findings_text), ("IMPRESSION", self.impression_text))
        return "\n".join(f"{heading}: {content}" for heading, content in sections if content)


def _tidy(text: str) -> str:
    """Single spaces, no blank lines, numbered points kept on lines of their own."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)
