"""Jobs of real processes: what kills them, what brings them back, and what is said about it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from pipeline.core.artifacts import STATE, TRAINED, Artifacts
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.train.cluster import Cluster
from pipeline.train.launch import launch
from pipeline.train.placement import Placement, free_addresses
from tests.train.test_same_answer import weights
from tests.train.worlds import REPOSITORY, context, params, processed, settings, train

TOGETHER: dict[str, Any] = {"strategy__name": "multi_worker", "model__dropout": 0.3}


def workers_of_this_process() -> list[psutil.Process]:
    """Its children that are workers, the chief first."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "pipeline.train.worker" in " ".join(child.cmdline()):
                found.append(child)
    return sorted(found, key=lambda process: process.pid)


def checkpoints(artifacts: Artifacts) -> list[Path]:
    return sorted((artifacts.root / STATE / "checkpoints" / "train").glob("*/step-*.npz"))


class At(threading.Thread):
    """Does something to the workers as soon as a checkpoint of a later step is there."""

    def __init__(self, artifacts: Artifacts, action: Any, after: int = 0) -> None:
        super().__init__(daemon=True)
        self.artifacts, self.action, self.after, self.done = artifacts, action, after, False
        self.start()

    def run(self) -> None:
        while not self.done:
            if any(step_of(path) > self.after for path in checkpoints(self.artifacts)):
                self.action(workers_of_this_process())
                self.done = True
            time.sleep(0.02)


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def kill_all(workers: list[psutil.Process]) -> None:
    for worker in workers:
        worker.kill()


LONG: dict[str, Any] = {
    **TOGETHER,
    "train__epochs": 40,
    "train__early_stopping__patience": None,
    "train__steps_per_execution": 5,
    "train__checkpoint__every_steps": 5,
}
ONCE = {**LONG, "launcher__max_restarts": 0}


def test_one_device_trains_on_as_many_threads_as_asked_for(tmp_path: Path) -> None:
    here, apart = processed(tmp_path / "here", "binary"), processed(tmp_path / "apart", "binary")
    quick = {"train__epochs": 20, "train__early_stopping__patience": None}
    train(here, "linear", **quick)
    told: list[str] = []

    def note(workers: list[psutil.Process]) -> None:
        told.extend(worker.environ()["TF_NUM_INTRAOP_THREADS"] for worker in workers)

    At(apart, note)
    every_step = {"train__checkpoint__every_steps": 1, "train__steps_per_execution": 1}
    train(apart, "linear", launcher__threads=1, **quick, **every_step)
    assert told == ["1"]
    for ours, theirs in zip(weights(here), weights(apart), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_killed_job_goes_on_from_the_last_checkpoint_that_is_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    artifacts = processed(tmp_path, "binary")
    killer = At(artifacts, kill_all, after=10)
    with pytest.raises(PipelineError, match=r"(?s)worker \d was killed by SIGKILL.*memory"):
        train(artifacts, "mlp", **ONCE)
    assert killer.done
    assert not workers_of_this_process()
    assert not (artifacts.root / TRAINED).exists()
    before, last = checkpoints(artifacts)
    last.write_bytes(last.read_bytes()[:1000])  # the disk has lost the rest
    left = artifacts.root / STATE / "jobs" / "train-left"  # by a launcher that was killed, too
    left.mkdir()
    (left / "launcher.lock").touch()
    capfd.readouterr()
    train(artifacts, "mlp", **ONCE)
    out = capfd.readouterr().out
    assert f"checkpoint {last.name} is damaged" in out
    assert f"going on from step {step_of(before)}:" in out
    assert artifacts.training.read().epochs == 40
    assert not checkpoints(artifacts)
    assert list(left.parent.iterdir()) == []


@pytest.mark.slow
def test_whatever_befalls_a_job_it_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    undisturbed = processed(tmp_path / "undisturbed", "binary")
    train(undisturbed, "mlp", **LONG)
    expected = weights(undisturbed)
    again = processed(tmp_path / "again", "binary")
    train(again, "mlp", **LONG)
    np.testing.assert_array_equal(weights(again), expected)

    for victim in (0, 1):  # the launcher itself starts the job again
        artifacts = processed(tmp_path / f"worker {victim}", "binary")
        killer = At(artifacts, lambda workers, victim=victim: workers[victim].kill())
        capfd.readouterr()
        train(artifacts, "mlp", **LONG)
        assert killer.done
        out = capfd.readouterr().out
        assert f"worker {victim} was killed by SIGKILL" in out
        assert "going on from step" in out
        np.testing.assert_array_equal(weights(artifacts), expected)

    artifacts = processed(tmp_path / "asked", "binary")
    asker = At(artifacts, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    capfd.readouterr()
    with pytest.raises(KeyboardInterrupt):
        train(artifacts, "mlp", **ONCE)
    assert asker.done
    assert not workers_of_this_process()
    assert "asked to stop: saved step" in capfd.readouterr().out
    train(artifacts, "mlp", **ONCE)
    np.testing.assert_array_equal(weights(artifacts), expected)


def test_a_frozen_worker_is_named_and_the_job_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All fall silent, since they wait for it; the launcher's clock jumps over the silence."""
    ahead = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0])
    monkeypatch.setattr("pipeline.train.launch.time", clock)

    def freeze(workers: list[psutil.Process]) -> None:
        workers[1].suspend()
        while workers[1].status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        ahead[0] = 301

    artifacts = processed(tmp_path, "binary")
    freezer = At(artifacts, freeze)
    with pytest.raises(PipelineError, match=r"worker 1 has been silent for 300 s: it is stopped"):
        train(artifacts, "mlp", **ONCE)
    assert freezer.done
    assert not workers_of_this_process()
    assert not (artifacts.root / TRAINED).exists()


def test_a_batch_that_workers_cannot_share_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(ConfigError, match=r"(?s)global_batch_size=1 .* cut into 2 equal parts"):
        train(processed(tmp_path, "binary"), **TOGETHER, train__global_batch_size=1)


def test_workers_with_another_config_or_other_code_are_refused_by_name(tmp_path: Path) -> None:
    """Three workers as a scheduler would start them, with one params.yaml each."""
    addresses = free_addresses(3)
    other_code = tmp_path / "other"
    shutil.copytree(REPOSITORY / "pipeline", other_code / "pipeline")
    with (other_code / "pipeline" / "train" / "trainer.py").open("a", encoding="utf-8") as file:
        file.write("# another version\n")
    started = []
    for index, (seed, code) in enumerate([(0, REPOSITORY), (1, REPOSITORY), (0, other_code)]):
        artifacts = processed(tmp_path / str(index), "binary")
        sections = params("linear", train__seed=seed, strategy__name="multi_worker")
        sections["launcher"]["name"] = "external"
        (artifacts.root / "params.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
        environment = {
            **os.environ,
            "PYTHONPATH": str(code),
            "TF_CONFIG": Cluster(addresses, index).as_tf_config(),
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "pipeline.train.worker"],
                cwd=artifacts.root,
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        told = [process.communicate(timeout=200)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    for text in told:
        assert "workers 1, 2 have another config, other code or other data than the chief" in text
    assert [process.returncode for process in started] == [1, 1, 1]
    assert not list(tmp_path.rglob("model.keras"))


def test_a_port_that_is_taken_ends_the_job_with_the_workers_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = processed(tmp_path, "binary")
    config = settings("mlp", **TOGETHER, launcher__max_restarts=0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        addresses = (*free_addresses(1), f"127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr("pipeline.train.launch.free_addresses", lambda _: addresses)
        placement = Placement("multi_worker", "", replicas=2, processes=2)
        with pytest.raises(PipelineError, match=r"worker 1: .*cannot listen on port") as raised:
            launch(config, artifacts, context(tmp_path), placement)
    assert raised.value.exit_code == 1
    assert not workers_of_this_process()
    assert not artifacts.model.exists()


GREEDY = """
\"\"\"A model whose activations take 25 GB.\"\"\"
from typing import Literal
from pipeline.core.schema import config

@config
class CONFIG:
    name: Literal["greedy"]
    \"\"\"Its name.\"\"\"

def build(features, config):
    import keras
    given = {
        "dense": keras.Input((len(features.dense_names),), name="dense"),
        "indices": keras.Input((1,), dtype="int32", name="indices"),
    }
    wide = keras.ops.tile(keras.layers.Dense(1, name="one")(given["dense"]), (1, 100_000_000))
    return keras.Model(given, keras.ops.sum(keras.ops.sin(wide), axis=1, keepdims=True))
"""

LIMITED = """
import resource, sys
from pathlib import Path
import psutil
from pipeline.core.errors import PipelineError
from tests.train import worlds

root = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))
for strategy in ("one_device", "multi_worker"):
    sections = worlds.params(train__allowed_targets=["greedy"], strategy__name=strategy)
    sections["model"] = {"name": "greedy", "_target_": "greedy.build"}
    artifacts = worlds.processed(root / strategy, "binary")
    try:
        worlds.STAGE.load()(worlds.STAGE.configure(sections), artifacts, worlds.context(root))
    except PipelineError as error:
        print(strategy, error.exit_code, error, psutil.Process().children(), sep=" | ")
    assert not (artifacts.root / "models").exists()
"""


def test_out_of_memory_names_the_worker_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "greedy.py").write_text(GREEDY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(\w+) \| 1 \| (.*out of memory.*)$", done.stdout, re.MULTILINE)
    assert [strategy for strategy, _ in found] == ["one_device", "multi_worker"], done.stdout
    assert re.match(r"worker \d: out of memory: OOM when allocating tensor", found[1][1])
    assert done.stdout.count("lower train.global_batch_size") == 2
    assert done.stdout.count(" | []") == 2


@pytest.mark.slow
def test_a_job_that_a_scheduler_has_started_is_written_by_its_chief_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chief is the stage; the other worker is the program a scheduler starts."""
    artifacts = processed(tmp_path / "world", "binary")
    addresses = free_addresses(2)
    changes = {"strategy__name": "multi_worker", "launcher__name": "external"}
    sections = params("linear", **changes)
    (artifacts.root / "params.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    chief, other = (Cluster(addresses, index) for index in range(2))
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "TF_CONFIG": other.as_tf_config(),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.train.worker"],
        cwd=artifacts.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as peer:
        try:
            monkeypatch.setenv("TF_CONFIG", chief.as_tf_config())
            train(artifacts, "linear", **changes)
            out, err = peer.communicate(timeout=60)
        finally:
            peer.kill()
    assert peer.returncode == 0, err
    assert "trained" not in out
    alone = processed(tmp_path / "alone", "binary")
    monkeypatch.delenv("TF_CONFIG")
    train(alone, "linear")
    np.testing.assert_allclose(weights(artifacts), weights(alone), atol=1e-5)
    lines = (artifacts.root / STATE / "runs" / "one" / "train.jsonl").read_text(encoding="utf-8")
    assert lines.count('"val_auc"') == 3
