"""Finding a table's phrases in a text: tokens, and one walk over a tree of all phrases.

A phrase is written as a radiologist would read it:

``pleural effusion``            these words, in this order; hyphens between letters, case and plurals do not matter
``nodule|nodular opacity``      one of several words
``nodul*``                      any word that begins so
``large? effusion``             a word that may be left out
``#``                           any number
``heart <be> enlarged``         any phrase of a named class of the table
``heart ... enlarged``          up to five further words in between

A long word that is in no phrase and one typing error away from one that is, is read as that one; shorter words only
where two neighbouring letters are swapped. In scripts without spaces each character is a word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Payload = TypeVar("Payload")
_Payload_co = TypeVar("_Payload_co", covariant=True)

GAP = 5
"""Most words that `...` stands for."""
FUZZY = 7
"""Shortest word of a phrase that is recognised with any typing error: shorter ones have other words as neighbours."""
SWAPPED = 5
"""Shortest word of a phrase that is recognised with two neighbouring letters swapped."""
RUN_TOGETHER = 4
"""Least letters of each of two words that are recognised without the space between them."""
_LONGEST_WORD = 40  # letters; what is longer is no word with a typing error, nor remembered
_REMEMBERED = 100_000  # words whose meaning is kept, so that a lifetime of typing errors fits into memory

# Scripts without spaces between words: each character is a token.
_ALONE = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_LETTER = rf"[^\W\d_{_ALONE}]"
_TOKEN = re.compile(
    "and/or"
    rf"|(?<!{_LETTER}){_LETTER}/{_LETTER}(?!{_LETTER})"  # "w/o", "s/p"
    rf"|(?<![^\W_]){_LETTER}\d{{1,2}}(?![^\W_])"  # "T12", "C7"; not the factor in "5x4"
    rf"|{_LETTER}+(?:['’]{_LETTER}+)?"
    r"|_+"  # what de-identification leaves
    r"|\d+(?:[.,]\d+)*"
    r"|\S"
)
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[-‐‑](?=[^\W\d_])")


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text cut into tokens; `words[i]`, in lower case, stands at `starts[i]:ends[i]` of the text."""

    words: list[str]
    starts: list[int]
    ends: list[int]


def tokenize(text: str) -> Tokens:
    """Cut a text into tokens; offsets are those of `text` itself."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters grow when lowered, and offsets would slip
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    lower = _BETWEEN_LETTERS.sub(" ", lower)
    words, starts, ends = [], [], []
    for match in _TOKEN.finditer(lower):
        words.append(match.group())
        starts.append(match.start())
        ends.append(match.end())
    return Tokens(words, starts, ends)


def check_phrase(phrase: str, classes: Collection[str]) -> None:
    """See that a phrase can be matched.

    Args:
        phrase: as this module's docstring says.
        classes: the names that may stand in ``<...>``.

    Raises:
        ValueError: it can be empty, begins or ends with a gap, has an alternative that is no word, or names an unknown
            class.
    """
    atoms = phrase.split()
    if all(_optional(atom) for atom in atoms):
        raise ValueError(f"the phrase {phrase!r} can be empty")
    if "..." in (atoms[0], atoms[-1]):
        raise ValueError(f"the phrase {phrase!r} begins or ends with a gap")
    for atom in atoms:
        word = _bare(atom)
        if word[0] == "<" and word[-1] == ">":
            if word[1:-1] not in classes:
                raise ValueError(f"{phrase!r} names the class {word}, which the table does not have")
        elif len(word) > 1 and "|" in word and any(not c or c[0] == "<" or c == "..." for c in word.split("|")):
            raise ValueError(f"the phrase {phrase!r} has an alternative that is no word")


def _optional(atom: str) -> bool:
    return len(atom) > 1 and atom[-1] == "?"


def _bare(atom: str) -> str:
    return atom[:-1] if _optional(atom) else atom


@dataclass(frozen=True, slots=True)
class Match(Generic[_Payload_co]):
    """A phrase found: what it stands for, and the positions of its tokens (a gap's are not among them)."""

    payload: _Payload_co
    tokens: tuple[int, ...]

    @property
    def first(self) -> int:
        """Position of the first token."""
        return self.tokens[0]

    @property
    def last(self) -> int:
        """Position of the last token."""
        return self.tokens[-1]


class _Node(Generic[Payload]):
    """A place in the tree: what may follow, and what ends here."""

    __slots__ = ("classes", "gap", "next", "payloads")

    def __init__(self) -> None:
        self.next: dict[str, _Node[Payload]] = {}  # by atom: "nodule", "nodule|mass" or "nodul*"
        self.classes: dict[str, _Node[Payload]] = {}  # by the name of a class
        self.gap: _Node[Payload] | None = None
        self.payloads: list[Payload] = []


class PhraseTree(Generic[Payload]):
    """All phrases of a table, found in one walk over a text.

    Args:
        phrases: each phrase with what it stands for.
        classes: name -> phrases that ``<name>`` stands for; these name no classes themselves.
        endings: (ending, what replaces it) of plurals, tried in this order on words that no phrase holds.
        walls: words that `...` never passes.
        spellings: wrong spelling -> word, of words too short to be recognised by rule.
        distinct: words that look like a typing error of a phrase's word and are none.

    Raises:
        ValueError: a phrase that `check_phrase` refuses.
    """

    def __init__(
        self,
        phrases: Iterable[tuple[str, Payload]],
        classes: Mapping[str, Sequence[str]] | None = None,
        endings: Sequence[tuple[str, str]] = (),
        walls: Collection[str] = (),
        spellings: Mapping[str, str] | None = None,
        distinct: Collection[str] = (),
    ) -> None:
        self._classes: PhraseTree[str] | None = None
        if classes:
            named = [(phrase, name) for name, members in classes.items() for phrase in members]
            self._classes = PhraseTree(named, None, endings, walls, spellings, distinct)
        self._class_names = frozenset(classes or ())
        self._endings, self._walls = endings, frozenset(walls)
        self._spellings, self._distinct = spellings or {}, frozenset(distinct)
        self._root: _Node[Payload] = _Node()
        self._prefixes: dict[str, set[str]] = {}  # beginning -> the atoms it satisfies
        self._vocabulary: dict[str, set[str]] = {}  # word -> the atoms it satisfies
        for phrase, payload in phrases:
            for node in self._grow(phrase):
                node.payloads.append(payload)
        self._errors = _typing_errors(word for word in self._vocabulary if len(word) >= SWAPPED)
        self._right = set(self._vocabulary)  # words of the table: never a typing error of another
        if self._classes is not None:
            self._right |= self._classes._right
            self._classes._right = self._right
        self._known: dict[str, frozenset[str]] = {}
        self._begun: dict[str, tuple[_Node[Payload], ...]] = {}
        self._cuts: dict[str, int] = {}

    def _grow(self, phrase: str) -> list[_Node[Payload]]:
        """The nodes at which a phrase ends: one, or several where words may be left out."""
        check_phrase(phrase, self._class_names)
        nodes = [self._root]
        for atom in phrase.split():
            further = [end for node in nodes for end in self._step(node, _bare(atom))]
            nodes = list(dict.fromkeys([*nodes, *further] if _optional(atom) else further))
        return nodes

    def _step(self, node: _Node[Payload], word: str) -> list[_Node[Payload]]:
        """Where one written word leads from a node: to one node, or to several if its alternatives differ in length."""
        if word == "...":
            node.gap = node.gap or _Node()
            return [node.gap]
        if word[0] == "<" and word[-1] == ">":
            return [node.classes.setdefault(word[1:-1], _Node())]
        ends = []
        alone = []  # alternatives that are one token: together they are one atom
        for choice in word.split("|") if len(word) > 1 else [word]:
            tokens = [choice] if len(choice) > 1 and choice[-1] == "*" else tokenize(choice).words
            if len(tokens) == 1:
                alone += tokens
                continue
            end = node
            for token in tokens:  # "x-ray", "胸腔"
                self._note(token, token)
                end = end.next.setdefault(token, _Node())
            ends.append(end)
        if alone:
            atom = "|".join(alone)
            for token in alone:
                self._note(token, atom)
            ends.append(node.next.setdefault(atom, _Node()))
        return ends

    def _note(self, token: str, atom: str) -> None:
        if len(token) > 1 and token[-1] == "*":
            self._prefixes.setdefault(token[:-1], set()).add(atom)
        else:
            self._vocabulary.setdefault(token, set()).add(atom)

    def _keys(self, word: str) -> frozenset[str]:
        """The atoms that a word of a text satisfies."""
        keys = self._known.get(word)
        if keys is None:
            keys = frozenset(self._look_up(self._spellings.get(word, word).replace("’", "'")))
            if len(self._known) < _REMEMBERED and len(word) <= _LONGEST_WORD:
                self._known[word] = keys
        return keys

    def _look_up(self, word: str) -> set[str]:
        found = set(self._vocabulary.get(word, ()))
        for beginning, atoms in self._prefixes.items():
            if word.startswith(beginning):
                found |= atoms
        if word[0].isdigit():
            found |= self._vocabulary.get("#", set())
        if not 4 <= len(word) <= _LONGEST_WORD:
            return found
        singular = [word[: len(word) - len(end)] + instead for end, instead in self._endings if word.endswith(end)]
        for form in singular:
            found |= self._vocabulary.get(form, set())
        if found or word in self._right or word in self._distinct:
            return found
        for form in (word, *singular):
            if len(form) >= SWAPPED and not found:
                meant = {known for key in (form, *_deletions(form)) for known in self._errors.get(key, ())}
                close = sorted(known for known in meant if _one_error(form, known))
                found |= self._vocabulary[close[0]] if close else set()
        return found

    def separate(self, tokens: Tokens) -> Tokens:
        """The tokens with the space restored in words run together ("pleuraleffusion")."""
        least = 2 * RUN_TOGETHER
        cuts = {i: cut for i, word in enumerate(tokens.words) if len(word) >= least and (cut := self._cut(word))}
        if not cuts:
            return tokens
        words, starts, ends = [], [], []
        for i, (word, start, end) in enumerate(zip(tokens.words, tokens.starts, tokens.ends, strict=True)):
            cut = cuts.get(i, 0)
            words += [word[:cut], word[cut:]] if cut else [word]
            starts += [start, start + cut] if cut else [start]
            ends += [start + cut, end] if cut else [end]
        return Tokens(words, starts, ends)

    def _cut(self, word: str) -> int:
        """Where an unknown word is two known ones run together; 0 if nowhere."""
        if len(word) > _LONGEST_WORD:
            return 0
        cut = self._cuts.get(word)
        if cut is None:
            cut = 0
            if not self.knows(word):
                places = range(RUN_TOGETHER, len(word) - RUN_TOGETHER + 1)
                cut = next((at for at in places if word[:at] in self._right and self.knows(word[at:])), 0)
            if len(self._cuts) < _REMEMBERED:
                self._cuts[word] = cut
        return cut

    def knows(self, word: str) -> bool:
        """Whether a word of a text, in lower case, is one of the phrases'."""
        return bool(self._keys(word)) or (self._classes is not None and self._classes.knows(word))

    def find(self, words: Sequence[str]) -> list[Match[Payload]]:
        """Every phrase in the text, also those inside others; see `longest`.

        Args:
            words: see `Tokens`.
        """
        classes: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in words]
        if self._classes is not None:
            for member in self._classes.find(words):
                classes[member.tokens[0]].append((member.payload, member.tokens))
        walk: _Walk[Payload] = _Walk(words, [self._keys(word) for word in words], classes, self._walls)
        for start, word in enumerate(words):
            for node in self._begins(word):
                walk.on(node, start + 1, (start,))
            for name, tokens in classes[start]:
                begun = self._root.classes.get(name)
                if begun is not None:
                    walk.on(begun, tokens[-1] + 1, tokens)
        return walk.found

    def _begins(self, word: str) -> tuple[_Node[Payload], ...]:
        """Where phrases go on that begin with a word of a text."""
        begun = self._begun.get(word)
        if begun is None:
            begun = tuple(self._root.next[key] for key in self._keys(word) if key in self._root.next)
            if len(self._begun) < _REMEMBERED and len(word) <= _LONGEST_WORD:
                self._begun[word] = begun
        return begun


class _Walk(Generic[Payload]):
    """One walk over a text: what its words satisfy, and the phrases found so far."""

    __slots__ = ("classes", "found", "keys", "walls", "words")

    def __init__(
        self,
        words: Sequence[str],
        keys: Sequence[frozenset[str]],
        classes: Sequence[Sequence[tuple[str, tuple[int, ...]]]],
        walls: Collection[str],
    ) -> None:
        self.words, self.keys, self.classes, self.walls = words, keys, classes, walls
        self.found: list[Match[Payload]] = []

    def on(self, node: _Node[Payload], at: int, path: tuple[int, ...]) -> None:
        """Everything that the text holds from `node` on, when the next word is that at `at`."""
        for payload in node.payloads:
            self.found.append(Match(payload, path))
        if at >= len(self.words):
            return
        self._step(node, at, path)
        if node.gap is not None:
            for later in range(at, min(at + GAP + 1, len(self.words))):
                self._step(node.gap, later, path)
                if self.words[later] in self.walls:
                    break

    def _step(self, node: _Node[Payload], at: int, path: tuple[int, ...]) -> None:
        if node.next:
            for key in node.next.keys() & self.keys[at]:
                self.on(node.next[key], at + 1, (*path, at))
        if node.classes:
            for name, tokens in self.classes[at]:
                further = node.classes.get(name)
                if further is not None:
                    self.on(further, tokens[-1] + 1, path + tokens)


def longest(found: list[Match[Payload]]) -> list[Match[Payload]]:
    """By position, without those whose tokens all belong to one longer match."""
    if len(found) < 2:
        return found
    found.sort(key=lambda match: (match.tokens[0], -len(match.tokens)))
    kept: list[Match[Payload]] = []
    for match in found:
        tokens = match.tokens
        for other in kept:
            theirs = other.tokens
            if theirs[-1] >= tokens[-1] and len(theirs) > len(tokens) and all(token in theirs for token in tokens):
                break
        else:
            kept.append(match)
    return kept


def _deletions(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _typing_errors(words: Iterable[str]) -> dict[str, list[str]]:
    """Each word by itself and by what is left when one letter goes: two words one error apart share such a key."""
    out: dict[str, list[str]] = {}
    for word in words:
        for key in (word, *_deletions(word)):
            out.setdefault(key, []).append(word)
    return out


def _one_error(a: str, b: str) -> bool:
    """Whether `a` is `b` with one letter left out, added or changed, or with two neighbours swapped."""
    if abs(len(a) - len(b)) > 1:
        return False
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    rest_a, rest_b = a[head:], b[head:]
    if len(rest_a) > 1 and len(a) == len(b) and rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]:
        return True
    return len(b) >= FUZZY and (rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:])
