"""What was measured, as metrics.json, as a table for people and as flat numbers for MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.features import Label
from pipeline.core.records import Verdict
from pipeline.core.schema import flatten
from pipeline.evaluate.bootstrap import Estimates
from pipeline.evaluate.catalog import HEADLINE, Metric, of_task
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.evidence import CHAMPION, LINEAR, MODEL, TRIVIAL, Evidence
from pipeline.evaluate.measures import Labels

_DIGITS = 6
_COSTS = ("training_seconds", "latency_one_row_p50_ms", "model_bytes")
_JOURNALED = ("test", "validation", "baseline", "champion", "difference", "efficiency")
"""Parts of metrics.json whose keys are our own words; slices and classes carry the user's."""


def metrics_of(
    evidence: Evidence, config: EvaluateConfig, labels: Mapping[str, Labels]
) -> dict[str, Any]:
    """The content of metrics.json: nested finite numbers, undefined ones left out.

    Args:
        evidence: What was measured.
        config: Says which metrics have thresholds in slices.
        labels: Labels of each split by its name, for the row and class counts.
    """
    rivals = [name for name in (TRIVIAL, LINEAR, CHAMPION) if name in evidence.test]
    model = evidence.test[MODEL]
    champion = {"version": evidence.champion_version} if CHAMPION in rivals else {}
    return {
        "test": {"rows": len(labels["test"])} | _numbers(model),
        "validation": {"rows": len(labels["validation"])} | _numbers(evidence.validation),
        "baseline": {name: _numbers(evidence.test[name]) for name in rivals if name != CHAMPION},
        "champion": champion | _numbers(evidence.test.get(CHAMPION)),
        "difference": {name: _numbers(model.minus(evidence.test[name])) for name in rivals},
        "slices": _slices(evidence, config),
        "classes": {split: _class_counts(evidence.label, labels[split]) for split in labels},
        "efficiency": {name: rounded(value) for name, value in evidence.costs.items()},
    }


def scores_of(metrics: Mapping[str, Any], label: Label) -> dict[str, Any]:
    """The content of scores.json: of metrics.json what fits into one line of a table.

    Every metric on the test split, the interval of the task's headline metric, that metric of the
    rivals, and what the model costs.
    """
    headline = HEADLINE[label.task]
    shown = {metric.name for metric in of_task(label.task)}
    shown |= {f"{headline}_low", f"{headline}_high"}
    rivals = dict(metrics["baseline"]) | {CHAMPION: metrics["champion"]}
    return {
        "test": {name: value for name, value in metrics["test"].items() if name in shown},
        "rival": {
            name: {headline: found[headline]} for name, found in rivals.items() if headline in found
        },
        "cost": {name: metrics["efficiency"][name] for name in _COSTS},
    }


def slice_table(evidence: Evidence) -> pd.DataFrame:
    """column, value, rows, and the task's headline metric as low, high, metric (NaN: undefined)."""
    headline = HEADLINE[evidence.label.task]
    undefined = (np.nan, np.nan)
    table = [
        {
            "column": part.column,
            "value": part.value,
            "rows": part.rows,
            "low": (estimates.interval(headline) or undefined)[0],
            "high": (estimates.interval(headline) or undefined)[1],
            "metric": estimates.values.get(headline, np.nan),
        }
        for part, estimates in evidence.slices
    ]
    return pd.DataFrame(table, columns=["column", "value", "rows", "low", "high", "metric"])


def journal_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of metrics.json under dotted names, without those of single slices."""
    return flatten({part: metrics[part] for part in _JOURNALED if metrics[part]})


def lines(evidence: Evidence, verdict: Verdict, note: str) -> Iterator[str]:
    """What a person reads: a table of the metrics, then the verdict and its reasons."""
    rivals = [name for name in (TRIVIAL, LINEAR, CHAMPION) if name in evidence.test]
    titles = {TRIVIAL: "trivial", LINEAR: "linear", CHAMPION: f"v{evidence.champion_version}"}
    percent = f"{evidence.test[MODEL].confidence:.0%}"
    head = ["metric", "test", f"{percent} interval", "validation"]
    table = [head + [titles[name] for name in rivals]]
    table += [_row(metric, evidence, rivals) for metric in of_task(evidence.label.task)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells[1:]])
    yield _cost_line(evidence.costs)
    if note:
        yield note
    kept = sum(check.passed for check in verdict.checks)
    yield f"{verdict.verdict}: {kept} of {len(verdict.checks)} checks kept"
    yield from (f"  {reason}" for reason in verdict.reasons)


def rounded(value: float) -> float | int:
    """Six significant digits; counts stay whole."""
    return value if isinstance(value, int) else float(f"{value:.{_DIGITS}g}")


def _numbers(estimates: Estimates | None) -> dict[str, float | int]:
    if estimates is None:
        return {}
    numbers: dict[str, float | int] = {}
    for name, value in estimates.values.items():
        numbers[name] = rounded(value)
        interval = estimates.interval(name)
        if interval:
            numbers[f"{name}_low"], numbers[f"{name}_high"] = map(rounded, interval)
    return numbers


def _slices(evidence: Evidence, config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """Rows, the headline metric and those with a threshold in slices, by column and value."""
    gated = {name for name, threshold in config.thresholds.items() if threshold.in_slices}
    shown = gated | {HEADLINE[evidence.label.task]}
    tree: dict[str, dict[str, Any]] = {}
    for part, estimates in evidence.slices:
        kept = {name: value for name, value in estimates.values.items() if name in shown}
        numbers = _numbers(Estimates(kept, estimates.samples, estimates.confidence))
        tree.setdefault(part.column, {})[part.value] = {"rows": part.rows} | numbers
    return tree


def _class_counts(label: Label, labels: Labels) -> dict[str, int]:
    return {name: int((labels == k).sum()) for k, name in enumerate(label.classes)}


def _row(metric: Metric, evidence: Evidence, rivals: list[str]) -> list[str]:
    interval = evidence.test[MODEL].interval(metric.name)
    ends = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
    cells = [_cell(evidence.test[MODEL], metric), ends, _cell(evidence.validation, metric)]
    return [metric.title, *cells, *(_cell(evidence.test[name], metric) for name in rivals)]


def _cell(estimates: Estimates | None, metric: Metric) -> str:
    value = estimates.values.get(metric.name) if estimates else None
    return "" if value is None else f"{value:.4f}"


def _cost_line(costs: Mapping[str, float]) -> str:
    return (
        f"one row {costs['latency_one_row_p50_ms']:.2f} ms"
        f" (p95 {costs['latency_one_row_p95_ms']:.2f}),"
        f" in a batch {costs['latency_batch_row_p50_us']:.2f} µs a row,"
        f" model {costs['model_bytes'] / 1e6:.2f} MB,"
        f" {costs['parameters']:,.0f} parameters,"
        f" trained in {costs['training_seconds']:.1f} s"
    )
