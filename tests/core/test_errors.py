"""Messages say what came, what was expected and what to do; exit codes are the contract's."""

from __future__ import annotations

import pytest

from pipeline.core import errors


def test_message_has_three_lines() -> None:
    error = errors.DataError("3 rows have no label", "a label in each", "drop them")
    assert str(error).splitlines() == [
        "3 rows have no label",
        "  expected: a label in each",
        "  to do:    drop them",
    ]
    assert str(errors.PipelineError("it broke")) == "it broke"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.PipelineError, 1),
        (errors.DataError, 1),
        (errors.BusyError, 1),
        (errors.UsageError, 2),
        (errors.ConfigError, 2),
        (errors.GateRefused, 3),
    ],
)
def test_exit_codes(kind: type[errors.PipelineError], code: int) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, errors.PipelineError)


def test_nearest_finds_typos_and_moved_keys() -> None:
    keys = ["train.epochs", "train.optimizer.learning_rate", "evaluate.slices"]
    assert errors.nearest("train.epoch", keys)[0] == "train.epochs"
    assert errors.nearest("learning_rat", keys) == ["train.optimizer.learning_rate"]
    assert errors.nearest("zzz", keys) == []
    assert errors.nearest("weight", [" WEIGHT", "shop"]) == [" WEIGHT"], "case and blanks"
