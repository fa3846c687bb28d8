"""The profile's statistics against their definitions, other libraries and known laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import mutual_info_score, roc_auc_score

from pipeline.preprocess import profile_statistics as statistics

small = st.floats(-1e3, 1e3).map(lambda value: round(value, 1))
tables = arrays(
    np.int64, st.tuples(st.integers(2, 6), st.integers(2, 4)), elements=st.integers(0, 40)
)


@st.composite
def pairs(draw):
    n = draw(st.integers(2, 60))
    return draw(arrays(np.float64, n, elements=small)), draw(arrays(np.float64, n, elements=small))


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_auc_is_that_of_scikit_learn(pair):
    values, other = pair
    positive = other > 0
    found = statistics.auc(values, positive)
    if positive.all() or not positive.any():
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(positive, values))


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_correlations_are_those_of_scipy(pair):
    values, label = pair
    linear, ranked = statistics.pearson(values, label), statistics.spearman(values, label)
    if np.ptp(values) == 0 or np.ptp(label) == 0:
        assert linear is None
        assert ranked is None
    else:
        assert linear == pytest.approx(stats.pearsonr(values, label).statistic, abs=1e-7)
        assert ranked == pytest.approx(stats.spearmanr(values, label).statistic, abs=1e-9)


def test_pearson_survives_huge_values():
    values = np.array([1e300, -1e300, 5e299, 2e299])
    assert statistics.pearson(values, values) == pytest.approx(1.0)


@given(tables)
@settings(max_examples=80, deadline=None)
def test_categorical_measures_stay_between_0_and_1(table):
    for measure in (statistics.cramers_v, statistics.mutual_information):
        found = measure(table)
        assert found is None or 0.0 <= found <= 1.0


@given(tables, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_categorical_measures_do_not_depend_on_order(table, random):
    shuffled = table[random.sample(range(len(table)), len(table))]
    for measure in (statistics.cramers_v, statistics.mutual_information):
        assert measure(shuffled) == pytest.approx(measure(table), abs=1e-9)


def test_mutual_information_is_that_of_scikit_learn_less_chance():
    rng = np.random.default_rng(3)
    value, label = rng.integers(0, 4, 5000), rng.integers(0, 3, 5000)
    label = np.where(rng.random(5000) < 0.5, value % 3, label)
    table = np.bincount(value * 3 + label, minlength=12).reshape(4, 3)
    entropy = stats.entropy(table.sum(axis=0))
    expected = (mutual_info_score(value, label) - 3 * 2 / 10_000) / entropy
    assert statistics.mutual_information(table) == pytest.approx(expected)


def test_a_column_that_is_the_label_says_everything():
    table = np.diag([30, 50, 20])
    assert statistics.cramers_v(table) == pytest.approx(1.0, abs=0.02)
    assert statistics.mutual_information(table) > 0.97
    groups = np.repeat([0, 1, 2], 20)
    assert statistics.correlation_ratio(groups, groups * 5.0) == pytest.approx(1.0)


def test_a_different_value_in_each_row_says_nothing():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 400)
    one_each = np.zeros((400, 2), dtype=np.int64)
    one_each[np.arange(400), label] = 1
    assert statistics.cramers_v(one_each) is None
    assert statistics.correlation_ratio(np.arange(400), label * 1.0) is None
    # Two rows to a value: uncorrected, both would come out near 0.7.
    twins = one_each.reshape(200, 2, 2).sum(axis=1)
    assert statistics.cramers_v(twins) < 0.25
    assert statistics.correlation_ratio(np.arange(400) // 2, rng.normal(size=400)) < 0.25


@given(
    arrays(np.int64, 8, elements=st.integers(0, 500)),
    arrays(np.int64, 8, elements=st.integers(0, 500)),
)
@settings(max_examples=60, deadline=None)
def test_stability_index_is_a_symmetric_distance(left, right):
    forth = statistics.stability_index(left, right)
    assert np.isfinite(forth)
    assert forth >= 0.0
    assert forth == pytest.approx(statistics.stability_index(right, left))
    assert statistics.stability_index(left, left) == pytest.approx(0.0)


def test_stability_noise_is_exceeded_about_once_in_a_hundred():
    rng = np.random.default_rng(5)
    shares = np.full(10, 0.1)
    bound = statistics.stability_noise(10, 2000, 300)
    over = [
        statistics.stability_index(rng.multinomial(2000, shares), rng.multinomial(300, shares))
        > bound
        for _ in range(1000)
    ]
    assert 0.002 < np.mean(over) < 0.04
