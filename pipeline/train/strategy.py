"""How the replicas of a model work together: the one place that knows `tf.distribute`.

A *replica* computes the gradient of its share of a batch; the gradients of all replicas are added
up before the optimiser moves the weights, so that every replica keeps the same ones. A `Team` says
how many replicas there are and how they add.

Keras 3 under `MultiWorkerMirroredStrategy` is broken in places (keras issues 20585, 19246, 20582)
and costs 1.4 to 1.8 times the CPU of a plain process. Both come of the mirrored variables, and a
process with one device needs none: its model is a plain one, and only the sum of the gradients, as
one vector, goes through the strategy. Thus everything that Keras does works as in one process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.errors import ConfigError
from pipeline.train.cluster import Cluster
from pipeline.train.ring import join_ring
from pipeline.train.roll_call import roll_call

Stream = Callable[[int, int], tf.data.Dataset]
"""Makes the batches of some replicas, from the first one's number and how many they are."""


Gradients = list[tf.Tensor]


class Team:
    """One process with one device: nothing to add up.

    Attributes:
        replicas: Shares a batch is cut into, over all workers.
        workers: Processes.
        worker: Which of them this one is, from 0; 0 is the chief.
        clips: Whether the team clips gradients, because the optimiser sees a replica's only.
        member: What people call one of them.
    """

    replicas = 1
    workers = 1
    worker = 0
    clips = False
    member = "replica"

    @property
    def is_chief(self) -> bool:
        """Whether this process writes artifacts and checkpoints and tells people."""
        return self.worker == 0

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Where the model and its optimiser are built."""
        yield

    def batches(self, stream: Stream) -> Any:
        """What `fit` reads."""
        return stream(0, 1)

    def run(self, step: Callable[[Any], Any], batch: Any) -> Any:
        """Runs `step` on each replica of this process; returns the first one's answer."""
        return step(batch)

    def differentiate(self, function: Callable[[Any], Any], data: Any) -> Any:
        """Within `step`: calls what computes gradients, where layers find the other replicas."""
        return function(data)

    def replica(self) -> int | tf.Tensor:
        """Within `step`: which of the team's replicas this one is, from 0."""
        return 0

    def exchange(
        self, gradients: Gradients, numbers: tf.Tensor, clip_norm: tf.Tensor | None
    ) -> tuple[Gradients, tf.Tensor, tf.Tensor]:
        """Within `step`: what the optimiser is to take, and `numbers` added up.

        Args:
            gradients: This replica's, of its share of the loss.
            numbers: Anything else, float32 `[n]`.
            clip_norm: Where the team clips: the longest gradient, over all weights and replicas.

        Returns:
            Gradients, numbers, and seconds from this worker's being ready to having the sum,
            float64; 0 in a process without others.
        """
        del clip_norm
        return gradients, numbers, tf.zeros([], tf.float64)

    def gather(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Arrays of equal shape `[n, ...]`, one of each worker, as `[workers * n, ...]`."""
        return rows


ALONE = Team()


class Workers(Team):
    """Processes with one device each, added up by collective operations of TensorFlow.

    On the CPUs of one machine, where those cost as much as a small model's step, gradients take a
    ring of sockets; what layers ask of each other does not.

    Args:
        cluster: All of them.
        timeout_seconds: How long to wait for all of them to come.

    Raises:
        PipelineError: One has not come, or another program listens on this worker's port.
    """

    clips = True
    member = "worker"

    def __init__(self, cluster: Cluster, timeout_seconds: float = 120.0) -> None:
        roll_call(cluster, timeout_seconds)
        self.replicas = self.workers = len(cluster.addresses)
        self.worker = cluster.index
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
            task_type="worker",
            task_id=cluster.index,
            rpc_layer="grpc",
        )
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        gpus = np.array([[len(tf.config.list_physical_devices("GPU"))]], np.int32)
        on_cpus = self.workers > 1 and not self.gather(gpus).any()
        self._ring = join_ring(cluster, self.gather) if on_cpus else None

    def differentiate(self, function: Callable[[Any], Any], data: Any) -> Any:
        """In the strategy's context: batch normalisation takes its mean over all workers."""
        return self._strategy.run(function, args=(data,))

    def replica(self) -> int:
        """See `Team.replica`."""
        return self.worker

    def exchange(
        self, gradients: Gradients, numbers: tf.Tensor, clip_norm: tf.Tensor | None
    ) -> tuple[Gradients, tf.Tensor, tf.Tensor]:
        """See `Team.exchange`."""
        ready = _time_after([gradients, numbers])
        with tf.control_dependencies([ready]):
            gradients, numbers = self._total(gradients, numbers, clip_norm)
        return gradients, numbers, _time_after([gradients, numbers]) - ready

    def _total(
        self, gradients: Gradients, numbers: tf.Tensor, clip_norm: tf.Tensor | None
    ) -> tuple[Gradients, tf.Tensor]:
        """One collective operation for all tensors, since each one costs milliseconds."""
        *added, numbers = self._added([*gradients, numbers])
        if clip_norm is not None:
            added = _clipped(added, added, clip_norm)
        return added, numbers

    def _added(self, tensors: Gradients) -> Gradients:
        flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
        parts = tf.split(self._sum(flat), [t.shape.num_elements() for t in tensors])
        return [tf.reshape(part, t.shape) for part, t in zip(parts, tensors, strict=True)]

    def _sum(self, vector: tf.Tensor) -> tf.Tensor:
        if self._ring is None:
            return self._strategy.run(_sum, args=(vector,))
        total = tf.numpy_function(self._ring.add_up, [vector], tf.float32)
        return tf.ensure_shape(total, vector.shape)

    def gather(self, rows: NDArray[Any]) -> NDArray[Any]:
        """See `Team.gather`."""
        gathered: NDArray[Any] = self._gather(tf.constant(rows)).numpy()
        return gathered

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def _gather(self, rows: tf.Tensor) -> tf.Tensor:
        return self._strategy.run(_concat, args=(rows,))


def _time_after(tensors: Any) -> tf.Tensor:
    """Seconds of the clock, float64, when all of them are there (on a GPU: are asked for)."""
    with tf.control_dependencies(tf.nest.flatten(tensors, expand_composites=True)):
        return tf.timestamp()


def _sum(vector: tf.Tensor) -> tf.Tensor:
    # The identity has a device, which a tensor from outside has not and the strategy asks for.
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(vector))


def _concat(rows: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_gather(tf.identity(rows), axis=0)


class Mirrored(Team):
    """One process with several devices: `tf.distribute.MirroredStrategy`.

    Args:
        devices: Names of the devices, such as `GPU:0`.
    """

    clips = True

    def __init__(self, devices: Sequence[str]) -> None:
        self.replicas = len(devices)
        self._strategy = tf.distribute.MirroredStrategy(list(devices))

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """The strategy's own: variables are mirrored."""
        with self._strategy.scope():
            yield

    def batches(self, stream: Stream) -> Any:
        """Each replica takes the next element of one stream."""
        return self._strategy.distribute_datasets_from_function(lambda _: stream(0, self.replicas))

    def run(self, step: Callable[[Any], Any], batch: Any) -> Any:
        """See `Team.run`; what is returned was added up and is the same everywhere."""
        answers = self._strategy.run(step, args=(batch,))
        return tf.nest.map_structure(
            lambda answer: self._strategy.experimental_local_results(answer)[0], answers
        )

    def replica(self) -> int | tf.Tensor:
        """See `Team.replica`."""
        return tf.distribute.get_replica_context().replica_id_in_sync_group

    def exchange(
        self, gradients: Gradients, numbers: tf.Tensor, clip_norm: tf.Tensor | None
    ) -> tuple[Gradients, tf.Tensor, tf.Tensor]:
        """Leaves it to Keras's optimiser to add up, but clips before, by the norm of the sum."""
        total = tf.distribute.get_replica_context().all_reduce
        sums = tf.distribute.ReduceOp.SUM
        if clip_norm is None:
            return gradients, total(sums, numbers), tf.zeros([], tf.float64)
        *added, numbers = total(sums, [*gradients, numbers])
        return _clipped(gradients, added, clip_norm), numbers, tf.zeros([], tf.float64)


def _clipped(gradients: Gradients, added: Gradients, clip_norm: tf.Tensor) -> Gradients:
    """Gradients, made shorter by what the norm of their sum over all replicas is too long."""
    norm = tf.linalg.global_norm(added)
    factor = clip_norm / tf.maximum(norm, clip_norm)
    return [gradient * factor for gradient in gradients]


def mirrored(logical_devices: int | None) -> Team:
    """Every GPU of this machine, or so many logical CPU devices.

    Raises:
        ConfigError: There are no two GPUs, or TensorFlow already runs with one CPU device.
    """
    if not logical_devices:
        gpus = tf.config.list_physical_devices("GPU")
        if len(gpus) < 2:
            raise ConfigError(
                f"strategy=mirrored, but TensorFlow sees {len(gpus)} GPUs",
                expected="two or more",
                remedy="use strategy=one_device, or strategy.logical_devices=2 to try it on a CPU",
            )
        return Mirrored([f"GPU:{number}" for number in range(len(gpus))])
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * logical_devices
        )
    except RuntimeError as error:  # TensorFlow divides devices before its first operation only
        raise ConfigError(
            f"strategy.logical_devices={logical_devices}, but TensorFlow is already at work here",
            remedy="train in a process of its own",
        ) from error
    return Mirrored([f"CPU:{number}" for number in range(logical_devices)])
