"""`pipeline data drift`: is what comes now still like what the model has learned from?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.artifacts import PROCESSED, Artifacts, Table
from pipeline.core.console import say
from pipeline.core.errors import DataError, PipelineError, UsageError, nearest
from pipeline.core.features import FeatureSet
from pipeline.core.records import SPLITS, Split
from pipeline.core.schema import dump
from pipeline.preprocess.config import PreprocessStageConfig
from pipeline.preprocess.drift import Named, compare, thinned_file
from pipeline.preprocess.drift_records import DriftReport
from pipeline.preprocess.raw import typed_table
from pipeline.runner.data_requests import request_rows
from pipeline.runner.data_rows import data_params, new_rows, preprocess_config
from pipeline.runner.personal import personal_columns

_DRIFTED = 1
_SHOWN = 20


def report_drift(root: Path, *, file: str | None, rev: str | None, as_json: bool) -> int:
    """Compares with the training split of the last run; returns the exit code.

    Args:
        root: The project folder.
        file: New rows or served requests; None for the validation and the test split.
        rev: Compares the training split of this git revision with that of now instead.
        as_json: Whether JSON is printed instead of lines for people.

    Returns:
        0, or 1 where something has drifted.

    Raises:
        UsageError: Both `file` and `rev` are given, or git does not know `rev`.
        DataError: The file lacks a column of the model.
        PipelineError: There has been no run, or DVC does not have the data of `rev`.
    """
    if file is not None and rev is not None:
        raise UsageError("a FILE and --rev together", expected="one of them")
    artifacts = Artifacts(root)
    features = artifacts.features.read()
    params = data_params(root, None)
    config = preprocess_config(params)
    rules = config.preprocess.drift
    if file is not None:
        asked = request_rows(file, params["register"]["name"])
        if asked is not None:
            features = without(features, unlogged(params) - set(asked))
        if asked is None:
            with new_rows(file, params, root) as new:
                rows, of = _thinned(new.table, config)
        else:
            rows, of = asked, len(asked)
        named = Named(file, served(rows, config, features), of)
        pairs = [(_split(artifacts, "train", config), named)]
    elif rev is not None:
        then = Named(f"train at {rev}", _train_at(root, rev, features))
        pairs = [(then, _split(artifacts, "train", config))]
    else:
        train = _split(artifacts, "train", config)
        pairs = [(train, _split(artifacts, name, config)) for name in SPLITS[1:]]
    reports = [compare(one, other, features, rules, jointly=True) for one, other in pairs]
    if as_json:
        say(json.dumps([dump(one) for one in reports], indent=2, ensure_ascii=False))
    else:
        for one in reports:
            say("\n".join(_lines(one)))
    return _DRIFTED if any(one.drifted for one in reports) else 0


def unlogged(params: Mapping[str, Any]) -> frozenset[str]:
    """Columns that the request log never holds."""
    return personal_columns(params) | set(params["serve"]["request_log"]["omit"])


def without(features: FeatureSet, hidden: AbstractSet[str]) -> FeatureSet:
    """Without the columns `hidden`, which no request log holds, and without what reads them."""
    return replace(
        features,
        columns=tuple(one for one in features.columns if one.name not in hidden),
        features=tuple(
            one
            for one in features.features
            if not hidden & {getattr(one, name, None) for name in ("column", *_HALVES)}
        ),
    )


_HALVES = ("latitude", "longitude")


def served(rows: pd.DataFrame, config: PreprocessStageConfig, features: FeatureSet) -> pd.DataFrame:
    """The model's columns of new rows; values of another kind count as missing.

    Raises:
        DataError: A column is not there.
    """
    names = [column.name for column in features.columns]
    if gone := [name for name in names if name not in rows]:
        near = nearest(gone[0], map(str, rows.columns))
        raise DataError(
            f"the rows have no column {', '.join(map(repr, gone[:10]))}",
            expected="every column that the model takes: " + ", ".join(names[:40]),
            remedy=f"was it renamed to {' or '.join(map(repr, near))}?"
            if near
            else "bring it back",
        )
    return typed_table(rows, config).frame[names]


def _split(artifacts: Artifacts, name: Split, config: PreprocessStageConfig) -> Named:
    return Named(name, *_thinned(artifacts.split(name), config))


def _thinned(table: Table, config: PreprocessStageConfig) -> tuple[pd.DataFrame, int]:
    rules = config.preprocess
    return thinned_file(table, rules.drift.max_rows, rules.stream.batch_rows)


def _train_at(root: Path, rev: str, features: FeatureSet) -> pd.DataFrame:
    """The training split as DVC has it for a git revision."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import RevError

    path = f"{PROCESSED}/train.parquet"
    try:
        with DVCFileSystem(str(root), rev=rev).open(path, "rb") as file:
            frame = pd.read_parquet(file)
    except RevError:
        raise UsageError(
            f"git does not know the revision '{rev}'",
            expected="a commit, branch or tag, such as HEAD~1",
        ) from None
    except (DvcException, OSError) as error:
        raise PipelineError(
            f"DVC does not have {path} of {rev}: {error}",
            expected="the data of that run in the cache or in a remote",
            remedy=f"run `dvc pull --rev {rev}` where a remote has it, or take another revision",
        ) from error
    names = [column.name for column in features.columns if column.name in frame]
    if len(names) < len(features.columns):
        raise DataError(
            f"the training data of {rev} has {len(names)} of {len(features.columns)} columns",
            expected="the columns of today's model",
            remedy="compare with a revision of the same schema",
        )
    return frame[names]


def _lines(report: DriftReport) -> Iterator[str]:
    yield (
        f"{report.current} ({report.rows[1]:,} rows) against {report.reference} "
        f"({report.rows[0]:,} rows)"
    )
    if report.note:
        yield f"  {report.note}"
        return
    drifted = report.drifted_columns
    for one in drifted[:_SHOWN]:
        yield f"  '{one.column}': {'; '.join(one.reasons)} (p {one.adjusted_p_value:.1e})"
    if len(drifted) > _SHOWN:
        yield f"  and {len(drifted) - _SHOWN} more columns"
    if report.joint is not None:
        said = "tells" if report.joint.drifted else "hardly tells"
        figures = f"AUC {report.joint.auc:.3f} (p {report.joint.p_value:.1e})"
        yield f"  a classifier of all columns {said} the tables apart: {figures}"
    yield f"  {len(drifted)} of {len(report.columns)} columns have drifted"
