"""How an epoch is cut into steps, and steps into calls."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.errors import ConfigError
from pipeline.train.batch import batch_rows
from pipeline.train.config import TrainConfig


@dataclass(frozen=True)
class Plan:
    """How the epochs are cut into calls and steps.

    Attributes:
        batch_rows: Rows of a step.
        steps_per_call: Steps run in one call into TensorFlow.
        calls_per_epoch: Calls that make an epoch.
    """

    batch_rows: int
    steps_per_call: int
    calls_per_epoch: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch: whole calls, since Keras cannot end an epoch within one."""
        return self.steps_per_call * self.calls_per_epoch


def plan(rows: int, global_batch_size: int, steps_per_execution: int, shares: int = 1) -> Plan:
    """Cuts an epoch of `rows` into equal calls, as near to one pass as whole calls come.

    Args:
        rows: Of the training split.
        global_batch_size: Rows of a step; cut to the split.
        steps_per_execution: Steps of a call at most.
        shares: Equal parts that a batch is cut into: replicas times accumulated parts.

    Raises:
        ConfigError: A batch cannot be cut into so many.
    """
    batch = min(rows - rows % shares, global_batch_size)
    if batch < shares or batch % shares:
        near = max(global_batch_size // shares, 1) * shares
        raise ConfigError(
            f"train.global_batch_size={global_batch_size} of {rows:,} rows cannot be cut into"
            f" {shares} equal parts (replicas times train.gradient_accumulation)",
            expected=f"a multiple of {shares}, and at least as many rows",
            remedy=f"set train.global_batch_size={near}, or use fewer workers",
        )
    steps = -(-rows // batch)
    calls = -(-steps // steps_per_execution)
    return Plan(batch, steps_per_call=round(steps / calls), calls_per_epoch=calls)


def plan_of(options: TrainConfig, rows: int, replicas: int) -> Plan:
    """The plan of a training.

    Args:
        options: The section `train`.
        rows: Of the training split.
        replicas: How many share a batch.

    Raises:
        ConfigError: A batch cannot be shared out evenly.
    """
    shares = replicas * options.gradient_accumulation
    batch = batch_rows(rows, options, shares)
    return plan(rows, batch, options.steps_per_execution, shares)
