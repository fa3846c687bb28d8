"""The door of preprocess: check, clean, label, split, look for leaks, fit, describe, publish."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.artifacts import Artifacts, Table, write_json
from pipeline.core.console import progress, say
from pipeline.core.features import FeatureSet
from pipeline.core.records import LABEL
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.core.table import as_served
from pipeline.preprocess.config import (
    ColumnConfig,
    DriftConfig,
    PreprocessStageConfig,
    is_feature,
)
from pipeline.preprocess.fit import fit_features
from pipeline.preprocess.label import Labelled
from pipeline.preprocess.leak import refuse_leaks
from pipeline.preprocess.on_disk import TableOnDisk
from pipeline.preprocess.prepare import (
    Splits,
    prepare_in_memory,
    prepare_in_parts,
    streams,
)
from pipeline.preprocess.profile import write_profile
from pipeline.preprocess.profile_records import CleaningStep
from pipeline.preprocess.prune import crosses_left, useless_columns
from pipeline.preprocess.raw import feature_columns
from pipeline.preprocess.target_means import out_of_fold


def run(config: PreprocessStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Prepares data/processed and data/profile from data/raw.

    Raises:
        DataError: The table breaks its schema, leaves no row, has one class only, leaks the
            label, or leaves a split empty.
        ConfigError: A cross names no index column, or a bound of the split is no moment.
        PipelineError: The raw table is missing or damaged.
    """
    preload = Thread(target=import_module, args=("pipeline.preprocess.check",))
    preload.start()
    columns = feature_columns(config.columns, config.label)
    with ExitStack() as stack, progress("preparing rows", total=6) as advance:
        if streams(config, artifacts):
            prepared = prepare_in_parts(config, artifacts, columns, stack, advance)
        else:
            prepared = prepare_in_memory(config, artifacts, columns, advance)
        splits = prepared.splits
        names = [name for name, how in columns.items() if is_feature(how)]
        refuse_leaks(
            splits["train"], splits["validation"], names, config.label.task, config.preprocess
        )
        advance(1, "split")
        features, steps = fit(splits, columns, prepared.labelled, config, prepared.steps)
        advance(1, "fitted")
        publish(splits, features, steps, config.preprocess.drift, artifacts)
        advance(1, "written")
    report(features, steps)
    tell(features, steps, artifacts, context)


def fit(
    splits: Splits,
    columns: Mapping[str, ColumnConfig],
    labelled: Labelled,
    config: PreprocessStageConfig,
    steps: list[CleaningStep],
) -> tuple[FeatureSet, list[CleaningStep]]:
    """Drops useless columns, with a warning each, and fits the others on the training split.

    Raises:
        DataError: No column is left.
        ConfigError: A cross names no index column.
    """
    train = splits["train"]
    useless = useless_columns(train, columns, config.preprocess)
    crosses, lost = crosses_left(config.crosses, useless)
    rows = {name: len(frame) for name, frame in splits.items()}
    for name, reason in {**useless, **lost}.items():
        say(f"  warning: '{name}' is left out: {reason}")
        note = f"left out '{name}': {reason}"
        steps = [*steps, CleaningStep(rule="useless_column", rows=sum(rows.values()), note=note)]
    features = fit_features(
        train,
        columns={name: how for name, how in columns.items() if name not in useless},
        crosses=crosses,
        label=labelled.label,
        kept=[name for name, how in columns.items() if not is_feature(how)],
        rows=rows,
    )
    return features, steps


def publish(
    splits: Splits,
    features: FeatureSet,
    steps: list[CleaningStep],
    drift: DriftConfig,
    artifacts: Artifacts,
) -> None:
    """Writes data/processed and data/profile; neither appears unless both are whole."""
    with artifacts.processed.publish() as processed, artifacts.profile.publish() as profile:
        write_json(processed / artifacts.features.path.name, dump(features))
        extra = out_of_fold(splits["train"], features)
        write_json(profile / "cleaning.json", {"steps": [dump(step) for step in steps]})
        # Compressing leaves the interpreter free, so that the profile is drawn meanwhile.
        with ThreadPoolExecutor(1) as pool:
            served, writing = _write_splits(splits, features, extra, processed, pool)
            write_profile(profile, served, features, steps, drift)
            writing.result()


def _write_splits(
    splits: Splits,
    features: FeatureSet,
    extra: Mapping[str, NDArray[np.float32]],
    folder: Path,
    pool: ThreadPoolExecutor,
) -> tuple[Splits, Future[None]]:
    """The served tables, and when they are written; `extra` columns go to the training split."""
    on_disk = {name: one for name, one in splits.items() if isinstance(one, TableOnDisk)}
    if on_disk:
        from pipeline.preprocess.stream import write_processed

        written = write_processed(on_disk, features, folder, extra)
        return written, pool.submit(lambda: None)
    frames = {name: one for name, one in splits.items() if isinstance(one, pd.DataFrame)}
    served = {name: _processed(frame, features) for name, frame in frames.items()}

    def write() -> None:
        for name, frame in served.items():
            further = extra if name == "train" else {}
            Table(folder / f"{name}.parquet").write(frame.assign(**further))

    return served, pool.submit(write)


def report(features: FeatureSet, steps: list[CleaningStep]) -> None:
    """Says what the rules did and what came out."""
    for step in steps:
        if step.rows and step.rule != "useless_column":
            say(f"  {step.rule}: {step.rows:,} rows; {step.note}")
    rows = ", ".join(f"{name} {count:,}" for name, count in features.rows.items())
    width = f"{len(features.dense_names)} dense, {len(features.index_columns)} index"
    say(f"  {rows} rows; {len(features.columns)} columns make {width} features")


def tell(
    features: FeatureSet, steps: list[CleaningStep], artifacts: Artifacts, context: Context
) -> None:
    """Tells the run's journal."""
    context.journal.metrics({f"rows_{name}": float(count) for name, count in features.rows.items()})
    context.journal.metrics({f"cleaned_{step.rule}": float(step.rows) for step in steps})
    for name in ("profile.html", "profile.json", "cleaning.json"):
        context.journal.artifact(artifacts.profile.path / name, "profile")
    context.journal.artifact(artifacts.features.path)


def _processed(frame: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
    served = as_served(frame, features.columns)
    return served.assign(**{name: frame[name] for name in (*features.kept, LABEL)})
