"""The rule labeller: report text -> four-state labels of the 14 findings, with the words that decided each.

Sentence by sentence: every phrase of the language's table is found in one walk; cues (negation, hedge, removal, ...)
reach the mentions of their own statement, before or behind them; the strongest cue decides. Over a report present
counts before uncertain before absent. No Finding is present where something is denied or called normal and no finding
but Support Devices is present or uncertain, the other findings of the table included. These are the rules of the
CheXpert labeller (Irvin et al., AAAI 2019); NegEx (Chapman et al., 2001) and ConText (Harkema et al., 2009) describe
such cues.

The route: `splitting` (report -> sentences), `legibility` (is it the rules' language?), `matching` (sentence ->
phrases), `cues` and `scope` (which cue reaches which mention), `lists` ("A or B", "A and B are normal"), `standins`
("there is one on the left"), `reading` (all of it for one sentence), and the sum, here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from hilum.labeling.labelling import Claim, Labelling, Mention, Span
from hilum.labeling.language import Language, language
from hilum.labeling.legibility import Legibility
from hilum.labeling.matching import tokenize
from hilum.labeling.reading import DEVICES, Sentence, Vocabulary
from hilum.labeling.splitting import Splitter
from hilum.records import NAMES, NO_FINDING, LabelState

_STRENGTH = (LabelState.PRESENT, LabelState.UNCERTAIN, LabelState.ABSENT)


class RuleLabeller:
    """Labels reports by the rules of a language; needs no model, no network and no torch.

    Args:
        rules: the table; the built-in English one if None.
    """

    def __init__(self, rules: Language | None = None) -> None:
        self.rules = rules or language()
        self._vocabulary = Vocabulary(self.rules)
        self._splitter = Splitter(self.rules)
        self._legibility = Legibility(self.rules, self._vocabulary.tree)

    @property
    def identity(self) -> str:
        """Name, language and version of the rules."""
        return f"hilum-rules-{self.rules.language}/{self.rules.version}"

    def label(self, texts: Sequence[str]) -> list[Labelling]:
        """Label reports; an empty one, and one in a language that the rules do not read, is `failed`.

        Args:
            texts: whole reports or single sections. Sections that say nothing of the picture (indication, history,
                comparison, technique) are passed over where they have their heading.
        """
        return [self._label(text) for text in texts]

    def _label(self, text: str) -> Labelling:
        if not text.strip():
            return Labelling(failed="The report is empty.", unreadable=True)
        mentions: list[Mention] = []
        claims: list[Claim] = []
        tokens = self._vocabulary.tree.separate(tokenize(text))
        places = list(self._splitter.sentences(text, tokens))
        if places and (why := self._legibility.problem([w for a, b in places for w in tokens.words[a:b]])):
            return Labelling(failed=why, unreadable=True)
        sentence: Sentence | None = None
        for start, stop in places:
            sentence = Sentence(self._vocabulary, text, tokens, start, stop, sentence)
            mentions += sentence.mentions()
            claims += sentence.claims()
        return _sum_up(mentions, claims)


def _sum_up(mentions: Sequence[Mention], claims: Sequence[Claim]) -> Labelling:
    """The report's labels from its mentions: present before uncertain before absent; No Finding by CheXpert's rule."""
    said: dict[str, dict[LabelState, list[Span]]] = {}
    normal: list[Span] = []  # "no acute abnormality"
    denied: list[Span] = []
    abnormal = False
    for mention in mentions:
        if NO_FINDING in mention.findings:
            if mention.state is LabelState.PRESENT:
                normal.append(mention.evidence)
            continue
        for name in mention.findings:
            said.setdefault(name, {}).setdefault(mention.state, []).append(mention.evidence)
        if DEVICES not in mention.findings:
            if mention.state is LabelState.ABSENT:
                denied.append(mention.evidence)
            else:
                abnormal = True
    states = dict.fromkeys(NAMES, LabelState.NOT_MENTIONED)
    evidence: dict[str, tuple[Span, ...]] = {}
    for name, by_state in said.items():
        states[name] = next(state for state in _STRENGTH if state in by_state)
        evidence[name] = tuple(by_state[states[name]])
    if not abnormal and (normal or denied):
        states[NO_FINDING] = LabelState.PRESENT
        evidence[NO_FINDING] = tuple(normal or denied)
    return Labelling(states, evidence, tuple(mentions), tuple(claims))


@cache
def _built_in() -> RuleLabeller:
    return RuleLabeller()


def label(text: str) -> Labelling:
    """The 14 findings that an English report states, with the words behind each; see `RuleLabeller`.

    Args:
        text: a whole report, or a section of one.
    """
    return _built_in().label([text])[0]
