"""`pipeline status --markdown`: the report of a training job for people who review it.

It is written whatever happened before, so every part says in words when there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.compose.params import read_params
from pipeline.core.artifacts import EVALUATION_PLOTS, PROFILE, Artifacts, read_json
from pipeline.core.errors import PipelineError
from pipeline.core.records import Check
from pipeline.core.schema import build, flatten
from pipeline.evaluate.catalog import METRICS
from pipeline.preprocess.profile_records import Profile
from pipeline.runner.execute import stage_state
from pipeline.runner.markdown_base import Base, changed_files, head_commit, read_base
from pipeline.runner.markdown_charts import loss_chart, roc_chart
from pipeline.runner.markdown_metrics import metrics_lines
from pipeline.runner.markdown_text import code, number, table, words
from pipeline.runner.stages import STAGES

_MOST_PARAMS = 40
_MOST_FINDINGS = 10
_MOST_FILES = 5


def summary_markdown(root: Path, base: str | None) -> str:
    """The report: verdict, metrics, checks, changed params, stages, pictures, data, delivery.

    Args:
        root: The project.
        base: A git revision to compare metrics and params with; None compares nothing.

    Raises:
        UsageError: `base` cannot be a git revision.
    """
    artifacts, other = Artifacts(root), read_base(root, base)
    parts: Sequence[tuple[str, Callable[[], Iterator[str]]]] = (
        ("Metrics on the test split", lambda: metrics_lines(artifacts, other)),
        ("Checks of the gate", lambda: _checks(artifacts)),
        ("Changed params", lambda: _changed_params(root, other)),
        ("Stages", lambda: _stages(root)),
        ("Pictures", lambda: _pictures(artifacts)),
        ("Data", lambda: _data(artifacts)),
        ("Registered and exported", lambda: _delivery(artifacts)),
    )
    lines = [*_headline(root, artifacts), ""]
    for title, write in parts:
        lines += [f"### {title}", "", *_written(write), ""]
    return "\n".join(lines)


def _written(write: Callable[[], Iterator[str]]) -> list[str]:
    try:
        return list(write())
    except PipelineError as error:
        return [f"Nothing to show: {words(error.came)}."]


def _headline(root: Path, artifacts: Artifacts) -> Iterator[str]:
    try:
        verdict = artifacts.verdict.read()
    except PipelineError:
        yield "## No verdict: the run did not reach the gate"
    else:
        kept = sum(check.passed for check in verdict.checks)
        yield f"## {verdict.verdict}: {kept} of {len(verdict.checks)} checks kept"
        yield ""
        yield from (f"- {words(reason)}" for reason in verdict.reasons)
    yield ""
    commit = head_commit(root)
    if commit:
        yield f"Commit `{commit}`.{_uncommitted(root)}"


def _uncommitted(root: Path) -> str:
    """What must be committed for the commit to hold what ran."""
    changed = changed_files(root)
    if not changed:
        return " It holds exactly what ran."
    shown = ", ".join(code(name) for name in changed[:_MOST_FILES])
    more = f" and {len(changed) - _MOST_FILES} more" if len(changed) > _MOST_FILES else ""
    return f" Changed since, commit them to keep this result: {shown}{more}."


def _checks(artifacts: Artifacts) -> Iterator[str]:
    verdict = artifacts.verdict.read()
    rows = [_check_row(check) for check in sorted(verdict.checks, key=lambda one: one.passed)]
    yield from table(["check", "against", "rows", "must be", "measured", "result"], rows, "lllrrl")


def _check_row(check: Check) -> list[str]:
    side = "at least" if check.greater_is_better else "at most"
    metric = METRICS.get(check.metric)
    return [
        metric.title if metric else words(check.metric),
        check.kind,
        words(check.slice or "all"),
        f"{side} {number(check.bound)}",
        "undefined" if check.value is None else number(check.value),
        "kept" if check.passed else "**FAILED**",
    ]


def _changed_params(root: Path, base: Base) -> Iterator[str]:
    if not base.name:
        yield "Not compared: no base revision was given."
        return
    if base.params is None:
        yield f"{code(base.name)} has no params.yaml."
        return
    now, then = flatten(read_params(root)), flatten(base.params)
    changed = [key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key)]
    rows = [[words(key), _param(then, key), _param(now, key)] for key in changed[:_MOST_PARAMS]]
    yield from table(["key", "base", "this"], rows) if rows else ["None."]
    if len(changed) > _MOST_PARAMS:
        yield f"\nand {len(changed) - _MOST_PARAMS} more"


def _param(params: Mapping[str, Any], key: str) -> str:
    return words(params[key]) if key in params else "*absent*"


def _stages(root: Path) -> Iterator[str]:
    rows = []
    for stage in STAGES:
        try:
            state = stage_state(root, stage.name).read()
        except PipelineError:
            rows.append([stage.name, "not run here: cached", "", ""])
            continue
        memory = f"{state.peak_memory_bytes / 1e6:,.0f} MB"
        rows.append([stage.name, state.state, f"{state.seconds:.1f} s", memory])
    yield from table(["stage", "last ended", "took", "peak memory"], rows, "llrr")


def _pictures(artifacts: Artifacts) -> Iterator[str]:
    yield from _written(lambda: loss_chart(artifacts))
    yield ""
    yield from _written(lambda: roc_chart(artifacts))
    files = sorted(artifacts.evaluation_plots.path.glob("*.png"))
    if files:
        names = ", ".join(code(file.name) for file in files)
        yield f"\nPicture files in `{EVALUATION_PLOTS}` (a CI job attaches them): {names}."


def _data(artifacts: Artifacts) -> Iterator[str]:
    source = artifacts.source.read()
    joined = f", joined with {words(', '.join(source.joins))}" if source.joins else ""
    yield f"{source.rows:,} rows{joined}; SHA-256 `{source.sha256[:12]}`."
    path = artifacts.profile.path / "profile.json"
    if not path.exists():  # preprocess.profile=false
        return
    profile = build(Profile, read_json(path), path.name)
    rows = ", ".join(f"{split} {count:,}" for split, count in profile.table_rows.items())
    yield f"Splits: {rows}."
    findings = profile.findings
    yield ""
    for finding in findings[:_MOST_FINDINGS]:
        column = f"**{words(finding.column)}** " if finding.column else ""
        yield f"- {finding.level}: {column}{words(finding.text)}"
    if len(findings) > _MOST_FINDINGS:
        yield f"- and {len(findings) - _MOST_FINDINGS} more"
    yield f"\nThe whole profile: `{PROFILE}/profile.html`."


def _delivery(artifacts: Artifacts) -> Iterator[str]:
    registration = artifacts.registration.read()
    alias = f", {registration.alias} when registered" if registration.alias else ""
    version = f"version {registration.version}{alias}" if registration.version else "not registered"
    yield f"- registry: **{words(registration.name)}**, {version}"
    export = artifacts.export.read()
    if export.model_hash != registration.model_hash:
        yield "- export: of another model than the one registered; it did not run to its end"
        return
    yield (
        f"- export: {export.bytes / 1e6:.2f} MB; answers differ from the trained model's by at most"
        f" {export.largest_difference:.1e} over {export.rows_compared:,} rows"
        f" (allowed: {export.tolerance:.0e})"
    )
