"""The kinds that make a finding less sure or surer.

Each `plan_` function gives the plan of one change, or None where the report offers no place for it.
"""

from __future__ import annotations

import re

from hilum.labeling.corrupter.chance import Chance
from hilum.labeling.corrupter.forms import as_simple
from hilum.labeling.corrupter.lexicon import lexicon
from hilum.labeling.corrupter.places import targets
from hilum.labeling.corrupter.reading import Report, Sentence, mentions_in
from hilum.labeling.corrupter.wording import capitalised, in_letters_of, is_or_are, is_plural, mended
from hilum.labeling.corrupter.writing import Plan


def plan_certainty_lowered(report: Report, chance: Chance) -> Plan | None:
    """A finding that is stated becomes one that may be."""
    for _, mention in targets(report, chance):
        told = report.telling(mention.finding.groups)
        simples = [p for p in map(as_simple, told) if p is not None and p.mention.finding is mention.finding]
        if not simples or len(simples) != len(told):
            continue
        form = chance.pick(lexicon().table["certainty"]["lowered"])
        named = "predicate" if all(p.mention.predicate is not None for p in simples) else form
        cores: dict[int, str | None] = {}
        for p in simples:
            if p.mention.predicate is not None:
                parts = p.mention.predicate
                quality = f"{parts.group('adverbs')}{parts.group('quality')}"
                wording = chance.pick(["may be", "is possibly", "could be"])
                if parts.group("verb").lower() in ("are", "appear", "remain"):
                    wording = wording.replace("is ", "are ")
                core = f"{capitalised(p.article + parts.group('subject'))} {wording} {quality}"
            else:
                thing = p.whole
                core = (
                    form.replace("{np}", thing).replace("{Np}", capitalised(thing)).replace("{is}", is_or_are(p.plural))
                )
            cores[p.sentence.index] = core + p.extra
        return Plan(mention.finding.name, named, cores)
    return None


_ALTERNATIVE = re.compile(r",? (?:versus|vs\.?|or|and/or) (?:an? )?", re.IGNORECASE)


def _both(sentence: Sentence) -> tuple[str, str] | None:
    """The core with both of two alternatives ("atelectasis or scarring"), and the name of the first of them."""
    for first, second in zip(sentence.mentions, sentence.mentions[1:], strict=False):
        between = _ALTERNATIVE.match(sentence.core, first.end)
        if between is None or lexicon().before.fullmatch(sentence.core, between.end(), second.start) is None:
            continue
        rest = sentence.core[second.end :]
        one_of_many = re.search(r"\w, (?:\w+ )?$", sentence.core[: first.start]) or first.finding.device
        if not one_of_many and not re.match(r"(?:,? (?:versus|vs|or|and/or) |/|,)", rest):
            return f"{sentence.core[: first.end]} and {sentence.core[between.end() :]}", first.finding.name
    return None


# Words for one shadow: "airspace disease may represent infiltrate" says nothing less than "is".
_DESCRIPTIONS = frozenset({"opacity", "infiltrate", "airspace disease", "consolidation", "calcification"})


def _surer(sentence: Sentence) -> tuple[str, str, str] | None:
    """The core with its one doubt put away, the finding it was of, and the form; None where there is no such doubt."""
    if "XXXX" in sentence.core or not sentence.asserted or sentence.says("hypothetical"):
        return None
    if sentence.says("negating") and "cannot" not in sentence.core.lower():
        return None
    hedging = lexicon().cues["hedging"]
    one = _both(sentence)
    core, name = one if one is not None else (sentence.core, "")
    if name and not hedging.search(core):
        return core, name, "both"
    mentions = mentions_in(core)
    for pattern, new in lexicon().table["certainty"]["raised"]:
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
        plural = these or (bool(before) and is_plural(core[before[-1].start : before[-1].end]))
        put = new.replace("{is}", is_or_are(plural))
        if put == "there is" and is_plural(core[target.start : target.end]):
            put = "there are"
        written = mended(capitalised(core[: found.start()] + in_letters_of(found.group(), put) + core[found.end() :]))
        return written, target.finding.name, f"both, {put}" if name else put
    return None


def plan_certainty_raised(report: Report, chance: Chance) -> Plan | None:
    """A finding that may be becomes one that is stated."""
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
            return Plan(name, form, cores)
    return None
