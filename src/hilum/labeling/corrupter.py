"""A seeded corrupter of chest radiograph reports: what was changed is known, so a detector can be measured by it.

`corrupt` makes one clinical change of a chosen kind; `paraphrase` rewrites without changing the meaning, for the false
alarms. Both read only plain sentences, those whose whole form is understood, and leave a report alone where it offers
no such place: a change that may not be one would count as a detector's miss. A finding told twice (FINDINGS and
IMPRESSION) is changed wherever it is told, or not at all.

The vocabulary (`corruptions.toml`) is its own; nothing of the labeller's tables or code is used but `Span`. The same
text, kind and seed give the same result on every Python: chance comes from SHA-256, not from `random` or `hash`.

A text is one report; `FINDINGS:`, `IMPRESSION:` and the like at the start of a line are headings, and only those two,
their relatives and text under no heading are changed.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, partial
from importlib import resources
from typing import Any, TypeVar

from hilum.errors import UsageError
from hilum.labeling.labelling import Span

T = TypeVar("T")

_BODIES = ("", "FINDINGS", "IMPRESSION", "CONCLUSION", "FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION")
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z /]{3,30}):[ \t]*", re.MULTILINE)
_END = re.compile(r"[.!?]+(?:[ \t]+\.)*(?=\s|$)|(?<=[a-z]{2})\.(?=[A-Z][a-z])|\n")
_NUMBER = re.compile(r"(\d{1,2})[.)][ \t]+(?=\S)")
_ABBREVIATED = re.compile(r"\b(?:vs|dr|approx|e\.g|i\.e|etc|st|no)\.$", re.IGNORECASE)
_LEANING = re.compile(
    r"(?:this|these|those|it|its|they|the largest|which|the (?:tip|lesion|nodule|former|latter)|findings?|otherwise|"
    r"specifically|however|also|in addition|additionally|there (?:is|are) also|again|here|both|some|other|finding|such|"
    r"remainder|the (?:remainder|remaining|other)|another|a second|probably|unchanged|stable|one|tip)\b",
    re.IGNORECASE,
)
_SIDE = re.compile(r"\b(left|right|lll|lul|rll|rul)\b", re.IGNORECASE)
_OTHER_SIDE = {"left": "right", "right": "left", "lll": "rll", "rll": "lll", "lul": "rul", "rul": "lul"}
_SIZE = re.compile(
    r"(\d+(?:\.\d+)?)((?: ?(?:cm|mm))? ?(?:x|-) ?)?(?(2)(\d+(?:\.\d+)?))( ?)(mm|cm|millimeters?|centimeters?)\b",
    re.IGNORECASE,
)
_PLURALS = {
    "pneumothorax": "pneumothoraces",
    "hydropneumothorax": "hydropneumothoraces",
    "metastasis": "metastases",
    "bulla": "bullae",
    "hemothorax": "hemothoraces",
}


class Kind(StrEnum):
    """What a corruption changes."""

    OMISSION = "omission"
    INVENTION = "invention"
    PRESENT_TO_ABSENT = "present_to_absent"
    ABSENT_TO_PRESENT = "absent_to_present"
    SIDE = "side"
    PRIOR = "prior"
    SEVERITY = "severity"
    CERTAINTY_LOWERED = "certainty_lowered"
    CERTAINTY_RAISED = "certainty_raised"
    FINDING_REPLACED = "finding_replaced"
    ITEM_DROPPED = "item_dropped"
    LOCATION = "location"
    COUNT = "count"
    COURSE = "course"
    DEVICE_INVENTED = "device_invented"
    DEVICE_OMITTED = "device_omitted"
    TIP_MOVED = "tip_moved"
    MEASUREMENT_INVENTED = "measurement_invented"
    MEASUREMENT_ALTERED = "measurement_altered"
    VIEW_INVENTED = "view_invented"
    ADVICE_INVENTED = "advice_invented"


@dataclass(frozen=True, slots=True)
class Change:
    """One place of a report that was changed.

    Attributes:
        before: the changed words in the original; None where something was only put in.
        after: the changed words in the corrupted text; None where something was only taken out.
        sentence_before: the sentence around `before`; None where a whole sentence was put in.
        sentence_after: the sentence or sentences around `after`; None where a whole sentence was taken out.
    """

    before: Span | None
    after: Span | None
    sentence_before: Span | None
    sentence_after: Span | None


@dataclass(frozen=True, slots=True)
class Corruption:
    """A report with one clinical change.

    Attributes:
        kind: what was changed.
        text: the corrupted report.
        changes: where; more than one where the report tells the finding more than once. A statement of normality that
            the change would contradict ("the lungs are clear") is taken out besides and is not among them.
        finding: what the change concerns, in plain words ("pleural effusion").
        form: which surface form the change took, for tables of what is found and what is not.
    """

    kind: Kind
    text: str
    changes: tuple[Change, ...]
    finding: str
    form: str


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """A report in other words.

    Attributes:
        text: the rewritten report.
        steps: the names of the rewritings made, in their order.
    """

    text: str
    steps: tuple[str, ...]


def corrupt(text: str, kind: Kind | str, *, seed: int) -> Corruption | None:
    """A report with one clinical change of a kind; None where this report offers no place for it.

    Args:
        text: one report.
        kind: what to change; a `Kind` or its value.
        seed: chooses the place and the wording; the same arguments give the same result.

    Raises:
        UsageError: there is no such kind.
    """
    try:
        chosen = Kind(kind)
    except ValueError:
        raise UsageError(f"{kind!r} is no kind of corruption; expected one of {', '.join(Kind)}.") from None
    report = _read(text)
    if not report.sentences:
        return None
    plan = _MAKERS[chosen](report, _Chance("corrupt", text, chosen.value, str(seed)))
    done = None if plan is None else _carry_out(report, plan)
    if plan is None or done is None or _squeezed(done[0]) == _squeezed(text):
        return None
    return Corruption(chosen, done[0], done[1], plan.finding, plan.form)


def paraphrase(text: str, seed: int) -> Paraphrase:
    """A report in other words that says the same: synonyms, word order, order of sentences, sections, typography.

    Args:
        text: one report.
        seed: chooses the rewritings; the same arguments give the same result.

    The text comes back unchanged, with no steps, where no rewriting fits.
    """
    chance = _Chance("paraphrase", text, str(seed))
    steps: list[str] = []
    for name, share, step in _STEPS:
        if chance.below(100) < share:
            written = step(_read(text), chance)
            if written is not None and written != text:
                text = written
                steps.append(name)
    return Paraphrase(text, tuple(steps))


def talks_of_prior(text: str) -> bool:
    """Whether a report compares with an earlier examination, or may do so: wide, to say no only where none is meant."""
    return any(_lexicon().cues["prior"].search(s.core) for s in _read(text).sentences)


# ----------------------------------------------------------------------------------------------------------------------
# Chance and the word lists.


class _Chance:
    """Draws from SHA-256 in counter mode: the same on every Python, which `random`'s choice and shuffle are not."""

    def __init__(self, *key: str) -> None:
        self._key = hashlib.sha256("\x1f".join(key).encode("utf-8", "surrogatepass")).digest()
        self._drawn = 0

    def below(self, n: int) -> int:
        """An integer of 0..n-1; the bias of the remainder is below 2**-50."""
        self._drawn += 1
        digest = hashlib.sha256(self._key + self._drawn.to_bytes(8, "big")).digest()
        return int.from_bytes(digest[:8], "big") % n

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def shuffled(self, items: Iterable[T]) -> list[T]:
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.below(i + 1)
            out[i], out[j] = out[j], out[i]
        return out


@dataclass(frozen=True, slots=True)
class _Finding:
    """One entry of the lexicon; see `corruptions.toml`."""

    name: str
    words: re.Pattern[str]
    predicate: re.Pattern[str] | None
    normal: tuple[str, ...]
    groups: frozenset[str]
    region: str
    counted: bool
    major: bool
    device: bool
    background: bool


@dataclass(frozen=True, slots=True)
class _Normal:
    """A whole statement of normality and the groups of findings that it denies."""

    pattern: re.Pattern[str]
    denies: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Lexicon:
    """`corruptions.toml`, compiled."""

    findings: Mapping[str, _Finding]
    normals: tuple[_Normal, ...]
    cues: Mapping[str, re.Pattern[str]]
    before: re.Pattern[str]
    after: re.Pattern[str]
    denied_item: re.Pattern[str]
    dropped: re.Pattern[str]
    table: Mapping[str, Any]


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


@cache
def _lexicon() -> _Lexicon:
    table = tomllib.loads((resources.files("hilum.labeling") / "corruptions.toml").read_text(encoding="utf-8"))
    findings = {
        row["name"]: _Finding(
            row["name"],
            _compiled(rf"\b{row['words']}\b"),
            _compiled(rf"\b{row['predicate']}\b") if "predicate" in row else None,
            tuple(row.get("normal", ())),
            frozenset(row["groups"]),
            row["groups"][0],
            row.get("counted", False),
            row.get("major", False),
            row.get("device", False),
            row.get("background", False),
        )
        for row in table["finding"]
    }
    grammar = table["grammar"]
    size = r"\d+(?:\.\d+)?(?: ?x ?\d+(?:\.\d+)?)? ?(?:mm|cm)"
    place = rf"(?: {grammar['place_start']}(?: {grammar['place_words']}\b)+)"
    seen = rf"(?: (?:is|are|was|were))?(?: (?:again|also))? {grammar['seen']}\b"
    return _Lexicon(
        findings,
        tuple(_Normal(_compiled(row["pattern"]), frozenset(row["denies"])) for row in table["normal"]),
        {name: _compiled(pattern) for name, pattern in table["cues"].items()},
        _compiled(
            rf"(?P<opening>{grammar['there']})?(?P<article>{grammar['articles']})?"
            rf"(?P<modifiers>(?:(?:{size}|{grammar['modifiers']}),?(?: and)? )*)"
        ),
        _compiled(
            rf"(?P<place>{place}*)(?P<verb>{seen})?(?P<place2>{place}*)(?P<tail>{grammar['tail']}*)"
            rf"(?P<extra>,? (?:without|with no)(?: evidence (?:of|for))? (?P<blanket>{table['cues']['blanket']}))?"
        ),
        _compiled(rf"(?P<modifiers>(?:{grammar['denied_modifiers']} )*)"),
        _compiled(rf"(?:(?:{size}|{grammar['dropped']}),?(?: and)?) "),
        table,
    )


# ----------------------------------------------------------------------------------------------------------------------
# Reading a report: sections, sentences, what they name, and the sentences whose whole form is understood.


@dataclass(frozen=True, slots=True)
class _Mention:
    """A finding named in a sentence; `start` and `end` are of its core. state: present, hedged or denied."""

    finding: _Finding
    start: int
    end: int
    state: str
    predicate: re.Match[str] | None = None


@dataclass(frozen=True, slots=True)
class _Sentence:
    """One sentence; positions are of the report.

    `lead` is before its number in a list, `start` to `end` is the core, `stop` is after its punctuation.
    """

    index: int
    section: int
    lead: int
    start: int
    end: int
    stop: int
    number: int | None
    core: str
    mentions: tuple[_Mention, ...] = ()

    @property
    def asserted(self) -> tuple[_Mention, ...]:
        return tuple(m for m in self.mentions if m.state != "denied")

    @property
    def leaning(self) -> bool:
        """Whether it needs the sentence before it to be understood."""
        return _LEANING.match(self.core) is not None

    def says(self, cue: str) -> bool:
        return _lexicon().cues[cue].search(self.core) is not None


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading and what is under it; positions are of the report."""

    name: str
    heading: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Report:
    """A report as read."""

    text: str
    sections: tuple[_Section, ...]
    sentences: tuple[_Sentence, ...]

    def telling(self, groups: frozenset[str]) -> list[_Sentence]:
        """The sentences that assert a finding of one of the groups, surely or not."""
        return [s for s in self.sentences if any(m.finding.groups & groups for m in s.asserted)]

    def denying(self, groups: frozenset[str]) -> list[_Sentence]:
        """The sentences that deny a finding of one of the groups by name."""
        return [s for s in self.sentences if any(m.finding.groups & groups and m.state == "denied" for m in s.mentions)]

    def says(self, cue: str) -> bool:
        return any(s.says(cue) for s in self.sentences)

    def names(self, groups: frozenset[str]) -> bool:
        return any(m.finding.groups & groups for s in self.sentences for m in s.mentions)

    def of_section(self, section: int) -> list[_Sentence]:
        return [s for s in self.sentences if s.section == section]


def _read(text: str) -> _Report:
    headings = list(_HEADING.finditer(text))
    sections = []
    if not headings or text[: headings[0].start()].strip():
        sections.append(_Section("", 0, 0, headings[0].start() if headings else len(text)))
    for i, found in enumerate(headings):
        end = headings[i + 1].start() if i + 1 < len(headings) else len(text)
        sections.append(_Section(found.group(1).strip(), found.start(), found.end(), end))
    sentences: list[_Sentence] = []
    for number, section in enumerate(sections):
        if section.name in _BODIES:
            sentences += _sentences(text, section, number, len(sentences))
    return _Report(text, tuple(sections), tuple(sentences))


def _sentences(text: str, section: _Section, number: int, first: int) -> Iterator[_Sentence]:
    position = section.start
    index = first
    while position < section.end:
        skipped = re.compile(r"[\s.]*(?:[-*] )?").match(text, position, section.end)
        lead = skipped.end() if skipped else position
        if lead >= section.end:
            return
        numbered = _NUMBER.match(text, lead, section.end)
        start = numbered.end() if numbered else lead
        end = stop = section.end
        for found in _END.finditer(text, start, section.end):
            if not _ABBREVIATED.search(text[start : found.start() + 1]):
                end, stop = found.start(), found.end()
                break
        while end > start and text[end - 1].isspace():
            end -= 1
        stop = end if text[end:stop].isspace() or stop < end else stop
        core = text[start:end]
        if core:
            item = int(numbered.group(1)) if numbered else None
            yield _Sentence(index, number, lead, start, end, max(stop, end), item, core, _mentions(core))
            index += 1
        position = max(stop, end, lead + 1)


def _mentions(core: str) -> tuple[_Mention, ...]:
    """The findings that a sentence names, leftmost first and the longer of two that begin together."""
    found: list[tuple[int, int, _Finding, re.Match[str] | None]] = []
    for finding in _lexicon().findings.values():
        found += [(m.start(), -m.end(), finding, None) for m in finding.words.finditer(core)]
        if finding.predicate is not None:
            found += [(m.start(), -m.end(), finding, m) for m in finding.predicate.finditer(core)]
    found.sort(key=lambda one: one[:2])
    hedged = _lexicon().cues["hedging"].search(core) is not None
    out: list[_Mention] = []
    for start, negative_end, finding, predicate in found:
        if not out or start >= out[-1].end:
            out.append(_Mention(finding, start, -negative_end, _state(core, start, -negative_end, hedged), predicate))
    return tuple(out)


def _state(core: str, start: int, end: int, hedged: bool) -> str:
    cues = _lexicon().cues
    before = re.split(r"\b(?:but|however|although|though)\b|;", core[:start])[-1]
    if cues["denying"].search(before) or cues["denied_after"].match(core[end:]):
        return "denied"
    return "hedged" if hedged else "present"


@dataclass(frozen=True, slots=True)
class _Simple:
    """A plain statement of one finding, wholly understood: opening, article, modifiers, head, place, verb, tail.

    extra is a denial that follows ("without acute disease"), blanket what it denies.
    """

    sentence: _Sentence
    mention: _Mention
    opening: str
    article: str
    modifiers: str
    head: str
    place: str
    verb: str
    tail: str
    extra: str
    blanket: str

    @property
    def plural(self) -> bool:
        return _is_plural(self.head)

    @property
    def whole(self) -> str:
        """The noun phrase with its modifiers and place, without article."""
        return f"{self.modifiers}{self.head}{self.place}"

    @property
    def bare(self) -> str:
        """The noun phrase without degree, size, course and number: what a denial denies."""
        kept = _lexicon().dropped.sub("", self.modifiers)
        return f"{re.sub(r'^(?:and )|(?:, | and )$', '', kept)}{self.head}{self.place}"


def _simple(sentence: _Sentence) -> _Simple | None:
    """The parts of a plain statement of one finding; None where the sentence is anything else."""
    lexicon = _lexicon()
    stated = sentence.asserted
    if len(stated) != 1 or stated[0].finding.device or stated[0].finding.background:
        return None
    mention = stated[0]
    after = lexicon.after.fullmatch(sentence.core, mention.end)
    if after is None or any(m.start < mention.start for m in sentence.mentions if m is not mention):
        return None
    plain = sentence.core[: after.start("extra")] if after.group("extra") else sentence.core
    if lexicon.cues["negating"].search(plain) or lexicon.cues["hedging"].search(plain) or "XXXX" in plain:
        return None
    if mention.predicate is not None:
        before = re.compile(r"(?:the )?", re.IGNORECASE).fullmatch(sentence.core, 0, mention.start)
        if before is None or after.group("place") or after.group("verb"):
            return None
        opening, article, modifiers = "", before.group(), ""
    else:
        before = lexicon.before.fullmatch(sentence.core, 0, mention.start)
        if before is None:
            return None
        opening, article, modifiers = (before.group(part) or "" for part in ("opening", "article", "modifiers"))
    return _Simple(
        sentence,
        mention,
        opening,
        article,
        modifiers if opening or article else _lowered(modifiers),
        sentence.core[mention.start : mention.end] if modifiers or opening or article
        else _lowered(sentence.core[mention.start : mention.end]),
        after.group("place") + (after.group("place2") if after.group("verb") else ""),
        after.group("verb") or "",
        after.group("tail"),
        after.group("extra") or "",
        after.group("blanket") or "",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Item:
    """One finding of a list of denied ones: the words as written and without those that only a denial has."""

    text: str
    mention: _Mention
    positive: str


@dataclass(frozen=True, slots=True)
class _Denial:
    """A plain denial of one or more findings: opening, items, closing ("is seen")."""

    sentence: _Sentence
    opening: str
    items: tuple[_Item, ...]
    closing: str
    front: str

    def without(self, gone: _Item) -> str:
        """The sentence that denies all but one item; "" where none is left."""
        left = [item for item in self.items if item is not gone]
        return f"{self.opening}{_joined([i.text for i in left], 'or')}{self.closing}" if left else ""


_DENIALS = (
    re.compile(
        r"(?P<front>)(?P<opening>(?:specifically, |otherwise, )?(?:there (?:is|are) )?no (?:(?:(?:radiographic|"
        r"definite|convincing|obvious|clear) )?(?:evidence|signs?|suggestion) (?:of|for) )?(?:any |an? )?)",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<front>)(?P<opening>negative for (?:any )?)", re.IGNORECASE),
    re.compile(
        r"(?P<opening>(?P<front>(?:the |both )?lungs? (?:are|is|appears?) (?:grossly |otherwise )?(?:clear|normally "
        r"inflated|well[- ]\w+)(?: bilaterally)?),?(?: and)? (?:with no|without)(?: (?:evidence|signs?) (?:of|for))? "
        r"(?:any )?)",
        re.IGNORECASE,
    ),
)
_CLOSING = re.compile(
    r"(?: (?:is|are))?(?: (?:seen|identified|demonstrated|noted|visualized|evident|appreciated|present|visible|"
    r"observed))?(?: bilaterally)?$",
    re.IGNORECASE,
)
_KEPT_WHEN_PRESENT = re.compile(
    r"(?:focal|pleural|pulmonary|lung|lobar|airspace|air space|alveolar|parenchymal|displaced|rib|hilar|mediastinal|"
    r"bilateral|confluent|large|left|right|interstitial|dense|pneumonic|destructive)",
    re.IGNORECASE,
)


def _denial(sentence: _Sentence) -> _Denial | None:
    """The parts of a plain denial; None where the sentence is anything else."""
    if "XXXX" in sentence.core:
        return None
    opened = next((m for m in (p.match(sentence.core) for p in _DENIALS) if m), None)
    if opened is None:
        return None
    rest = sentence.core[opened.end() :]
    closing = _CLOSING.search(rest)
    closed = closing.group() if closing else ""
    listed = rest[: len(rest) - len(closed)]
    items = [_item(part) for part in re.split(r",? or (?:of )?|,? nor |, and |,? and |, ", listed)]
    known = tuple(item for item in items if item is not None)
    if not known or len(known) != len(items):
        return None
    return _Denial(sentence, opened.group("opening"), known, closed, opened.group("front"))


def _item(text: str) -> _Item | None:
    reason = re.search(r" (?:to suggest|suggesting|suggestive of) (?:an? )?(?:acute )?pneumonia$", text, re.IGNORECASE)
    named = text[: reason.start()] if reason else text
    mentions = _mentions(named)
    if len(mentions) != 1 or mentions[0].end != len(named) or mentions[0].finding.device:
        return None
    modifiers = _lexicon().denied_item.fullmatch(named, 0, mentions[0].start)
    if modifiers is None:
        return None
    kept = "".join(f"{m.group()} " for m in _KEPT_WHEN_PRESENT.finditer(re.sub(r"areas? of", "", modifiers.group())))
    return _Item(text, mentions[0], kept.lower() + _lowered(named[mentions[0].start :]))


# ----------------------------------------------------------------------------------------------------------------------
# Writing.


def _squeezed(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lowered(text: str) -> str:
    """Without its capital, unless it is an abbreviation."""
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _is_plural(head: str) -> bool:
    """Whether a noun phrase is plural, by its noun: the last word before "of", "in" or "within"."""
    words = re.split(r" (?:of|in|within) ", head.lower())[0].split()
    last = words[-1] if words else ""
    return last in ("bullae", "granulomata", "lungs") or bool(re.search(r"(?<![ius])s$", last))


def _pluralised(head: str) -> str:
    start, last = head[: len(head) - len(head.split()[-1])], head.split()[-1]
    if last.lower() in _PLURALS:
        return start + _PLURALS[last.lower()]
    if last.endswith("y"):
        return f"{start}{last[:-1]}ies"
    return f"{start}{last}es" if last.endswith(("s", "x")) else f"{start}{last}s"


def _singular(head: str) -> str:
    start, last = head[: len(head) - len(head.split()[-1])], head.split()[-1]
    singulars = {plural: one for one, plural in _PLURALS.items()} | {"granulomata": "granuloma"}
    if last.lower() in singulars:
        return start + singulars[last.lower()]
    if last.endswith("ies"):
        return f"{start}{last[:-3]}y"
    return f"{start}{last[:-2]}" if last.endswith(("sses", "xes")) else f"{start}{last[:-1]}"


def _is(plural: bool) -> str:
    return "are" if plural else "is"


def _with_article(phrase: str, counted: bool, plural: bool) -> str:
    if plural or not counted:
        return phrase
    # "an 8 mm", "an 11 mm", "a unilateral"
    vowel = re.match(r"(?:[aeio]|u(?!ni)|8|11\b|18\b)", phrase, re.IGNORECASE)
    return f"{'an' if vowel else 'a'} {phrase}"


def _mended(core: str) -> str:
    """With "a" and "an" as the next word asks."""
    core = re.sub(r"\b([Aa])n (?=[b-df-hj-np-tv-z])", r"\1 ", core)
    return re.sub(r"\b([Aa]) (?=[aeio][a-z])", r"\1n ", core)


def _joined(items: Sequence[str], word: str) -> str:
    if len(items) < 3:
        return f" {word} ".join(items)
    return f"{', '.join(items[:-1])}, {word} {items[-1]}"


def _like(written: str, new: str) -> str:
    """In the letters of the word it stands for."""
    if len(written) > 1 and written.isupper():
        return new.upper()
    return _capital(new) if written[:1].isupper() else new


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to write where: the new core of a sentence by index, None to take it out; sentences to put in after one.

    silent: indices whose change is not reported.
    """

    finding: str
    form: str
    cores: Mapping[int, str | None] = field(default_factory=dict)
    inserts: Sequence[tuple[int, str]] = ()
    silent: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Edit:
    """One replacement in the text; `sentence` where it belongs to a change of that sentence."""

    start: int
    end: int
    new: str
    sentence: int | None = None
    inserted: str = ""


def _carry_out(report: _Report, plan: _Plan) -> tuple[str, tuple[Change, ...]] | None:
    """The new text and what was changed in it; None where nothing would be left of the report."""
    edits: list[_Edit] = []
    for number, section in enumerate(report.sections):
        inside = report.of_section(number)
        left = [s for s in inside if plan.cores.get(s.index, s.core) is not None]
        put_in = [one for one in plan.inserts if any(s.index == one[0] for s in inside)]
        if inside and not left and not put_in:
            edits.append(_Edit(section.heading, section.end, "", inside[0].index))
            continue
        edits += _edits_of(inside, plan)
    edits.sort(key=lambda edit: (edit.start, edit.end))
    out: list[str] = []
    position = length = 0
    changes: list[Change] = []
    for edit in edits:
        out.append(report.text[position : edit.start])
        length += edit.start - position
        if edit.sentence is not None and edit.sentence not in plan.silent:
            changes.append(_change(report, plan, edit, length))
        out.append(edit.new)
        length += len(edit.new)
        position = edit.end
    out.append(report.text[position:])
    text = "".join(out)
    stripped = text.rstrip() if report.text == report.text.rstrip() else text
    if not _read(stripped).sentences:
        return None
    return stripped, tuple(_filled(change, stripped) for change in changes)


def _edits_of(inside: Sequence[_Sentence], plan: _Plan) -> Iterator[_Edit]:
    """The edits of one section that keeps something."""
    number = 0
    inserted = dict(plan.inserts)
    for place, sentence in enumerate(inside):
        core = plan.cores.get(sentence.index, sentence.core)
        following = inside[place + 1] if place + 1 < len(inside) else None
        if core is None:
            kept_after = any(plan.cores.get(s.index, s.core) is not None for s in inside[place + 1 :])
            if kept_after and following is not None:
                yield _Edit(sentence.lead, following.lead, "", sentence.index)
            else:
                yield _Edit(inside[place - 1].stop if place else sentence.lead, sentence.stop, "", sentence.index)
        else:
            number += sentence.number is not None
            if sentence.number is not None and sentence.number != number and _removes(inside, plan):
                digits = len(str(sentence.number))
                yield _Edit(sentence.lead, sentence.lead + digits, str(number))
            if core != sentence.core:
                yield _Edit(sentence.start, sentence.end, core, sentence.index)
        if sentence.index in inserted:
            text = inserted[sentence.index]
            lead = " " if sentence.stop > sentence.end else ". "
            if sentence.number is not None:
                lead += f"{number + 1}. "
            yield _Edit(sentence.stop, sentence.stop, lead + text, sentence.index, text)


def _removes(inside: Sequence[_Sentence], plan: _Plan) -> bool:
    return any(s.number is not None and s.index in plan.cores and plan.cores[s.index] is None for s in inside)


def _change(report: _Report, plan: _Plan, edit: _Edit, at: int) -> Change:
    """The change that an edit makes; `at` is where the edit begins in the new text."""
    assert edit.sentence is not None
    sentence = report.sentences[edit.sentence]
    old = Span(sentence.start, sentence.stop, report.text[sentence.start : sentence.stop])
    if edit.inserted:
        start = at + len(edit.new) - len(edit.inserted)
        new = Span(start, start + len(edit.inserted), edit.inserted)
        return Change(None, new, None, new)
    if edit.new == "":
        return Change(old, None, old, None)
    first, last_old, last_new = _differing(sentence.core, edit.new)
    before = Span(sentence.start + first, sentence.start + last_old, sentence.core[first:last_old])
    after = Span(at + first, at + last_new, edit.new[first:last_new])
    whole = Span(at, at + len(edit.new) + sentence.stop - sentence.end, "")
    return Change(before if before.text else None, after if after.text else None, old, whole)


def _filled(change: Change, text: str) -> Change:
    whole = change.sentence_after
    if whole is None:
        return change
    end = min(whole.end, len(text))
    return Change(change.before, change.after, change.sentence_before, Span(whole.start, end, text[whole.start : end]))


def _differing(old: str, new: str) -> tuple[int, int, int]:
    """Where two cores differ, in whole words: the first position, and the last in each."""
    a, b = re.findall(r"\S+\s*", old), re.findall(r"\S+\s*", new)
    first = 0
    while first < min(len(a), len(b)) and a[first].strip() == b[first].strip():
        first += 1
    last = 0
    while last < min(len(a), len(b)) - first and a[-1 - last].strip() == b[-1 - last].strip():
        last += 1
    start = len("".join(a[:first]))
    end_old = len("".join(a[: len(a) - last]).rstrip())
    end_new = len("".join(b[: len(b) - last]).rstrip())
    return start, max(start, end_old), max(start, end_new)


def _contradicted(report: _Report, regions: frozenset[str], but: Iterable[int] = ()) -> frozenset[int]:
    """The whole statements of normality that a finding of these regions would contradict."""
    return frozenset(
        s.index
        for s in report.sentences
        if s.index not in set(but)
        and any(n.denies & regions and n.pattern.fullmatch(s.core) for n in _lexicon().normals)
        and not any(t.index == s.index + 1 and t.section == s.section and t.leaning for t in report.sentences)
    )


# ----------------------------------------------------------------------------------------------------------------------
# The kinds that take out, put in or turn round a finding.


def _targets(report: _Report, chance: _Chance, *, device: bool = False) -> list[tuple[_Sentence, _Mention]]:
    """The asserted findings in the order in which to try them.

    Four times in five the weighty ones come first. Degenerative changes of the spine, which half of all abnormal
    reports name and nobody reads a report for, come last and half of the time not at all.
    """
    drawn = chance.shuffled(
        (s, m)
        for s in report.sentences
        for m in s.asserted
        if m.finding.device == device and not m.finding.background and not _unnamed(s, m)
    )
    if chance.below(5):
        drawn.sort(key=lambda one: not one[1].finding.major)
    spine = "degenerative spine changes"
    others = [one for one in drawn if one[1].finding.name != spine]
    return others if chance.below(2) else others + [one for one in drawn if one[1].finding.name == spine]


def _unnamed(sentence: _Sentence, mention: _Mention) -> bool:
    """Whether de-identification has taken the word that names it ("lymph XXXX", "chest XXXX tip")."""
    words = sentence.core[mention.start : mention.end].lower()
    return "xxxx" in words or (words.endswith("tip") and len(words.split()) < 3 and "XXXX" in sentence.core)


def _removable(report: _Report, sentence: _Sentence) -> bool:
    """Whether a sentence can go without leaving another hanging or taking a denial along."""
    following = next((s for s in report.sentences if s.index == sentence.index + 1), None)
    hanging = following is not None and following.section == sentence.section and following.leaning
    denies = any(m.state == "denied" for m in sentence.mentions) or sentence.says("negating")
    return not hanging and not denies and not sentence.leaning


def _taken_out(report: _Report, chance: _Chance, *, device: bool) -> _Plan | None:
    for _, mention in _targets(report, chance, device=device):
        cores: dict[int, str | None] = {}
        form = "sentence"
        told = report.telling(mention.finding.groups)
        for one in told:
            simple = _simple(one)
            if simple is not None and simple.extra:
                cores[one.index] = f"No {_lowered(simple.blanket)}"
                form = "clause"
            elif _removable(report, one) and all(m.finding.device == device for m in one.asserted):
                cores[one.index] = None
            else:
                break
        if told and len(cores) == len(told):
            return _Plan(mention.finding.name, form if len(told) == 1 else f"{form}, all of {len(told)}", cores)
    return None


def _omission(report: _Report, chance: _Chance) -> _Plan | None:
    return _taken_out(report, chance, device=False)


def _device_omitted(report: _Report, chance: _Chance) -> _Plan | None:
    return _taken_out(report, chance, device=True)


def _drawn(template: str, chance: _Chance) -> str:
    """A template with its slots filled."""
    slots = _lexicon().table["slots"]
    return _mended(_capital(re.sub(r"\{(\w+)\}", lambda m: str(chance.pick(slots[m.group(1)])), template)))


def _spots(report: _Report, chance: _Chance) -> list[int]:
    """Sentences after which one can be put in; in a numbered list only the last."""
    out = []
    for s in report.sentences:
        following = next((t for t in report.sentences if t.index == s.index + 1 and t.section == s.section), None)
        if following is None or (s.number is None and following.number is None and not following.leaning):
            out.append(s.index)
    return chance.shuffled(out)


def _put_in(report: _Report, chance: _Chance, finding: str, sentence: str, form: str) -> _Plan:
    return _Plan(finding, form, {}, [(_spots(report, chance)[0], sentence)])


def _invention(report: _Report, chance: _Chance) -> _Plan | None:
    for entry in chance.shuffled(_lexicon().table["invention"]):
        finding = _lexicon().findings[entry["finding"]]
        if report.telling(finding.groups):
            continue
        text = _drawn(chance.pick(entry["texts"]), chance)
        naming = [s for s in report.denying(finding.groups) if any(m.finding is finding for m in s.mentions)]
        if len(naming) > 1:
            continue
        normal = _contradicted(report, frozenset({finding.region}))
        if not naming:
            plan = _put_in(report, chance, finding.name, text, "put in")
            gone: dict[int, str | None] = dict.fromkeys(normal)
            spot = plan.inserts[0][0]
            if spot in gone:
                return _Plan(
                    finding.name, "for a statement of normality", gone | {spot: text[:-1]}, (), normal - {spot}
                )
            return _Plan(finding.name, plan.form, gone, plan.inserts, normal)
        denial = _denial(naming[0])
        if denial is None or (denial.front and finding.groups & {"parenchyma", "nodular"}):
            continue
        item = next((i for i in denial.items if i.mention.finding is finding), None)
        if item is None:
            continue
        left = denial.without(item) or (denial.front and f"{denial.front}")
        both = [left, text[:-1]] if chance.below(2) else [text[:-1], left]
        core = ". ".join(_capital(part) for part in both if part)
        cores: dict[int, str | None] = {**dict.fromkeys(normal - {naming[0].index}), naming[0].index: core}
        return _Plan(finding.name, "for a denial", cores, (), normal)
    return None


def _denied_core(simple: _Simple, chance: _Chance) -> tuple[str, str]:
    """A plain statement denied, and the name of the form."""
    finding, verb = simple.mention.finding, simple.mention.predicate
    if verb is not None:
        tail = simple.extra
        options = [
            f"The {verb.group('subject').lower()} {verb.group('verb')} not {verb.group('quality')}",
            *finding.normal,
        ]
        core = chance.pick(options)
        return f"{core}{tail}", "not" if core == options[0] else "normal"
    thing = simple.bare
    if simple.blanket:
        blanket = _lowered(simple.blanket)
        forms = {
            "no, or": f"No {thing} or {blanket}",
            "there is no, or": f"There is no {thing} or {blanket}",
            "negative for, or": f"Negative for {thing} or {blanket}",
            "neither nor": f"Neither {thing} nor {blanket} is seen",
        }
    else:
        verb_is = _is(_is_plural(simple.head))
        forms = {
            "there is no": f"There {verb_is} no {thing}",
            "no": f"No {thing}",
            "no is seen": f"No {thing} {verb_is} seen",
            "is not seen": f"{_capital(thing)} {verb_is} not seen",
            "not identified": f"{_capital(thing)} not identified",
            "negative for": f"Negative for {thing}",
            "no evidence of": f"No evidence of {thing}",
            "without": f"Without {thing}",
            "absent": f"{_capital(thing)} {verb_is} absent",
        }
    name = chance.pick(sorted(forms))
    return forms[name], name


def _present_to_absent(report: _Report, chance: _Chance) -> _Plan | None:
    for _, mention in _targets(report, chance):
        told = report.telling(mention.finding.groups)
        parsed = [_simple(s) for s in told]
        simples = [p for p in parsed if p is not None]
        if not simples or len(simples) != len(told) or any(p.mention.finding is not mention.finding for p in simples):
            continue
        written = [_denied_core(p, chance) for p in simples]
        cores = {p.sentence.index: core for p, (core, _) in zip(simples, written, strict=True)}
        return _Plan(mention.finding.name, "; ".join(dict.fromkeys(name for _, name in written)), dict(cores))
    return None


_ENLARGED = (
    "The heart is enlarged",
    "Cardiomegaly",
    "Enlarged heart",
    "There is cardiomegaly",
    "Cardiac enlargement is present",
)


def _absent_to_present(report: _Report, chance: _Chance) -> _Plan | None:
    heart = frozenset({"heart"})
    normal = _contradicted(report, heart)
    if normal and not report.names(heart) and not chance.below(4):
        place = chance.pick(sorted(normal))
        cores: dict[int, str | None] = dict.fromkeys(normal)
        return _Plan("cardiomegaly", "normal", cores | {place: chance.pick(_ENLARGED)}, (), normal - {place})
    places = [(d, i) for s in report.sentences if (d := _denial(s)) is not None for i in d.items]
    for denial, item in chance.shuffled(places):
        groups = item.mention.finding.groups
        if report.telling(groups) or len(report.denying(groups)) > 1:
            continue
        if denial.front and groups & {"parenchyma", "nodular", "congestion"}:
            continue
        core, form = _asserted_core(denial, item, chance)
        if form == "all" and any(
            report.telling(i.mention.finding.groups) or len(report.denying(i.mention.finding.groups)) > 1
            for i in denial.items
        ):
            continue
        turned = frozenset(i.mention.finding.region for i in (denial.items if form == "all" else [item]))
        gone = _contradicted(report, turned, [denial.sentence.index])
        return _Plan(item.mention.finding.name, form, {**dict.fromkeys(gone), denial.sentence.index: core}, (), gone)
    return None


def _asserted_core(denial: _Denial, item: _Item, chance: _Chance) -> tuple[str, str]:
    """A denial with one item, or all, turned into a statement; and the name of the form."""
    finding, plural = item.mention.finding, _is_plural(item.positive)
    thing = _with_article(item.positive, finding.counted, plural)
    forms = {
        "there is": f"There {_is(plural)} {thing}",
        "is present": f"{_capital(thing)} {_is(plural)} present",
        "verbless": _capital(item.positive),
        "is seen": f"{_capital(thing)} {_is(plural)} seen",
        "positive for": f"Positive for {item.positive}",
    }
    name = chance.pick(sorted(forms))
    left = denial.without(item)
    if not left:
        return forms[name] if not denial.front else f"{denial.front}. {forms[name]}", name
    if not denial.front and not chance.below(4):
        every = [_with_article(i.positive, i.mention.finding.counted, _is_plural(i.positive)) for i in denial.items]
        many = "are" if _is_plural(denial.items[0].positive) else "is"
        return chance.pick(
            [f"There {many} {_joined(every, 'and')}", f"{_capital(_joined(every, 'and'))} are seen"]
        ), "all"
    if not chance.below(3):
        return f"{left}, but {thing} {_is(plural)} present", "but"
    both = [left, forms[name]] if chance.below(2) else [forms[name], left]
    return ". ".join(both), name


def _finding_replaced(report: _Report, chance: _Chance) -> _Plan | None:
    table = _lexicon().table
    for _, mention in _targets(report, chance):
        told = report.telling(mention.finding.groups)
        simples = [p for p in map(_simple, told) if p is not None and p.mention.finding is mention.finding]
        if not simples or len(simples) != len(told):
            continue
        if all(p.mention.predicate is not None for p in simples):
            qualities = table["replacement_quality"].get(mention.finding.name)
            if qualities and len(simples) == 1:
                p = simples[0]
                assert p.mention.predicate is not None
                start = p.mention.start + p.mention.predicate.start("quality") - p.mention.predicate.start()
                core = f"{p.sentence.core[:start]}{chance.pick(qualities)}{p.sentence.core[p.mention.end :]}"
                return _Plan(mention.finding.name, "predicate", {p.sentence.index: core})
            continue
        if any(p.mention.predicate is not None for p in simples):
            continue
        for one, many in chance.shuffled(table["replacement"].get(mention.finding.name, [])):
            named = _mentions(one)
            if not named or report.names(named[0].finding.groups - mention.finding.groups):
                continue
            if any(named[0].finding.name == m.finding.name for s in report.sentences for m in s.mentions):
                continue
            cores = {p.sentence.index: _with_head(p, many if p.plural else one, named[0].finding) for p in simples}
            return _Plan(mention.finding.name, "noun", dict(cores))
    return None


def _with_head(simple: _Simple, head: str, finding: _Finding) -> str:
    """A plain statement with another noun; of its modifiers only degree and side are kept, which any finding takes."""
    severity = _lexicon().table["severity"]
    degrees = [w for w in re.findall(r"[a-z-]+", simple.modifiers.lower()) if w in severity["low"] + severity["high"]]
    degree = degrees[0] if degrees else ""
    if degree and finding.counted:
        degree = "large" if degree in severity["high"] else "small"
    sides = re.findall(r"\b(?:left|right|bilateral)\b", simple.modifiers, re.IGNORECASE)
    phrase = " ".join(word for word in (degree, *(s.lower() for s in sides[:1]), head) if word)
    plural = _is_plural(head)
    if simple.opening:
        core = f"There {_is(plural)} {_with_article(phrase, finding.counted, plural)}{simple.place}{simple.verb}"
    elif simple.verb:
        seen = re.sub(r"\b(?:is|are)\b", _is(plural), simple.verb)
        core = f"{_capital(_with_article(phrase, finding.counted, plural))}{simple.place}{seen}"
    else:
        core = f"{_capital(phrase)}{simple.place}"
    return core + simple.extra


def _item_dropped(report: _Report, chance: _Chance) -> _Plan | None:
    for sentence in chance.shuffled(report.sentences):
        if sentence.says("negating") or sentence.says("hedging") or len(sentence.asserted) < 2:
            continue
        cuts = [c for c in re.finditer(r",? and |,? with (?:associated )?|, ", sentence.core) if _cuts(sentence, c)]
        for cut in chance.shuffled(cuts):
            front, back = sentence.core[: cut.start()], sentence.core[cut.end() :]
            first = [m for m in sentence.mentions if m.end <= cut.start()]
            second = [m for m in sentence.mentions if m.start >= cut.end()]
            verb = re.search(r" (?:is|are|has|have|was|were) ", back)
            opened = re.match(r"(?:there (?:is|are) (?:an? )?)?", front, re.IGNORECASE)
            # what follows the last of two findings ("are seen", "in both bases") belongs to both
            whole = opened is not None and first and _lexicon().before.fullmatch(front, 0, first[0].start) is not None
            drops_first = (
                "with" not in cut.group() and len(cuts) == 1 and whole and (verb is not None or chance.below(2))
            )
            if verb is not None and not drops_first:
                continue
            gone, kept = (first, second) if drops_first else (second, first)
            lost = frozenset().union(*(m.finding.groups for m in gone))
            if any(m.finding.groups & lost for m in kept) or report.telling(lost) != [sentence]:
                continue
            if any(m.finding.background or "tip" in sentence.core[m.start : m.end].lower() for m in gone):
                continue
            form = ("first of " if drops_first else "") + (re.sub(r"\W", "", cut.group()) or "comma")
            core = _left_alone(opened.group() if opened else "", back, second) if drops_first else front
            return _Plan(gone[0].finding.name, form, {sentence.index: core})
    return None


def _left_alone(opening: str, back: str, mentions: Sequence[_Mention]) -> str:
    """The second of two findings, with the opening of the sentence and verbs that agree with it."""
    plural = _is_plural(_mentions(back)[0].finding.words.search(back).group()) if _mentions(back) else True  # type: ignore[union-attr]
    verb = re.sub(r" (?:is|are) ", f" {_is(plural)} ", back, count=1)
    lead = re.sub(r"\b(?:is|are) (?:an? )?", f"{_is(plural)} ", opening, flags=re.IGNORECASE)
    return _capital(f"{lead}{verb}")


def _cuts(sentence: _Sentence, cut: re.Match[str]) -> bool:
    """Whether a connecting word stands between two findings and not inside a phrase of either."""
    before = [m for m in sentence.mentions if m.end <= cut.start()]
    after = [m for m in sentence.mentions if m.start >= cut.end()]
    if not before or not after:
        return False
    between = sentence.core[cut.end() : after[0].start]
    return _lexicon().before.fullmatch(between) is not None and not re.match(
        r"(?:in|at|of)\b", sentence.core[cut.end() :], re.IGNORECASE
    )


# ----------------------------------------------------------------------------------------------------------------------
# The kinds that alter a word of a finding.

_Swap = Callable[[_Sentence], str | None]


def _everywhere(
    report: _Report, target: _Sentence, groups: frozenset[str], swap: _Swap, marked: _Swap
) -> dict[int, str | None] | None:
    """The new cores where a word of a finding changes in every sentence that tells the finding with such a word.

    `swap` gives the new core, None where it cannot; `marked` gives the word that must then be changed too, or None.
    """
    cores: dict[int, str | None] = {}
    for sentence in report.telling(groups):
        if sentence is target or marked(sentence) is not None:
            if marked(sentence) != marked(target):
                return None
            core = swap(sentence)
            if core is None or core == sentence.core:
                return None
            cores[sentence.index] = _mended(core)
    return cores or None


def _sides(sentence: _Sentence) -> str | None:
    """The side that a sentence names, "mixed" where it is not one."""
    found = {w.lower()[0] for w in _SIDE.findall(sentence.core)}
    if not found:
        return None
    return found.pop() if len(found) == 1 and not sentence.says("both_sides") else "mixed"


def _other_side(sentence: _Sentence) -> str | None:
    if sentence.says("fixed_side") or any(m.finding.device or m.state == "denied" for m in sentence.mentions):
        return None
    if sentence.says("denying") or sentence.says("hypothetical"):
        return None
    return _SIDE.sub(lambda m: _like(m.group(), _OTHER_SIDE[m.group().lower()]), sentence.core)


def _side(report: _Report, chance: _Chance) -> _Plan | None:
    for sentence, mention in _targets(report, chance):
        if _sides(sentence) in (None, "mixed") or len(sentence.asserted) > 2:
            continue
        if any(m.finding.name in _lexicon().table["side"]["without"] for m in sentence.asserted):
            continue
        groups = frozenset().union(*(m.finding.groups for m in sentence.asserted))
        cores = _everywhere(report, sentence, groups, _other_side, _sides)
        if cores is not None:
            return _Plan(mention.finding.name, _SIDE.findall(sentence.core)[0].lower(), cores)
    return None


def _degree(sentence: _Sentence, groups: frozenset[str]) -> re.Match[str] | None:
    """The one word of degree that stands before a finding of these groups, or in its predicate."""
    words = sorted({a for a, _ in _lexicon().table["severity"]["pairs"]})
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?![\w-])(?! to )", re.IGNORECASE)
    found = list(pattern.finditer(sentence.core))
    if len(found) != 1 or re.search(r"\b\w+ to $", sentence.core[: found[0].start()]):
        return None
    word = found[0]
    for mention in sentence.asserted:
        if not mention.finding.groups & groups or mention.finding.device:
            continue
        if mention.start <= word.start() < mention.end:
            return word
        between = sentence.core[word.end() + 1 : mention.start]
        if word.end() < mention.start and _lexicon().before.fullmatch(between):
            return word
    return None


def _severity(report: _Report, chance: _Chance) -> _Plan | None:
    severity = _lexicon().table["severity"]
    for sentence, mention in _targets(report, chance):
        word = _degree(sentence, mention.finding.groups)
        if word is None or sentence.says("denying") or sentence.says("hypothetical"):
            continue
        options = [b for a, b in severity["pairs"] if a == word.group().lower() and _takes(mention.finding, b)]
        if not options:
            continue
        new = chance.pick(options)
        up = new in severity["high"]

        def swap(other: _Sentence, new: str = new, up: bool = up) -> str | None:
            found = _degree(other, mention.finding.groups)  # noqa: B023 - called before the loop goes on
            if found is None:
                return None
            names = [b for a, b in severity["pairs"] if a == found.group().lower() and (b in severity["high"]) is up]
            fitting = [b for b in names if _takes(mention.finding, b)]  # noqa: B023
            if not fitting:
                return None
            put = new if new in fitting else fitting[0]
            return other.core[: found.start()] + _like(found.group(), put) + other.core[found.end() :]

        def marked(other: _Sentence) -> str | None:
            found = _degree(other, mention.finding.groups)  # noqa: B023
            return None if found is None else "degree"

        cores = _everywhere(report, sentence, mention.finding.groups, swap, marked)
        if cores is not None:
            return _Plan(mention.finding.name, f"{word.group().lower()} to {new}", cores)
    return None


def _takes(finding: _Finding, word: str) -> bool:
    only = _lexicon().table["severity"]["only"]
    return word not in only or finding.name in only[word]


def _one_of(pairs: Sequence[Sequence[str]]) -> re.Pattern[str]:
    """Any of the words on the left, the longest first."""
    words = sorted({a for a, _ in pairs}, key=lambda w: (-len(w), w))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w-])", re.IGNORECASE)


def _location(report: _Report, chance: _Chance) -> _Plan | None:
    table = _lexicon().table["location"]
    pairs = dict(table["pairs"])
    pattern = _one_of(table["pairs"])

    def level(sentence: _Sentence) -> str | None:
        words = {w.lower() for w in pattern.findall(sentence.core)}
        if not words:
            return None
        levels = {re.sub(r".*(?:upper|apex|apic|r?l?ul).*", "high", w) for w in words}
        levels = {"low" if w != "high" and not w.startswith("mid") else w for w in levels}
        rest = pattern.sub("", sentence.core)
        left = re.search(
            r"\b(?:upper|lower|middle|lobes?|bas\w+|ap[ei]\w*|lingula\w*|perihilar|mid\w*|zones?)\b", rest, re.I
        )
        return levels.pop() if len(levels) == 1 and left is None else "mixed"

    def swap(sentence: _Sentence) -> str | None:
        if (
            sentence.says("denying")
            or sentence.says("hypothetical")
            or any(m.finding.device for m in sentence.mentions)
        ):
            return None
        return pattern.sub(lambda m: _like(m.group(), pairs[m.group().lower()]), sentence.core)

    for sentence, mention in _targets(report, chance):
        if mention.finding.name not in table["findings"] or level(sentence) in (None, "mixed"):
            continue
        if any(m.finding.name not in table["findings"] for m in sentence.asserted):
            continue
        groups = frozenset().union(*(m.finding.groups for m in sentence.asserted))
        cores = _everywhere(report, sentence, groups, swap, level)
        if cores is not None:
            return _Plan(mention.finding.name, pattern.findall(sentence.core)[0].lower(), cores)
    return None


def _course(report: _Report, chance: _Chance) -> _Plan | None:
    table = _lexicon().table["course"]
    pattern = _one_of(table["pairs"])

    def word(sentence: _Sentence) -> str | None:
        # "there is stable X" holds no "is stable"
        core = re.sub(r"\bthere (?:is|are) an? |\bthere (?:is|are) ", "there     ", sentence.core, flags=re.IGNORECASE)
        found = pattern.findall(core)
        return found[0].lower() if len(found) == 1 else ("mixed" if found else None)

    for sentence, mention in _targets(report, chance):
        old = word(sentence)
        if old in (None, "mixed") or len(sentence.asserted) > 1:
            continue
        place = re.search(rf"(?<![\w-]){old}(?![\w-]),? ", sentence.core, re.IGNORECASE)
        if place is not None and place.end() <= mention.start:
            between = sentence.core[place.end() : mention.start]
            if _lexicon().before.fullmatch(between) is None and "XXXX" not in between:
                continue
        lasting = mention.finding.name in table["lasting"]
        options = [b for a, b in table["pairs"] if a == old and not (lasting and b in table["better"])]
        if not options:
            continue
        new = chance.pick(options)

        def swap(other: _Sentence, old: str = old or "", new: str = new) -> str | None:
            found = re.search(rf"(?<![\w-]){old}(?![\w-])", other.core, re.IGNORECASE)
            if found is None or other.says("denying") or any(m.finding.device for m in other.mentions):
                return None
            if re.search(r"\b(?:appears?|remains?|grossly|relatively|and|or|not) $", other.core[: found.start()]):
                return None
            return other.core[: found.start()] + _like(found.group(), new) + other.core[found.end() :]

        cores = _everywhere(report, sentence, mention.finding.groups, swap, word)
        if cores is not None:
            return _Plan(mention.finding.name, f"{old} to {new}", cores)
    return None


_COUNTED = re.compile(
    r"\b(?:granulomas?|nodules?|opacit(?:y|ies)|mass(?:es)?|fractures?|cyst|cysts|lesions?|infiltrates?|densit(?:y|ies))$",
    re.I,
)


def _count(report: _Report, chance: _Chance) -> _Plan | None:
    for _, mention in _targets(report, chance):
        told = report.telling(mention.finding.groups)
        simples = [p for p in map(_simple, told) if p is not None and p.mention.finding is mention.finding]
        if not simples or len(simples) != len(told) or len({p.plural for p in simples}) != 1:
            continue
        if not mention.finding.counted:
            continue
        if not all(_COUNTED.search(p.head) for p in simples) or any(" and " in p.modifiers for p in simples):
            continue
        if any(p.sentence.says("both_sides") or _SIZE.search(p.sentence.core) for p in simples):
            continue
        number = chance.pick(
            ["a single", "one", "a solitary"] if simples[0].plural else ["multiple", "several", "three"]
        )
        cores = {p.sentence.index: _numbered(p, number) for p in simples}
        return _Plan(mention.finding.name, number, dict(cores))
    return None


def _numbered(simple: _Simple, number: str) -> str:
    plural = not simple.plural
    head = _pluralised(simple.head) if plural else _singular(simple.head)
    modifiers = re.sub(r"\b(?:scattered|multifocal|solitary|single|some) ", "", simple.modifiers)
    thing = f"{number} {modifiers}{head}{simple.place}"
    verb, tail = (re.sub(r"\b(?:is|are)\b", _is(plural), part) for part in (simple.verb, simple.tail))
    lead = f"There {_is(plural)} {thing}" if simple.opening else _capital(thing)
    return f"{lead}{verb}{tail}{simple.extra}"


def _certainty_lowered(report: _Report, chance: _Chance) -> _Plan | None:
    for _, mention in _targets(report, chance):
        told = report.telling(mention.finding.groups)
        simples = [p for p in map(_simple, told) if p is not None and p.mention.finding is mention.finding]
        if not simples or len(simples) != len(told):
            continue
        form = chance.pick(_lexicon().table["certainty"]["lowered"])
        named = "predicate" if all(p.mention.predicate is not None for p in simples) else form
        cores: dict[int, str | None] = {}
        for p in simples:
            if p.mention.predicate is not None:
                parts = p.mention.predicate
                quality = f"{parts.group('adverbs')}{parts.group('quality')}"
                wording = chance.pick(["may be", "is possibly", "could be"])
                if parts.group("verb").lower() in ("are", "appear", "remain"):
                    wording = wording.replace("is ", "are ")
                core = f"{_capital(p.article + parts.group('subject'))} {wording} {quality}"
            else:
                thing = p.whole
                core = form.replace("{np}", thing).replace("{Np}", _capital(thing)).replace("{is}", _is(p.plural))
            cores[p.sentence.index] = core + p.extra
        return _Plan(mention.finding.name, named, cores)
    return None


_ALTERNATIVE = re.compile(r",? (?:versus|vs\.?|or|and/or) (?:an? )?", re.IGNORECASE)


def _both(sentence: _Sentence) -> tuple[str, str] | None:
    """The core with both of two alternatives ("atelectasis or scarring"), and the name of the first of them."""
    for first, second in zip(sentence.mentions, sentence.mentions[1:], strict=False):
        between = _ALTERNATIVE.match(sentence.core, first.end)
        if between is None or _lexicon().before.fullmatch(sentence.core, between.end(), second.start) is None:
            continue
        rest = sentence.core[second.end :]
        one_of_many = re.search(r"\w, (?:\w+ )?$", sentence.core[: first.start]) or first.finding.device
        if not one_of_many and not re.match(r"(?:,? (?:versus|vs|or|and/or) |/|,)", rest):
            return f"{sentence.core[: first.end]} and {sentence.core[between.end() :]}", first.finding.name
    return None


# Words for one shadow: "airspace disease may represent infiltrate" says nothing less than "is".
_DESCRIPTIONS = frozenset({"opacity", "infiltrate", "airspace disease", "consolidation", "calcification"})


def _surer(sentence: _Sentence) -> tuple[str, str, str] | None:
    """The core with its one doubt put away, the finding it was of, and the form; None where there is no such doubt."""
    if "XXXX" in sentence.core or not sentence.asserted or sentence.says("hypothetical"):
        return None
    if sentence.says("negating") and "cannot" not in sentence.core.lower():
        return None
    hedging = _lexicon().cues["hedging"]
    one = _both(sentence)
    core, name = one if one is not None else (sentence.core, "")
    if name and not hedging.search(core):
        return core, name, "both"
    mentions = _mentions(core)
    for pattern, new in _lexicon().table["certainty"]["raised"]:
        found = re.search(pattern, core, re.IGNORECASE)
        if found is None or hedging.search(f"{core[: found.start()]} {core[found.end() :]}"):
            continue
        after = [m for m in mentions if m.start >= found.start()]
        before = [m for m in mentions if m.end <= found.start()]
        target = after[0] if after else before[-1] if before and "excluded" in found.group() else None
        if target is None or target.finding.device or target.finding.background:
            continue
        if core[: found.start()].lower().endswith("most "):
            continue
        earlier = before[-1].finding.name if before else ""
        if earlier == target.finding.name or {earlier, target.finding.name} <= _DESCRIPTIONS:
            continue
        these = re.match(r"(?:these|they)\b", core, re.IGNORECASE) is not None
        plural = these or (bool(before) and _is_plural(core[before[-1].start : before[-1].end]))
        put = new.replace("{is}", _is(plural))
        if put == "there is" and _is_plural(core[target.start : target.end]):
            put = "there are"
        written = _mended(_capital(core[: found.start()] + _like(found.group(), put) + core[found.end() :]))
        return written, target.finding.name, f"both, {put}" if name else put
    return None


def _certainty_raised(report: _Report, chance: _Chance) -> _Plan | None:
    for sentence in chance.shuffled(report.sentences):
        made = _surer(sentence)
        if made is None:
            continue
        core, name, form = made
        cores: dict[int, str | None] = {sentence.index: core}
        for other in report.sentences:
            if other is not sentence and any(m.finding.name == name for m in other.asserted):
                again = _surer(other)
                if again is None or again[1] != name:
                    break
                cores[other.index] = again[0]
        else:
            return _Plan(name, form, cores)
    return None


# ----------------------------------------------------------------------------------------------------------------------
# The kinds that say what is no finding: devices, sizes, views, advice, earlier examinations.


def _device_invented(report: _Report, chance: _Chance) -> _Plan | None:
    for entry in chance.shuffled(_lexicon().table["device"]):
        finding = _lexicon().findings[entry["finding"]]
        if not report.names(finding.groups):
            return _put_in(report, chance, finding.name, _drawn(chance.pick(entry["texts"]), chance), "put in")
    return None


def _tip_moved(report: _Report, chance: _Chance) -> _Plan | None:
    table = _lexicon().table["tip"]
    places = re.compile(rf"\b{table['places']}(?!\w)", re.IGNORECASE)
    wheres = {"airway tube": "airway", "gastric tube": "stomach", "pacemaker": "rhythm", "central line": "vein"}
    for sentence, mention in _targets(report, chance, device=True):
        found = list(places.finditer(sentence.core))
        if len(found) != 1 or mention.finding.name not in wheres or sentence.says("denying"):
            continue
        new = chance.pick([w for w in table[wheres[mention.finding.name]] if w[3:] not in sentence.core.lower()])
        cores: dict[int, str | None] = {}
        for one in report.telling(mention.finding.groups):
            there = places.search(one.core)
            if there is not None:
                lead = "is " if there.group().lower().startswith("projects") else ""
                cores[one.index] = f"{one.core[: there.start()]}{lead}{new}{one.core[there.end() :]}"
        return _Plan(mention.finding.name, new, cores)
    return None


def _measurement_invented(report: _Report, chance: _Chance) -> _Plan | None:
    table = _lexicon().table["measurement"]
    if any(_SIZE.search(s.core) for s in report.sentences):
        return None
    simples = [
        p for p in map(_simple, report.sentences) if p is not None and p.mention.finding.name in table["findings"]
    ]
    simples = [
        p for p in simples if not p.plural and not p.mention.predicate and not p.tail and "omatous" not in p.head
    ]
    if simples and chance.below(4):
        p = chance.pick(simples)
        size = chance.pick(table["sizes"])
        form = chance.pick(["measuring", "up to", "brackets"])
        added = {"measuring": f", measuring {size}", "up to": f", up to {size}", "brackets": f" ({size})"}[form]
        end = len(p.sentence.core) - len(p.extra)
        core = p.sentence.core[:end] + added + p.sentence.core[end:]
        return _Plan(p.mention.finding.name, form, {p.sentence.index: core})
    return _put_in(report, chance, "a measurement", chance.pick(table["sentences"]), "put in")


def _measurement_altered(report: _Report, chance: _Chance) -> _Plan | None:
    for sentence in chance.shuffled(report.sentences):
        found = _SIZE.search(sentence.core)
        if found is None or found.group(5).lower() not in ("mm", "cm"):
            continue
        for factor in chance.shuffled([3.0, 1 / 3, 2.5, 0.4, 0.0]):
            new = _scaled(found, factor) if factor else _other_unit(found)
            if new is None:
                continue
            cores: dict[int, str | None] = {
                s.index: s.core.replace(found.group(), new) for s in report.sentences if found.group() in s.core
            }
            finding = sentence.asserted[0].finding.name if sentence.asserted else "a measurement"
            return _Plan(finding, f"{found.group()} to {new}", cores)
    return None


def _scaled(found: re.Match[str], factor: float) -> str | None:
    """A size made larger or smaller, with as many decimals; None where it would be none a chest has."""
    unit = found.group(5)

    def value(text: str) -> str:
        digits = len(text.partition(".")[2])
        return f"{float(text) * factor:.{digits}f}"

    first, second = value(found.group(1)), value(found.group(3)) if found.group(3) else ""
    millimetres = float(first) * (10 if unit.lower() == "cm" else 1)
    if not 2 <= millimetres <= 150 or float(first) == float(found.group(1)):
        return None
    return f"{first}{found.group(2) or ''}{second}{found.group(4)}{unit}"


def _other_unit(found: re.Match[str]) -> str | None:
    """The same number of the other unit, ten times too large or small; None where it would be none a chest has."""
    value, unit = float(found.group(1)), found.group(5).lower()
    if found.group(3) or not (1 <= value <= 12 if unit == "mm" else 2 <= value <= 30):
        return None
    return f"{found.group(1)}{found.group(4)}{'cm' if unit == 'mm' else 'mm'}"


def _view_invented(report: _Report, chance: _Chance) -> _Plan | None:
    if report.says("view"):
        return None
    return _put_in(report, chance, "a view", chance.pick(_lexicon().table["view"]["sentences"]), "put in")


def _advice_invented(report: _Report, chance: _Chance) -> _Plan | None:
    if report.says("advice"):
        return None
    return _put_in(report, chance, "advice", chance.pick(_lexicon().table["advice"]["sentences"]), "put in")


def _prior(report: _Report, chance: _Chance) -> _Plan | None:
    if report.says("prior"):
        return None
    table = _lexicon().table["prior"]
    simples = [p for p in map(_simple, report.sentences) if p is not None and not p.mention.predicate and not p.extra]
    normals = [s for s in report.sentences if _was_so(s) is not None]
    form = chance.pick(["word", "tail", "put in"] if simples else ["normal", "put in"] if normals else ["put in"])
    if form == "normal":
        s = chance.pick(normals)
        return _Plan("an earlier examination", form, {s.index: _was_so(s)})
    if form == "put in":
        return _put_in(report, chance, "an earlier examination", chance.pick(table["sentences"]), "put in")
    p = chance.pick(simples)
    if form == "tail":
        core = p.sentence.core + chance.pick(table["tails"])
        return _Plan(p.mention.finding.name, "tail", {p.sentence.index: core})
    word = chance.pick(table["words"])
    thing = f"{word.lower()} {p.whole}"
    if p.opening:
        # an article of number ("several") stays; "a" is set anew
        article = "" if p.article.lower() in ("a ", "an ", "the ") else p.article
        lead = article + thing if article else _with_article(thing, p.article.lower() in ("a ", "an "), p.plural)
        core = f"{p.opening}{lead}{p.verb}{p.tail}"
    else:
        core = f"{_capital(thing)}{p.verb}{p.tail}"
    return _Plan(p.mention.finding.name, "word", {p.sentence.index: core})


def _was_so(sentence: _Sentence) -> str | None:
    """A statement of normality as one that still holds; None where the sentence is no such statement with a verb."""
    if not any(n.pattern.fullmatch(sentence.core) for n in _lexicon().normals):
        return None
    verb = re.search(r" (?:is|are|appears?) ", sentence.core)
    if verb is None:
        return None
    again = "remains" if verb.group().strip() in ("is", "appears") else "remain"
    return f"{sentence.core[: verb.start()]} {again} {sentence.core[verb.end() :]}, unchanged from before"


_MAKERS: Mapping[Kind, Callable[[_Report, _Chance], _Plan | None]] = {
    Kind.OMISSION: _omission,
    Kind.INVENTION: _invention,
    Kind.PRESENT_TO_ABSENT: _present_to_absent,
    Kind.ABSENT_TO_PRESENT: _absent_to_present,
    Kind.SIDE: _side,
    Kind.PRIOR: _prior,
    Kind.SEVERITY: _severity,
    Kind.CERTAINTY_LOWERED: _certainty_lowered,
    Kind.CERTAINTY_RAISED: _certainty_raised,
    Kind.FINDING_REPLACED: _finding_replaced,
    Kind.ITEM_DROPPED: _item_dropped,
    Kind.LOCATION: _location,
    Kind.COUNT: _count,
    Kind.COURSE: _course,
    Kind.DEVICE_INVENTED: _device_invented,
    Kind.DEVICE_OMITTED: _device_omitted,
    Kind.TIP_MOVED: _tip_moved,
    Kind.MEASUREMENT_INVENTED: _measurement_invented,
    Kind.MEASUREMENT_ALTERED: _measurement_altered,
    Kind.VIEW_INVENTED: _view_invented,
    Kind.ADVICE_INVENTED: _advice_invented,
}


# ----------------------------------------------------------------------------------------------------------------------
# Rewritings that keep the meaning.


def _rewritten(report: _Report, cores: Mapping[int, str]) -> str | None:
    done = _carry_out(report, _Plan("", "", dict(cores)))
    return None if done is None else done[0]


def _denials_said_otherwise(report: _Report, chance: _Chance) -> str | None:
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        denial = _denial(sentence)
        if denial is None or denial.front or not chance.below(4):
            continue
        if re.search(r"\b(?:definite|convincing|obvious|clear)\b", denial.opening):
            continue
        texts = [_lowered(i.text) for i in chance.shuffled(denial.items)]
        if not chance.below(3):
            texts = [re.sub(r"\b(effusion|infiltrate|consolidation|nodule|fracture)s\b", r"\1", one) for one in texts]
        listed = _joined(texts, "or")
        is_ = _is(_is_plural(texts[0]))
        forms = [f"There {is_} no {listed}", f"No {listed}", f"No {listed} {is_} seen", f"Negative for {listed}"]
        forms += [f"No evidence of {listed}", f"No radiographic evidence of {listed}"]
        forms.append(". ".join(f"No {one}" for one in texts))
        if len(texts) == 1:
            forms += [f"{_capital(texts[0])} {is_} not seen", f"{_capital(texts[0])} {is_} absent"]
        if len(texts) == 2:
            forms.append(f"Neither {texts[0]} nor {texts[1]} is seen")
        cores[sentence.index] = chance.pick(forms)
    return _rewritten(report, cores)


def _statements_said_otherwise(report: _Report, chance: _Chance) -> str | None:
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        p = _simple(sentence)
        if p is None or p.mention.predicate is not None or p.tail or not chance.below(4):
            continue
        number = p.article if p.article.lower().strip() not in ("a", "an", "the", "") else ""
        plural = p.plural or bool(number and number.lower() not in ("single ", "some "))
        thing = f"{_lowered(number)}{p.whole}"
        counted = p.mention.finding.counted and not number
        full = _with_article(thing, counted, p.plural)
        is_ = _is(plural)
        forms = [f"There {is_} {full}", f"There {is_} {full} present", _capital(thing)]
        forms += [f"{_capital(full)} {is_} {verb}" for verb in ("seen", "present", "noted")]
        forms += _by_place(p, number)
        cores[sentence.index] = chance.pick(forms) + p.extra
    return _rewritten(report, cores)


def _by_place(simple: _Simple, number: str) -> list[str]:
    """The statement with its place before the finding or as its subject."""
    place = re.fullmatch(
        r" (?:in|within) the ((?:left|right) (?:upper|lower) (?:lobe|lung)|(?:left|right) lung base)", simple.place
    )
    if place is None or _SIDE.search(simple.modifiers) or re.search(r"\b(?:upper|lower|lobe)\b", simple.modifiers):
        return []
    thing = f"{_lowered(number)}{simple.modifiers}{simple.head}"
    shown = _with_article(thing, simple.mention.finding.counted and not number, simple.plural)
    return [
        f"{_capital(_lowered(number) + place.group(1))} {simple.modifiers}{simple.head}",
        f"The {place.group(1)} shows {shown}",
    ]


def _same_sentences(report: _Report, chance: _Chance) -> str | None:
    rows = [(_compiled(row["pattern"]), row) for row in _lexicon().table["same"]]
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        row = next((r for pattern, r in rows if pattern.fullmatch(sentence.core)), None)
        if row is not None and chance.below(4):
            degree = row.get("keeps", "")
            kept = bool(degree) and degree in sentence.core.lower()
            text = re.sub(r"\{(\w+ )\}", r"\1" if kept else "", chance.pick(row["texts"]))
            cores[sentence.index] = _capital(text)
    return _rewritten(report, cores)


def _synonyms(report: _Report, chance: _Chance) -> str | None:
    """Up to two synonyms a sentence."""
    rules = [(re.compile(a, re.IGNORECASE), b) for a, b in _lexicon().table["synonyms"]["pairs"]]
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        core, left = sentence.core, 0 if "XXXX" in sentence.core else 2
        for pattern, new in chance.shuffled(rules):
            if left and pattern.search(sentence.core) and pattern.search(core) and chance.below(2):
                core = _mended(pattern.sub(partial(_like_phrase, new), core))
                left -= 1
        cores[sentence.index] = core
    return _rewritten(report, cores)


def _like_phrase(new: str, found: re.Match[str]) -> str:
    """What is written for the words found; with a capital where they had one that is no abbreviation's."""
    put = found.expand(new)
    capital = found.start() == 0 or found.group()[1:2].islower()
    return _capital(put) if capital and found.group()[:1].isupper() else put


def _units(report: _Report, chance: _Chance) -> str | None:
    """8 mm is 0.8 cm."""
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        found = _SIZE.search(sentence.core)
        if found is None or found.group(2) or found.group(5).lower() not in ("mm", "cm"):
            continue
        value, unit = float(found.group(1)), found.group(5).lower()
        other = f"{value / 10:g} cm" if unit == "mm" else f"{value * 10:g} mm"
        cores[sentence.index] = sentence.core[: found.start()] + other + sentence.core[found.end() :]
    return _rewritten(report, cores)


def _pieces(report: _Report, section: int) -> list[str]:
    """The sentences of a section as written, without their numbers and with their full stop."""
    return [_capital(s.core) + "." for s in report.of_section(section)]


def _joined_sections(report: _Report, contents: Mapping[int, str], headings: Mapping[int, str] | None = None) -> str:
    out = []
    for number, section in enumerate(report.sections):
        heading = report.text[section.heading : section.start]
        if headings is not None and number in headings:
            heading = headings[number]
        body = contents.get(number, report.text[section.start : section.end].strip())
        out.append(f"{heading}{body}")
    return "\n\n".join(piece.strip() for piece in out if piece.strip())


def _sentence_order(report: _Report, chance: _Chance) -> str | None:
    contents: dict[int, str] = {}
    for number in range(len(report.sections)):
        inside = report.of_section(number)
        if len(inside) < 2 or any(s.number is not None for s in inside) or any(s.leaning for s in inside):
            continue
        if any(
            re.search(r"\b(?:otherwise|other|above|below|former|latter|these|this)\b", s.core, re.I) for s in inside
        ):
            continue
        contents[number] = " ".join(chance.shuffled(_pieces(report, number)))
    return _joined_sections(report, contents) if contents else None


def _sections_merged(report: _Report, chance: _Chance) -> str | None:
    names = [s.name for s in report.sections]
    if names != ["FINDINGS", "IMPRESSION"]:
        return None
    bodies = [" ".join(_pieces(report, n)) for n in range(2)]
    return chance.pick(
        [
            " ".join(b for b in bodies if b), "FINDINGS AND IMPRESSION: " + " ".join(b for b in bodies if b),
            f"IMPRESSION: {bodies[1]}\n\nFINDINGS: {bodies[0]}" if all(bodies) else " ".join(bodies).strip(),
        ]
    )  # fmt: skip


def _sentences_joined(report: _Report, chance: _Chance) -> str | None:
    pairs = [
        (a, b)
        for a, b in zip(report.sentences, report.sentences[1:], strict=False)
        if a.section == b.section and b.number is None and not b.leaning and "XXXX" not in a.core + b.core
    ]
    if not pairs:
        return None
    first, second = chance.pick(pairs)
    text = report.text
    return text[: first.end] + "; " + _lowered(text[second.start :])


def _typography(report: _Report, chance: _Chance) -> str | None:
    text = report.text
    form = chance.below(7)
    if form == 0:
        # headings stay as they are, by which the sections are told apart
        parts = [(s.name, text[s.heading : s.start], text[s.start : s.end]) for s in report.sections]
        return "".join(heading + body.lower() for _, heading, body in parts)
    if form == 1:
        return text.upper()
    if form == 2:
        return re.sub(r"\.(\s*)$", r"\1", text)
    bodies = {n: _pieces(report, n) for n in range(len(report.sections)) if report.of_section(n)}
    if form == 3:
        return _joined_sections(report, {n: "\n".join(p) for n, p in bodies.items()})
    if form == 4:
        return _joined_sections(report, {n: "\n" + "\n".join(f"- {one}" for one in p) for n, p in bodies.items()})
    if form == 5:
        numbered = {n: " ".join(f"{i + 1}. {one}" for i, one in enumerate(p)) for n, p in bodies.items()}
        return _joined_sections(report, numbered)
    return _joined_sections(report, {n: "  ".join(p) for n, p in bodies.items()})


_STEPS: Sequence[tuple[str, int, Callable[[_Report, _Chance], str | None]]] = (
    ("denials", 80, _denials_said_otherwise),
    ("statements", 80, _statements_said_otherwise),
    ("same", 70, _same_sentences),
    ("synonyms", 70, _synonyms),
    ("units", 50, _units),
    ("order", 60, _sentence_order),
    ("joined", 25, _sentences_joined),
    ("sections", 30, _sections_merged),
    ("typography", 50, _typography),
)
