"""Thresholds held against what was measured: the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.features import Task
from pipeline.core.records import Check, Verdict
from pipeline.evaluate.bootstrap import Estimates
from pipeline.evaluate.catalog import METRICS, badness, of_task
from pipeline.evaluate.config import EvaluateConfig, Threshold
from pipeline.evaluate.evidence import CHAMPION, LINEAR, MODEL, TRIVIAL, Evidence
from pipeline.evaluate.slices import Slice

Kind = Literal["absolute", "champion", "baseline", "slice", "efficiency"]
Ends = tuple[float, float] | None


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


def judge(evidence: Evidence, config: EvaluateConfig, model_hash: str) -> Verdict:
    """Holds every threshold against the evidence: VALIDATED when all of them are kept."""
    judged = [
        finding
        for name, threshold in config.thresholds.items()
        if METRICS[name].efficiency or evidence.label.task in METRICS[name].tasks
        for finding in _findings(name, threshold, evidence, benefit=config.benefit_of_doubt)
    ]
    reasons = tuple(finding.reason for finding in judged if not finding.check.passed)
    return Verdict(
        verdict="REJECTED" if reasons else "VALIDATED",
        checks=tuple(finding.check for finding in judged),
        champion_version=evidence.champion_version,
        model_hash=model_hash,
        reasons=reasons,
    )


@dataclass(frozen=True)
class _Finding:
    """A check and the sentence that explains it where it fails."""

    check: Check
    reason: str


def _findings(
    name: str, threshold: Threshold, evidence: Evidence, *, benefit: bool
) -> Iterator[_Finding]:
    yield from _absolute(name, threshold, evidence)
    for rival, least in (
        (CHAMPION, threshold.gain_over_champion),
        (LINEAR, threshold.gain_over_linear),
        (TRIVIAL, threshold.gain_over_trivial),
    ):
        if least is not None and rival in evidence.gains:
            yield _gain(name, rival, least, evidence, benefit=benefit)
    for part, estimates in evidence.slices:
        if name in estimates.values:
            yield from _slice(name, threshold, part, estimates, evidence, benefit=benefit)


def _absolute(name: str, threshold: Threshold, evidence: Evidence) -> Iterator[_Finding]:
    cost = METRICS[name].efficiency
    kind: Kind = "efficiency" if cost else "absolute"
    value = (evidence.costs if cost else evidence.test[MODEL].values).get(name)
    for key, bound in (("min", threshold.min), ("max", threshold.max)):
        if bound is not None:
            yield _finding(f"{name}.{key}", kind, value, bound, name)


def _gain(
    name: str, rival: str, least: float, evidence: Evidence, *, benefit: bool
) -> _Finding:
    gains = evidence.gains[rival]
    ends = gains.interval(name)
    value = _end(gains.values.get(name), ends, highest=benefit)
    kind: Kind = "champion" if rival == CHAMPION else "baseline"
    version = f" version {evidence.champion_version}" if rival == CHAMPION else ""
    what = f"{name}: the gain over the {rival}{version}{'' if rival == CHAMPION else ' baseline'}"
    key = f"{name}.gain_over_{rival}"
    return _finding(key, kind, value, least, what, shown=gains.values.get(name), ends=ends)


def _slice(
    name: str,
    threshold: Threshold,
    part: Slice,
    estimates: Estimates,
    evidence: Evidence,
    *,
    benefit: bool,
) -> Iterator[_Finding]:
    value, ends = estimates.values[name], estimates.interval(name)
    what = f"{name} in {part.name} ({part.rows:,} rows)"
    for key, bound in (("slice_min", threshold.slice_min), ("slice_max", threshold.slice_max)):
        if bound is not None:
            judged = _end(value, ends, highest=benefit == (key == "slice_min"))
            key = f"{name}.{key}"
            yield _finding(key, "slice", judged, bound, what, shown=value, ends=ends, part=part)
    whole = evidence.test[MODEL].values.get(name)
    if threshold.slice_gap is not None and whole is not None:
        gap = _gap(name, estimates, whole)
        value, ends = gap.values[name], gap.interval(name)
        judged = _end(value, ends, highest=not benefit)
        what = f"{what}: the gap to all rows"
        key, bound = f"{name}.slice_gap", threshold.slice_gap
        yield _finding(key, "slice", judged, bound, what, shown=value, ends=ends, part=part)


def _gap(name: str, estimates: Estimates, whole: float) -> Estimates:
    """How much worse than `whole` the metric is: positive is worse for every metric."""
    level = badness(name, np.asarray(whole))
    value = float(badness(name, np.asarray(estimates.values[name])) - level)
    samples = {key: badness(name, drawn) - level for key, drawn in estimates.samples.items()}
    return Estimates({name: value}, {name: samples.get(name, np.empty(0))}, estimates.confidence)


def _end(value: float | None, ends: Ends, *, highest: bool) -> float | None:
    """The end of the interval that decides; the value itself where there is no interval."""
    return value if ends is None else ends[1 if highest else 0]


def _finding(
    key: str,
    kind: Kind,
    value: float | None,
    bound: float,
    what: str,
    *,
    shown: float | None = None,
    ends: Ends = None,
    part: Slice | None = None,
) -> _Finding:
    least = not key.endswith(("max", "gap"))
    passed = value is not None and (value >= bound if least else value <= bound)
    check = Check(
        name=key,
        metric=key.split(".")[0],
        slice=part.name if part else None,
        kind=kind,
        greater_is_better=least,
        bound=bound,
        value=value,
        passed=passed,
    )
    return _Finding(check, _reason(what, value if shown is None else shown, ends, bound, least=least))


def _reason(what: str, value: float | None, ends: Ends, bound: float, *, least: bool) -> str:
    limit = f"{'at least' if least else 'at most'} {bound:.6g}"
    if value is None:
        return f"{what} is undefined on these rows; allowed is {limit}"
    interval = f" ({ends[0]:.4g} to {ends[1]:.4g})" if ends else ""
    return f"{what} is {value:.4g}{interval}; allowed is {limit}"
