"""Holm against his own example and statsmodels; McNemar against a binomial test."""

import numpy as np
import pytest
from scipy import stats

from hilum.errors import DataError
from hilum.statistics import holm, mcnemar


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_test_that_could_not_be_made_is_no_part_of_the_family():
    found = holm([0.01, np.nan, 0.5])
    assert found[[0, 2]] == pytest.approx([0.02, 0.5])
    assert np.isnan(found[1])
    assert np.isnan(holm([np.nan])).all()
    assert holm([]).shape == (0,)


def test_mcnemar_is_a_binomial_test_of_the_discordant():
    a = np.repeat([1, 1, 0, 0], [40, 12, 4, 30])
    b = np.repeat([1, 0, 1, 0], [40, 12, 4, 30])
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b, found.n) == (12, 4, 86)
    assert (found.share_a, found.share_b) == pytest.approx((52 / 86, 44 / 86))
    assert found.p == pytest.approx(stats.binomtest(4, 16).pvalue)


def test_mcnemar_without_discordant_cases():
    assert mcnemar([1, 0], [1, 0]).p == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: holm([0.2, 1.2]), r"within 0\.\.1"),
        (lambda: holm(0.2), "vector"),
        (lambda: mcnemar([1, 0], [1]), "one length"),
        (lambda: mcnemar([1, 2], [1, 0]), "0 and 1"),
    ],
)
def test_unusable_input_is_named(call, words):
    with pytest.raises(DataError, match=words):
        call()
