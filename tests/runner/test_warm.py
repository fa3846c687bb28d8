"""The warm process passes on what its client is asked: SIGTERM lets a training stage save."""

from __future__ import annotations

import signal
import subprocess
import time

import psutil
import pytest

from pipeline.core.artifacts import STATE, TRAINED
from tests.conftest import Project


def stage_process(process: subprocess.Popen[str], name: str) -> psutil.Process | None:
    """The `pipeline stage NAME` that DVC has started."""
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if child.cmdline()[-2:] == ["stage", name] and "python" in child.cmdline()[0]:
                return child
        except psutil.Error:  # it has just ended
            continue
    return None


@pytest.mark.slow
def test_a_training_stage_that_is_preempted_saves_and_goes_on_later(project: Project) -> None:
    endless = ["data=penguins", "model=linear", "train.epochs=1000000", "train.tensorboard=false"]
    endless += ["train.early_stopping.patience=null", "train.checkpoint.every_seconds=1"]
    with subprocess.Popen(
        project.command("pipeline", "run", *endless),
        cwd=project.root,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            saved = project.root / STATE / "checkpoints" / "train"
            deadline = time.monotonic() + 200
            while not list(saved.glob("*/step-*.npz")):
                assert time.monotonic() < deadline
                assert running.poll() is None
                time.sleep(0.1)
            stage = stage_process(running, "train")
            assert stage is not None
            stage.send_signal(signal.SIGTERM)
            out = running.communicate(timeout=100)[0]
        finally:
            running.kill()
    assert "asked to stop: saved step" in out
    assert running.returncode == 130
    assert list(saved.glob("*/step-*.npz"))
    assert not (project.root / TRAINED).exists()
