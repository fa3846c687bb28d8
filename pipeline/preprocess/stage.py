"""The door of preprocess: check, clean, label, split, look for leaks, fit, describe, publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.artifacts import Artifacts, Table, write_json
from pipeline.core.console import progress, say
from pipeline.core.features import FeatureSet
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.core.table import as_served
from pipeline.preprocess.check import check
from pipeline.preprocess.clean import Cleaning, clean, missing
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    IdConfig,
    PreprocessStageConfig,
    RandomSplit,
)
from pipeline.preprocess.fit import fit_features
from pipeline.preprocess.label import Labelled, make_label
from pipeline.preprocess.leak import refuse_leaks
from pipeline.preprocess.profile import write_profile
from pipeline.preprocess.profile_records import CleaningStep
from pipeline.preprocess.prune import crosses_left, useless_columns
from pipeline.preprocess.raw import feature_columns, read_typed
from pipeline.preprocess.split import Places, assign, counts, same_rows

Splits = Mapping[Split, pd.DataFrame]


def run(config: PreprocessStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Prepares data/processed and data/profile from data/raw.

    Raises:
        DataError: The table breaks its schema, leaves no row, has one class only, leaks the
            label, or leaves a split empty.
        ConfigError: A cross names no index column, or a bound of the split is no moment.
        PipelineError: The raw table is missing or damaged.
    """
    with progress("preparing rows", total=6) as advance:
        columns = feature_columns(config.columns, config.label)
        typed = read_typed(artifacts.raw_table, config)
        advance(1, "read")
        check(typed, columns, config.label.column, config.preprocess)
        advance(1, "checked")
        cleaning = clean(typed, columns, config.label.column, config.preprocess)
        labelled = make_label(cleaning.frame[LABEL], config.label)
        advance(1, "cleaned")
        splits = split(cleaning, labelled, columns, config)
        names = [name for name, how in columns.items() if not isinstance(how, IdConfig)]
        refuse_leaks(
            splits["train"], splits["validation"], names, config.label.task, config.preprocess
        )
        advance(1, "split")
        features, steps = fit(splits, columns, labelled, config, cleaning.steps)
        advance(1, "fitted")
        publish(splits, features, steps, artifacts)
        advance(1, "written")
    report(features, steps)
    tell(features, steps, artifacts, context)
