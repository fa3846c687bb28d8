"""Intervals: seeded, paired, and as wide as theory says."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluate.bootstrap import Counted, Estimates, estimate, resamples
from pipeline.evaluate.config import BootstrapConfig
from pipeline.evaluate.measures import measure_of

CONFIG = BootstrapConfig(resamples=300, confidence=0.95, seed=3)


def scored(rows: int, noise: float, seed: int = 0):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, rows)
    logit = (2 * labels - 1) + noise * draw.normal(size=rows)
    positive = 1 / (1 + np.exp(-logit))
    return labels, np.stack([1 - positive, positive], axis=1)


def test_resamples_keep_the_number_of_rows_and_come_from_the_seed():
    first, again = (list(resamples(Counted.alike(50), CONFIG)) for _ in range(2))
    assert len(first) == 300
    assert all(weights.sum() == 50 for weights in first)
    assert all((one == two).all() for one, two in zip(first, again, strict=True))


def test_interval_of_a_share_is_that_of_the_normal_approximation():
    labels, scores = scored(4000, 2.0)
    measures = {"m": measure_of("binary", labels, scores, 10)}
    found = estimate(measures, Counted.alike(4000), CONFIG)["m"]
    accuracy = found.values["accuracy"]
    low, high = found.interval("accuracy")
    reach = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 4000)
    assert low == pytest.approx(accuracy - reach, abs=0.2 * reach)
    assert high == pytest.approx(accuracy + reach, abs=0.2 * reach)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    config = BootstrapConfig(resamples=100, confidence=0.9, seed=1)
    covered = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(size=200)
        measure = measure_of("regression", np.zeros(200), values, 10)
        low, high = estimate({"m": measure}, Counted.alike(200), config)["m"].interval("bias")
        covered += low <= 0 <= high
    assert 80 <= covered <= 98


def test_a_paired_difference_is_narrower_than_the_two_intervals():
    labels, scores = scored(2000, 2.0)
    nearly = np.clip(scores + np.random.default_rng(1).normal(0, 0.005, scores.shape), 0, 1)
    measures = {"a": measure_of("binary", labels, scores, 10)}
    measures["b"] = measure_of("binary", labels, nearly, 10)
    found = estimate(measures, Counted.alike(2000), CONFIG)
    low, high = found["a"].minus(found["b"]).interval("auc")
    alone = np.ptp(found["a"].interval("auc"))
    assert high - low < 0.3 * alone
    same = found["a"].minus(found["a"])
    assert same.values["auc"] == 0.0
    assert same.interval("auc") == (0.0, 0.0)


def test_groups_are_drawn_whole_and_widen_the_interval():
    """Each row four times over says no more than each row once."""
    labels, scores = scored(500, 2.0)
    groups = np.repeat(np.arange(500), 4)
    measure = measure_of("binary", np.repeat(labels, 4), np.repeat(scores, 4, axis=0), 10)
    ones = np.ones(2000)
    for weights in resamples(Counted(ones, groups), CONFIG):
        assert weights.sum() == 2000
        assert (weights.reshape(500, 4) == weights[::4, None]).all()
    alone = estimate({"m": measure}, Counted(ones), CONFIG)["m"].interval("accuracy")
    grouped = estimate({"m": measure}, Counted(ones, groups), CONFIG)["m"].interval("accuracy")
    assert np.ptp(grouped) == pytest.approx(2 * np.ptp(alone), rel=0.25)


def test_weights_count_as_so_many_rows():
    labels, scores = scored(300, 2.0)
    times = np.random.default_rng(0).integers(0, 4, 300)
    measure = measure_of("binary", labels, scores, 10)
    repeated = measure_of("binary", np.repeat(labels, times), np.repeat(scores, times, axis=0), 10)
    found = estimate({"m": measure}, Counted(times.astype(float)), CONFIG)["m"].values
    expected = estimate({"m": repeated}, Counted.alike(times.sum()), CONFIG)["m"].values
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "mine", "others", "gain"),
    [
        ("auc", 0.8, 0.7, 0.1),
        ("log_loss", 0.5, 0.7, 0.2),
        ("bias", -1.0, 3.0, 2.0),
        ("bias", 3.0, -1.0, -2.0),
    ],
)
def test_a_gain_is_positive_where_the_model_is_better(metric, mine, others, gain):
    def one(value: float) -> Estimates:
        return Estimates({metric: value}, {metric: np.full(20, value)}, 0.95)

    found = one(mine).gain_over(one(others))
    assert found.values[metric] == pytest.approx(gain)
    assert found.interval(metric) == pytest.approx((gain, gain))


def test_an_interval_needs_half_of_the_resamples():
    few = np.r_[np.full(11, np.nan), np.ones(9)]
    assert Estimates({"auc": 1.0}, {"auc": few}, 0.95).interval("auc") is None
    assert Estimates({"auc": 1.0}, {"auc": few[2:]}, 0.95).interval("auc") == (1.0, 1.0)
    assert Estimates({}, {}, 0.95).interval("auc") is None


def test_metrics_that_only_one_model_has_are_not_compared():
    one = Estimates({"auc": 0.5, "f1": 0.5}, {}, 0.95)
    assert set(one.minus(Estimates({"auc": 0.4}, {}, 0.95)).values) == {"auc"}
