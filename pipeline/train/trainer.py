"""The model that `fit` trains: Keras's own, with a step of ours.

The step differs from Keras's in three things. Gradients are added up over all replicas before they
are clipped, so that any number of replicas gives the answer of one. A batch may be taken in several
parts whose gradients are averaged. And several steps run in one call under every strategy, which
Keras's `steps_per_execution` does not; the call ends at the first step whose loss has exploded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.train.strategy import Gradients, Team
from pipeline.train.watch import HIGHEST_LOSS

_SEED_STRIDE = 1_000_003
"""Between the seeds of two workers; a prime, so that they do not meet."""


class Trainer(keras.Model):  # type: ignore[misc]
    """A functional model that is trained by a team; call `prepare` before anything else.

    Attributes:
        calls_done: Calls of the coming epoch that an earlier process has made already.
        told: What the last call has told besides its logs: `exploded`, float32 `[replicas]`, 1 for
            each whose loss has; `waited`, float64 `[2]`, seconds of this process for its batches
            and for the other workers.
    """

    def prepare(
        self, team: Team, *, steps_per_call: int, parts: int, xla: bool, clip_norm: float | None
    ) -> None:
        """Says how a step is made; called within the team's scope, after `compile`.

        Args:
            team: The replicas.
            steps_per_call: Steps run in one call into TensorFlow.
            parts: Parts of equal size that each replica's share of a batch is cut into.
            xla: Whether XLA compiles the forward and backward pass.
            clip_norm: Longest gradient, for a team that clips; the optimiser must not then.
        """
        self.team = team
        self.steps_per_call = steps_per_call
        self.parts = parts
        self.xla = xla
        self.clip_norm = clip_norm if team.clips else None
        self.calls_done = 0
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.wishes_to_stop = tf.Variable(0.0, trainable=False)
        self.optimizer.build(self.trainable_variables)

    def own_dropout(self) -> None:
        """Gives each worker random numbers of its own; the chief's are those of one process."""
        for variable in self.variables:
            if variable.path.endswith("seed_generator_state"):
                shift = np.array([self.team.worker * _SEED_STRIDE, 0], variable.dtype)
                variable.assign(variable.numpy() + shift)

    def optimizer_steps(self) -> int:
        """How often the weights have been moved."""
        return int(self.optimizer.iterations.numpy())

    @property
    def metrics(self) -> list[keras.Metric]:
        """The mean loss of the epoch so far; everything else is measured after it."""
        return [self.mean_loss]

    def make_train_function(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - Keras's
        """Makes what `fit` calls: several steps on the next batches, in one go."""
        made = self.train_function
        if made is not None and not force:
            return

        @tf.function  # type: ignore[untyped-decorator]
        def call(batches: Any) -> Any:
            logs = {name: tf.zeros([]) for name in ("loss", "last_loss", "stops")}
            exploded = tf.zeros([self.team.replicas])
            waited = tf.zeros([2], tf.float64)
            steps, sane = tf.zeros([]), tf.constant(True)  # noqa: FBT003 - a tensor
            while tf.logical_and(sane, steps < self.steps_per_call):
                batch, for_batch = _timed_next(batches)
                logs, exploded, for_others = self.team.run(self.train_step, batch)
                waited += tf.stack([for_batch, for_others])
                steps += 1.0
                sane = logs["last_loss"] <= HIGHEST_LOSS  # false for NaN too
            return {**logs, "steps": steps}, {"exploded": exploded, "waited": waited}

        def call_or_skip(batches: Any) -> Any:
            if self.calls_done:
                self.calls_done -= 1
                return {"loss": self.mean_loss.result(), "stops": 0.0}
            logs, self.told = call(batches)
            return logs

        self.train_function: Any = call_or_skip

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def train_step(self, data: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Moves the weights once.

        Returns:
            Logs, the same on all replicas: `loss`, the mean of the epoch so far, `last_loss`, of
            this batch, and `stops`, how many replicas wish to stop; `exploded`, `[replicas]`, 1 for
            each whose rows have a loss that is too high or no number; seconds of waiting for other
            workers.
        """
        gradients, loss = self.team.differentiate(self._gradients, data)
        exploded = 1.0 - tf.cast(loss * self.team.replicas <= HIGHEST_LOSS, tf.float32)
        mine = exploded * tf.one_hot(self.team.replica(), self.team.replicas)
        numbers = tf.concat([[loss, tf.identity(self.wishes_to_stop)], mine], 0)
        limit = self.optimizer.scale_loss(self.clip_norm) if self.clip_norm else None
        gradients, numbers, waited = self.team.exchange(gradients, numbers, limit)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.mean_loss.update_state(numbers[0])
        logs = {"loss": self.mean_loss.result(), "last_loss": numbers[0], "stops": numbers[1]}
        return logs, numbers[2:], waited

    def _gradients(self, data: Any) -> tuple[Gradients, tf.Tensor]:
        """Gradients and loss of this replica's share, as parts of the mean over all replicas."""
        part: Callable[[Any], tuple[Gradients, tf.Tensor]] = self._part
        if self.xla:
            part = tf.function(self._part, jit_compile=True)
        if self.parts == 1:
            return part(data)
        cut = tf.nest.map_structure(
            lambda rows: tf.reshape(rows, [self.parts, -1, *rows.shape[1:]]), data
        )

        def with_part(total: Any, rows: Any) -> Any:
            return tf.nest.map_structure(tf.add, total, part(rows))

        nothing = ([tf.zeros_like(v.value) for v in self.trainable_variables], tf.zeros([]))
        # One after another, so that the activations of one part are in memory at a time.
        gradients, loss = tf.foldl(with_part, cut, nothing, parallel_iterations=1)
        return [gradient / self.parts for gradient in gradients], loss / self.parts

    def _part(self, data: Any) -> tuple[Gradients, tf.Tensor]:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        # Keras has divided the loss by the replicas that its strategy knows of.
        share = tf.distribute.get_strategy().num_replicas_in_sync / self.team.replicas
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            loss = share * self.compute_loss(
                x=x, y=y, y_pred=outputs, sample_weight=weights, training=True
            )
            scaled = self.optimizer.scale_loss(loss)
        found = tape.gradient(scaled, self.trainable_variables, unconnected_gradients="zero")
        # Left as they are, slices of embeddings are added up anew by each that needs the sum.
        return [tf.convert_to_tensor(gradient) for gradient in found], loss


def _timed_next(batches: Any) -> tuple[Any, tf.Tensor]:
    """The next batch, and the seconds it was waited for."""
    began = tf.timestamp()
    with tf.control_dependencies([began]):
        batch = next(batches)
    with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        return batch, tf.timestamp() - began
