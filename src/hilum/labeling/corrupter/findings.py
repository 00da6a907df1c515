"""The kinds that take out, put in, turn round or replace a finding.

Each `plan_` function gives the plan of one change, or None where the report offers no place for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hilum.labeling.corrupter.chance import Chance
from hilum.labeling.corrupter.forms import Denial, Item, Simple, as_denial, as_simple
from hilum.labeling.corrupter.lexicon import Finding, lexicon
from hilum.labeling.corrupter.places import from_template, put_in, targets
from hilum.labeling.corrupter.reading import Mention, Report, Sentence, mentions_in
from hilum.labeling.corrupter.wording import capitalised, is_or_are, is_plural, joined, lowered, with_article
from hilum.labeling.corrupter.writing import Plan


def _removable(report: Report, sentence: Sentence) -> bool:
    """Whether a sentence can go without leaving another hanging or taking a denial along."""
    following = next((s for s in report.sentences if s.index == sentence.index + 1), None)
    hanging = following is not None and following.section == sentence.section and following.leaning
    denies = any(m.state == "denied" for m in sentence.mentions) or sentence.says("negating")
    return not hanging and not denies and not sentence.leaning


def _taken_out(report: Report, chance: Chance, *, device: bool) -> Plan | None:
    for _, mention in targets(report, chance, device=device):
        cores: dict[int, str | None] = {}
        form = "sentence"
        told = report.telling(mention.finding.groups)
        for one in told:
            simple = as_simple(one)
            if simple is not None and simple.extra:
                cores[one.index] = f"No {lowered(simple.blanket)}"
                form = "clause"
            elif _removable(report, one) and all(m.finding.device == device for m in one.asserted):
                cores[one.index] = None
            else:
                break
        if told and len(cores) == len(told):
            return Plan(mention.finding.name, form if len(told) == 1 else f"{form}, all of {len(told)}", cores)
    return None


def plan_omission(report: Report, chance: Chance) -> Plan | None:
    """A finding goes from every sentence that tells it."""
    return _taken_out(report, chance, device=False)


def plan_device_omitted(report: Report, chance: Chance) -> Plan | None:
    """A device goes from every sentence that tells it."""
    return _taken_out(report, chance, device=True)


def _contradicted(report: Report, regions: frozenset[str], but: Iterable[int] = ()) -> frozenset[int]:
    """The whole statements of normality that a finding of these regions would contradict."""
    return frozenset(
        s.index
        for s in report.sentences
        if s.index not in set(but)
        and any(n.denies & regions and n.pattern.fullmatch(s.core) for n in lexicon().normals)
        and not any(t.index == s.index + 1 and t.section == s.section and t.leaning for t in report.sentences)
    )


def plan_invention(report: Report, chance: Chance) -> Plan | None:
    """A finding comes that the report does not tell, in the place of its denial where there is one."""
    for entry in chance.shuffled(lexicon().table["invention"]):
        finding = lexicon().findings[entry["finding"]]
        if report.telling(finding.groups):
            continue
        text = from_template(chance.pick(entry["texts"]), chance)
        naming = [s for s in report.denying(finding.groups) if any(m.finding is finding for m in s.mentions)]
        if len(naming) > 1:
            continue
        normal = _contradicted(report, frozenset({finding.region}))
        if not naming:
            plan = put_in(report, chance, finding.name, text, "put in")
            gone: dict[int, str | None] = dict.fromkeys(normal)
            spot = plan.inserts[0][0]
            if spot in gone:
                return Plan(finding.name, "for a statement of normality", gone | {spot: text[:-1]}, (), normal - {spot})
            return Plan(finding.name, plan.form, gone, plan.inserts, normal)
        denial = as_denial(naming[0])
        if denial is None or (denial.front and finding.groups & {"parenchyma", "nodular"}):
            continue
        item = next((i for i in denial.items if i.mention.finding is finding), None)
        if item is None:
            continue
        left = denial.without(item) or (denial.front and f"{denial.front}")
        both = [left, text[:-1]] if chance.below(2) else [text[:-1], left]
        core = ". ".join(capitalised(part) for part in both if part)
        cores: dict[int, str | None] = {**dict.fromkeys(normal - {naming[0].index}), naming[0].index: core}
        return Plan(finding.name, "for a denial", cores, (), normal)
    return None


def _denied_core(simple: Simple, chance: Chance) -> tuple[str, str]:
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
        blanket = lowered(simple.blanket)
        forms = {
            "no, or": f"No {thing} or {blanket}",
            "there is no, or": f"There is no {thing} or {blanket}",
            "negative for, or": f"Negative for {thing} or {blanket}",
            "neither nor": f"Neither {thing} nor {blanket} is seen",
        }
    else:
        verb_is = is_or_are(is_plural(simple.head))
        forms = {
            "there is no": f"There {verb_is} no {thing}",
            "no": f"No {thing}",
            "no is seen": f"No {thing} {verb_is} seen",
            "is not seen": f"{capitalised(thing)} {verb_is} not seen",
            "not identified": f"{capitalised(thing)} not identified",
            "negative for": f"Negative for {thing}",
            "no evidence of": f"No evidence of {thing}",
            "without": f"Without {thing}",
            "absent": f"{capitalised(thing)} {verb_is} absent",
        }
    name = chance.pick(sorted(forms))
    return forms[name], name


def plan_present_to_absent(report: Report, chance: Chance) -> Plan | None:
    """A finding that is told is denied instead."""
    for _, mention in targets(report, chance):
        told = report.telling(mention.finding.groups)
        parsed = [as_simple(s) for s in told]
        simples = [p for p in parsed if p is not None]
        if not simples or len(simples) != len(told) or any(p.mention.finding is not mention.finding for p in simples):
            continue
        written = [_denied_core(p, chance) for p in simples]
        cores = {p.sentence.index: core for p, (core, _) in zip(simples, written, strict=True)}
        return Plan(mention.finding.name, "; ".join(dict.fromkeys(name for _, name in written)), dict(cores))
    return None


_ENLARGED = (
    "The heart is enlarged",
    "Cardiomegaly",
    "Enlarged heart",
    "There is cardiomegaly",
    "Cardiac enlargement is present",
)


def plan_absent_to_present(report: Report, chance: Chance) -> Plan | None:
    """A finding that is denied is told instead, alone or with the others of its list."""
    heart = frozenset({"heart"})
    normal = _contradicted(report, heart)
    if normal and not report.names(heart) and not chance.below(4):
        place = chance.pick(sorted(normal))
        cores: dict[int, str | None] = dict.fromkeys(normal)
        return Plan("cardiomegaly", "normal", cores | {place: chance.pick(_ENLARGED)}, (), normal - {place})
    places = [(d, i) for s in report.sentences if (d := as_denial(s)) is not None for i in d.items]
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
        return Plan(item.mention.finding.name, form, {**dict.fromkeys(gone), denial.sentence.index: core}, (), gone)
    return None


def _asserted_core(denial: Denial, item: Item, chance: Chance) -> tuple[str, str]:
    """A denial with one item, or all, turned into a statement; and the name of the form."""
    finding, plural = item.mention.finding, is_plural(item.positive)
    thing = with_article(item.positive, finding.counted, plural)
    forms = {
        "there is": f"There {is_or_are(plural)} {thing}",
        "is present": f"{capitalised(thing)} {is_or_are(plural)} present",
        "verbless": capitalised(item.positive),
        "is seen": f"{capitalised(thing)} {is_or_are(plural)} seen",
        "positive for": f"Positive for {item.positive}",
    }
    name = chance.pick(sorted(forms))
    left = denial.without(item)
    if not left:
        return forms[name] if not denial.front else f"{denial.front}. {forms[name]}", name
    if not denial.front and not chance.below(4):
        every = [with_article(i.positive, i.mention.finding.counted, is_plural(i.positive)) for i in denial.items]
        many = "are" if is_plural(denial.items[0].positive) else "is"
        return chance.pick(
            [f"There {many} {joined(every, 'and')}", f"{capitalised(joined(every, 'and'))} are seen"]
        ), "all"
    if not chance.below(3):
        return f"{left}, but {thing} {is_or_are(plural)} present", "but"
    both = [left, forms[name]] if chance.below(2) else [forms[name], left]
    return ". ".join(both), name


def plan_finding_replaced(report: Report, chance: Chance) -> Plan | None:
    """Another finding takes the place of one that is told."""
    table = lexicon().table
    for _, mention in targets(report, chance):
        told = report.telling(mention.finding.groups)
        simples = [p for p in map(as_simple, told) if p is not None and p.mention.finding is mention.finding]
        if not simples or len(simples) != len(told):
            continue
        if all(p.mention.predicate is not None for p in simples):
            qualities = table["replacement_quality"].get(mention.finding.name)
            if qualities and len(simples) == 1:
                p = simples[0]
                assert p.mention.predicate is not None
                start = p.mention.start + p.mention.predicate.start("quality") - p.mention.predicate.start()
                core = f"{p.sentence.core[:start]}{chance.pick(qualities)}{p.sentence.core[p.mention.end :]}"
                return Plan(mention.finding.name, "predicate", {p.sentence.index: core})
            continue
        if any(p.mention.predicate is not None for p in simples):
            continue
        for one, many in chance.shuffled(table["replacement"].get(mention.finding.name, [])):
            named = mentions_in(one)
            if not named or report.names(named[0].finding.groups - mention.finding.groups):
                continue
            if any(named[0].finding.name == m.finding.name for s in report.sentences for m in s.mentions):
                continue
            cores = {p.sentence.index: _with_head(p, many if p.plural else one, named[0].finding) for p in simples}
            return Plan(mention.finding.name, "noun", dict(cores))
    return None


def _with_head(simple: Simple, head: str, finding: Finding) -> str:
    """A plain statement with another noun; of its modifiers only degree and side are kept, which any finding takes."""
    severity = lexicon().table["severity"]
    degrees = [w for w in re.findall(r"[a-z-]+", simple.modifiers.lower()) if w in severity["low"] + severity["high"]]
    degree = degrees[0] if degrees else ""
    if degree and finding.counted:
        degree = "large" if degree in severity["high"] else "small"
    sides = re.findall(r"\b(?:left|right|bilateral)\b", simple.modifiers, re.IGNORECASE)
    phrase = " ".join(word for word in (degree, *(s.lower() for s in sides[:1]), head) if word)
    plural = is_plural(head)
    if simple.opening:
        core = f"There {is_or_are(plural)} {with_article(phrase, finding.counted, plural)}{simple.place}{simple.verb}"
    elif simple.verb:
        seen = re.sub(r"\b(?:is|are)\b", is_or_are(plural), simple.verb)
        core = f"{capitalised(with_article(phrase, finding.counted, plural))}{simple.place}{seen}"
    else:
        core = f"{capitalised(phrase)}{simple.place}"
    return core + simple.extra


def plan_item_dropped(report: Report, chance: Chance) -> Plan | None:
    """One of the findings of a sentence goes and the others stay."""
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
            whole = opened is not None and first and lexicon().before.fullmatch(front, 0, first[0].start) is not None
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
            return Plan(gone[0].finding.name, form, {sentence.index: core})
    return None


def _left_alone(opening: str, back: str, mentions: Sequence[Mention]) -> str:
    """The second of two findings, with the opening of the sentence and verbs that agree with it."""
    plural = is_plural(mentions_in(back)[0].finding.words.search(back).group()) if mentions_in(back) else True  # type: ignore[union-attr]
    verb = re.sub(r" (?:is|are) ", f" {is_or_are(plural)} ", back, count=1)
    lead = re.sub(r"\b(?:is|are) (?:an? )?", f"{is_or_are(plural)} ", opening, flags=re.IGNORECASE)
    return capitalised(f"{lead}{verb}")


def _cuts(sentence: Sentence, cut: re.Match[str]) -> bool:
    """Whether a connecting word stands between two findings and not inside a phrase of either."""
    before = [m for m in sentence.mentions if m.end <= cut.start()]
    after = [m for m in sentence.mentions if m.start >= cut.end()]
    if not before or not after:
        return False
    between = sentence.core[cut.end() : after[0].start]
    return lexicon().before.fullmatch(between) is not None and not re.match(
        r"(?:in|at|of)\b", sentence.core[cut.end() :], re.IGNORECASE
    )
