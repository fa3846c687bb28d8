"""A training that explodes names the step and the worker, and leaves the batch to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.encoding import encode
from pipeline.core.errors import PipelineError
from pipeline.core.records import LABEL
from pipeline.train.diverged import BATCHES
from pipeline.train.examples import examples
from pipeline.train.input import InMemory, endless
from pipeline.train.watch import TrainingDivergedError
from tests.train.worlds import processed, train

BATCH = 64
STEPS_PER_CALL = 5
CHANGES: dict[str, Any] = {
    "train__steps_per_execution": STEPS_PER_CALL,
    "train__optimizer__clip_norm": None,
}


def spoiled(root: Path, row: int = 321) -> tuple[Artifacts, int, int]:
    """A regression with one absurd label; the step that sees it first, and its place there."""
    artifacts = processed(root, "regression")
    table = artifacts.split("train").read()
    table.loc[row, LABEL] = 1e7
    artifacts.split("train").write(table)
    source = InMemory(examples(table, artifacts.features.read(), "train"))
    for step, (_, labels) in enumerate(endless(source, BATCH, seed=7)):
        if labels.numpy().max() > 1e6:
            return artifacts, step, int(labels.numpy().argmax())
    raise AssertionError


def test_the_exact_step_is_named_and_its_batch_kept(tmp_path: Path) -> None:
    artifacts, step, place = spoiled(tmp_path)
    with pytest.raises(TrainingDivergedError, match=rf"in step {step} of epoch 0, at") as raised:
        train(artifacts, "linear", **CHANGES)
    error = raised.value
    assert BATCHES in str(error)
    assert "the largest input is" in str(error)
    assert error.steps == range(step - step % STEPS_PER_CALL, step + 1)
    assert not artifacts.training_card.exists()
    table = encode(artifacts.split("train").read(), artifacts.features.read())
    with np.load(tmp_path / BATCHES, allow_pickle=False) as kept:
        assert list(kept["step"]) == list(error.steps)
        assert kept["labels"][-1].argmax() == place
        assert kept["labels"][:-1].max(initial=0.0) < 1e6 < kept["labels"][-1].max()
        assert tuple(kept["dense_names"]) == artifacts.features.read().dense_names
        rows = {row.tobytes() for row in table.dense}
        assert all(row.tobytes() in rows for row in kept["dense"].reshape(-1, table.dense.shape[1]))


def test_of_two_workers_the_one_with_the_row_is_named(tmp_path: Path) -> None:
    artifacts, step, place = spoiled(tmp_path)
    worker = place // (BATCH // 2)
    message = (
        rf"(?s)^the loss became .* in step {step} of epoch 0 on worker {worker}, at .*{BATCHES}"
    )
    with pytest.raises(PipelineError, match=message) as raised:
        train(artifacts, "linear", strategy__name="multi_worker", **CHANGES)
    assert raised.value.exit_code == 1
    with np.load(tmp_path / BATCHES, allow_pickle=False) as kept:
        assert kept["labels"][-1].argmax() == place
    assert not (tmp_path / "models").exists()
    assert not list((tmp_path / STATE / "checkpoints").rglob("*.aside-*"))


def test_a_label_that_is_no_number_is_refused_before_the_first_step(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "regression")
    table = artifacts.split("train").read()
    table.loc[[3, 5], LABEL] = np.nan
    artifacts.split("train").write(table)
    with pytest.raises(PipelineError, match=r"(?s)2 labels of .*train.parquet are impossible.*nan"):
        train(artifacts, "linear")


def test_a_column_without_numbers_is_imputed_and_trains(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    table = artifacts.split("train").read()
    table.loc[::7, "x"] = [np.nan, np.inf] * (len(table[::7]) // 2)
    artifacts.split("train").write(table)
    train(artifacts, "linear", train__epochs=1)
    assert np.isfinite(artifacts.training.read().validation_loss)
