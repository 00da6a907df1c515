"""The sentences whose whole form is understood: plain statements and plain denials."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hilum.labeling.corrupter.lexicon import lexicon
from hilum.labeling.corrupter.reading import Mention, Sentence, mentions_in
from hilum.labeling.corrupter.wording import is_plural, joined, lowered


@dataclass(frozen=True, slots=True)
class Simple:
    """A plain statement of one finding, wholly understood: opening, article, modifiers, head, place, verb, tail.

    extra is a denial that follows ("without acute disease"), blanket what it denies.
    """

    sentence: Sentence
    mention: Mention
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
        """Whether its noun is plural."""
        return is_plural(self.head)

    @property
    def whole(self) -> str:
        """The noun phrase with its modifiers and place, without article."""
        return f"{self.modifiers}{self.head}{self.place}"

    @property
    def bare(self) -> str:
        """The noun phrase without degree, size, course and number: what a denial denies."""
        kept = lexicon().dropped.sub("", self.modifiers)
        return f"{re.sub(r'^(?:and )|(?:, | and )$', '', kept)}{self.head}{self.place}"


def as_simple(sentence: Sentence) -> Simple | None:
    """The parts of a plain statement of one finding; None where the sentence is anything else."""
    words = lexicon()
    stated = sentence.asserted
    if len(stated) != 1 or stated[0].finding.device or stated[0].finding.background:
        return None
    mention = stated[0]
    after = words.after.fullmatch(sentence.core, mention.end)
    if after is None or any(m.start < mention.start for m in sentence.mentions if m is not mention):
        return None
    plain = sentence.core[: after.start("extra")] if after.group("extra") else sentence.core
    if words.cues["negating"].search(plain) or words.cues["hedging"].search(plain) or "XXXX" in plain:
        return None
    if mention.predicate is not None:
        before = re.compile(r"(?:the )?", re.IGNORECASE).fullmatch(sentence.core, 0, mention.start)
        if before is None or after.group("place") or after.group("verb"):
            return None
        opening, article, modifiers = "", before.group(), ""
    else:
        before = words.before.fullmatch(sentence.core, 0, mention.start)
        if before is None:
            return None
        opening, article, modifiers = (before.group(part) or "" for part in ("opening", "article", "modifiers"))
    return Simple(
        sentence,
        mention,
        opening,
        article,
        modifiers if opening or article else lowered(modifiers),
        sentence.core[mention.start : mention.end] if modifiers or opening or article
        else lowered(sentence.core[mention.start : mention.end]),
        after.group("place") + (after.group("place2") if after.group("verb") else ""),
        after.group("verb") or "",
        after.group("tail"),
        after.group("extra") or "",
        after.group("blanket") or "",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One finding of a list of denied ones: the words as written and without those that only a denial has."""

    text: str
    mention: Mention
    positive: str


@dataclass(frozen=True, slots=True)
class Denial:
    """A plain denial of one or more findings: opening, items, closing ("is seen")."""

    sentence: Sentence
    opening: str
    items: tuple[Item, ...]
    closing: str
    front: str

    def without(self, gone: Item) -> str:
        """The sentence that denies all but one item; "" where none is left."""
        left = [item for item in self.items if item is not gone]
        return f"{self.opening}{joined([i.text for i in left], 'or')}{self.closing}" if left else ""


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


def as_denial(sentence: Sentence) -> Denial | None:
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
    return Denial(sentence, opened.group("opening"), known, closed, opened.group("front"))


def _item(text: str) -> Item | None:
    reason = re.search(r" (?:to suggest|suggesting|suggestive of) (?:an? )?(?:acute )?pneumonia$", text, re.IGNORECASE)
    named = text[: reason.start()] if reason else text
    mentions = mentions_in(named)
    if len(mentions) != 1 or mentions[0].end != len(named) or mentions[0].finding.device:
        return None
    modifiers = lexicon().denied_item.fullmatch(named, 0, mentions[0].start)
    if modifiers is None:
        return None
    kept = "".join(f"{m.group()} " for m in _KEPT_WHEN_PRESENT.finditer(re.sub(r"areas? of", "", modifiers.group())))
    return Item(text, mentions[0], kept.lower() + lowered(named[mentions[0].start :]))
