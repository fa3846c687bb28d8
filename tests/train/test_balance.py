"""How workers share a step: what is told of it."""

from __future__ import annotations

import pytest

from pipeline.train.balance import WorkerPace
from pipeline.train.card import facts
from pipeline.train.fitting import Fitted

QUICK = WorkerPace(512, 0.010, 0.001, 0.005, 0.006)
SLOW = WorkerPace(512, 0.010, 0.004, 0.001, 0.006)


def fitted(*workers: WorkerPace) -> Fitted:
    row = {"epoch": 0.0, "learning_rate": 0.1, "loss": 1.0, "val_loss": 1.0}
    return Fitted(None, [row], 0, 2.0, 1000.0, 2.0, [1.5], list(workers))


def test_the_slow_one_waits_for_nobody() -> None:
    assert QUICK.examples_per_second == pytest.approx(512 / 0.005)
    assert SLOW.examples_per_second == pytest.approx(512 / 0.009)
    assert QUICK.own_seconds == pytest.approx(0.004)
    measured = facts(fitted(QUICK, SLOW))
    assert measured["balance"] == pytest.approx(5 / 9)
    assert measured["cores_busy"] == pytest.approx(1.2)
    assert measured["validation_share"] == pytest.approx(0.25)
    assert measured["worker_0.others_share"] == pytest.approx(0.5)
    assert measured["worker_1.input_share"] == pytest.approx(0.4)


def test_one_process_has_no_balance_and_none_at_all_no_pace() -> None:
    assert not {"balance", "worker_0.step_ms"} & set(facts(fitted(QUICK)))
    assert facts(fitted()) == {}
