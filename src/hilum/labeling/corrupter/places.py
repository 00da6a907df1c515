"""Where a report can be changed: the findings to try, and where a sentence can be put in."""

from __future__ import annotations

import re

from hilum.labeling.corrupter.chance import Chance
from hilum.labeling.corrupter.lexicon import lexicon
from hilum.labeling.corrupter.reading import Mention, Report, Sentence
from hilum.labeling.corrupter.wording import capitalised, mended
from hilum.labeling.corrupter.writing import Plan


def targets(report: Report, chance: Chance, *, device: bool = False) -> list[tuple[Sentence, Mention]]:
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


def _unnamed(sentence: Sentence, mention: Mention) -> bool:
    """Whether de-identification has taken the word that names it ("lymph XXXX", "chest XXXX tip")."""
    words = sentence.core[mention.start : mention.end].lower()
    return "xxxx" in words or (words.endswith("tip") and len(words.split()) < 3 and "XXXX" in sentence.core)


def from_template(template: str, chance: Chance) -> str:
    """A template with its slots filled."""
    slots = lexicon().table["slots"]
    return mended(capitalised(re.sub(r"\{(\w+)\}", lambda m: str(chance.pick(slots[m.group(1)])), template)))


def _spots(report: Report, chance: Chance) -> list[int]:
    """Sentences after which one can be put in; in a numbered list only the last."""
    out = []
    for s in report.sentences:
        following = next((t for t in report.sentences if t.index == s.index + 1 and t.section == s.section), None)
        if following is None or (s.number is None and following.number is None and not following.leaning):
            out.append(s.index)
    return chance.shuffled(out)


def put_in(report: Report, chance: Chance, finding: str, sentence: str, form: str) -> Plan:
    """A plan that puts one sentence in at a drawn place and changes no other."""
    return Plan(finding, form, {}, [(_spots(report, chance)[0], sentence)])
