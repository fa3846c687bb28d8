"""Every metric by name: which tasks have it, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.core.features import Task

Best = Literal["high", "low", "zero"]

_CLASSES: tuple[Task, ...] = ("binary", "multiclass")
_BINARY: tuple[Task, ...] = ("binary",)
_MULTICLASS: tuple[Task, ...] = ("multiclass",)
_REGRESSION: tuple[Task, ...] = ("regression",)


@dataclass(frozen=True)
class Metric:
    """A quality of a model's predictions, or what they cost.

    Attributes:
        name: Key in metrics.json and in the thresholds.
        title: What pictures and tables call it.
        best: Whether high values, low values or values near zero are better.
        tasks: Tasks that define it; empty for an efficiency figure, which every task has.
    """

    name: str
    title: str
    best: Best
    tasks: tuple[Task, ...] = ()

    @property
    def efficiency(self) -> bool:
        """Whether it is a cost, measured once, rather than a quality of predictions."""
        return not self.tasks


_ALL = (
    Metric("auc", "AUC", "high", _BINARY),
    Metric("pr_auc", "PR-AUC", "high", _BINARY),
    Metric("accuracy", "accuracy", "high", _CLASSES),
    Metric("precision", "precision", "high", _BINARY),
    Metric("recall", "recall", "high", _BINARY),
    Metric("f1", "F1", "high", _BINARY),
    Metric("auc_ovr", "AUC, one against rest", "high", _MULTICLASS),
    Metric("balanced_accuracy", "balanced accuracy", "high", _MULTICLASS),
    Metric("macro_f1", "macro F1", "high", _MULTICLASS),
    Metric("log_loss", "log loss", "low", _CLASSES),
    Metric("brier", "Brier score", "low", _CLASSES),
    Metric("calibration_error", "calibration error", "low", _CLASSES),
    Metric("mae", "mean absolute error", "low", _REGRESSION),
    Metric("rmse", "RMSE", "low", _REGRESSION),
    Metric("r2", "R2", "high", _REGRESSION),
    Metric("median_absolute_error", "median absolute error", "low", _REGRESSION),
    Metric("bias", "bias", "zero", _REGRESSION),
    Metric("training_seconds", "training, seconds", "low"),
    Metric("training_examples_per_second", "training, examples per second", "high"),
    Metric("training_peak_memory_bytes", "training, peak memory in bytes", "low"),
    Metric("latency_one_row_p50_ms", "one row, p50 in ms", "low"),
    Metric("latency_one_row_p95_ms", "one row, p95 in ms", "low"),
    Metric("latency_batch_row_p50_us", "per row of a batch, p50 in µs", "low"),
    Metric("latency_batch_row_p95_us", "per row of a batch, p95 in µs", "low"),
    Metric("model_bytes", "model file, bytes", "low"),
    Metric("parameters", "parameters", "low"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

HEADLINE: dict[Task, str] = {"binary": "auc", "multiclass": "accuracy", "regression": "mae"}
"""The metric that stands for a slice in pictures and in metrics.json."""


def of_task(task: Task) -> tuple[Metric, ...]:
    """The metrics that `task` defines, in the order people read them."""
    return tuple(metric for metric in _ALL if task in metric.tasks)


def badness(name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`values` of the metric `name`, turned so that less is better whatever its direction."""
    best = METRICS[name].best
    if best == "zero":
        return abs(values)
    return -values if best == "high" else values
