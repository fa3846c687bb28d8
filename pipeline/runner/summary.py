"""A run for people: why stages are going to run; what ran, what was cached, what came out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.core.artifacts import Artifacts, read_json
from pipeline.core.console import say
from pipeline.core.errors import PipelineError
from pipeline.runner.execute import StageState, stage_state
from pipeline.runner.plan import StagePlan

_HEADLINES = ("auc", "pr_auc", "accuracy", "macro_f1", "log_loss", "rmse", "mae", "r2")
"""Test metrics worth a line, where the task has them."""


def tell_reasons(plans: Sequence[StagePlan]) -> None:
    """Prints what is going to run, and why: a line for stages in a row that have the same reasons.

    Args:
        plans: One per stage, in order.
    """
    for reasons, those in groupby((plan for plan in plans if plan.run), lambda one: one.reasons):
        say(f"{', '.join(plan.stage for plan in those)}: {'; '.join(reasons)}")


def print_summary(
    root: Path,
    plans: Sequence[StagePlan],
    seconds: float,
    begun: float | None = None,
    *,
    complete: bool = True,
) -> None:
    """Prints the table of stages and what stands now; `tell_reasons` has told why they ran.

    Args:
        root: The project.
        plans: What was to run, and why.
        seconds: Wall time of the whole command.
        begun: Start of the run, seconds since the epoch; None where nothing had to run.
        complete: Whether it came to its end; else what was to run after the last stage that did
            is not cached, but was never asked for.
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "state", "seconds", "why"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    states = [_state_since(root, plan.stage, begun) for plan in plans]
    last = max((place for place, state in enumerate(states) if state), default=-1)
    stopped = False
    for place, (plan, state) in enumerate(zip(plans, states, strict=True)):
        if state is not None:
            ended = "killed" if state.state == "running" else state.state
            why = "" if plan.run else "DVC asked for it"
            table.add_row(plan.stage, ended, f"{state.seconds:.1f}", why)
            stopped = stopped or state.state != "done"
        elif stopped or (plan.run and place > last and not complete):
            table.add_row(plan.stage, "not reached", "", "")
        else:
            why = "what it reads came out the same" if plan.run else "nothing it reads changed"
            table.add_row(plan.stage, "cached", "", why)
    Console().print(table)
    for line in outcome(root):
        say(line)
    say(f"{seconds:.1f} s in all")


def _state_since(root: Path, name: str, begun: float | None) -> StageState | None:
    if begun is None:
        return None
    try:
        state = stage_state(root, name).read()
    except PipelineError:
        return None
    return state if state.started_at >= begun else None


def outcome(root: Path) -> list[str]:
    """One line each on the metrics, the verdict, the registry and the export that stand now."""
    lines: list[str] = []
    artifacts = Artifacts(root)
    for describe in (_metrics_line, _verdict_line, _registry_line, _export_line):
        try:
            lines.append(describe(artifacts))
        except PipelineError:
            continue  # not made yet
    return lines


def _metrics_line(artifacts: Artifacts) -> str:
    test: dict[str, Any] = read_json(artifacts.metrics).get("test", {})
    present = [name for name in _HEADLINES if name in test]
    shown = [f"{name} {test[name]:.4f}{_interval(test, name)}" for name in present]
    return "test:       " + ", ".join(shown)


def _interval(test: dict[str, Any], name: str) -> str:
    low, high = test.get(f"{name}_low"), test.get(f"{name}_high")
    return f" [{low:.4f}, {high:.4f}]" if low is not None and high is not None else ""


def _verdict_line(artifacts: Artifacts) -> str:
    verdict = artifacts.verdict.read()
    passed = sum(check.passed for check in verdict.checks)
    reasons = "".join(f"\n            {reason}" for reason in verdict.reasons)
    count = f"{passed} of {len(verdict.checks)} checks passed"
    return f"verdict:    {verdict.verdict}, {count}{reasons}"


def _registry_line(artifacts: Artifacts) -> str:
    registration = artifacts.registration.read()
    if registration.version is None:
        return "registry:   nothing registered (a DVC experiment)"
    alias = f" ({registration.alias})" if registration.alias else ""
    return f"registry:   {registration.name} version {registration.version}{alias}"


def _export_line(artifacts: Artifacts) -> str:
    export = artifacts.export.read()
    where = f"{artifacts.serving.relative_to(artifacts.root)}/{export.name}/{export.version}"
    return (
        f"exported:   {where if export.version else 'nothing published'},"
        f" {export.bytes / 1e6:.2f} MB, largest difference to the trained model"
        f" {export.largest_difference:.1e} over {export.rows_compared} rows"
    )
