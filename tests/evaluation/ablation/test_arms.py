"""Who gets whose findings and picture, and which labels are told wrong."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.ablation.made import FINDINGS, case
from hilum.errors import DataError
from hilum.evaluation.ablation.arms import ARMS, CONTRASTS, flips, natural_errors, other_patients


@given(st.lists(st.integers(0, 8), min_size=2, max_size=40), st.integers(0, 5), st.randoms())
def test_every_study_gets_another_patient_s_and_each_is_used_once(patients, seed, rng):
    studies = [f"s{n:03d}" for n in range(len(patients))]
    names = [f"p{patient}" for patient in patients]
    if 2 * max(Counter(names).values()) > len(names):
        with pytest.raises(DataError, match="One patient has"):
            other_patients(studies, names, seed=seed)
        return
    other = other_patients(studies, names, seed=seed)
    assert sorted(other) == list(range(len(names)))
    assert all(names[i] != names[j] for i, j in enumerate(other))
    # whatever the order of the studies, the pairs are the same
    order = list(range(len(names)))
    rng.shuffle(order)
    moved = other_patients([studies[i] for i in order], [names[i] for i in order], seed=seed)
    pairs = {studies[i]: studies[j] for i, j in enumerate(other)}
    assert {studies[order[i]]: studies[order[j]] for i, j in enumerate(moved)} == pairs


def test_other_seeds_give_other_pairs():
    studies = [f"s{n:02d}" for n in range(30)]
    assert other_patients(studies, studies, seed=1) != other_patients(studies, studies, seed=2)


def test_the_arms_are_those_that_are_compared():
    assert len(ARMS) == len({arm.key for arm in ARMS}) == 8
    assert {arm for c in CONTRASTS for arm in (c.first, c.second)} == set(ARMS)
    for contrast in CONTRASTS:
        changed = [contrast.first.told != contrast.second.told, contrast.first.picture != contrast.second.picture]
        assert sum(changed) == 1, "one thing differs"


def flipped(one, **options):
    return {
        (e.direction, e.finding): e.told
        for e in flips(one, 0, FINDINGS, **{"per_direction": None, "seed": 0} | options)
    }


def test_each_flip_changes_one_label_of_the_reference():
    one = case(0, "Cardiomegaly", "Fracture")
    found = flipped(one)
    assert found["false_negative", "Cardiomegaly"] == {"Fracture"}
    assert found["false_positive", "Edema"] == {"Cardiomegaly", "Fracture", "Edema"}
    assert len(found) == len(FINDINGS)


def test_a_parent_of_what_is_told_or_possible_is_not_flipped():
    found = flipped(case(0, "Edema", "Lung Opacity"))
    assert ("false_negative", "Edema") in found
    assert ("false_negative", "Lung Opacity") not in found, "Edema says it all the same"
    # labels that are not closed upward: absent, though its child is present or possible
    assert ("false_positive", "Lung Opacity") not in flipped(case(0, "Edema"))
    assert ("false_positive", "Lung Opacity") not in flipped(case(0, uncertain=["Edema"]))


def test_only_what_the_reference_determines_is_flipped():
    found = flipped(case(0, "Fracture", uncertain=["Edema"], silent=["Pneumothorax", "Cardiomegaly"]))
    assert {name for _, name in found} == {"Fracture", "Pleural Effusion"}


def test_so_many_flips_for_each_direction_and_the_same_ones_again():
    one = case(0, "Cardiomegaly", "Fracture", "Pneumothorax")
    few = flipped(one, per_direction=1, seed=3)
    assert Counter(direction for direction, _ in few) == {"false_negative": 1, "false_positive": 1}
    assert few == flipped(one, per_direction=1, seed=3)
    assert len({tuple(flipped(one, per_direction=1, seed=seed)) for seed in range(20)}) > 1
    assert flipped(one, per_direction=0) == {}


def test_the_expert_s_own_errors():
    one = case(0, "Edema", "Lung Opacity", "Fracture", predicted=["Edema", "Cardiomegaly"], uncertain=["Pneumothorax"])
    found = {(e.direction, e.finding) for e in natural_errors(one, 0, FINDINGS)}
    # Lung Opacity is implied by the Edema that is told
    assert found == {("false_negative", "Fracture"), ("false_positive", "Cardiomegaly")}
