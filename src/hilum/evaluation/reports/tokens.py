"""How a text becomes words before it is scored: named protocols, because BLEU-1 moves by some .08 between them.

``coco``      what COCO's caption evaluation does: the Penn Treebank tokens of Stanford CoreNLP 3.4.1 in lower case,
              without its punctuation tokens; our own lexer, without Java
``r2gen``     what R2Gen's tokenizer does to MIMIC-CXR reports (sentences parted by " . ", marks removed, lower case)
``r2gen_iu``  the same for IU X-Ray, which leaves repeated spaces and underscores
``raw``       parted at whitespace, nothing else: case and punctuation count, as in RadEval

A report is tokenised alone. pycocoevalcap hands a whole set to Java in one file, where the line after a report that
ends in an abbreviation ("CT.") decides whether its full stop counts twice; here the end of a report ends a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType

from hilum.errors import UsageError

Words = list[str]


@dataclass(frozen=True, slots=True)
class Protocol:
    """A named way from text to words.

    Attributes:
        name: "coco", "r2gen", "r2gen_iu" or "raw".
        signature: name and what is done, without "|": part of every convention string; two numbers with different
            signatures are never compared.
        tokenize: from a text to its words; an empty text has none.
    """

    name: str
    signature: str
    tokenize: Callable[[str], Words]

    def all(self, texts: Sequence[str]) -> list[Words]:
        """Tokenise each text; equal texts share one list.

        Args:
            texts: `[n]`.
        """
        known: dict[str, Words] = {}
        for text in texts:
            if text not in known:
                known[text] = self.tokenize(text)
        return [known[text] for text in texts]


def protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        UsageError: there is none; lists those there are.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"There is no tokenisation protocol {name!r}; there are: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


# ---------------------------------------------------------------------------------------------------------------------
# r2gen: https://github.com/cuhksz-nlp/R2Gen, modules/tokenizers.py. Its vocabulary (rare words -> <unk>) and its
# truncation (60 or 100 words) belong to its model and are not applied.
# ---------------------------------------------------------------------------------------------------------------------

_NUMBERING = (
    ("1. ", ""),
    *((f". {number}. ", ". ") for number in range(2, 6)),
    *((f" {number}. ", ". ") for number in range(2, 6)),
)
# how often each replacement is made: a long run is shortened, not always removed
_CLEANED_MIMIC = ((("\n", " "), 1), (("__", "_"), 7), (("  ", " "), 6), (("..", "."), 8), *((r, 1) for r in _NUMBERING))
_CLEANED_IU = ((("..", "."), 3), *((r, 1) for r in _NUMBERING))
# The published class says ":-\[", a range from ":" to "[": it takes : ; < = > ? @ [ and leaves the hyphen.
_MARKS = re.compile(r"[.,?;*!%^&_+():-\[\]{}]")
_QUOTES = str.maketrans("", "", "\"/\\'")


def _r2gen(text: str, steps: Sequence[tuple[tuple[str, str], int]]) -> Words:
    # R2Gen makes an empty report the one word "."; an empty prediction shall not match anything.
    if not text.strip():
        return []
    for (old, new), times in steps:
        for _ in range(times):
            text = text.replace(old, new)
    sentences = text.strip().lower().split(". ")
    cleaned = (_MARKS.sub("", sentence.translate(_QUOTES).strip().lower()) for sentence in sentences)
    return " . ".join([*cleaned, ""]).split()


# ---------------------------------------------------------------------------------------------------------------------
# coco: the longest of these rules that matches at a place makes the token, among equals the first; what a rule looks
# ahead at counts for its length. Written after the documented behaviour of Stanford's PTBTokenizer (CoreNLP 3.4.1) and
# held against it on all of Open-I and on composed texts (tests/evaluation/reports/test_tokens.py); web addresses,
# smileys and scripts other than Latin are not covered.
# ---------------------------------------------------------------------------------------------------------------------

_PUNCTUATION = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"))
"""Tokens that COCO removes. It also lists -LRB- and its kind, which are -lrb- by then and stay."""

_SPACE = " \t\u00a0\u2000-\u200a\u3000"
_NO_LETTER = r"\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2094\u2150-\u218f"  # numbers raised, lowered or broken
_LETTER = rf"[^\W\d_{_NO_LETTER}]"
_ALNUM = rf"[^\W_{_NO_LETTER}]"
_WORD = rf"{_LETTER}{_ALNUM}*(?:[.!?]{_LETTER}{_ALNUM}*)*"
_APOSTROPHE = "['\u0092\u2019´]"
_APOSTROPHE_INSIDE = "['\u0092\u2019´`\u0091\u2018\u201b]"
_AUXILIARY = rf"{_APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))"
_NUMBER = r"[-+]?(?:\d*(?:[.:,]\d+)+|\d+)"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])*"
_ACRONYM_LONG = r"[A-Za-z](?:\.[A-Za-z])+"
_INNER = ",;:"  # what may follow a full stop that ends no sentence
_TAG = (
    r"<(?:[!?][A-Za-z-][^>\r\n]*|[A-Za-z][\w:.-]*(?: +(?:[A-Za-z][\w:.-]*(?: *= *(?:'[^'\r\n]*'|\"[^\"\r\n]*\"|[A-Za-z]"
    r"[\w:.-]*))?))* */?|/[A-Za-z][\w:.-]*) *>"
)
# Abbreviations by what their full stop means. An initial in brackets is case-sensitive.
_MAY_END = (  # before a capital it also ends the sentence, and counts twice
    "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thu|Thurs|Fri"
    "|Ala|Ariz|[A]z|[A]rk|Calif|Colo|Conn|Ct|Dak|[D]el|Fla|Ga|[I]ll|Ind|Kans?|Ky|[L]a|[M]ass|Md|Mich|Minn|[M]iss|Mo"
    "|Mont|Neb|Nev|Okla|[O]re|[P]a|Penn|Tenn|[T]ex|Va|Vt|[W]ash|Wisc?|Wyo"
    "|Inc|Cos?|Corp|Pp?t[ye]s?|Ltd|Plc|Rt|Bancorp|Bhd|Assn|Univ|Intl|Sys|tel|est|ext|sq"
    r"|Jr|Sr|Bros|(?:Ed|Ph)\.D|Blvd|Rd|Esq|etc|al|seq|Bldg"
)
_NEVER_END = (
    "Mr|Mrs|Ms|[M]iss|Drs?|Profs?|Sens?|Reps?|Attys?|Lt|Col|Gen|Messrs|Govs?|Adm|Rev|Maj|Sgt|Cpl|Pvt|Capt|Ste?|Ave|Pres"
    "|Lieut|Hon|Brig|Co?mdr|Pfc|Spc|Supts?|Det|Mt|Ft|Adj|Adv|Asst|Assoc|Ens|Insp|Mlle|Mme|Msgr|Sfc"
    "|Invt|Elec|Natl|M[ft]g|Dept|vs|Alex|Wm|Jos|Cie|cf|TREAS|Ph"
)
_BEFORE_NUMBERS = "ca|figs?|prop|nos?|art|pp|op"
# Behind an acronym, these begin a sentence.
_STARTERS = (
    "About|According|Additionally|After|An|A|As|At|But|Did|During|Earlier|He|Her|Here|How|However|If|In|It|Last|Many"
    r"|More|Mr\.|Ms\.|Now|Once|One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|When"
    "|While|What|Who|Why|Yet|You"
)


Make = Callable[[str], tuple[str, int]]
"""From the text that a rule matched to its token and the number of characters at its end that are read again."""


def _same(text: str) -> tuple[str, int]:
    return text, 0


def _always(token: str) -> Make:
    return lambda text: (token, 0)


def _but(characters: int) -> Make:
    return lambda text: (text[:-characters], characters)


def _full_stop_twice(text: str) -> tuple[str, int]:
    return text, 1


def _acronym(text: str) -> tuple[str, int]:
    return (text[:1], 1) if len(text) == 2 else (text, 1)


def _dashes(text: str) -> tuple[str, int]:
    return ("--" if 3 <= len(text) <= 4 else text), 0


def _parentheses(text: str) -> tuple[str, int]:
    return text.replace("(", "-LRB-").replace(")", "-RRB-"), 0


def _closing(text: str) -> tuple[str, int]:
    return text.translate(_PLAIN_QUOTES).replace('"', "''"), 0


def _opening(text: str) -> tuple[str, int]:
    return ("``" if text == '"' else "`"), 0


_PLAIN_QUOTES = str.maketrans(
    {**dict.fromkeys("\u0091\u2018\u201b\u2039", "`"), **dict.fromkeys("\u0092\u2019\u203a´", "'")}
    | {**dict.fromkeys("\u0093\u201c\u00ab", "``"), **dict.fromkeys("\u0094\u201d\u00bb", "''")}
)
_FRACTIONS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_BRACKETS = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}


def _any_case(words: str) -> str:
    """Words in any case, but for an initial in brackets."""
    folded = re.sub(r"\[([A-Z])\]", r"(?-i:\1)", words)
    return f"(?i:{folded})"


_SENTENCE_END = rf"[{_SPACE}\r\n](?:[{_SPACE}\r\n]|[A-Z]|{_TAG})"
_HYPHENATED = rf"[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:{_ACRONYM_LONG}\.|[A-Za-z0-9]+))+"
_PART = rf"(?:[dDoOlL]{_APOSTROPHE_INSIDE}{_ALNUM})?{_ALNUM}+"
_JOINED = rf"{_PART}(?:[-_]{_PART})*"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"

_NO_GAP = r"[^ \t\n\f\r\"<>|()\u00a0]"
_ADDRESS = rf"[A-Za-z0-9]{_NO_GAP}*@{_NO_GAP}*(?!\.){_NO_GAP}|@[A-Za-z_]\w*"
_SMILEY = r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]"
_PHONE = (
    r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
    r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)
_SYMBOL = (
    r"[+%&~^|\\\u00a6-\u00aa\u00ac\u00ae-\u00ba\u00bf\u00d7\u00f7\u2016\u2017\u2020-\u2023\u2030-\u2042\u2100-\u2bff]"
)

# what makes the token, what must follow, how the token is written
_TABLE: tuple[tuple[str, str, Make], ...] = (
    (_any_case("cannot|'twas|dunno"), "", _but(3)),
    (_any_case(f"{_APOSTROPHE}tis|gonna|gotta|lemme|gimme|wanna"), "", _but(2)),
    (_TAG, "", _same),
    ("[\u0096\u0097\u2013\u2014\u2015]|&(?:MD|mdash|ndash);", "", _always("--")),
    ("&amp;", "", _always("&")),
    (_WORD, _AUXILIARY, _same),
    ("[A-Za-z]*[A-MO-Za-mo-z]", f"[nN]{_APOSTROPHE_INSIDE}[tT]", _same),
    (_WORD, "", _same),
    (rf"[A-HJ-XZn]{_APOSTROPHE_INSIDE}{_LETTER}{{2,}}|{_LETTER}*[aeiouyAEIOUY]{_APOSTROPHE_INSIDE}[aeiouA-Z]{_LETTER}*"
     rf"|[lLdDjJ]{_APOSTROPHE}|{_APOSTROPHE}[2-9]0s", "", _closing),
    (_any_case("c'mon|nor'easter|e'er|ev'ry|li'l|nat'l|'cause|'em|ol'|cont'd\\.?|somethin'|'till?"), "", _closing),
    (_ADDRESS, "", _same),
    (_AUXILIARY, "[^A-Za-z]", _closing),
    (f"[nN]{_APOSTROPHE_INSIDE}[tT]", "[^A-Za-z]", _closing),
    (r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}", "", _same),
    (_NUMBER, "", _same),
    ("[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)", "", _same),
    (r"(?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|\u2044)\d{1,4}", "", _same),
    ("[\u00bc-\u00be\u2153-\u215e]", "", lambda text: (_FRACTIONS.get(text, text), 0)),
    (_any_case("-(?:RRB|LRB|RCB|LCB|RSB|LSB)-|pro-|anti-"), "", _same),
    (_SMILEY, "[^A-Za-z]", _parentheses),
    (_SLASHED, "", _same),
    (r"[A-Z]*\$|#", "", _same),
    ("[\u00a2-\u00a5\u20a0\u20ac]", "", lambda text: ({"\u00a2": "cents", "\u00a3": "#"}.get(text, "$"), 0)),
    (rf"{_ACRONYM}\.", rf"[{_SPACE}\r\n]+(?:{_STARTERS})[{_SPACE}\r\n?!]", _acronym),
    (rf"{_any_case(_BEFORE_NUMBERS)}\.", rf"[{_SPACE}\r\n]?\d", _same),
    (r"(?i:pt[ey]|co)\.", rf"[{_SPACE}](?i:ltd|lim)", _same),
    (rf"{_any_case(_MAY_END)}\.", _SENTENCE_END, _full_stop_twice),
    (rf"{_any_case(_MAY_END)}\.", r"[\s\S][\s\S]", _same),
    (rf"{_any_case(_MAY_END)}\.", "", _full_stop_twice),
    (rf"(?:{_any_case(_NEVER_END)}|{_ACRONYM})\.", "", _same),
    (rf"{_APOSTROPHE}\d\d", rf"[{_SPACE}\r\n]", _same),
    (rf"{_WORD}\.", f"[{_INNER}]", _same),
    (_PHONE, "", _parentheses),
    ("\"", "[A-Za-z0-9$]", _opening),
    ("\"|[`'\u0091\u0092\u2018\u2019]'", "", lambda text: ("''", 0)),
    ("[(){}\\[\\]]", "", lambda text: (_BRACKETS[text], 0)),
    ("<|&lt;", "", _always("<")),
    (">|&gt;", "", _always(">")),
    ("-+", "", _dashes),
    (r"\.\.\.+|[\u0085\u2026]|\.[ \u00a0](?:\.[ \u00a0])+\.", "", _always("...")),
    ("@+|#+|_+|[*]+", "", _same),
    (rf"[,;:]|[?!]+|[.=/]|{_SYMBOL}", "", _same),
    (rf"{_HYPHENATED}\.", f"[{_INNER}]", _same),
    (_HYPHENATED, "", _same),
    (rf"{_JOINED}\.", f"[{_INNER}]", _same),
    (_JOINED, "", _same),
    (r"[A-Z]+(?:[+&][A-Z]+)+\.", f"[{_INNER}]", _same),
    (r"[A-Z]+(?:[+&][A-Z]+)+", "", _same),
    ("'", r"[A-Za-z][^ \t\n\r\u00a0]", _opening),
    (_AUXILIARY, "", _closing),
    (f"{_APOSTROPHE}|[`\u2018-\u201f\u0091-\u0094\u2039\u203a\u00ab\u00bb]{{1,2}}", "", _closing),
    ("<<|>>", "", _same),
)  # fmt: skip


@cache
def _rules() -> tuple[tuple[re.Pattern[str], Make], ...]:
    return tuple((re.compile(f"({token}){ahead}"), make) for token, ahead, make in _TABLE)


def _lex(text: str, end: int) -> Words:
    """Tokens that begin before `end`; what stands behind is only looked at."""
    words = []
    at = 0
    while at < end:
        best: re.Match[str] | None = None
        length, made = 0, _TABLE[0][2]
        for pattern, make in _rules():
            if (found := pattern.match(text, at)) and found.end() - at > length:
                best, length, made = found, found.end() - at, make
        if best is None:  # a space, or a character that the Penn Treebank does not know
            at += 1
            continue
        word, again = made(best[1])
        words.append(word)
        at = max(at + 1, best.end(1) - again)
    return words


_CHUNK = re.compile(f"[^{_SPACE}]+")
_BREAKS = re.compile("\r\n?|[\n\x0b\x0c\u2028\u2029]")
_ACROSS = re.compile(
    r"\d[ \u00a0]\d{1,4}(?:\\?/|\u2044)\d|\d\d[ \u00a0]\d\d|\)[ \u00a0]\d{3}|\.[ \u00a0]\.[ \u00a0]\.|<"
)
"""Where a token may hold a space: then the whole text is read at once."""
_LOOKS_AHEAD = re.compile(
    rf"(?:.*[^A-Za-z])?(?:{_any_case(_MAY_END)}|{_any_case(_BEFORE_NUMBERS)}|{_ACRONYM}|(?i:pt[ey]|co))\."
)
_AHEAD = 20  # characters; longer than any word that an abbreviation looks ahead for
_REMEMBERED = 1 << 16  # chunks


def _kept(words: Words) -> Words:
    # A fraction with a space ("3 1/2") is one token of the Penn Treebank and two words of BLEU and CIDEr.
    return [part for word in words if word not in _PUNCTUATION for part in word.lower().split()]


@lru_cache(_REMEMBERED)
def _of_chunk(chunk: str, ahead: str = " ") -> Words | None:
    """Words of what stands between two spaces; None where what follows decides and was not given."""
    if ahead == " " and chunk.endswith(".") and _LOOKS_AHEAD.fullmatch(chunk):
        return None
    return _kept(_lex(chunk + ahead, len(chunk)))


def _coco(text: str) -> Words:
    text = _BREAKS.sub(" ", text)
    if _ACROSS.search(text):
        return _kept(_lex(f"{text}\n", len(text)))
    words: Words = []
    for chunk in _CHUNK.finditer(text):
        found = _of_chunk(chunk[0])
        if found is None:
            found = _of_chunk(chunk[0], f"{text[chunk.end() : chunk.end() + _AHEAD]}\n")
        words += found or ()
    return words


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        found.name: found
        for found in (
            Protocol("coco", "coco:ptb-3.4.1,lower,no-punctuation,v1", _coco),
            Protocol("r2gen", "r2gen:mimic-cxr,lower,v1", lambda text: _r2gen(text, _CLEANED_MIMIC)),
            Protocol("r2gen_iu", "r2gen:iu-xray,lower,v1", lambda text: _r2gen(text, _CLEANED_IU)),
            Protocol("raw", "raw:whitespace,cased,v1", str.split),
        )
    }
)
