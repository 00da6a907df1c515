"""The kinds that say what is no finding: devices, sizes, views, advice, earlier examinations.

Each `plan_` function gives the plan of one change, or None where the report offers no place for it.
"""

from __future__ import annotations

import re

from hilum.labeling.corrupter.chance import Chance
from hilum.labeling.corrupter.forms import as_simple
from hilum.labeling.corrupter.lexicon import SIZE, lexicon
from hilum.labeling.corrupter.places import from_template, put_in, targets
from hilum.labeling.corrupter.reading import Report, Sentence
from hilum.labeling.corrupter.wording import capitalised, with_article
from hilum.labeling.corrupter.writing import Plan


def plan_device_invented(report: Report, chance: Chance) -> Plan | None:
    """A device comes of a sort that the report does not name."""
    for entry in chance.shuffled(lexicon().table["device"]):
        finding = lexicon().findings[entry["finding"]]
        if not report.names(finding.groups):
            return put_in(report, chance, finding.name, from_template(chance.pick(entry["texts"]), chance), "put in")
    return None


def plan_tip_moved(report: Report, chance: Chance) -> Plan | None:
    """The tip of a device lies elsewhere."""
    table = lexicon().table["tip"]
    places = re.compile(rf"\b{table['places']}(?!\w)", re.IGNORECASE)
    wheres = {"airway tube": "airway", "gastric tube": "stomach", "pacemaker": "rhythm", "central line": "vein"}
    for sentence, mention in targets(report, chance, device=True):
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
        return Plan(mention.finding.name, new, cores)
    return None


def plan_measurement_invented(report: Report, chance: Chance) -> Plan | None:
    """A size comes into a report that has none."""
    table = lexicon().table["measurement"]
    if any(SIZE.search(s.core) for s in report.sentences):
        return None
    simples = [
        p for p in map(as_simple, report.sentences) if p is not None and p.mention.finding.name in table["findings"]
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
        return Plan(p.mention.finding.name, form, {p.sentence.index: core})
    return put_in(report, chance, "a measurement", chance.pick(table["sentences"]), "put in")


def plan_measurement_altered(report: Report, chance: Chance) -> Plan | None:
    """A size becomes much larger or smaller."""
    for sentence in chance.shuffled(report.sentences):
        found = SIZE.search(sentence.core)
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
            return Plan(finding, f"{found.group()} to {new}", cores)
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


def plan_view_invented(report: Report, chance: Chance) -> Plan | None:
    """A view is spoken of in a report that speaks of none."""
    if report.says("view"):
        return None
    return put_in(report, chance, "a view", chance.pick(lexicon().table["view"]["sentences"]), "put in")


def plan_advice_invented(report: Report, chance: Chance) -> Plan | None:
    """Advice is given in a report that gives none."""
    if report.says("advice"):
        return None
    return put_in(report, chance, "advice", chance.pick(lexicon().table["advice"]["sentences"]), "put in")


def plan_prior(report: Report, chance: Chance) -> Plan | None:
    """A report that compares with nothing compares with an earlier examination."""
    if report.says("prior"):
        return None
    table = lexicon().table["prior"]
    simples = [p for p in map(as_simple, report.sentences) if p is not None and not p.mention.predicate and not p.extra]
    normals = [s for s in report.sentences if _was_so(s) is not None]
    form = chance.pick(["word", "tail", "put in"] if simples else ["normal", "put in"] if normals else ["put in"])
    if form == "normal":
        s = chance.pick(normals)
        return Plan("an earlier examination", form, {s.index: _was_so(s)})
    if form == "put in":
        return put_in(report, chance, "an earlier examination", chance.pick(table["sentences"]), "put in")
    p = chance.pick(simples)
    if form == "tail":
        core = p.sentence.core + chance.pick(table["tails"])
        return Plan(p.mention.finding.name, "tail", {p.sentence.index: core})
    word = chance.pick(table["words"])
    thing = f"{word.lower()} {p.whole}"
    if p.opening:
        # an article of number ("several") stays; "a" is set anew
        article = "" if p.article.lower() in ("a ", "an ", "the ") else p.article
        lead = article + thing if article else with_article(thing, p.article.lower() in ("a ", "an "), p.plural)
        core = f"{p.opening}{lead}{p.verb}{p.tail}"
    else:
        core = f"{capitalised(thing)}{p.verb}{p.tail}"
    return Plan(p.mention.finding.name, "word", {p.sentence.index: core})


def _was_so(sentence: Sentence) -> str | None:
    """A statement of normality as one that still holds; None where the sentence is no such statement with a verb."""
    if not any(n.pattern.fullmatch(sentence.core) for n in lexicon().normals):
        return None
    verb = re.search(r" (?:is|are|appears?) ", sentence.core)
    if verb is None:
        return None
    again = "remains" if verb.group().strip() in ("is", "appears") else "remain"
    return f"{sentence.core[: verb.start()]} {again} {sentence.core[verb.end() :]}, unchanged from before"
