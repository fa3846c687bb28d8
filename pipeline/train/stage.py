"""The door of `train`."""

from __future__ import annotations

import os

import tensorflow as tf

from pipeline.core import runtime
from pipeline.core.artifacts import Artifacts
from pipeline.core.console import say
from pipeline.core.stage import Context
from pipeline.train.config import TrainStageConfig
from pipeline.train.launch import launch
from pipeline.train.placement import Placement, place
from pipeline.train.plan import plan_of
from pipeline.train.strategy import ALONE, mirrored
from pipeline.train.work import work


def run(config: TrainStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Trains the model where the strategy says, and saves it with its encoder in front.

    Raises:
        DataError: The processed data is damaged, empty, or has one class only.
        ConfigError: An option does not fit the task or another one, or the model cannot be built.
        PipelineError: A worker failed, died or never came.
        TrainingDivergedError: The loss is no number any more, or has exploded.
    """
    runtime.reset_peak_memory()
    placement = place(config, os.environ, len(tf.config.list_physical_devices("GPU")))
    say(f"strategy {placement.strategy}: {placement.why}")
    if placement.processes:
        _require_even_batches(config, artifacts, placement)
        launch(config, artifacts, context, placement)
    elif placement.strategy == "mirrored":
        work(config, artifacts, context, mirrored(None))
    else:
        work(config, artifacts, context, ALONE)


def _require_even_batches(
    config: TrainStageConfig, artifacts: Artifacts, placement: Placement
) -> None:
    """Refuses a batch that cannot be shared out before any process is started for it."""
    rows = artifacts.split("train").parts().metadata.num_rows
    if rows:  # an empty split is told by whoever reads it
        plan_of(config.train, rows, placement.replicas)
