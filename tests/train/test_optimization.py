"""Optimisers, schedules and losses against their definitions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pipeline.core.schema import build
from pipeline.train.config import OptimizerConfig, ScheduleConfig
from pipeline.train.optimization import LearningRate, loss, optimizer
from tests.train.worlds import LABELS, read_yaml, settings

NAMES = ["adam", "adamw", "nadam", "sgd", "rmsprop", "adagrad", "lion"]


def schedule(name: str = "constant", warmup: float = 0.0, final: float = 0.1) -> ScheduleConfig:
    values = {"name": name, "warmup_fraction": warmup, "final_fraction": final}
    return build(ScheduleConfig, values)


def made(name: str, **changes: Any) -> keras.optimizers.Optimizer:
    values = {**read_yaml("train/default")["optimizer"], "name": name, **changes}
    return optimizer(build(OptimizerConfig, values), schedule(), total_steps=100)


@pytest.mark.parametrize("name", NAMES)
def test_each_optimizer_goes_downhill(name: str) -> None:
    rule = made(name, learning_rate=0.1, weight_decay=0.0, momentum=0.0)  # no overshooting
    place = keras.Variable([1.0, -1.0])
    for _ in range(8):
        rule.apply([2 * place.value], [place])
    assert np.abs(np.asarray(place.value)).max() < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_shrinks_weights_but_no_biases(name: str) -> None:
    rule = made(name, learning_rate=0.1, weight_decay=0.5)
    kernel, bias = keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="bias")
    nothing = np.zeros(1, np.float32)
    rule.apply([nothing, nothing], [kernel, bias])
    np.testing.assert_allclose(np.asarray(kernel.value), [0.95], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(bias.value), [1.0])


def test_clipping_shortens_all_gradients_together() -> None:
    rule = made("sgd", learning_rate=1.0, momentum=0.0, weight_decay=0.0, clip_norm=1.0)
    places = [keras.Variable([0.0]), keras.Variable([0.0])]
    rule.apply([np.array([3.0], np.float32), np.array([4.0], np.float32)], places)
    np.testing.assert_allclose([float(p.value[0]) for p in places], [-0.6, -0.8], rtol=1e-5)


def rates(config: ScheduleConfig, total: int) -> np.ndarray:
    rate = LearningRate(2.0, config, total)
    return np.array([float(rate(step)) for step in range(total + 1)])


def test_a_constant_rate_is_constant() -> None:
    np.testing.assert_allclose(rates(schedule("constant"), 20), 2.0)


@pytest.mark.parametrize("name", ["cosine", "exponential"])
def test_a_falling_rate_goes_from_the_highest_to_the_final_share(name: str) -> None:
    values = rates(schedule(name, final=0.1), 20)
    assert values[0] == pytest.approx(2.0)
    assert values[-1] == pytest.approx(0.2, rel=1e-5)
    assert (np.diff(values) < 0).all()


def test_half_way_is_what_the_formulas_say() -> None:
    assert rates(schedule("cosine", final=0.1), 20)[10] == pytest.approx(1.1, rel=1e-5)
    middle = rates(schedule("exponential", final=0.01), 20)[10]
    assert middle == pytest.approx(0.2, rel=1e-5)


@pytest.mark.parametrize("name", ["constant", "cosine", "exponential"])
def test_the_warm_up_rises_in_equal_parts(name: str) -> None:
    values = rates(schedule(name, warmup=0.5, final=0.1), 10)
    np.testing.assert_allclose(values[:6], 2.0 * np.arange(1, 7) / 6, rtol=1e-5)


def test_the_binary_loss_is_the_cross_entropy_of_logits() -> None:
    rule = loss(LABELS["binary"], settings().train)
    logits, labels = np.array([[0.5], [-2.0]], np.float32), np.array([[1.0], [0.0]], np.float32)
    expected = np.log1p(np.exp([-0.5, -2.0])).mean()
    assert float(rule(labels, logits)) == pytest.approx(expected, rel=1e-6)


def test_smoothed_labels_are_mixed_with_all_classes() -> None:
    options = settings(train__label_smoothing=0.3).train
    rule = loss(LABELS["multiclass"], options)
    logits = np.array([[1.0, 2.0, 4.0]], np.float32)
    log_p = logits - np.log(np.exp(logits).sum())
    expected = -(0.7 * log_p[0, 2] + 0.3 * log_p.mean())
    assert float(rule(np.array([2]), logits)) == pytest.approx(expected, rel=1e-6)
    plain = loss(LABELS["multiclass"], options, smoothed=False)
    assert float(plain(np.array([2]), logits)) == pytest.approx(-log_p[0, 2], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"), [("squared", 5.0), ("absolute", 2.0), ("huber", 1.5)]
)
def test_a_regression_has_the_loss_it_is_told(name: str, expected: float) -> None:
    rule = loss(LABELS["regression"], settings(train__regression_loss=name).train)
    errors = np.array([[1.0], [3.0]], np.float32)
    assert float(rule(np.zeros_like(errors), errors)) == pytest.approx(expected)
