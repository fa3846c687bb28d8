"""The workers of a training on Ray: the same answer, what kills them, no room, two nodes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.compose.overrides import record_overrides
from pipeline.core.artifacts import STATE, TRAINED, Artifacts
from pipeline.core.errors import ConfigError, PipelineError
from tests.conftest import make_project
from tests.rays import (
    AGENTS_END_SECONDS,
    LOOPBACK,
    NEEDS_RAY,
    Node,
    below,
    node,
    nothing_left,
    short,
    still_alive,
)
from tests.train.test_launcher import LONG, checkpoints, step_of
from tests.train.test_same_answer import PLAIN, weights
from tests.train.worlds import REPOSITORY, processed, read_yaml, settings, train

pytestmark = [NEEDS_RAY, pytest.mark.usefixtures("nothing_left"), pytest.mark.timeout(900)]

__all__ = ["nothing_left", "short"]

ON_RAY: dict[str, Any] = {
    "strategy__name": "multi_worker",
    **{f"launcher__{key}": value for key, value in read_yaml("launcher/ray").items()},
    "launcher__cpus_per_worker": 0.5,
}


class Watch(threading.Thread):
    """Notes where Ray's own processes listen, until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening: set[tuple[str, str]] = set()
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            for process in below(os.getpid()):
                with contextlib.suppress(psutil.Error):
                    name = " ".join(process.cmdline())
                    if "pipeline.train.worker" not in name:  # TensorFlow's listen everywhere
                        self.listening |= {
                            (name, at.laddr.ip)
                            for at in process.net_connections("tcp")
                            if at.status == psutil.CONN_LISTEN
                        }


def test_two_workers_on_a_ray_of_their_own_give_the_answer_of_one_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = processed(tmp_path / "alone", "binary")
    train(alone, "mlp", **PLAIN)
    artifacts = processed(tmp_path / "on ray", "binary")
    handler = signal.getsignal(signal.SIGTERM)
    watch = Watch()
    watch.start()
    try:
        train(artifacts, "mlp", **PLAIN, **ON_RAY)
    finally:
        watch.stopped.set()
        watch.join()
    np.testing.assert_allclose(weights(artifacts), weights(alone), atol=1e-5)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert any("gcs_server" in name for name, _ in watch.listening)
    assert [pair for pair in watch.listening if pair[1] not in LOOPBACK] == []
    out = capfd.readouterr().out
    assert "2 processes on a Ray of its own" in out
    assert "trained mlp" in out
    logs = artifacts.root / STATE / "logs" / "train"
    assert "trained mlp" in (logs / "worker-0.log").read_text(encoding="utf-8")
    assert (logs / "worker-1.log").exists()
    assert list((artifacts.root / STATE / "jobs").iterdir()) == []
    lines = (artifacts.root / STATE / "runs" / "one" / "train.jsonl").read_text(encoding="utf-8")
    assert lines.count('"val_auc"') == 3  # the chief's alone


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"(?s)not installed.*train-to-serve\[ray\]"):
        settings("mlp", **ON_RAY)


def test_an_address_where_nobody_listens_is_refused_at_once(tmp_path: Path) -> None:
    artifacts = processed(tmp_path / "world", "binary")
    with pytest.raises(PipelineError, match=r"(?s)no Ray cluster at launcher.address=127.*to do"):
        train(artifacts, "mlp", **{**ON_RAY, "launcher__address": "127.0.0.1:1"})


@pytest.mark.slow
def test_no_room_is_told_with_what_there_is(tmp_path: Path) -> None:
    artifacts = processed(tmp_path / "world", "binary")
    message = (
        r"(?s)no room for 2 x 0.5 CPU and 1 GPU.*1 node has \d+ CPU and 0 GPU, free now.*to do"
    )
    with pytest.raises(PipelineError, match=message):
        train(artifacts, "mlp", **{**ON_RAY, "launcher__gpus_per_worker": 1})
    assert not (artifacts.root / TRAINED).exists()


LONG_ON_RAY = {**LONG, **ON_RAY, "launcher__threads": 1}
"""One thread, as two local workers on two cores have."""


def programs() -> list[psutil.Process]:
    """Workers below this process, the chief first."""
    found = {}
    for process in below(os.getpid()):
        with contextlib.suppress(psutil.Error):
            if "pipeline.train.worker" in " ".join(process.cmdline()):
                index = json.loads(process.environ()["TF_CONFIG"])["task"]["index"]
                found[index] = process
    return [found[index] for index in sorted(found)]


def kill(process: psutil.Process | None) -> None:
    assert process is not None
    process.kill()


class Once(threading.Thread):
    """Does something as soon as a checkpoint is there."""

    def __init__(self, artifacts: Artifacts, action: Any) -> None:
        super().__init__(daemon=True)
        self.artifacts, self.action, self.done = artifacts, action, False
        self.start()

    def run(self) -> None:
        while not any(step_of(path) for path in checkpoints(self.artifacts)):
            time.sleep(0.02)
        self.action()
        self.done = True


@pytest.mark.slow
def test_whatever_befalls_a_job_on_ray_it_ends_with_the_bits_of_local_workers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    local = processed(tmp_path / "local", "binary")
    train(local, "mlp", **LONG, launcher__threads=1)
    expected = weights(local)
    killed = {
        "worker 1 was killed by SIGKILL": lambda: kill(programs()[1]),
        "its actor there, is gone": lambda: kill(programs()[0].parent()),
    }
    for words, kills in killed.items():
        artifacts = processed(tmp_path / words, "binary")
        capfd.readouterr()
        killer = Once(artifacts, kills)
        train(artifacts, "mlp", **LONG_ON_RAY)
        assert killer.done
        out = capfd.readouterr().out
        assert words in out
        assert "starting all workers again (2 restarts left)" in out
        assert "going on from step" in out
        np.testing.assert_array_equal(weights(artifacts), expected)

    artifacts = processed(tmp_path / "asked", "binary")
    asker = Once(artifacts, lambda: os.kill(os.getpid(), signal.SIGTERM))
    capfd.readouterr()
    with pytest.raises(KeyboardInterrupt):
        train(artifacts, "mlp", **LONG_ON_RAY)
    assert asker.done
    assert programs() == []
    assert "asked to stop: saved step" in capfd.readouterr().out


@pytest.mark.slow
def test_penguins_on_ray_end_with_the_weights_of_local_workers(tmp_path: Path) -> None:
    found = []
    for launcher in ("local", "ray"):
        project = make_project(tmp_path / launcher)
        lines = ["data=penguins", "debug=smoke", "strategy=multi_worker", f"launcher={launcher}"]
        lines += ["launcher.threads=1", "launcher.cpus_per_worker=0.5"]
        record_overrides(project.root, lines)
        done = project.run("dvc", "repro", "train")
        assert done.returncode == 0, done.stdout + done.stderr
        found.append(weights(Artifacts(project.root)))
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_a_driver_killed_on_its_own_ray_leaves_nothing(tmp_path: Path, short: Path) -> None:
    artifacts = processed(tmp_path / "world", "binary")
    driver = start_driver(artifacts, tmp_path, LONG_ON_RAY, {**os.environ, "TMPDIR": str(short)})
    while not checkpoints(artifacts):
        assert driver.poll() is None
        time.sleep(0.1)
    started = below(driver.pid)
    assert started
    driver.kill()
    driver.wait()
    assert still_alive(started, AGENTS_END_SECONDS) == []


def start_driver(
    artifacts: Artifacts,
    folder: Path,
    changes: dict[str, Any],
    environment: dict[str, str],
    command: tuple[str, ...] = (),
) -> subprocess.Popen[str]:
    path = folder / "changes.json"
    path.write_text(json.dumps(changes), encoding="utf-8")
    return subprocess.Popen(
        [*command, sys.executable, "-m", "tests.train.ray_driver", str(artifacts.root), str(path)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def driven(node: Node, artifacts: Artifacts, folder: Path, **changes: Any) -> str:
    """What a driver on the node printed; it may fail."""
    driver = start_driver(artifacts, folder, changes, node.environment, node.command)
    try:
        return driver.communicate(timeout=400)[0]
    finally:
        driver.kill()
        driver.wait()


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by a cable: 10.77.0.1 and 10.77.0.2."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    names = tuple(f"pipeline-{os.getpid()}-{index}" for index in (1, 2))
    cables = ("cable1", "cable2")

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        for name in names:
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        ip("-n", names[0], "link", "add", cables[0], "type", "veth", "peer", cables[1])
        ip("-n", names[0], "link", "set", cables[1], "netns", names[1])
        for index, (name, cable) in enumerate(zip(names, cables, strict=True), start=1):
            ip("-n", name, "address", "add", f"10.77.0.{index}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.mark.slow
def test_two_nodes_train_together_where_both_are_there_and_share_the_folder(
    tmp_path: Path, short: Path, namespaces: tuple[str, str]
) -> None:
    one, two = (("ip", "netns", "exec", name) for name in namespaces)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    hide = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh")
    head = ("--head", "--port=6379", "--node-ip-address=10.77.0.1", "--include-dashboard=false")
    join = ("--address=10.77.0.1:6379", "--node-ip-address=10.77.0.2")
    spread = {
        **ON_RAY,
        "launcher__address": "10.77.0.1:6379",
        "launcher__cpus_per_worker": 1,
        "launcher__placement": "spread",
    }
    with node(tmp_path, *head, f"--temp-dir={short}", command=one) as first:
        artifacts = processed(tmp_path / "alone on the cluster", "binary")
        impatient = {**spread, "launcher__start_timeout_seconds": 6}
        out = driven(first, artifacts, tmp_path, **impatient)
        assert "waiting for room on the Ray cluster: 2 x 1 CPU, for 6 s at most" in out
        assert "no room for 2 x 1 CPU after 6 s" in out
        assert "its 1 node has 1 CPU and 0 GPU" in out

        with node(tmp_path, *join, command=(*two, *hide)) as second:
            artifacts = processed(hidden / "world", "binary")
            out = driven(first, artifacts, tmp_path, **spread)
            assert "node 10.77.0.2 does not see" in out
            assert "on a shared disk" in out

            artifacts = processed(tmp_path / "world", "binary")
            out = driven(first, artifacts, tmp_path, **PLAIN, **spread)
            assert "trained mlp" in out, out
            alone = processed(tmp_path / "alone", "binary")
            train(alone, "mlp", **PLAIN)
            np.testing.assert_allclose(weights(artifacts), weights(alone), atol=1e-5)

            artifacts = processed(tmp_path / "lost", "binary")
            killer = Once(artifacts, lambda: kill_node(second))
            lossy = {**LONG_ON_RAY, **spread, "launcher__start_timeout_seconds": 60}
            out = driven(first, artifacts, tmp_path, **lossy)
            assert killer.done
            assert "starting all workers again (2 restarts left)" in out, out
            assert "no room for 2 x 1 CPU after 60 s" in out, out


def kill_node(node: Node) -> None:
    """As if its power was cut."""
    for process in [*below(node.process.pid), psutil.Process(node.process.pid)]:
        with contextlib.suppress(psutil.Error):
            process.kill()
