"""Epoch metrics against scikit-learn, and the callbacks: best weights, early stop, divergence."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from pipeline.core.encoding import Encoded
from pipeline.core.errors import ConfigError, DataError
from pipeline.train.agreement import MEASURED
from pipeline.train.config import EarlyStoppingConfig
from pipeline.train.examples import Examples
from pipeline.train.optimization import loss
from pipeline.train.plan import plan
from pipeline.train.strategy import Team
from pipeline.train.validation import Validation, require_monitor
from pipeline.train.watch import BestWeights, EpochWatch, StepWatch, TrainingDivergedError
from tests.train.worlds import LABELS, settings


def echo(outputs: int) -> keras.Model:
    """A core that returns its dense columns as they are."""
    dense = keras.Input((outputs,), name="dense")
    indices = keras.Input((0,), dtype="int32", name="indices")
    return keras.Model({"dense": dense, "indices": indices}, keras.ops.multiply(dense, 1.0))


def measured(task: str, outputs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    encoded = Encoded(outputs.astype(np.float32), np.zeros((len(outputs), 0), np.int32))
    label = LABELS[task]
    rule = loss(label, settings().train, smoothed=False)
    core = echo(outputs.shape[1])
    return Validation(core, Examples(encoded, labels), label, rule)()


def test_binary_metrics_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(9000, 1)).round(1)  # with ties, in more than one block
    labels = (rng.random((9000, 1)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    found = measured("binary", logits, labels)
    assert tuple(sorted(found)) == tuple(sorted(MEASURED["binary"]))
    assert found["val_auc"] == pytest.approx(roc_auc_score(labels, logits))
    assert found["val_loss"] == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))), rel=1e-5)
    assert found["val_accuracy"] == pytest.approx(np.mean((logits > 0) == labels))


def test_one_class_has_no_auc() -> None:
    assert "val_auc" not in measured("binary", np.ones((4, 1)), np.ones((4, 1), np.float32))


def test_multiclass_accuracy_is_the_share_of_right_answers() -> None:
    logits = np.array([[3.0, 1, 1], [1, 3, 1], [1, 1, 3], [3, 1, 1]])
    found = measured("multiclass", logits, np.array([0, 1, 0, 0], np.int32))
    assert found["val_accuracy"] == 0.75


def test_regression_errors_are_in_the_unit_of_the_label() -> None:
    found = measured("regression", np.array([[1.0], [0.0]]), np.zeros((2, 1), np.float32))
    assert found["val_mae"] == pytest.approx(2.0)  # half of the label's scale of 4
    assert found["val_rmse"] == pytest.approx(4 * np.sqrt(0.5))


def test_a_monitor_of_another_task_is_refused() -> None:
    rows = Examples(Encoded(np.zeros((2, 1)), np.zeros((2, 0))), np.zeros((2, 1)))
    with pytest.raises(ConfigError, match=r"(?s)monitor=val_auc.*regression.*val_mae"):
        require_monitor("val_auc", LABELS["regression"], rows)
    with pytest.raises(DataError, match="all validation rows are of one class"):
        require_monitor("val_auc", LABELS["binary"], rows)


class Weights:
    """What `BestWeights` needs of a model."""

    def __init__(self) -> None:
        self.now = 0
        self.stop_training = False

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.now)]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.now = int(weights[0])


def followed(values: list[float], **changes: Any) -> tuple[BestWeights, Weights, int]:
    """Lets the callback see one value an epoch; returns it, the model and the epochs run."""
    options = {"monitor": "val_loss", "patience": 2, "min_delta": 0.0, "restore_best": True}
    best, model = BestWeights(EarlyStoppingConfig(**{**options, **changes})), Weights()
    best.set_model(model)
    epochs = 0
    for epoch, value in enumerate(values):
        model.now, epochs = epoch, epoch + 1
        best.on_epoch_end(epoch, {options["monitor"]: value, "val_auc": value})
        if model.stop_training:
            break
    best.on_train_end()
    return best, model, epochs


def test_training_stops_after_patience_and_the_best_weights_come_back() -> None:
    best, model, epochs = followed([3.0, 1.0, 2.0, 2.0, 0.5])
    assert (best.best_epoch, model.now, epochs) == (1, 1, 4)


def test_without_patience_every_epoch_is_run() -> None:
    best, model, epochs = followed([3.0, 1.0, 2.0, 2.0, 2.0], patience=None)
    assert (best.best_epoch, model.now, epochs) == (1, 1, 5)


def test_a_greater_auc_is_better() -> None:
    assert followed([0.6, 0.8, 0.7], monitor="val_auc")[1].now == 1


def test_a_gain_within_min_delta_is_none() -> None:
    assert followed([1.0, 0.95, 0.91], min_delta=0.1)[1].now == 0


def test_the_last_weights_are_kept_where_that_is_wanted() -> None:
    best, model, _ = followed([1.0, 2.0], restore_best=False)
    assert (best.best_epoch, model.now) == (1, 1)


class Rated:
    """What a message about divergence needs of a model: a rate, a team and who has exploded."""

    class optimizer:  # noqa: N801 - the attribute of a Keras model
        learning_rate = 0.5

    def __init__(self, *exploded: float) -> None:
        self.team, self.told = Team(), {"exploded": np.array(exploded)}
        self.team.replicas = len(exploded)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2e6])
@pytest.mark.parametrize(
    ("exploded", "who"),
    [((1,), ""), ((0, 1, 1), " on replica 1, 2"), ((1, 1), " on all 2 replicas")],
)
def test_a_loss_that_exploded_names_its_step_and_replica_and_what_to_do(
    value: float, exploded: tuple[int, ...], who: str
) -> None:
    watch = StepWatch(lambda steps, note: None, batch_rows=8)
    watch.set_model(Rated(*exploded))
    watch.on_epoch_begin(2)
    watch.on_train_batch_end(9, {"loss": 1.0, "last_loss": 1.0, "steps": 10.0})
    message = rf"(?s)in step 16 of epoch 2{who}, at a learning rate of 0.5.*learning_rate"
    with pytest.raises(TrainingDivergedError, match=message) as raised:
        watch.on_train_batch_end(19, {"loss": 1.0, "last_loss": value, "steps": 7.0})
    assert raised.value.steps == range(10, 17)


def test_a_validation_loss_that_exploded_is_an_error_too() -> None:
    watch = EpochWatch(lambda: {"val_loss": float("nan")}, lambda row: None)
    watch.set_model(Rated(1))
    with pytest.raises(TrainingDivergedError, match="validation loss became nan after epoch 3"):
        watch.on_epoch_end(3, {"loss": 0.1})


@pytest.mark.parametrize(
    ("rows", "batch", "per_call", "expected"),
    [
        (1000, 100, 1, (100, 1, 10)),
        (1000, 100, 32, (100, 10, 1)),
        (244_646, 1024, 32, (1024, 30, 8)),
        (30, 100, 32, (30, 1, 1)),
    ],
)
def test_an_epoch_is_cut_into_equal_calls(
    rows: int, batch: int, per_call: int, expected: tuple[int, int, int]
) -> None:
    cut = plan(rows, batch, per_call)
    assert (cut.batch_rows, cut.steps_per_call, cut.calls_per_epoch) == expected
