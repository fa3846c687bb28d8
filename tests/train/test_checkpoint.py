"""Checkpoints: when they are due, what is kept, and a disk that has no room."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.artifacts import STATE, Artifacts
from pipeline.train import checkpoint, watch
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.config import CheckpointConfig
from tests.train.test_same_answer import weights
from tests.train.worlds import processed, train

OFTEN: dict[str, Any] = {
    "train__epochs": 2,
    "train__steps_per_execution": 2,
    "train__checkpoint__every_steps": 4,
    "train__checkpoint__every_seconds": None,
}


def kept(root: Path, keep: int = 2) -> Checkpoints:
    config = CheckpointConfig(every_seconds=None, every_steps=1, keep=keep)
    return Checkpoints(root, "a" * 64, config)


def test_the_last_ones_are_kept_and_the_last_whole_one_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = kept(tmp_path, keep=3)
    assert saved.read() is None
    for step in range(1, 6):
        saved.write(step, {"told": np.array(json.dumps({"calls": step})), "w": np.full(1000, step)})
    last, second, third = saved.paths()
    assert [path.name for path in (last, second, third)] == [
        f"step-{step:012}.npz" for step in (5, 4, 3)
    ]
    last.write_bytes(last.read_bytes()[:-700])  # cut short
    damaged = bytearray(second.read_bytes())
    damaged[1500] ^= 1  # one bit of an array
    second.write_bytes(damaged)
    found = saved.read()
    assert found is not None
    assert found["told"] == {"calls": 3}
    np.testing.assert_array_equal(found["w"], np.full(1000, 3))
    out = capsys.readouterr().out
    assert f"{last.name} is damaged" in out
    assert f"{second.name} is damaged" in out
    saved.remove()
    assert not saved.folder.exists()


def test_steps_decide_when_one_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    monkeypatch.setattr(Checkpoints, "write", lambda self, step, arrays: steps.append(step))
    train(processed(tmp_path, "binary"), "linear", **OFTEN)
    assert steps == [4, 8, 12, 16, 20][: len(steps)]
    assert len(steps) >= 4


def test_seconds_decide_unless_saving_takes_too_large_a_share() -> None:
    class Model:
        @staticmethod
        def optimizer_steps() -> int:
            return 10

    class Saver(checkpoint.Saver):
        model = Model()

    config = CheckpointConfig(every_seconds=20.0, every_steps=None, keep=1)
    saver = Saver(Checkpoints(Path(), "a" * 64, config), None, None)  # type: ignore[arg-type]
    assert not saver._due()
    saver.saved_at -= 21
    assert saver._due()
    saver.cost_seconds = 0.5  # 2 % of 25 seconds
    assert not saver._due()
    saver.saved_at -= 5
    assert saver._due()


def test_a_full_disk_is_told_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = processed(tmp_path / "undisturbed", "binary")
    train(undisturbed, "mlp", **OFTEN)

    write = Checkpoints.write

    def write_with_little_room(self: Checkpoints, step: int, arrays: dict[str, Any]) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # the kernel refuses the rest
        try:
            write(self, step, arrays)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(Checkpoints, "write", write_with_little_room)
    artifacts = processed(tmp_path / "full", "binary")
    capsys.readouterr()
    train(artifacts, "mlp", **OFTEN)
    assert "no checkpoint of step 4" in capsys.readouterr().out
    assert not [path for path in (artifacts.root / STATE).rglob("*") if path.suffix == ".npz"]
    np.testing.assert_array_equal(weights(artifacts), weights(undisturbed))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_before_the_process_leaves(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    undisturbed = processed(tmp_path / "undisturbed", "binary")
    rare = {**OFTEN, "train__checkpoint__every_steps": None, "model__dropout": 0.2}
    train(undisturbed, "mlp", **rare)
    before = signal.getsignal(number)

    artifacts = processed(tmp_path / "asked", "binary")
    seen = watch.StepWatch.on_train_batch_end

    def ask(self: watch.StepWatch, batch: int, logs: Any = None) -> None:
        seen(self, batch, logs)
        if self.epoch == 1 and batch == 3:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as asking:
        asking.setattr(watch.StepWatch, "on_train_batch_end", ask)
        with pytest.raises(KeyboardInterrupt):
            train(artifacts, "mlp", **rare)
    assert "asked to stop: saved step 16" in capsys.readouterr().out
    assert signal.getsignal(number) == before
    assert not Artifacts(artifacts.root).model.exists()
    train(artifacts, "mlp", **rare)
    assert "going on from step 16: 1 epochs and 6 steps" in capsys.readouterr().out
    np.testing.assert_array_equal(weights(artifacts), weights(undisturbed))
