"""Tune: a hyperparameter search on the prepared data, driven by Optuna.

A command, not a DVC stage: its record is here so that its config is checked with the others.
"""

from pipeline.core.stage import Stage
from pipeline.tune.config import TuneStageConfig

STAGE = Stage(
    name="tune",
    does="search for hyperparameters on the prepared data",
    config=TuneStageConfig,
    params={"tune": "tune"},
)

__all__ = ["STAGE"]
