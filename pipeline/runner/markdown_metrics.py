"""The metrics of the report: this run beside the base revision, the baseline and the champion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.core.artifacts import Artifacts, read_json
from pipeline.evaluate.catalog import METRICS, Metric
from pipeline.runner.markdown_base import Base
from pipeline.runner.markdown_text import code, folded, number, table


def metrics_lines(artifacts: Artifacts, base: Base) -> Iterator[str]:
    """Tables of the test metrics and of what the model costs.

    Raises:
        PipelineError: There are no metrics yet.
    """
    metrics = read_json(artifacts.metrics)
    if base.name and not base.metrics:
        why = "has no metrics committed" if base.commit else "is not known to this clone"
        yield f"{code(base.name)} {why}: nothing to compare with."
        yield ""
    yield from _quality_table(metrics, base)
    yield ""
    yield from folded("What it costs", list(_cost_table(metrics, base)))


def _quality_table(metrics: Mapping[str, Any], base: Base) -> Iterator[str]:
    test, linear = metrics.get("test", {}), metrics.get("baseline", {}).get("linear", {})
    champion, before = metrics.get("champion", {}), base.metrics.get("test", {})
    head = ["metric", "this", "interval"]
    head += [f"base {base.commit}", "change"] if before else []
    head += ["linear baseline"] if linear else []
    head += [f"champion v{champion['version']}"] if "version" in champion else []
    rows = []
    for metric in _present(test, efficiency=False):
        name = metric.name
        row = [metric.title, number(test[name]), _interval(test, name)]
        row += [number(before.get(name)), _change(metric, test, before)] if before else []
        row += [number(linear.get(name))] if linear else []
        row += [number(champion.get(name))] if "version" in champion else []
        rows.append(row)
    yield from table(head, rows, "lr" + "r" * (len(head) - 2))


def _cost_table(metrics: Mapping[str, Any], base: Base) -> Iterator[str]:
    costs, before = metrics.get("efficiency", {}), base.metrics.get("efficiency", {})
    head, runs = ["cost", "this"], [costs]
    if before:
        head, runs = [*head, f"base {base.commit}"], [*runs, before]
    rows = [
        [metric.title, *(number(run.get(metric.name)) for run in runs)]
        for metric in _present(costs, efficiency=True)
    ]
    yield from table(head, rows, "lrr")


def _present(values: Mapping[str, Any], *, efficiency: bool) -> list[Metric]:
    return [m for m in METRICS.values() if m.efficiency == efficiency and m.name in values]


def _interval(test: Mapping[str, Any], name: str) -> str:
    low, high = test.get(f"{name}_low"), test.get(f"{name}_high")
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _change(metric: Metric, test: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """The difference, and whether it is more than the interval explains."""
    now, then = test[metric.name], before.get(metric.name)
    if then is None:
        return "new"
    low, high = test.get(f"{metric.name}_low"), test.get(f"{metric.name}_high")
    if low is not None and high is not None and low <= then <= high:
        return f"{now - then:+.4f} (within the interval)"
    gain = {"high": now - then, "low": then - now, "zero": abs(then) - abs(now)}[metric.best]
    return f"{now - then:+.4f} ({'better' if gain > 0 else '**worse**' if gain < 0 else 'same'})"
