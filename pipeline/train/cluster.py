"""Which processes train together, and which of them this one is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import ConfigError

_EXPECTED = (
    '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": N}}, with the'
    " same cluster on every worker"
)


@dataclass(frozen=True)
class Cluster:
    """The workers of a job.

    Attributes:
        addresses: `host:port` of each worker, the chief's first.
        index: Which of them this process is, from 0.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes artifacts and tells the journal."""
        return self.index == 0

    @property
    def port(self) -> int:
        """Where this worker listens."""
        return int(self.addresses[self.index].rpartition(":")[2])

    def as_tf_config(self) -> str:
        """What `TF_CONFIG` says of it."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})


def cluster_of(environment: Mapping[str, str]) -> Cluster | None:
    """The cluster a scheduler has told this process of; None where there is none.

    `TF_CONFIG` comes first (Kubeflow's TFJob sets it), then the variables of a Slurm step of more
    than one task.

    Raises:
        ConfigError: What it has told makes no sense.
    """
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _from_slurm(environment)
    return None


def _from_tf_config(text: str) -> Cluster | None:
    try:
        told: dict[str, Any] = json.loads(text)
        groups: dict[str, list[str]] = told.get("cluster") or {}
        if not groups:  # as TFJob sets it for a job of one
            return None
        chiefs = groups.get("chief", [])
        workers = groups.get("worker", [])
        task = told["task"]
        kind, index = str(task["type"]), int(task["index"])
        addresses = tuple(str(address) for address in [*chiefs, *workers])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(f"cannot be read ({type(error).__name__}: {error}): {text}") from error
    if kind not in {"chief", "worker"}:
        raise _wrong(f"makes this process a '{kind}'; there are chiefs and workers only")
    if not 0 <= index < len(groups.get(kind, [])):
        known = len(groups.get(kind, []))
        raise _wrong(f"makes this process {kind} {index}, but names {known} of that kind")
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise _wrong(f"names the address '{address}', which is no host:port")
    if len(set(addresses)) < len(addresses):
        raise _wrong(f"names an address twice: {', '.join(addresses)}")
    return Cluster(addresses, index + (len(chiefs) if kind == "worker" else 0))


def _wrong(what: str) -> ConfigError:
    return ConfigError(
        f"TF_CONFIG {what}",
        expected=_EXPECTED,
        remedy="correct it where the job is described, or unset it and use launcher=local",
    )


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    import tensorflow as tf

    try:
        tasks = int(environment["SLURM_STEP_NUM_TASKS"])
        # The resolver counts GPUs to number ports; with one imaginary GPU a task it counts tasks.
        per_node = -(-tasks // int(environment.get("SLURM_STEP_NUM_NODES", "1")))
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            jobs={"worker": tasks},
            port_base=int(environment.get("PIPELINE_PORT", "23450")),
            gpus_per_node=per_node,
            gpus_per_task=1,
            tasks_per_node=per_node,
            auto_set_gpu=False,
        )
        addresses = tuple(resolver.cluster_spec().job_tasks("worker"))
        return Cluster(addresses, int(environment["SLURM_PROCID"]))
    except (ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(
            f"the variables of Slurm make no cluster ({type(error).__name__}: {error})",
            expected="a job step started by srun, with as many tasks on each node",
            remedy="start every worker with srun, or set TF_CONFIG and use launcher=external",
        ) from error
