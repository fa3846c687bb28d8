"""What a search found: a page for people, a table for programs, and a few lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.errors import PipelineError
from pipeline.core.page import gallery, page, table
from pipeline.core.publishing import publish_file
from pipeline.tune.charts import draw_history, draw_importance, draw_slices
from pipeline.tune.config import TuneConfig
from pipeline.tune.space import Dimension, shown
from pipeline.tune.study import REASON, cut_off, direction

_BEST_SHOWN = 3


def require_best(study: optuna.Study) -> FrozenTrial:
    """The best trial.

    Raises:
        PipelineError: None was trained to its end; says why the last one failed.
    """
    try:
        return study.best_trial
    except ValueError:
        reasons = [t.user_attrs[REASON] for t in study.trials if REASON in t.user_attrs]
        raise PipelineError(
            "no trial was trained to its end"
            + (f"; the last failure: {reasons[-1]}" if reasons else ""),
            expected="at least one",
            remedy="raise tune.budget, or correct what every trial fails by",
        ) from None


def best_values(space: Sequence[Dimension], trial: FrozenTrial) -> dict[str, Any]:
    """The values of a trial as they stand in the config."""
    return {
        one.key: one.labels[trial.params[one.key]]
        if one.kind == "choice"
        else trial.params[one.key]
        for one in space
        if one.key in trial.params
    }


def importance(study: optuna.Study) -> dict[str, float]:
    """Share of each key in how much the metric varies (fANOVA), greatest first.

    Keys that only some trials have are left out; empty with fewer than two different trials.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2 or len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def write_report(
    folder: Path, study: optuna.Study, config: TuneConfig, weights: Mapping[str, float]
) -> tuple[Path, Path]:
    """Publishes report.html and trials.csv in `folder`; returns their paths.

    Args:
        folder: Where to.
        study: With a complete trial.
        config: The section `tune`.
        weights: What `importance` says.
    """
    charts: list[str] = []
    draw_history(charts, study, config.metric)
    draw_importance(charts, weights)
    slices: list[str] = []
    draw_slices(slices, study, config.metric)
    best = require_best(study)
    rows = [_row(trial) for trial in _ranked(study, config.metric)]
    head = ("trial", "state", config.metric, "epochs", "seconds", "values", "reason")
    text = page(
        f"Search {config.name}",
        f"{len(rows)} trials · best {config.metric} {best.value:.6g} in trial {best.number} · "
        + shown(best.params),
        {
            "The search": gallery(charts),
            "Each value": gallery(slices),
            "Trials, best first": table(head, rows),
        },
    )
    page_path, table_path = folder / "report.html", folder / "trials.csv"
    with publish_file(page_path) as aside:
        aside.write_text(text, encoding="utf-8")
    with publish_file(table_path) as aside:
        _write_table(aside, study)
    return page_path, table_path


def _ranked(study: optuna.Study, metric: str) -> list[FrozenTrial]:
    sign = -1 if direction(metric) == "maximize" else 1
    without = cut_off(study.trials)
    kept = [trial for trial in study.trials if trial.number not in without]
    complete = [trial for trial in kept if trial.value is not None]
    complete.sort(key=lambda trial: sign * (trial.value or 0.0))
    return complete + [trial for trial in kept if trial.value is None]


def _row(trial: FrozenTrial) -> tuple[object, ...]:
    value = "" if trial.value is None else f"{trial.value:.6g}"
    seconds = f"{trial.duration.total_seconds():.1f}" if trial.duration else ""
    reason = str(trial.user_attrs.get(REASON, "")).splitlines()
    state = trial.state.name.lower()
    epochs = len(trial.intermediate_values)
    told = reason[0] if reason else ""
    return (trial.number, state, value, epochs, seconds, shown(trial.params), told)


def _write_table(path: Path, study: optuna.Study) -> None:
    names = list(dict.fromkeys(name for trial in study.trials for name in trial.params))
    head = ["trial", "state", "value", "epochs", "seconds", *names, "repeats", "reason"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for trial in study.trials:
            writer.writerow(_cells(trial, names))


def _cells(trial: FrozenTrial, names: Sequence[str]) -> Iterator[object]:
    yield trial.number
    yield trial.state.name.lower()
    yield "" if trial.value is None else repr(trial.value)
    yield len(trial.intermediate_values)
    yield round(trial.duration.total_seconds(), 3) if trial.duration else ""
    for name in names:
        yield json.dumps(trial.params[name]) if name in trial.params else ""
    yield trial.user_attrs.get("repeats", "")
    yield trial.user_attrs.get(REASON, "")


def summary(study: optuna.Study, config: TuneConfig, weights: Mapping[str, float]) -> Iterator[str]:
    """The best trials and what mattered, in a few lines."""
    states = [trial.state for trial in study.trials]
    counts = {state.name.lower(): states.count(state) for state in TrialState}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    yield f"study {config.name}: {told}"
    for trial in _ranked(study, config.metric)[:_BEST_SHOWN]:
        if trial.value is not None:
            value = f"{config.metric} {trial.value:.6g}"
            yield f"  {value}  trial {trial.number}: {shown(trial.params)}"
    if weights:
        listed = ", ".join(f"{name} {share:.0%}" for name, share in weights.items())
        yield f"  what mattered: {listed}"
