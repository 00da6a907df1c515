"""Every average equals scikit-learn's, and sums over studies give what the studies themselves give."""

from __future__ import annotations

import warnings
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

from hilum.evaluation.clinical import (
    CLASSES,
    POLICIES,
    averages,
    clinical_measures,
    confusion,
    four_state,
    per_finding,
    positive,
    slug,
)
from hilum.evaluation.labelled import FAILED, LabelledPairs, LabelledTexts
from hilum.records import NAMES

STATES = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.int8, (n, 14), elements=st.integers(0, 3)), arrays(np.int8, (n, 14), elements=st.integers(0, 3))
    )
)
NORMAL = np.eye(14, dtype=np.int8)[NAMES.index("No Finding")]


def labelled(truth, said, included=None) -> LabelledPairs:
    truth, said = np.asarray(truth, np.int8), np.asarray(said, np.int8)
    sides = [LabelledTexts("fake/1", states, (), MappingProxyType({}), frozenset(), ()) for states in (truth, said)]
    kept = np.ones(len(truth), np.bool_) if included is None else np.asarray(included, np.bool_)
    return LabelledPairs(sides[0], sides[1], kept, MappingProxyType({}), "both")


def found(measures, rows=None) -> dict[str, float]:
    return dict(zip(measures.names, measures.all(rows).tolist(), strict=True))


def sklearn_scores(truth, said, average, zero_division=0.0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return precision_recall_fscore_support(truth, said, average=average, zero_division=zero_division)


@settings(max_examples=150, deadline=None)
@given(STATES, st.sampled_from(POLICIES))
def test_averages_equal_scikit_learn(both, policy):
    pairs = labelled(*both)
    ours = found(averages(pairs, policy))
    truth, said = (positive(states, policy) for states in both)
    for size, names in CLASSES.items():
        columns = [NAMES.index(name) for name in names]
        for average, key in (("micro",) * 2, ("macro",) * 2, ("weighted",) * 2, ("samples", "example")):
            precision, recall, f1, _ = sklearn_scores(truth[:, columns], said[:, columns], average)
            assert ours[f"{key}_precision_{size}"] == pytest.approx(precision, abs=1e-12)
            assert ours[f"{key}_recall_{size}"] == pytest.approx(recall, abs=1e-12)
            assert ours[f"{key}_f1_{size}"] == pytest.approx(f1, abs=1e-12)
        single = sklearn_scores(truth[:, columns], said[:, columns], None)[2]
        named = truth[:, columns].any(axis=0)
        expected = single[named].mean() if named.any() else np.nan
        assert ours[f"macro_supported_f1_{size}"] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        lenient = sklearn_scores(truth[:, columns], said[:, columns], "samples", 1.0)[2]
        assert ours[f"example_empty_1_f1_{size}"] == pytest.approx(lenient, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(STATES, st.sampled_from(POLICIES))
def test_single_findings_equal_scikit_learn(both, policy):
    ours = found(per_finding(labelled(*both), policy))
    truth, said = (positive(states, policy) for states in both)
    precision, recall, f1, support = sklearn_scores(truth, said, None, np.nan)
    for i, name in enumerate(NAMES):
        got = [ours[f"{what}_{slug(name)}"] for what in ("precision", "recall", "f1", "n_reference", "n_prediction")]
        assert got == pytest.approx([precision[i], recall[i], f1[i], support[i], said[:, i].sum()], nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(STATES)
def test_agreement_and_kappa_equal_scikit_learn(both):
    truth, said = both
    pairs = labelled(truth, said)
    ours = found(four_state(pairs))
    same = truth == said
    assert ours["agreement_14"] == pytest.approx(same.mean())
    assert ours["agreement_all_14"] == pytest.approx(same.all(axis=1).mean())
    kappas = []
    for i, name in enumerate(NAMES):
        table = confusion_matrix(truth[:, i], said[:, i], labels=range(4))
        assert (confusion(pairs, name) == table).all()
        assert ours[f"agreement_{slug(name)}"] == pytest.approx(same[:, i].mean())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kappas.append(cohen_kappa_score(truth[:, i], said[:, i], labels=range(4)))
        if len({*truth[:, i], *said[:, i]}) > 1:
            assert ours[f"kappa_{slug(name)}"] == pytest.approx(kappas[-1], abs=1e-9)
        else:
            assert np.isnan(ours[f"kappa_{slug(name)}"])
            kappas.pop()
    expected = np.mean(kappas) if kappas else np.nan
    assert ours["kappa_mean_14"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(STATES, st.data())
def test_excluded_studies_count_nowhere(both, data):
    truth, said = (states.copy() for states in both)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth))))
    kept[0] = True
    truth[~kept] = FAILED
    with_all = clinical_measures(labelled(truth, said, kept))
    without = clinical_measures(labelled(truth[kept], said[kept]))
    for one, other in zip(with_all, without, strict=True):
        assert one.all() == pytest.approx(other.all(), nan_ok=True)


def test_resamples_are_matrix_products():
    rng = np.random.default_rng(0)
    pairs = labelled(rng.integers(0, 4, (50, 14)), rng.integers(0, 4, (50, 14)))
    counts = rng.multinomial(50, np.full(50, 1 / 50), size=8)
    for measures in clinical_measures(pairs):
        assert np.isfinite(measures.values).all()
        assert len(set(measures.names)) == len(measures.names)
        got = measures.of_sums(counts @ measures.values)
        assert got.shape == (8, len(measures.names))
        for row, drawn in zip(got, counts, strict=True):
            again = measures.all(np.repeat(np.arange(50), drawn))
            assert row == pytest.approx(again, nan_ok=True)


def test_what_zero_division_means():
    normal = found(averages(labelled([NORMAL], [NORMAL]), "uncertain_negative"))
    assert normal["micro_f1_14"] == 1.0
    assert normal["macro_f1_14"] == pytest.approx(1 / 14)
    assert normal["macro_supported_f1_14"] == 1.0
    assert normal["example_f1_14"] == 1.0
    assert normal["example_f1_13"] == 0.0
    assert normal["example_empty_1_f1_13"] == 1.0
    assert np.isnan(normal["macro_supported_f1_5"])


def test_policies_differ_by_the_uncertain_alone():
    truth, said = np.zeros((1, 14), np.int8), np.zeros((1, 14), np.int8)
    truth[0, 4], said[0, 4] = 3, 1
    assert found(averages(labelled(truth, said), "uncertain_positive"))["micro_f1_14"] == 1.0
    assert found(averages(labelled(truth, said), "uncertain_negative"))["micro_f1_14"] == 0.0


def test_names_and_conventions_are_stable():
    pairs = labelled([NORMAL], [NORMAL])
    first = averages(pairs, "uncertain_negative")
    assert first.convention == "labeller:fake/1|uncertain:negative|zero_division:0|sections:both"
    assert {"micro_f1_14", "macro_f1_13", "weighted_f1_5", "example_f1_14", "macro_supported_f1_13"} <= set(first.names)
    assert "f1_pleural_effusion" in per_finding(pairs, "uncertain_positive").names
    assert len({m.convention for m in clinical_measures(pairs)}) == 5
