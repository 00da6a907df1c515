"""Labels of both sides: every text once, nothing empty or failed that is not counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hilum.errors import DataError
from hilum.evaluation.labelled import FAILED, STATES, label_pairs, label_texts
from hilum.evaluation.pairs import Pair, Pairs
from hilum.labeling import Labelling, RuleLabeller
from hilum.records import NAMES, LabelState

CARD = Path(__file__).parents[2] / "docs/cards/labeller.md"


class Fake:
    """Labels as it is told, and remembers what it was asked."""

    identity = "fake/1"

    def __init__(self, failing: str = "", short: bool = False, partial: bool = False) -> None:
        self.failing, self.short, self.partial = failing, short, partial
        self.asked: list[str] = []

    def label(self, texts: Sequence[str]) -> list[Labelling]:
        self.asked += texts
        states = dict.fromkeys(NAMES, LabelState.ABSENT)
        if self.partial:
            del states["Edema"]
        out = [Labelling(failed="no answer") if text == self.failing else Labelling(states) for text in texts]
        return out[1:] if self.short else out


def pairs(*rows: tuple[str, str]) -> Pairs:
    made = tuple(Pair(str(i), str(i), reference, prediction) for i, (reference, prediction) in enumerate(rows))
    return Pairs(made, "both", True)


def test_states_are_keyed_by_name():
    found = label_texts(["No pneumothorax. Small left effusion. Possible edema."])
    said = {name: STATES[found.of(name)[0]] for name in NAMES}
    assert said["Pneumothorax"] is LabelState.ABSENT
    assert said["Pleural Effusion"] is LabelState.PRESENT
    assert said["Edema"] is LabelState.UNCERTAIN
    assert said["Fracture"] is LabelState.NOT_MENTIONED
    assert found.states.shape == (1, 14)
    assert found.labeller == RuleLabeller().identity


def test_an_empty_text_mentions_nothing_and_is_counted():
    fake = Fake()
    found = label_texts(["a", "", " \n", "a"], fake)
    assert fake.asked == ["a"]
    assert found.empty == (1, 2)
    assert (found.states[1:3] == 0).all()
    assert not found.failed
    assert found.labellings[0] is found.labellings[3]


def test_no_texts():
    assert label_texts([]).states.shape == (0, 14)


def test_a_failed_labelling_is_no_row_of_zeros():
    found = label_texts(["a", "b"], Fake(failing="b"))
    assert found.failed == {1: "no answer"}
    assert (found.states[1] == FAILED).all()


def test_processes_give_the_same():
    texts = [f"Nodule of {i} mm. No effusion." for i in range(600)]
    one, two = label_texts(texts, workers=1), label_texts(texts, workers=2)
    assert (one.states == two.states).all()
    assert one.labellings == two.labellings


@pytest.mark.parametrize(("fake", "said"), [(Fake(short=True), "0 labellings of 1"), (Fake(partial=True), "Edema")])
def test_a_labeller_that_breaks_its_contract(fake, said):
    with pytest.raises(DataError, match=said):
        label_texts(["a"], fake)


def test_failures_on_either_side_leave_the_study_out_and_say_so():
    found = label_pairs(pairs(("a", "a"), ("bad", "a"), ("a", "bad"), ("a", "")), Fake(failing="bad"))
    assert found.included.tolist() == [True, False, False, True]
    assert found.excluded == {"1": "reference: no answer", "2": "prediction: no answer"}
    assert "2 of 4 studies" in found.exclusions
    assert "1, 2" in found.exclusions
    assert found.predictions.empty == (3,)
    assert label_pairs(pairs(("a", "a")), Fake()).exclusions == ""


def test_nothing_left_is_an_error():
    with pytest.raises(DataError, match=r"none of the 1 studies \(reference: no answer\)"):
        label_pairs(pairs(("bad", "a")), Fake(failing="bad"))


def test_an_unreadable_prediction_mentions_nothing_and_stays_in():
    rows = (Pair("1", "a", "Large left effusion.", "Kein Pneumothorax rechts, Pleuraerguss."),)
    pairs = label_pairs(Pairs(rows, "both", True))
    assert pairs.included.all()
    assert pairs.predictions.unreadable == {0}
    assert (pairs.predictions.states == STATES.index(LabelState.NOT_MENTIONED)).all()


def test_an_unreadable_reference_is_left_out_and_named():
    rows = (
        Pair("1", "a", "Kein Pneumothorax rechts, Pleuraerguss.", "Large left effusion."),
        Pair("2", "b", "Clear lungs.", "Clear lungs."),
    )
    pairs = label_pairs(Pairs(rows, "both", True))
    assert list(pairs.included) == [False, True]
    assert list(pairs.excluded) == ["1"]
