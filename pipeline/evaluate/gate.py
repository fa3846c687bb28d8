"""Thresholds held against what was measured: the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core.records import Check, Verdict
from pipeline.evaluate.bootstrap import Estimates
from pipeline.evaluate.catalog import METRICS, badness
from pipeline.evaluate.config import EvaluateConfig, Threshold
from pipeline.evaluate.evidence import CHAMPION, LINEAR, MODEL, TRIVIAL, Evidence
from pipeline.evaluate.slices import Slice

Kind = Literal["absolute", "champion", "baseline", "slice", "efficiency"]


def judge(evidence: Evidence, config: EvaluateConfig, model_hash: str) -> Verdict:
    """Holds every threshold against the evidence: VALIDATED when all of them are kept.

    A metric that is undefined on the test split fails its threshold; one that is undefined in a
    slice, or for the other model, is not held against it.
    """
    findings = [
        finding
        for name, threshold in config.thresholds.items()
        if METRICS[name].efficiency or evidence.label.task in METRICS[name].tasks
        for finding in _findings(name, threshold, evidence, benefit=config.benefit_of_doubt)
    ]
    reasons = tuple(finding.reason for finding in findings if not finding.check.passed)
    return Verdict(
        verdict="REJECTED" if reasons else "VALIDATED",
        checks=tuple(finding.check for finding in findings),
        champion_version=evidence.champion_version,
        model_hash=model_hash,
        reasons=reasons,
    )


@dataclass(frozen=True)
class _Finding:
    """A check and the sentence that explains it where it fails."""

    check: Check
    reason: str


@dataclass(frozen=True)
class _Figure:
    """A number that a threshold is held against, in words and with its interval."""

    what: str
    value: float | None
    interval: tuple[float, float] | None = None
    slice: str | None = None

    def end(self, *, highest: bool) -> float | None:
        """One end of the interval; the value itself where there is no interval."""
        return self.value if self.interval is None else self.interval[1 if highest else 0]

    def __str__(self) -> str:
        """What it is and how large."""
        if self.value is None:
            return f"{self.what} is undefined on these rows"
        ends = self.interval and f" ({self.interval[0]:.4g} to {self.interval[1]:.4g})"
        return f"{self.what} is {self.value:.4g}{ends or ''}"


def _findings(
    name: str, threshold: Threshold, evidence: Evidence, *, benefit: bool
) -> Iterator[_Finding]:
    yield from _absolute(name, threshold, evidence)
    yield from _gains(name, threshold, evidence, benefit=benefit)
    for part, estimates in evidence.slices:
        if name in estimates.values:
            yield from _slice(name, threshold, _in_slice(name, part, estimates), benefit=benefit)
            yield from _slice_gap(name, threshold, part, estimates, evidence, benefit=benefit)


def _absolute(name: str, threshold: Threshold, evidence: Evidence) -> Iterator[_Finding]:
    cost = METRICS[name].efficiency
    value = (evidence.costs if cost else evidence.test[MODEL].values).get(name)
    kind: Kind = "efficiency" if cost else "absolute"
    figure = _Figure(name, value)
    if threshold.min is not None:
        yield _finding(f"{name}.min", kind, figure, value, threshold.min)
    if threshold.max is not None:
        yield _finding(f"{name}.max", kind, figure, value, threshold.max)


def _gains(
    name: str, threshold: Threshold, evidence: Evidence, *, benefit: bool
) -> Iterator[_Finding]:
    rivals: tuple[tuple[str, float | None, Kind, str], ...] = (
        (CHAMPION, threshold.gain_over_champion, "champion", f" {evidence.champion_version}"),
        (LINEAR, threshold.gain_over_linear, "baseline", " baseline"),
        (TRIVIAL, threshold.gain_over_trivial, "baseline", " baseline"),
    )
    for rival, least, kind, which in rivals:
        gains = evidence.gains.get(rival)
        if least is not None and gains is not None and name in gains.values:
            what = f"{name}: the gain over the {rival}{which}"
            figure = _Figure(what, gains.values[name], gains.interval(name))
            judged = figure.end(highest=benefit)
            yield _finding(f"{name}.gain_over_{rival}", kind, figure, judged, least)


def _in_slice(name: str, part: Slice, estimates: Estimates) -> _Figure:
    what = f"{name} in {part.name} ({part.rows:,} rows)"
    return _Figure(what, estimates.values[name], estimates.interval(name), part.name)


def _slice(
    name: str, threshold: Threshold, figure: _Figure, *, benefit: bool
) -> Iterator[_Finding]:
    if threshold.slice_min is not None:
        judged = figure.end(highest=benefit)
        yield _finding(f"{name}.slice_min", "slice", figure, judged, threshold.slice_min)
    if threshold.slice_max is not None:
        judged = figure.end(highest=not benefit)
        yield _finding(f"{name}.slice_max", "slice", figure, judged, threshold.slice_max)


def _slice_gap(
    name: str,
    threshold: Threshold,
    part: Slice,
    estimates: Estimates,
    evidence: Evidence,
    *,
    benefit: bool,
) -> Iterator[_Finding]:
    whole = evidence.test[MODEL].values.get(name)
    if threshold.slice_gap is None or whole is None:
        return
    level = badness(name, np.asarray(whole))
    value = float(badness(name, np.asarray(estimates.values[name])) - level)
    drawn = badness(name, estimates.samples.get(name, np.empty(0))) - level
    gap = Estimates({name: value}, {name: drawn}, estimates.confidence)
    what = f"{name} in {part.name} ({part.rows:,} rows): how much worse than on all rows"
    figure = _Figure(what, value, gap.interval(name), part.name)
    judged = figure.end(highest=not benefit)
    yield _finding(f"{name}.slice_gap", "slice", figure, judged, threshold.slice_gap)


def _finding(key: str, kind: Kind, figure: _Figure, judged: float | None, bound: float) -> _Finding:
    """Holds `judged`, the figure's value or an end of its interval, against `bound`."""
    metric, rule = key.split(".")
    least = not rule.endswith(("max", "gap"))
    check = Check(
        name=key,
        metric=metric,
        slice=figure.slice,
        kind=kind,
        greater_is_better=least,
        bound=bound,
        value=judged,
        passed=judged is not None and (judged >= bound if least else judged <= bound),
    )
    limit = f"{'at least' if least else 'at most'} {bound:.6g}"
    return _Finding(check, f"{figure}; {key} asks for {limit}")
