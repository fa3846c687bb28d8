"""What the section `evaluate` must agree with in others, asked while the config is composed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import ConfigError, wrong_name
from pipeline.core.features import Task
from pipeline.core.schema import build, lookup
from pipeline.evaluate.catalog import METRICS, of_task
from pipeline.evaluate.config import EvaluateConfig, Threshold


def agree(params: Mapping[str, Any]) -> None:
    """Refuses slices by columns that are not declared, and metrics of another task.

    Args:
        params: The whole composed config.

    Raises:
        ConfigError: Names the key, and the columns or metrics there are.
    """
    options = build(EvaluateConfig, lookup(params, "evaluate"), "evaluate")
    refuse_foreign_metrics(options.thresholds, lookup(params, "data.label.task"))
    label = lookup(params, "data.label.column")
    columns = lookup(params, "data.columns")
    # The label is kept under its own name only where it is declared as an id as well.
    kept = [name for name, how in columns.items() if name != label or how["kind"] == "id"]
    for name in options.slices.columns or ():
        if name not in kept:
            raise wrong_name(
                "evaluate.slices.columns",
                name,
                kept,
                "columns of data.columns other than the label",
                f"declare '{name}' under data.columns ({{kind: id}} keeps it from the model)",
            )


def refuse_foreign_metrics(thresholds: Mapping[str, Threshold], task: Task) -> None:
    """Refuses thresholds on metrics that the task does not have, unless marked `if_defined`.

    Raises:
        ConfigError: Names the key and the metrics of the task.
    """
    known = {metric.name for metric in of_task(task)}
    for name, threshold in thresholds.items():
        if not METRICS[name].efficiency and name not in known and not threshold.if_defined:
            raise ConfigError(
                f"evaluate.thresholds.{name}: a {task} task does not have this metric",
                expected="one of " + ", ".join(sorted(known)),
                remedy=f"remove it, or set evaluate.thresholds.{name}.if_defined=true",
            )
