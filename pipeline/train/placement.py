"""Where a training runs: which strategy, in this process or in which others, and why."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.core.errors import ConfigError
from pipeline.train.cluster import Cluster, cluster_of
from pipeline.train.config import LauncherConfig, TrainStageConfig


@dataclass(frozen=True)
class Placement:
    """The answer.

    Attributes:
        strategy: one_device, mirrored or multi_worker.
        why: One sentence for people.
        replicas: How many will share a batch.
        processes: How many the launcher starts; with none the training runs in this process.
        cluster: What a scheduler has told the one that is started here.
    """

    strategy: str
    why: str
    replicas: int = 1
    processes: int = 0
    cluster: Cluster | None = None


def place(config: TrainStageConfig, environment: Mapping[str, str], gpus: int) -> Placement:
    """Decides it.

    Args:
        config: `strategy.name`, `strategy.logical_devices` and `launcher`.
        environment: May name a cluster.
        gpus: GPUs that TensorFlow sees here.

    Raises:
        ConfigError: Strategy, launcher and environment do not fit together.
    """
    name, logical = config.strategy.name, config.strategy.logical_devices
    if logical and name != "mirrored":
        raise ConfigError(
            f"strategy.logical_devices={logical} with strategy={name}",
            expected="strategy=mirrored, which alone has several devices in one process",
            remedy="set strategy=mirrored, or strategy.logical_devices=null",
        )
    match name:
        case "auto":
            return _automatic(config.launcher, environment, gpus)
        case "one_device":
            return _alone(_device(config.launcher, gpus), config.launcher)
        case "mirrored" if logical:
            # TensorFlow divides a CPU before its first operation only: in a process of its own.
            return Placement(name, f"{logical} logical CPU devices, in a process", logical, 1)
        case "mirrored":
            return Placement(name, f"the {gpus} GPUs of this machine", gpus)
        case "multi_worker":
            return _multi_worker(config.launcher, environment)


def _multi_worker(launcher: LauncherConfig, environment: Mapping[str, str]) -> Placement:
    match launcher.name:
        case "external":
            return _external(environment)
        case "ray":
            return _on_ray(launcher)
        case "local":
            return _local(launcher.workers)


def _device(launcher: LauncherConfig, gpus: int) -> str:
    device = "the first GPU" if gpus else "the CPU"
    if launcher.name == "ray":
        return f"{device} of this machine (on Ray train with strategy=multi_worker)"
    return device


def _automatic(launcher: LauncherConfig, environment: Mapping[str, str], gpus: int) -> Placement:
    if cluster_of(environment):
        return _external(environment)
    if launcher.name == "ray":
        return _on_ray(launcher)
    if gpus > 1:
        why = f"TensorFlow sees {gpus} GPUs, and no scheduler named workers"
        return Placement("mirrored", why, gpus)
    if gpus == 1:
        return _alone("TensorFlow sees one GPU, and no scheduler named workers", launcher)
    several = f", so not {launcher.workers} of them" if launcher.workers > 1 else ""
    return _alone(
        "no GPU and no scheduler; workers that share one CPU take longer to start than they save"
        f" in all but long trainings{several}",
        launcher,
    )


def _alone(why: str, launcher: LauncherConfig) -> Placement:
    """In this process; with a number of threads, which TensorFlow takes once only, in its own."""
    if launcher.name != "local" or launcher.threads is None:
        return Placement("one_device", why)
    threads = "1 thread" if launcher.threads == 1 else f"{launcher.threads} threads"
    return Placement("one_device", f"{why}; {threads}, in a process", processes=1)


def _external(environment: Mapping[str, str]) -> Placement:
    cluster = cluster_of(environment)
    if cluster is None:
        raise ConfigError(
            "launcher=external, but no scheduler has named the workers",
            expected="TF_CONFIG, or a Slurm step with several tasks",
            remedy="start this under the scheduler (docs/training.md), or use launcher=local",
        )
    if not cluster.is_chief:
        raise ConfigError(
            f"this process is worker {cluster.index}; the stage is the chief's",
            expected="the stage on worker 0 (or chief 0) alone",
            remedy="start `python -m pipeline.train.worker` on every other worker",
        )
    workers = len(cluster.addresses)
    return Placement("multi_worker", f"a scheduler named {workers} workers", workers, 1, cluster)


def _local(workers: int) -> Placement:
    if workers < 2:
        raise ConfigError(
            f"strategy=multi_worker with launcher.workers={workers}",
            expected="two workers or more",
            remedy="set launcher.workers=2, or use strategy=one_device",
        )
    return Placement("multi_worker", f"{workers} processes on this machine", workers, workers)


def _on_ray(launcher: LauncherConfig) -> Placement:
    where = "a Ray of its own" if launcher.address is None else f"the Ray at {launcher.address}"
    workers = launcher.workers
    return Placement("multi_worker", f"{workers} processes on {where}", workers, workers)


def free_addresses(count: int) -> tuple[str, ...]:
    """Loopback addresses nobody listens on; another program may take one before it is used."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
