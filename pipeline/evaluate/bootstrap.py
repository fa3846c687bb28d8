"""Confidence intervals by resampling rows, the same resamples for every model compared.

Percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13):
each resample draws as many rows as there are, with replacement; the interval holds the middle
share of the metric's values over the resamples. Because all models see the same draws, the
resamples of a difference are the differences of the resamples (a paired interval), which is much
narrower than what two separate intervals tell.

Where rows belong to groups, whole groups are drawn (the cluster bootstrap; Davison and Hinkley,
"Bootstrap Methods and their Application", 1997, section 3.8): rows of one group resemble each
other, and intervals from single rows would be too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluate.catalog import badness
from pipeline.evaluate.config import BootstrapConfig
from pipeline.evaluate.measures import Measure
from pipeline.evaluate.ranking import Floats

_LEAST_DEFINED = 0.5
"""An interval needs the metric to be defined in this share of the resamples."""


@dataclass(frozen=True)
class Estimates:
    """Metrics of one model on some rows, or the differences between two.

    Attributes:
        values: Value on the rows by metric; undefined metrics are left out.
        samples: `[resamples]` values by metric, NaN where a resample leaves it undefined.
        confidence: Share of samples inside an interval.
    """

    values: Mapping[str, float]
    samples: Mapping[str, Floats]
    confidence: float

    def interval(self, name: str) -> tuple[float, float] | None:
        """Lower and upper end; None where too few resamples define the metric."""
        samples = self.samples.get(name, np.empty(0))
        defined = samples[np.isfinite(samples)]
        if not len(defined) or len(defined) < _LEAST_DEFINED * len(samples):
            return None
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return float(low), float(high)

    def minus(self, other: Estimates) -> Estimates:
        """These less the other's, metric by metric, resample by resample."""
        return self._paired(other, lambda _, mine, others: mine - others)

    def gain_over(self, other: Estimates) -> Estimates:
        """How much better these are than the other's: positive is better for every metric."""
        return self._paired(
            other, lambda name, mine, others: badness(name, others) - badness(name, mine)
        )

    def _paired(
        self, other: Estimates, combine: Callable[[str, Floats, Floats], Floats]
    ) -> Estimates:
        values = {
            name: float(combine(name, np.asarray(value), np.asarray(other.values[name])))
            for name, value in self.values.items()
            if name in other.values
        }
        samples = {
            name: combine(name, self.samples[name], other.samples[name])
            for name in values
            if name in self.samples and name in other.samples
        }
        return Estimates(values, samples, self.confidence)


@dataclass(frozen=True)
class Counted:
    """How rows count.

    Attributes:
        weights: `[rows]`, how much each counts; all ones where all count alike.
        groups: `[rows]`, from 0 without gaps: rows with one number are drawn together; None where
            every row is drawn by itself.
    """

    weights: Floats
    groups: npt.NDArray[np.int64] | None = None

    @classmethod
    def alike(cls, rows: int) -> Counted:
        """So many rows, each by itself."""
        return cls(np.ones(rows))


def estimate(
    measures: Mapping[str, Measure],
    rows: Counted,
    config: BootstrapConfig,
    advance: Callable[[float, str], None] = lambda _steps, _note: None,
) -> dict[str, Estimates]:
    """Measures several models on the same rows and on the same resamples of them.

    Args:
        measures: By the model's name, all over the same rows in the same order.
        rows: How the rows count; some weight is not 0.
        config: How many resamples, and their seed: equal seeds, equal draws.
        advance: Told after each resample.

    Returns:
        Estimates under the names of `measures`.
    """
    values = {name: measure.fixed | measure(rows.weights) for name, measure in measures.items()}
    drawn: dict[str, list[dict[str, float]]] = {name: [] for name in measures}
    for weights in resamples(rows, config):
        for name, measure in measures.items():
            drawn[name].append(measure(weights))
        advance(1, "")
    return {name: Estimates(values[name], _table(drawn[name]), config.confidence) for name in drawn}


def resamples(rows: Counted, config: BootstrapConfig) -> Iterator[Floats]:
    """How often each row is drawn, times its weight: `config.resamples` vectors `[rows]`.

    As many rows (or groups) are drawn as there are.
    """
    generator = np.random.default_rng(config.seed)
    groups = rows.groups
    count = len(rows.weights) if groups is None else int(groups.max(initial=-1)) + 1
    for _ in range(config.resamples):
        drawn = generator.integers(0, count, count, dtype=np.int64)
        times = np.bincount(drawn, minlength=count).astype(np.float64)
        weights = rows.weights * (times if groups is None else times[groups])
        if weights.any():
            yield weights


def _table(rows: list[dict[str, float]]) -> dict[str, Floats]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
