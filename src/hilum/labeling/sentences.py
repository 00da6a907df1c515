"""Choosing and ordering the grammar's sentences for a settled label set; see `hilum.labeling.grammar` for the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol, TypeVar

from hilum.labeling.phrases import LIST, Frame, PhraseTable, Section, phrase_table
from hilum.records import NO_FINDING, LabelState, Report
from hilum.records.findings import ancestors

DEVICES = "Support Devices"
_PRESENT, _ABSENT, _UNCERTAIN = LabelState.PRESENT, LabelState.ABSENT, LabelState.UNCERTAIN

T = TypeVar("T")
States = Mapping[str, LabelState]


class Taste(Protocol):
    """What decides between sentences of equal meaning."""

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""

    def chance(self, probability: float) -> bool:
        """Whether to take a turn of that probability."""


class Seeded:
    """Variety from a seed. Only `Random.random` is used: it alone is promised to stay the same in every Python."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random  # noqa: S311 - variety of wording, no secret

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[int(self._random() * len(choices))]

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self._random() < probability


class Plain:
    """No variety: always the first, plainest sentence."""

    def pick(self, choices: Sequence[T]) -> T:
        """The first."""
        return choices[0]

    def chance(self, probability: float) -> bool:
        """Never."""
        return False


def write(states: States, taste: Taste) -> Report:
    """The report of a label set that `hilum.labeling.grammar.sayable_states` has settled."""
    table = phrase_table()
    if not states:
        return Report(table.silent.findings, table.silent.impression)
    return Report(" ".join(_findings(states, table, taste)), _impression(states, table, taste))


def _findings(states: States, table: PhraseTable, taste: Taste) -> list[str]:
    """Devices, lungs, pleura, heart and mediastinum, bones: in each, what is there before what is not."""
    sentences: list[str] = []
    carried: list[str] = []
    for region in table.regions:
        here = [name for name, entry in table.finding.items() if entry.region == region and name in states]
        sentences += _affirm({name: states[name] for name in here if states[name] is not _ABSENT}, table, taste)
        absent = carried + [name for name in here if states[name] is _ABSENT]
        carried = []
        # "No focal consolidation, pleural effusion, or pneumothorax.": lungs and pleura denied in one breath
        if region == "lungs" and 0 < len(absent) <= 2 and taste.chance(0.5):
            carried = absent
        else:
            sentences += _deny(absent, table, taste)
    denied = [name for name, state in states.items() if state is _ABSENT and name != DEVICES]
    if states.get(NO_FINDING) is _PRESENT and not denied:
        sentences.append(taste.pick(table.statements("findings", {NO_FINDING: _PRESENT})))
    return sentences


def _affirm(states: States, table: PhraseTable, taste: Taste) -> list[str]:
    """Sentences for the present and uncertain findings of one region, some said together."""
    left = dict(states)
    sentences: list[str] = []
    while taste.chance(0.75):
        joint = _together(left, table, taste)
        if joint is None:
            break
        sentence, told = joint
        sentences.append(sentence)
        left = {name: state for name, state in left.items() if name not in told}
    rest = sorted(left, key=lambda name: left[name] is _UNCERTAIN)
    return sentences + [taste.pick(table.sentences(name, left[name])) for name in rest]


def _together(states: States, table: PhraseTable, taste: Taste) -> tuple[str, set[str]] | None:
    """A FINDINGS sentence that tells two or more of these findings, and which; None if the table has none."""
    whole = [
        item
        for item in table.statement
        if item.section == "findings" and len(item.says) > 1 and item.says.items() <= states.items()
    ]
    lists = []
    for frame in table.frame:
        names = [name for name in states if states[name] is frame.lists and frame.takes(name)][: frame.most]
        fits = frame.section == "findings" and len(names) >= frame.least and frame.says.items() <= states.items()
        if fits and len(names) + len(frame.says) > 1:
            lists.append((frame, names))
    if not whole and not lists:
        return None
    choice = taste.pick(range(len(whole) + len(lists)))
    if choice < len(whole):
        return taste.pick(whole[choice].text), set(whole[choice].says)
    frame, names = lists[choice - len(whole)]
    return _fill(taste.pick(frame.text), frame, names, table, taste), {*names, *frame.says}


def _deny(names: Sequence[str], table: PhraseTable, taste: Taste) -> list[str]:
    """Sentences that deny these findings: one for several, one each, or lists."""
    left = list(names)
    sentences: list[str] = []
    for item in table.statement:
        wide = item.section == "findings" and len(item.says) > 1 and set(item.says.values()) == {_ABSENT}
        if wide and set(item.says) <= set(left) and taste.chance(0.5):
            sentences.append(taste.pick(item.text))
            left = [name for name in left if name not in item.says]
    one_by_one = {1: 0.5, 2: 0.3}.get(len(left), 0.0)
    if DEVICES in left or taste.chance(one_by_one):
        return sentences + [taste.pick(table.sentences(name, _ABSENT)) for name in left]
    if taste.chance(0.3):
        left.reverse()
    # at most four to a list, evenly shared out
    n_lists = -(-len(left) // 4)
    for index in range(n_lists):
        part = left[index * len(left) // n_lists : (index + 1) * len(left) // n_lists]
        sentences.append(_listed("findings", _ABSENT, part, table, taste))
    return sentences


def _impression(states: States, table: PhraseTable, taste: Taste) -> str:
    stated = [name for name in table.impression if states.get(name) in (_PRESENT, _UNCERTAIN) and name != DEVICES]
    if not stated:
        return _negative_impression(states, table, taste)
    # a parent goes without saying beside its child; but one that is present beside an uncertain child is what is sure
    implied = {
        parent
        for name in stated
        for parent in ancestors(name)
        if states[name] is _PRESENT or states.get(parent) is _UNCERTAIN
    }
    sentences = _points({name: states[name] for name in stated if name not in implied}, table, taste)
    asked = [name for name in table.pertinent_negatives if states.get(name) is _ABSENT]
    if asked and taste.chance(0.25):
        sentences.append(_listed("impression", _ABSENT, asked, table, taste))
    if len(sentences) > 1 and taste.chance(0.4):
        return "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))
    return " ".join(sentences)


def _negative_impression(states: States, table: PhraseTable, taste: Taste) -> str:
    """The impression where nothing was found but, perhaps, a support device."""
    devices, normal = states.get(DEVICES), states.get(NO_FINDING) is _PRESENT
    if normal and devices is _PRESENT:
        return taste.pick(table.statements("impression", {NO_FINDING: _PRESENT, DEVICES: _PRESENT}))
    sentences = []
    if devices in (_PRESENT, _UNCERTAIN):
        sentences.append(taste.pick(table.statements("impression", {DEVICES: devices})))
    if normal:
        sentences.append(taste.pick(table.statements("impression", {NO_FINDING: _PRESENT})))
    elif _ABSENT in states.values():
        sentences.append(taste.pick(table.statements("impression", {})))
    return " ".join(sentences)


def _points(states: States, table: PhraseTable, taste: Taste) -> list[str]:
    """The impression's statements by weight, the certain ones first; single in one style, or gathered into lists."""
    most = 3 if taste.chance(0.5) else 1
    present = [name for name in states if states[name] is _PRESENT]
    uncertain = [name for name in states if states[name] is _UNCERTAIN]
    explained: list[str] = []
    for frame in table.frame:
        if frame.section != "impression" or not frame.says or not frame.says.items() <= states.items():
            continue
        names = [name for name in uncertain if frame.lists is _UNCERTAIN and frame.takes(name)][: frame.most]
        if names and taste.chance(0.6):
            explained.append(_fill(taste.pick(frame.text), frame, names, table, taste))
            present = [name for name in present if name not in frame.says]
            uncertain = [name for name in uncertain if name not in names]
    sentences = []
    for state, names, before in ((_PRESENT, present, []), (_UNCERTAIN, uncertain, explained)):
        sentences += before
        if most == 1 and names:
            frame = taste.pick([f for f in _frames("impression", state, names, table) if f.least == 1])
            text = taste.pick(frame.text)
            sentences += [_fill(text, frame, [name], table, taste) for name in names]
        else:
            parts = (names[start : start + most] for start in range(0, len(names), most))
            sentences += [_listed("impression", state, part, table, taste) for part in parts]
    return sentences


def _frames(section: Section, state: LabelState, names: Sequence[str], table: PhraseTable) -> list[Frame]:
    """The frames without further claims that take each of these findings."""
    return [
        frame
        for frame in table.frame
        if frame.section == section and frame.lists is state and not frame.says and all(map(frame.takes, names))
    ]


def _listed(section: Section, state: LabelState, names: Sequence[str], table: PhraseTable, taste: Taste) -> str:
    """One sentence around the list of these findings, all in this state."""
    fitting = [f for f in _frames(section, state, names, table) if f.least <= len(names) <= f.most]
    frame = taste.pick(fitting)
    return _fill(taste.pick(frame.text), frame, names, table, taste)


def _fill(text: str, frame: Frame, names: Sequence[str], table: PhraseTable, taste: Taste) -> str:
    nouns = [taste.pick(table.nouns(name, frame.lists)) for name in names]
    listing = nouns[-1]
    if len(nouns) == 2:
        listing = f"{nouns[0]} {frame.join} {nouns[1]}"
    elif len(nouns) > 2:
        listing = f"{', '.join(nouns[:-1])}, {frame.join} {nouns[-1]}"
    sentence = text.replace(LIST, listing)
    return sentence[0].upper() + sentence[1:]
