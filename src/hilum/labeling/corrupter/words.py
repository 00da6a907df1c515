"""The kinds that alter a word of a finding: side, degree, location, course, number.

Each `plan_` function gives the plan of one change, or None where the report offers no place for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hilum.labeling.corrupter.chance import Chance
from hilum.labeling.corrupter.forms import Simple, as_simple
from hilum.labeling.corrupter.lexicon import SIDE, SIZE, Finding, lexicon
from hilum.labeling.corrupter.places import targets
from hilum.labeling.corrupter.reading import Report, Sentence
from hilum.labeling.corrupter.wording import capitalised, in_letters_of, is_or_are, mended, pluralised, singular
from hilum.labeling.corrupter.writing import Plan

_OTHER_SIDE = {"left": "right", "right": "left", "lll": "rll", "rll": "lll", "lul": "rul", "rul": "lul"}
_Swap = Callable[[Sentence], str | None]


def _everywhere(
    report: Report, target: Sentence, groups: frozenset[str], swap: _Swap, marked: _Swap
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
            cores[sentence.index] = mended(core)
    return cores or None


def _sides(sentence: Sentence) -> str | None:
    """The side that a sentence names, "mixed" where it is not one."""
    found = {w.lower()[0] for w in SIDE.findall(sentence.core)}
    if not found:
        return None
    return found.pop() if len(found) == 1 and not sentence.says("both_sides") else "mixed"


def _other_side(sentence: Sentence) -> str | None:
    if sentence.says("fixed_side") or any(m.finding.device or m.state == "denied" for m in sentence.mentions):
        return None
    if sentence.says("denying") or sentence.says("hypothetical"):
        return None
    return SIDE.sub(lambda m: in_letters_of(m.group(), _OTHER_SIDE[m.group().lower()]), sentence.core)


def plan_side(report: Report, chance: Chance) -> Plan | None:
    """Left becomes right, and right left."""
    for sentence, mention in targets(report, chance):
        if _sides(sentence) in (None, "mixed") or len(sentence.asserted) > 2:
            continue
        if any(m.finding.name in lexicon().table["side"]["without"] for m in sentence.asserted):
            continue
        groups = frozenset().union(*(m.finding.groups for m in sentence.asserted))
        cores = _everywhere(report, sentence, groups, _other_side, _sides)
        if cores is not None:
            return Plan(mention.finding.name, SIDE.findall(sentence.core)[0].lower(), cores)
    return None


def _degree(sentence: Sentence, groups: frozenset[str]) -> re.Match[str] | None:
    """The one word of degree that stands before a finding of these groups, or in its predicate."""
    words = sorted({a for a, _ in lexicon().table["severity"]["pairs"]})
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
        if word.end() < mention.start and lexicon().before.fullmatch(between):
            return word
    return None


def plan_severity(report: Report, chance: Chance) -> Plan | None:
    """The degree of a finding becomes one far from it."""
    severity = lexicon().table["severity"]
    for sentence, mention in targets(report, chance):
        word = _degree(sentence, mention.finding.groups)
        if word is None or sentence.says("denying") or sentence.says("hypothetical"):
            continue
        options = [b for a, b in severity["pairs"] if a == word.group().lower() and _takes(mention.finding, b)]
        if not options:
            continue
        new = chance.pick(options)
        up = new in severity["high"]

        def swap(other: Sentence, new: str = new, up: bool = up) -> str | None:
            found = _degree(other, mention.finding.groups)  # noqa: B023 - called before the loop goes on
            if found is None:
                return None
            names = [b for a, b in severity["pairs"] if a == found.group().lower() and (b in severity["high"]) is up]
            fitting = [b for b in names if _takes(mention.finding, b)]  # noqa: B023
            if not fitting:
                return None
            put = new if new in fitting else fitting[0]
            return other.core[: found.start()] + in_letters_of(found.group(), put) + other.core[found.end() :]

        def marked(other: Sentence) -> str | None:
            found = _degree(other, mention.finding.groups)  # noqa: B023
            return None if found is None else "degree"

        cores = _everywhere(report, sentence, mention.finding.groups, swap, marked)
        if cores is not None:
            return Plan(mention.finding.name, f"{word.group().lower()} to {new}", cores)
    return None


def _takes(finding: Finding, word: str) -> bool:
    only = lexicon().table["severity"]["only"]
    return word not in only or finding.name in only[word]


def _one_of(pairs: Sequence[Sequence[str]]) -> re.Pattern[str]:
    """Any of the words on the left, the longest first."""
    words = sorted({a for a, _ in pairs}, key=lambda w: (-len(w), w))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w-])", re.IGNORECASE)


def plan_location(report: Report, chance: Chance) -> Plan | None:
    """A place in the lung becomes one at another height."""
    table = lexicon().table["location"]
    pairs = dict(table["pairs"])
    pattern = _one_of(table["pairs"])

    def level(sentence: Sentence) -> str | None:
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

    def swap(sentence: Sentence) -> str | None:
        if (
            sentence.says("denying")
            or sentence.says("hypothetical")
            or any(m.finding.device for m in sentence.mentions)
        ):
            return None
        return pattern.sub(lambda m: in_letters_of(m.group(), pairs[m.group().lower()]), sentence.core)

    for sentence, mention in targets(report, chance):
        if mention.finding.name not in table["findings"] or level(sentence) in (None, "mixed"):
            continue
        if any(m.finding.name not in table["findings"] for m in sentence.asserted):
            continue
        groups = frozenset().union(*(m.finding.groups for m in sentence.asserted))
        cores = _everywhere(report, sentence, groups, swap, level)
        if cores is not None:
            return Plan(mention.finding.name, pattern.findall(sentence.core)[0].lower(), cores)
    return None


def plan_course(report: Report, chance: Chance) -> Plan | None:
    """The course that a finding is said to take becomes another."""
    table = lexicon().table["course"]
    pattern = _one_of(table["pairs"])

    def word(sentence: Sentence) -> str | None:
        # "there is stable X" holds no "is stable"
        core = re.sub(r"\bthere (?:is|are) an? |\bthere (?:is|are) ", "there     ", sentence.core, flags=re.IGNORECASE)
        found = pattern.findall(core)
        return found[0].lower() if len(found) == 1 else ("mixed" if found else None)

    for sentence, mention in targets(report, chance):
        old = word(sentence)
        if old in (None, "mixed") or len(sentence.asserted) > 1:
            continue
        place = re.search(rf"(?<![\w-]){old}(?![\w-]),? ", sentence.core, re.IGNORECASE)
        if place is not None and place.end() <= mention.start:
            between = sentence.core[place.end() : mention.start]
            if lexicon().before.fullmatch(between) is None and "XXXX" not in between:
                continue
        lasting = mention.finding.name in table["lasting"]
        options = [b for a, b in table["pairs"] if a == old and not (lasting and b in table["better"])]
        if not options:
            continue
        new = chance.pick(options)

        def swap(other: Sentence, old: str = old or "", new: str = new) -> str | None:
            found = re.search(rf"(?<![\w-]){old}(?![\w-])", other.core, re.IGNORECASE)
            if found is None or other.says("denying") or any(m.finding.device for m in other.mentions):
                return None
            if re.search(r"\b(?:appears?|remains?|grossly|relatively|and|or|not) $", other.core[: found.start()]):
                return None
            return other.core[: found.start()] + in_letters_of(found.group(), new) + other.core[found.end() :]

        cores = _everywhere(report, sentence, mention.finding.groups, swap, word)
        if cores is not None:
            return Plan(mention.finding.name, f"{old} to {new}", cores)
    return None


_COUNTED = re.compile(
    r"\b(?:granulomas?|nodules?|opacit(?:y|ies)|mass(?:es)?|fractures?|cyst|cysts|lesions?|infiltrates?|densit(?:y|ies))$",
    re.I,
)


def plan_count(report: Report, chance: Chance) -> Plan | None:
    """One becomes several, and several one."""
    for _, mention in targets(report, chance):
        told = report.telling(mention.finding.groups)
        simples = [p for p in map(as_simple, told) if p is not None and p.mention.finding is mention.finding]
        if not simples or len(simples) != len(told) or len({p.plural for p in simples}) != 1:
            continue
        if not mention.finding.counted:
            continue
        if not all(_COUNTED.search(p.head) for p in simples) or any(" and " in p.modifiers for p in simples):
            continue
        if any(p.sentence.says("both_sides") or SIZE.search(p.sentence.core) for p in simples):
            continue
        number = chance.pick(
            ["a single", "one", "a solitary"] if simples[0].plural else ["multiple", "several", "three"]
        )
        cores = {p.sentence.index: _numbered(p, number) for p in simples}
        return Plan(mention.finding.name, number, dict(cores))
    return None


def _numbered(simple: Simple, number: str) -> str:
    plural = not simple.plural
    head = pluralised(simple.head) if plural else singular(simple.head)
    modifiers = re.sub(r"\b(?:scattered|multifocal|solitary|single|some) ", "", simple.modifiers)
    thing = f"{number} {modifiers}{head}{simple.place}"
    verb, tail = (re.sub(r"\b(?:is|are)\b", is_or_are(plural), part) for part in (simple.verb, simple.tail))
    lead = f"There {is_or_are(plural)} {thing}" if simple.opening else capitalised(thing)
    return f"{lead}{verb}{tail}{simple.extra}"
