"""The pictures of a search: how it went on, what mattered, and each value against the metric."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.page import BLUE, GREY, ORANGE, chart
from pipeline.tune.study import cut_off, direction

_MOST_SLICES = 12


def draw_history(charts: list[str], study: optuna.Study, metric: str) -> None:
    """Each trial's value by its number, and the best so far; pruned and failed trials apart."""
    complete = _complete(study)
    numbers = [trial.number for trial in complete]
    values = [float(trial.value or 0.0) for trial in complete]
    best = itertools.accumulate(values, max if direction(metric) == "maximize" else min)
    with chart(charts, f"{metric} by trial") as axes:
        axes.scatter(numbers, values, s=18, color=BLUE, label="complete")
        axes.step(numbers, list(best), where="post", color=ORANGE, label="best so far")
        pruned = [t for t in study.trials if t.state == TrialState.PRUNED and t.intermediate_values]
        if pruned:
            last = [t.intermediate_values[t.last_step or 0] for t in pruned]
            axes.scatter(
                [t.number for t in pruned],
                last,
                s=18,
                facecolors="none",
                edgecolors=GREY,
                label="given up, last value",
            )
        without = cut_off(study.trials)
        failed = [
            t.number for t in study.trials if t.state == TrialState.FAIL and t.number not in without
        ]
        if failed:
            low = axes.get_ylim()[0]
            axes.scatter(failed, [low] * len(failed), marker="x", color=GREY, label="failed")
        axes.set(xlabel="trial", ylabel=metric)
        axes.legend()


def draw_importance(charts: list[str], weights: Mapping[str, float]) -> None:
    """A bar for each key."""
    if not weights:
        return
    names, shares = list(weights)[::-1], list(weights.values())[::-1]
    with chart(charts, "Share in how much the metric varies") as axes:
        axes.barh(names, shares, color=BLUE, height=0.6)
        axes.set(xlim=(0, 1))
        axes.grid(visible=False, axis="y")


def draw_slices(charts: list[str], study: optuna.Study, metric: str) -> None:
    """The metric against each key's values."""
    from matplotlib.ticker import NullFormatter

    complete = _complete(study)
    names = dict.fromkeys(name for trial in complete for name in trial.params)
    for name in list(names)[:_MOST_SLICES]:
        having = [trial for trial in complete if name in trial.params]
        kind = having[0].distributions[name]
        numeric = isinstance(kind, FloatDistribution | IntDistribution)
        drawn = [t.params[name] if numeric else str(t.params[name]) for t in having]
        with chart(charts, name) as axes:
            axes.scatter(drawn, [float(t.value or 0.0) for t in having], s=18, color=BLUE)
            if numeric and getattr(kind, "log", False):
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter("{x:g}")
                axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set(ylabel=metric)


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
