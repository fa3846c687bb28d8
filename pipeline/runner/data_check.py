"""`pipeline data check`: new rows against the contract, before anything learns from them."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.core.artifacts import Artifacts, Record
from pipeline.core.console import say
from pipeline.core.schema import config, dump
from pipeline.preprocess.contract_records import Anomaly
from pipeline.runner.data_rows import data_params, new_rows, preprocess_config, training_rows

_BROKEN = 1


@config
class CheckReport:
    """What `pipeline data check --json` prints and `--report` writes."""

    file: str
    """The rows that were checked."""
    data: str
    """The data set they were held against."""
    rows: int
    """How many they are."""
    trained: bool
    """Whether training rows of this data set were there to compare with."""
    errors: int
    """Rules of the config that are broken."""
    warnings: int
    """What a cleaning rule repairs, and what is unlike the training rows."""
    anomalies: tuple[Anomaly, ...]
    """Each of them, errors first."""


def check_file(
    path: str, root: Path, *, data: str | None, as_json: bool, report: str | None
) -> int:
    """Holds a file against a data set's contract; returns the exit code.

    Args:
        path: The new rows.
        root: The project folder.
        data: Name of the data set; None takes that of the last run.
        as_json: Whether JSON is printed instead of lines for people.
        report: Where the JSON is written as well; None for nowhere.

    Returns:
        0, or 1 where a rule of the config is broken.
    """
    found = examine(path, root, data)
    if report is not None:
        Record(Path(report).resolve(), CheckReport).write(found)
    if as_json:
        say(json.dumps(dump(found), indent=2, ensure_ascii=False))
    else:
        _tell(found)
    return _BROKEN if found.errors else 0


def examine(path: str, root: Path, data: str | None) -> CheckReport:
    """Reads the file and holds it against the contract; arguments as for `check_file`."""
    params = data_params(root, data)
    config = preprocess_config(params)
    training = training_rows(Artifacts(root), config)
    with new_rows(path, params, root) as rows:
        found = (*rows.anomalies(config, training), *rows.unread)
    errors = sum(one.severity == "error" for one in found)
    return CheckReport(
        file=path,
        data=params["data"]["name"],
        rows=rows.rows,
        trained=training is not None,
        errors=errors,
        warnings=len(found) - errors,
        anomalies=found,
    )


def _tell(found: CheckReport) -> None:
    for one in found.anomalies:
        column = "" if one.column is None else f"{one.column!r}: "
        say(f"{one.severity}  {one.kind}  {column}{one.text}")
        if one.examples:
            say(f"           {', '.join(one.examples)}")
    counted = f"{found.errors} errors, {found.warnings} warnings"
    say(f"{found.file}: {found.rows:,} rows against '{found.data}': {counted}")
    if not found.trained:
        say("  no training rows to compare with: `pipeline run` makes them")
    if found.errors:
        say(f"  correct the rows, or see `pipeline data update {found.file}`")
