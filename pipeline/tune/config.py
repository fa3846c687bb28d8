"""What `pipeline tune` can be told: the section `tune` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.core.errors import ConfigError
from pipeline.core.schema import config
from pipeline.tune.space import Dimension, read_space

Metric = Literal["val_loss", "val_auc", "val_accuracy", "val_mae", "val_rmse"]
Name = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


@config
class SamplerConfig:
    """Which values are tried next."""

    name: Literal["tpe", "random", "qmc"]
    """tpe learns from the trials so far; random does not; qmc (Sobol) spreads evenly."""
    startup_trials: int = Field(ge=1)
    """Trials drawn at random before tpe begins to learn."""


@config
class PrunerConfig:
    """Which trials are given up early, judged by the metric after each epoch."""

    name: Literal["median", "hyperband", "none"]
    """median: worse than half of the trials at the same epoch; hyperband: successive halving."""
    startup_trials: int = Field(ge=1)
    """Finished trials before the first one is given up (median)."""
    warmup_epochs: int = Field(ge=0)
    """Epochs that every trial is granted (median); at least one for hyperband."""


@config
class BudgetConfig:
    """When no further trial is begun; whichever comes first. Running trials are finished."""

    trials: int | None = Field(ge=1)
    """Trials of the whole study, over all resumptions; null is no limit."""
    minutes: float | None = Field(gt=0)
    """Minutes since this command began; null is no limit."""


@config
class TuneConfig:
    """A hyperparameter search."""

    name: Name
    """Name of the study, its folder under .pipeline/tune, and configs/experiment/NAME.yaml."""
    metric: Metric
    """What is compared: losses and errors (mae, rmse) are minimised, auc and accuracy maximised."""
    space: dict[str, Any]
    """Dotted key or whole group to what is tried: {log|uniform|int|log_int: [low, high]} or
    {choice: [...]}; null does not search that key."""
    sampler: SamplerConfig
    """Which values are tried next."""
    pruner: PrunerConfig
    """Which trials are given up early."""
    budget: BudgetConfig
    """When to stop."""
    jobs: int = Field(ge=1)
    """Trials at once, each in a process of its own: on this machine, with its share of the cores,
    or on the cluster of launcher=ray."""
    seed: int = Field(ge=0, lt=2**31)
    """Decides what is drawn; training has its own seed (train.seed)."""


@dataclass(frozen=True)
class TuneStageConfig:
    """Everything the search reads from params.yaml."""

    tune: TuneConfig

    def __post_init__(self) -> None:
        """Refuses a space or a budget that cannot be."""
        keys = {one.key for one in self.dimensions()}
        if self.tune.metric == "val_loss" and "train.regression_loss" in keys:
            raise ConfigError(
                "tune.space searches train.regression_loss, and tune.metric=val_loss is measured"
                " by it: trials would not compare",
                remedy="set tune.metric=val_rmse or tune.metric=val_mae",
            )
        if self.tune.budget.trials is None and self.tune.budget.minutes is None:
            raise ConfigError(
                "tune.budget has neither trials nor minutes",
                expected="at least one limit",
                remedy="set tune.budget.trials=20 or tune.budget.minutes=30",
            )

    def dimensions(self) -> tuple[Dimension, ...]:
        """What is searched, in the order of the config."""
        return read_space(self.tune.space)
