"""The pattern language of the labeller's tables, and where its matches stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.labeling import RuleLabeller
from hilum.labeling.matching import GAP, PhraseTree, check_phrase, longest, tokenize

PLURALS = [("ies", "y"), ("ses", "sis"), ("es", ""), ("s", "")]
CLASSES = {"be": ["is", "has been", "remain"], "much": ["mildly", "at least"]}


def found(phrase: str, text: str, **options: object) -> list[str]:
    """The text's pieces that a phrase matches."""
    tree = PhraseTree([(phrase, None)], CLASSES, PLURALS, walls=[",", "and"], **options)
    tokens = tree.separate(tokenize(text))
    return [text[tokens.starts[m.first] : tokens.ends[m.last]] for m in longest(tree.find(tokens.words))]


@pytest.mark.parametrize(
    ("phrase", "text", "pieces"),
    [
        ("pleural effusion", "Left Pleural  Effusion.", ["Pleural  Effusion"]),
        ("pleural effusion", "effusion pleural", []),
        ("x-ray film", "X-ray films; x ray film", ["X-ray films", "x ray film"]),
        ("nodule|nodular opacity", "nodular opacity, nodule opacity, opacity", ["nodular opacity", "nodule opacity"]),
        ("w/o|air film|free gas", "w/o film gas; air free gas", ["w/o film gas", "air free gas"]),
        ("chest film|x-ray clear", "chest x-ray clear and chest film clear", ["chest x-ray clear", "chest film clear"]),
        ("nodul*", "nodular, nodules, node", ["nodular", "nodules"]),
        ("nodul*|mass seen", "nodular seen, mass seen, node seen", ["nodular seen", "mass seen"]),
        ("large? effusion", "large effusion, effusion", ["large effusion", "effusion"]),
        ("pulled # cm", "pulled 3.5 cm, pulled cm", ["pulled 3.5 cm"]),
        ("heart <be> big", "heart is big, heart has been big", ["heart is big", "heart has been big"]),
        ("heart <be>? <much>? enlarged", "heart at least enlarged", ["heart at least enlarged"]),
        ("heart <be> enlarged", "heart enlarged", []),
        ("heart ... big", "heart is " + "very " * (GAP - 1) + "big", ["heart is very very very very big"]),
        ("heart ... enlarged", "heart is " + "very " * GAP + "enlarged", []),
        ("heart ... enlarged", "heart , enlarged", []),
        ("heart ... enlarged", "heart and aorta enlarged", []),
        ("no ... of ... mass", "no sign of a mass", ["no sign of a mass"]),
    ],
)  # fmt: skip
def test_the_pattern_language(phrase: str, text: str, pieces: list[str]) -> None:
    assert found(phrase, text) == pieces


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("opacity", "opacities"),
        ("effusion", "effusions"),
        ("mass", "masses"),
        ("atelectasis", "atelectases"),
        ("heart remain big", "hearts remains big"),
    ],
)
def test_plurals(phrase: str, text: str) -> None:
    assert found(phrase.replace("remain", "<be>"), text) == [text]


@pytest.mark.parametrize("text", ["efusion", "effussion", "effuison", "effusoin", "effusipn", "effusion", "effusoins"])
def test_typing_errors_of_long_words(text: str) -> None:
    assert found("effusion", text) == [text]


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("heart", "hearth"),  # short words: swapped letters only
        ("heart", "heat"),
        ("clear", "clean"),
        ("mass", "mas"),
        ("effusion", "efusio"),  # two errors
        ("effusion", "a" * 100_000),
    ],
)
def test_no_false_friends(phrase: str, text: str) -> None:
    assert found(phrase, text) == []


def test_short_words_with_swapped_letters() -> None:
    assert found("heart", "haert") == ["haert"]
    assert found("mass", "amss") == []


def test_a_word_of_the_table_is_never_a_typing_error_of_another() -> None:
    tree = PhraseTree([("infection", "a"), ("infarction", "b"), ("injection", "c")], {}, PLURALS)
    assert [m.payload for m in tree.find(["injection"])] == ["c"]
    tree = PhraseTree([("infection", "a"), ("<be>", "b")], {"be": ["injection"]}, PLURALS)
    assert [m.payload for m in tree.find(["injection"])] == ["b"]


def test_distinct_words_and_spellings() -> None:
    assert found("unclear", "nuclear") == ["nuclear"]
    assert found("unclear", "nuclear", distinct=["nuclear"]) == []
    assert found("tube", "tbue", spellings={"tbue": "tube"}) == ["tbue"]


@pytest.mark.parametrize("sentence", ["Nuclear medicine study.", "After contrast injection.", "The medial border."])
def test_the_built_in_table_guards_its_false_friends(sentence: str) -> None:
    (labelling,) = RuleLabeller().label([sentence])
    assert labelling.mentions == ()


def test_words_run_together() -> None:
    assert found("pleural effusion", "no pleuraleffusions.") == ["pleuraleffusions"]
    assert found("pleural effusion", "pleuraleffusionpleural") == []
    tree = PhraseTree([("pleural effusion", None)], {}, PLURALS)
    tokens = tree.separate(tokenize("Pleuraleffusion"))
    assert (tokens.words, tokens.starts, tokens.ends) == (["pleural", "effusion"], [0, 7], [7, 15])


def test_scripts_without_spaces() -> None:
    assert found("胸腔 ... 积液", "右侧胸腔少量积液。") == ["胸腔少量积液"]
    assert found("双肺|两肺|肺 野? 清晰", "双肺野清晰") == ["双肺野清晰"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("W/O, s/p and/or A/Bc", ["w/o", ",", "s/p", "and/or", "a", "/", "bc"]),
        ("T12 and 5x4 mm, 3.5cm", ["t12", "and", "5", "x", "4", "mm", ",", "3.5", "cm"]),
        ("isn't ill-defined - 1-2", ["isn't", "ill", "defined", "-", "1", "-", "2"]),
        ("___ XXXX", ["___", "xxxx"]),
        ("右T1", ["右", "t", "1"]),
        ("", []),
    ],
)
def test_tokens(text: str, words: list[str]) -> None:
    assert tokenize(text).words == words


@given(st.text())
def test_offsets_are_those_of_the_text(text: str) -> None:
    tokens = tokenize(text)
    lower = text.lower()
    previous = 0
    for word, start, end in zip(tokens.words, tokens.starts, tokens.ends, strict=True):
        assert previous <= start < end <= len(text)
        previous = end
        if len(lower) == len(text):
            assert word == lower[start:end]
        else:
            assert len(word) == end - start
    assert "".join(tokens.words) == "".join(tokens.words).strip()


@given(
    st.text(alphabet="aehrt .,", max_size=60), st.lists(st.text(alphabet="aehrt", min_size=1, max_size=8), max_size=4)
)
def test_any_words_can_be_looked_for(text: str, phrase: list[str]) -> None:
    tree = PhraseTree([(" ".join([*phrase, "heart"]), 1)], {}, PLURALS)
    tokens = tree.separate(tokenize(text))
    for match in tree.find(tokens.words):
        assert match.first <= match.last < len(tokens.words)
        assert len(match.tokens) == len(phrase) + 1


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("", "can be empty"),
        ("large? small?", "can be empty"),
        ("... effusion", "begins or ends with a gap"),
        ("effusion ...", "begins or ends with a gap"),
        ("a||b", "an alternative that is no word"),
        ("<be>|was seen", "an alternative that is no word"),
        ("heart <is> big", "names the class <is>"),
    ],
)
def test_phrases_that_cannot_be_matched(phrase: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_phrase(phrase, CLASSES)
    with pytest.raises(ValueError, match=message):
        PhraseTree([(phrase, None)], CLASSES)


def test_the_longest_counts() -> None:
    tree = PhraseTree([("effusion", 1), ("pericardial effusion", 2), ("no ... effusion", 3)], {}, PLURALS)
    matches = longest(tree.find(["no", "pericardial", "effusion"]))
    assert [m.payload for m in matches] == [3, 2]
