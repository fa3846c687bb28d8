"""New rows against the contract: what the config declares, and what training rows were like.

What `data.columns` declares is a rule: a breach is an error, except where a cleaning rule repairs
it. What the training rows were like is an expectation: a difference is a warning. Both are
anomalies, each with its rows counted and shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.core.errors import nearest
from pipeline.core.records import LABEL
from pipeline.preprocess.check import breaches
from pipeline.preprocess.check_breaches import Breach, examples
from pipeline.preprocess.clean import missing, repeated
from pipeline.preprocess.config import ColumnConfig, PreprocessStageConfig, is_feature
from pipeline.preprocess.contract_label import strange_classes, unlabelled
from pipeline.preprocess.contract_records import Anomaly, whole
from pipeline.preprocess.contract_training import Training, unexpected
from pipeline.preprocess.raw import SPLIT_KEY, Typed, feature_columns, parts, spoken, typed_table


def anomalies(
    raw: pd.DataFrame, config: PreprocessStageConfig, training: Training | None
) -> tuple[Anomaly, ...]:
    """Holds `raw` against the contract.

    Args:
        raw: New rows as they came, of any dtypes.
        config: The data set's columns, label and split, and the cleaning rules.
        training: What the training rows were like; None where there has been no run.

    Returns:
        Errors first, then warnings, each in the order of the columns.
    """
    columns = feature_columns(config.columns, config.label)
    typed = typed_table(raw, config)
    found = [
        *_absent(raw, config),
        *_declared(typed, columns, config),
        *unlabelled(typed, config),
        *strange_classes(typed, config, training.classes if training else ()),
        *_copies(typed, config),
    ]
    thresholds = config.preprocess.contract
    if training is not None:
        found += _undeclared(raw, config, training)
        for name, seen in training.columns.items():
            if name in columns and name in typed.frame:
                found += unexpected(name, typed, columns[name], seen, thresholds)
    return tuple(sorted(found, key=lambda one: one.severity != "error"))


def _absent(raw: pd.DataFrame, config: PreprocessStageConfig) -> Iterator[Anomaly]:
    features, rows = feature_columns(config.columns, config.label), len(raw)
    for name in dict.fromkeys(column for column, _ in parts(config).values()):
        if name in raw:
            continue
        near = nearest(name, [str(one) for one in raw.columns if one not in config.columns])
        renamed = f"; was it renamed to {' or '.join(map(repr, near))}?" if near else ""
        if name in features and is_feature(features[name]):
            yield whole(
                "missing_column",
                name,
                f"is not in the table{renamed}",
                rows=rows,
                of=rows,
                severity="error",
            )
        else:
            said = f"is not in the table: these rows can be served, not learned from{renamed}"
            yield whole("missing_column", name, said, rows=rows, of=rows)


def _declared(
    typed: Typed, columns: Mapping[str, ColumnConfig], config: PreprocessStageConfig
) -> Iterator[Anomaly]:
    """What pandera finds; what a cleaning rule repairs counts as a warning."""
    rules = config.preprocess
    strict = replace(rules, wrong_type="error", out_of_range="error")
    repaired = {
        "wrong_type": "" if rules.wrong_type == "error" else _REPAIRS[rules.wrong_type],
        "out_of_range": "" if rules.out_of_range == "error" else _REPAIRS[rules.out_of_range],
    }
    told: set[tuple[str, str]] = set()
    for breach in breaches(typed, columns, strict):
        name = spoken(breach.column, config.label.column)
        # The label and the split look at their columns once more, in their own way.
        if (name, breach.rule) in told and breach.column in {LABEL, SPLIT_KEY + name}:
            continue
        told.add((name, breach.rule))
        yield _breach(breach, name, typed, repaired.get(breach.rule, ""), rules.shown_rows)


_REPAIRS = {"missing": "; it counts as missing", "drop": "; training drops such rows"}


def _breach(breach: Breach, name: str, typed: Typed, repair: str, shown: int) -> Anomaly:
    all_rows = not len(breach.rows)
    rows = np.flatnonzero(missing(typed.frame[breach.column])) if all_rows else breach.rows
    return Anomaly(
        kind=breach.rule,
        severity="warning" if repair else "error",
        column=name,
        rows=len(rows),
        fraction=len(rows) / len(typed.raw),
        text=f"{breach.said}: not so in {len(rows):,} of {len(typed.raw):,} rows{repair}",
        examples=() if all_rows else tuple(examples(typed.raw[name], rows, shown)),
    )


def _copies(typed: Typed, config: PreprocessStageConfig) -> Iterator[Anomaly]:
    copies = int(repeated(typed.frame).sum()) if len(typed.frame.columns) else 0
    share = copies / len(typed.raw) if len(typed.raw) else 0.0
    if share > config.preprocess.contract.duplicates_fraction:
        yield Anomaly(
            kind="duplicates",
            severity="warning",
            column=None,
            rows=copies,
            fraction=share,
            text=f"{copies:,} rows equal an earlier one in every declared column",
        )


def _undeclared(
    raw: pd.DataFrame, config: PreprocessStageConfig, training: Training
) -> Iterator[Anomaly]:
    known = {*config.columns, config.label.column, *training.raw_columns}
    for name in map(str, raw.columns):
        if name not in known:
            said = "is new: neither declared nor in the last raw table; it is ignored"
            yield whole("new_column", name, said, rows=len(raw), of=len(raw))
