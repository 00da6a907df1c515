"""The clinical text: FINDINGS and IMPRESSION, read from and written to plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hilum.records.radiograph import Notice

# A heading: at the start of a line or of a sentence, perhaps numbered or in Markdown, closed by a colon, or alone on
# its line. "Findings are unchanged" is a sentence, so a heading without a colon must own its line. Inside running
# text only the exact upper- or title-case words with a colon count, as Janus-Pro-CXR writes "... IMPRESSION: ...".
# Two words may share a heading: "FINDINGS AND IMPRESSION:". Runs of blanks are possessive, or time would grow with
# their square.
_LINE_NAME = r"(?:FINDING|IMPRESSION|CONCLUSION)(?:S|\(S\))?"
_INLINE_NAME = r"(?-i:(?:FINDING|IMPRESSION|CONCLUSION)(?:S|\(S\))?|(?:Finding|Impression|Conclusion)(?:s|\([sS]\))?)"
_TITLE = r"(?P<{}>{name}(?:(?:[ \t]++and[ \t]++|[ \t]*+[&/][ \t]*+){name})?)"
_HEADING = re.compile(
    r"(?:^|(?<=\n))[ \t]*+(?:(?P<line_number>\d{1,2})[.)][ \t]*+)?[#*_]{0,4}[ \t]*+"
    + _TITLE.format("line", name=_LINE_NAME)
    + r"[ \t]*+[*_]{0,4}[ \t]*+(?::[*_]{0,4}|[-–—](?=[ \t])|(?=\n|$))"
    + r"|(?:(?:^|(?<=\s))(?P<mark>(?P<number>\d{1,2})[.)][ \t]*+)|^|(?<=[.!?:\s]))[*_]{0,4}"
    + _TITLE.format("inline", name=_INLINE_NAME)
    + r"[*_]{0,4}[ \t]*+:[*_]{0,4}",
    re.IGNORECASE,
)


def _headings(text: str) -> list[tuple[int, int, str]]:
    """(start, end, section) of every heading, section being 'findings', 'impression' or 'both'."""
    out = []
    before: int | None = 0  # the number of the heading before; None where it has none
    for match in _HEADING.finditer(text):
        start, number = match.start(), match["line_number"] or match["number"]
        # inside running text "2." may end the sentence before ("category 2."): it is the heading's where it counts on
        if match["mark"] and (before is None or int(number) != before + 1):
            start, number = match.end("mark"), None
        before = int(number) if number else None
        title = (match["line"] or match["inline"]).casefold()
        findings, impression = "finding" in title, "impression" in title or "conclusion" in title
        section = "both" if findings and impression else "findings" if findings else "impression"
        out.append((start, match.end(), section))
    return out


@dataclass(frozen=True, slots=True)
class Report:
    """A chest radiograph report.

    Attributes:
        findings_text: the FINDINGS section without its heading; empty if there is none.
        impression_text: the IMPRESSION section without its heading; empty if there is none.
        raw: the text it was read from, untouched; empty where it was written by hand.
        problems: what was wrong with the text (a section missing or doubled, one heading for both, no headings at all,
            text before them).
    """

    findings_text: str
    impression_text: str
    raw: str = ""
    problems: tuple[Notice, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Report:
        """Read a report from text, however badly it was written; never raises.

        Headings may have any case, a number, Markdown marks, a colon or a line of their own. A section that comes
        twice is joined. Text with no heading, or under one heading for both sections, becomes FINDINGS. Whatever was
        irregular is named in `problems`.

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
            parts["findings" if section == "both" else section].append(text[end:stop].strip())
        combined = any(section == "both" for _, _, section in headings)
        if combined:
            problems.append(
                Notice(
                    "combined_sections",
                    "One heading stands for FINDINGS and IMPRESSION; its text was put into FINDINGS.",
                )
            )
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
            if not content and headings and not (combined and section == "impression"):
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
