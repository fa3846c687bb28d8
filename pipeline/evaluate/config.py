"""What `evaluate` can be told."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipeline.core.errors import nearest
from pipeline.core.schema import config
from pipeline.evaluate.catalog import METRICS


def _known(name: str) -> str:
    if name not in METRICS:
        near = nearest(name, METRICS) or list(METRICS)
        raise ValueError(f"the name of a metric, perhaps {' or '.join(near)}")
    return name


@config
class Threshold:
    """What one metric must keep on the test split; a bound left out is not checked.

    A gain is the improvement over another model on the same rows, in the metric's own unit and
    turned so that positive is better for every metric: `-0.005` allows the model to be 0.005
    worse, `0.01` demands that it be 0.01 better.
    """

    min: float | None = None
    """Least value."""
    max: float | None = None
    """Largest value."""
    gain_over_champion: float | None = None
    """Least gain over the registry's champion; not checked where there is no champion."""
    gain_over_linear: float | None = None
    """Least gain over the linear baseline."""
    gain_over_trivial: float | None = None
    """Least gain over the trivial baseline."""
    slice_min: float | None = None
    """Least value in every slice."""
    slice_max: float | None = None
    """Largest value in every slice."""
    slice_gap: float | None = Field(default=None, ge=0)
    """How much worse than all rows together any slice may be."""
    if_defined: bool = False
    """Whether the threshold is passed over for a task that does not have the metric."""

    @property
    def gains(self) -> bool:
        """Whether it compares with another model."""
        demanded = (self.gain_over_champion, self.gain_over_linear, self.gain_over_trivial)
        return any(least is not None for least in demanded)

    @property
    def in_slices(self) -> bool:
        """Whether it looks at slices."""
        demanded = (self.slice_min, self.slice_max, self.slice_gap)
        return any(bound is not None for bound in demanded)


@config
class BootstrapConfig:
    """Percentile intervals by resampling rows with replacement."""

    resamples: int = Field(ge=20)
    """Number of resamples; 200 give the ends of a 95 % interval to about a tenth of its width."""
    confidence: float = Field(gt=0, lt=1)
    """Share of resamples inside the interval, 0 to 1."""
    seed: int = Field(ge=0)
    """Seed of the resampling and of every other draw in this stage."""


@config
class SlicesConfig:
    """Parts of the test split that are measured on their own."""

    columns: tuple[str, ...] | None
    """Columns to slice by; null takes text and boolean columns with the fewest values."""
    automatic_columns: int = Field(ge=0)
    """How many columns null takes at most."""
    values: int = Field(ge=1)
    """Slices of one column at most: its most frequent values; numbers are cut into quartiles."""
    min_rows: int = Field(ge=1)
    """Smaller slices are left out."""


@config
class LinearConfig:
    """The linear baseline: logistic or ridge regression on the same encoded features."""

    rows: int = Field(ge=10)
    """Training rows used at most, drawn at random."""
    iterations: int = Field(ge=1)
    """Steps of the solver at most."""
    regularisation: float = Field(gt=0)
    """Weight of the squared norm against the summed loss of all rows (L2)."""


@config
class LatencyConfig:
    """How prediction is timed: in process, warm, as one graph."""

    calls: int = Field(ge=5)
    """Timed calls of each kind."""
    batch_rows: int = Field(ge=2)
    """Rows of a batch."""


@config
class EvaluateConfig:
    """How the model is measured and what it must keep."""

    bootstrap: BootstrapConfig
    """Confidence intervals."""
    weighted: bool
    """Whether rows count by the data set's column of kind weight, where it has one."""
    calibration_bins: int = Field(ge=2, le=100)
    """Bins of equal width for the expected calibration error and the calibration picture."""
    slices: SlicesConfig
    """Slices."""
    linear: LinearConfig
    """Linear baseline."""
    latency: LatencyConfig
    """Timing."""
    benefit_of_doubt: bool
    """Which end of an interval gains and slices are judged by: the better one (true: refuses
    what is proven too bad) or the worse one (false: passes only what is proven good enough)."""
    thresholds: dict[Annotated[str, AfterValidator(_known)], Threshold]
    """What the model must keep, by name of the metric."""

    @model_validator(mode="after")
    def _costs_are_absolute(self) -> EvaluateConfig:
        for name, threshold in self.thresholds.items():
            if METRICS[name].efficiency and (threshold.gains or threshold.in_slices):
                raise ValueError(f"only min and max for {name}, which is a cost")
        return self


@dataclasses.dataclass(frozen=True)
class EvaluateStageConfig:
    """The sections of params.yaml that `evaluate` reads."""

    evaluate: EvaluateConfig
    """How the model is measured."""
    name: str
    """Name of the model in the registry, where the champion is looked for."""
