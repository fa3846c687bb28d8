"""`pipeline status`: what is trained, registered, exported and served; hashes and ages."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.core.artifacts import Artifacts, read_json
from pipeline.core.errors import PipelineError
from pipeline.core.schema import dump
from pipeline.core.serving_config import exported_versions, read_serving_config
from pipeline.runner.execute import stage_state
from pipeline.runner.stages import STAGES


def read_status(root: Path) -> dict[str, Any]:
    """Everything that stands in the project, as plain data; what is missing is None.

    Keys: `stages` (name to state, seconds, age_seconds), `source`, `trained`, `metrics`,
    `verdict`, `registered`, `exported`, `served` (label to version), `damaged` (what is wrong with
    files that are there and cannot be read).
    """
    artifacts = Artifacts(root)
    damaged: list[str] = []

    def found(path: Path, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except PipelineError as error:
            if path.exists():
                damaged.append(error.came)
            return None

    return {
        "stages": {stage.name: _stage(root, stage.name) for stage in STAGES},
        "source": found(artifacts.source.path, lambda: dump(artifacts.source.read())),
        "trained": found(
            artifacts.training.path,
            lambda: _aged(artifacts.training.path, dump(artifacts.training.read())),
        ),
        "metrics": found(artifacts.metrics, lambda: read_json(artifacts.metrics).get("test")),
        "verdict": found(artifacts.verdict.path, lambda: dump(artifacts.verdict.read())),
        "registered": found(
            artifacts.registration.path, lambda: dump(artifacts.registration.read())
        ),
        "exported": found(artifacts.export.path, lambda: _exported(artifacts)),
        "served": found(artifacts.serving_config, lambda: _served(artifacts)),
        "damaged": damaged,
    }


def _or_none(read: Callable[[], Any]) -> Any:
    with contextlib.suppress(PipelineError):
        return read()
    return None


def _aged(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "age_seconds": round(time.time() - path.stat().st_mtime)}


def _exported(artifacts: Artifacts) -> dict[str, Any]:
    export = artifacts.export.read()
    here = export.version in exported_versions(artifacts, export.name)
    return {**_aged(artifacts.export.path, dump(export)), "here": here}


def _stage(root: Path, name: str) -> dict[str, Any] | None:
    state = _or_none(stage_state(root, name).read)
    if state is None:
        return None
    return {
        "state": state.state,
        "seconds": state.seconds,
        "age_seconds": round(time.time() - state.started_at - state.seconds),
        "message": state.message,
    }


def _served(artifacts: Artifacts) -> dict[str, Any]:
    """Model name to its labels and the version folders on disk."""
    served: dict[str, Any] = {}
    for model in read_serving_config(artifacts.serving_config):
        folder = artifacts.serving / model.name
        versions = sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())
        served[model.name] = {"labels": dict(model.labels), "versions": versions}
    return served


def print_status(status: Mapping[str, Any]) -> None:
    """Prints what `read_status` found, for people."""
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "last ended", "took", "ago"):
        table.add_column(heading)
    for name, state in status["stages"].items():
        if state is None:
            table.add_row(name, "never ran here", "", "")
        else:
            took = f"{state['seconds']:.1f} s"
            table.add_row(name, state["state"], took, _ago(state["age_seconds"]))
    console = Console()
    console.print(table)
    for line in _lines(status):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _lines(status: Mapping[str, Any]) -> list[str]:
    source, trained, verdict = status["source"], status["trained"], status["verdict"]
    registered, exported, served = status["registered"], status["exported"], status["served"]
    lines = [
        f"data        {source['rows']:,} rows, sha256 {source['sha256'][:12]}"
        if source
        else "data        none",
        f"trained     {trained['model']}, {trained['model_hash'][:12]},"
        f" {_ago(trained['age_seconds'])} ago"
        if trained
        else "trained     nothing",
        f"verdict     {verdict['verdict']}" if verdict else "verdict     none",
        f"registered  {registered['name']} version {registered['version']}"
        if registered
        else "registered  nothing",
        _exported_line(exported),
    ]
    for name, model in (served or {}).items():
        labels = ", ".join(f"{label} = {version}" for label, version in model["labels"].items())
        lines.append(f"to serve    {name}: versions {model['versions']}, {labels or 'no labels'}")
    lines += [f"damaged     {came}" for came in status["damaged"]]
    return lines


def _exported_line(exported: Mapping[str, Any] | None) -> str:
    if not exported:
        return "exported    nothing"
    line = f"exported    version {exported['version']}, {_ago(exported['age_seconds'])} ago"
    # In a fresh clone the record came with git, the model did not.
    return line if exported["here"] else f"{line}, elsewhere: `pipeline run` makes it here"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
