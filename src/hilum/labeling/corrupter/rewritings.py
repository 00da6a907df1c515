"""Rewritings that keep the meaning, for the false alarms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from hilum.labeling.corrupter.chance import Chance
from hilum.labeling.corrupter.forms import Simple, as_denial, as_simple
from hilum.labeling.corrupter.kinds import Paraphrase
from hilum.labeling.corrupter.lexicon import SIDE, SIZE, compiled, lexicon
from hilum.labeling.corrupter.reading import Report, read_report
from hilum.labeling.corrupter.wording import capitalised, is_or_are, is_plural, joined, lowered, mended, with_article
from hilum.labeling.corrupter.writing import Plan, carry_out


def paraphrase(text: str, seed: int) -> Paraphrase:
    """A report in other words that says the same: synonyms, word order, order of sentences, sections, typography.

    Args:
        text: one report.
        seed: chooses the rewritings; the same arguments give the same result.

    The text comes back unchanged, with no steps, where no rewriting fits.
    """
    chance = Chance("paraphrase", text, str(seed))
    steps: list[str] = []
    for name, share, step in _STEPS:
        if chance.below(100) < share:
            written = step(read_report(text), chance)
            if written is not None and written != text:
                text = written
                steps.append(name)
    return Paraphrase(text, tuple(steps))


def _rewritten(report: Report, cores: Mapping[int, str]) -> str | None:
    done = carry_out(report, Plan("", "", dict(cores)))
    return None if done is None else done[0]


def _denials_said_otherwise(report: Report, chance: Chance) -> str | None:
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        denial = as_denial(sentence)
        if denial is None or denial.front or not chance.below(4):
            continue
        if re.search(r"\b(?:definite|convincing|obvious|clear)\b", denial.opening):
            continue
        texts = [lowered(i.text) for i in chance.shuffled(denial.items)]
        if not chance.below(3):
            texts = [re.sub(r"\b(effusion|infiltrate|consolidation|nodule|fracture)s\b", r"\1", one) for one in texts]
        listed = joined(texts, "or")
        is_ = is_or_are(is_plural(texts[0]))
        forms = [f"There {is_} no {listed}", f"No {listed}", f"No {listed} {is_} seen", f"Negative for {listed}"]
        forms += [f"No evidence of {listed}", f"No radiographic evidence of {listed}"]
        forms.append(". ".join(f"No {one}" for one in texts))
        if len(texts) == 1:
            forms += [f"{capitalised(texts[0])} {is_} not seen", f"{capitalised(texts[0])} {is_} absent"]
        if len(texts) == 2:
            forms.append(f"Neither {texts[0]} nor {texts[1]} is seen")
        cores[sentence.index] = chance.pick(forms)
    return _rewritten(report, cores)


def _statements_said_otherwise(report: Report, chance: Chance) -> str | None:
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        p = as_simple(sentence)
        if p is None or p.mention.predicate is not None or p.tail or not chance.below(4):
            continue
        number = p.article if p.article.lower().strip() not in ("a", "an", "the", "") else ""
        plural = p.plural or bool(number and number.lower() not in ("single ", "some "))
        thing = f"{lowered(number)}{p.whole}"
        counted = p.mention.finding.counted and not number
        full = with_article(thing, counted, p.plural)
        is_ = is_or_are(plural)
        forms = [f"There {is_} {full}", f"There {is_} {full} present", capitalised(thing)]
        forms += [f"{capitalised(full)} {is_} {verb}" for verb in ("seen", "present", "noted")]
        forms += _by_place(p, number)
        cores[sentence.index] = chance.pick(forms) + p.extra
    return _rewritten(report, cores)


def _by_place(simple: Simple, number: str) -> list[str]:
    """The statement with its place before the finding or as its subject."""
    place = re.fullmatch(
        r" (?:in|within) the ((?:left|right) (?:upper|lower) (?:lobe|lung)|(?:left|right) lung base)", simple.place
    )
    if place is None or SIDE.search(simple.modifiers) or re.search(r"\b(?:upper|lower|lobe)\b", simple.modifiers):
        return []
    thing = f"{lowered(number)}{simple.modifiers}{simple.head}"
    shown = with_article(thing, simple.mention.finding.counted and not number, simple.plural)
    return [
        f"{capitalised(lowered(number) + place.group(1))} {simple.modifiers}{simple.head}",
        f"The {place.group(1)} shows {shown}",
    ]


def _same_sentences(report: Report, chance: Chance) -> str | None:
    rows = [(compiled(row["pattern"]), row) for row in lexicon().table["same"]]
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        row = next((r for pattern, r in rows if pattern.fullmatch(sentence.core)), None)
        if row is not None and chance.below(4):
            degree = row.get("keeps", "")
            kept = bool(degree) and degree in sentence.core.lower()
            text = re.sub(r"\{(\w+ )\}", r"\1" if kept else "", chance.pick(row["texts"]))
            cores[sentence.index] = capitalised(text)
    return _rewritten(report, cores)


def _synonyms(report: Report, chance: Chance) -> str | None:
    """Up to two synonyms a sentence."""
    rules = [(re.compile(a, re.IGNORECASE), b) for a, b in lexicon().table["synonyms"]["pairs"]]
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        core, left = sentence.core, 0 if "XXXX" in sentence.core else 2
        for pattern, new in chance.shuffled(rules):
            if left and pattern.search(sentence.core) and pattern.search(core) and chance.below(2):
                core = mended(pattern.sub(partial(_like_phrase, new), core))
                left -= 1
        cores[sentence.index] = core
    return _rewritten(report, cores)


def _like_phrase(new: str, found: re.Match[str]) -> str:
    """What is written for the words found; with a capital where they had one that is no abbreviation's."""
    put = found.expand(new)
    capital = found.start() == 0 or found.group()[1:2].islower()
    return capitalised(put) if capital and found.group()[:1].isupper() else put


def _units(report: Report, chance: Chance) -> str | None:
    """8 mm is 0.8 cm."""
    cores: dict[int, str] = {}
    for sentence in report.sentences:
        found = SIZE.search(sentence.core)
        if found is None or found.group(2) or found.group(5).lower() not in ("mm", "cm"):
            continue
        value, unit = float(found.group(1)), found.group(5).lower()
        other = f"{value / 10:g} cm" if unit == "mm" else f"{value * 10:g} mm"
        cores[sentence.index] = sentence.core[: found.start()] + other + sentence.core[found.end() :]
    return _rewritten(report, cores)


def _pieces(report: Report, section: int) -> list[str]:
    """The sentences of a section as written, without their numbers and with their full stop."""
    return [capitalised(s.core) + "." for s in report.of_section(section)]


def _joined_sections(report: Report, contents: Mapping[int, str], headings: Mapping[int, str] | None = None) -> str:
    out = []
    for number, section in enumerate(report.sections):
        heading = report.text[section.heading : section.start]
        if headings is not None and number in headings:
            heading = headings[number]
        body = contents.get(number, report.text[section.start : section.end].strip())
        out.append(f"{heading}{body}")
    return "\n\n".join(piece.strip() for piece in out if piece.strip())


def _sentence_order(report: Report, chance: Chance) -> str | None:
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


def _sections_merged(report: Report, chance: Chance) -> str | None:
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


def _sentences_joined(report: Report, chance: Chance) -> str | None:
    pairs = [
        (a, b)
        for a, b in zip(report.sentences, report.sentences[1:], strict=False)
        if a.section == b.section and b.number is None and not b.leaning and "XXXX" not in a.core + b.core
    ]
    if not pairs:
        return None
    first, second = chance.pick(pairs)
    text = report.text
    return text[: first.end] + "; " + lowered(text[second.start :])


def _typography(report: Report, chance: Chance) -> str | None:
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


_STEPS: Sequence[tuple[str, int, Callable[[Report, Chance], str | None]]] = (
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
