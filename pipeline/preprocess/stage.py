"""The door of preprocess: check, clean, label, split, look for leaks, fit, describe, publish."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from pipeline.core.artifacts import Artifacts, write_json
from pipeline.core.console import progress, say
from pipeline.core.features import FeatureSet
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.preprocess.config import (
    ColumnConfig,
    PreprocessConfig,
    PreprocessStageConfig,
    is_feature,
)
from pipeline.preprocess.fit import fit_features
from pipeline.preprocess.leak import refuse_leaks
from pipeline.preprocess.prepare import (
    Prepared,
    as_processed,
    engine,
    prepare_in_memory,
    prepare_in_parts,
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
    columns = feature_columns(config.columns, config.label)
    with ExitStack() as stack, progress("preparing rows", total=6) as advance:
        chosen = engine(config, artifacts)
        if chosen == "pandas":
            prepared = prepare_in_memory(config, artifacts, columns, advance)
        else:
            prepared = prepare_in_parts(
                config, artifacts, columns, stack, advance, dask=chosen == "dask"
            )
        samples = prepared.samples
        names = [name for name, how in columns.items() if is_feature(how)]
        refuse_leaks(
            samples["train"], samples["validation"], names, config.label.task, config.preprocess
        )
        advance(1, "split")
        features, steps = fit(prepared, columns, config)
        advance(1, "fitted")
        publish(prepared, features, steps, config.preprocess, artifacts)
        advance(1, "written")
    report(features, steps)
    tell(features, steps, artifacts, context)


def fit(
    prepared: Prepared, columns: Mapping[str, ColumnConfig], config: PreprocessStageConfig
) -> tuple[FeatureSet, list[CleaningStep]]:
    """Drops useless columns, with a warning each, and fits the others on the training split.

    Raises:
        DataError: No column is left.
        ConfigError: A cross names no index column.
    """
    useless = useless_columns(prepared.train, columns, config.preprocess)
    crosses, lost = crosses_left(config.crosses, useless)
    steps = prepared.steps
    for name, reason in {**useless, **lost}.items():
        say(f"  warning: '{name}' is left out: {reason}")
        note = f"left out '{name}': {reason}"
        rows = sum(prepared.rows.values())
        steps = [*steps, CleaningStep(rule="useless_column", rows=rows, note=note)]
    features = fit_features(
        prepared.train,
        columns={name: how for name, how in columns.items() if name not in useless},
        crosses=crosses,
        label=prepared.label,
        kept=[name for name, how in columns.items() if not is_feature(how)],
        rows=prepared.rows,
        label_seen=prepared.label_seen,
    )
    return features, steps


def publish(
    prepared: Prepared,
    features: FeatureSet,
    steps: list[CleaningStep],
    rules: PreprocessConfig,
    artifacts: Artifacts,
) -> None:
    """Writes data/processed and data/profile; neither appears unless both are whole."""
    with artifacts.processed.publish() as processed, artifacts.profile.publish() as profile:
        write_json(processed / artifacts.features.path.name, dump(features))
        extra = out_of_fold(prepared.train, features)
        write_json(profile / "cleaning.json", {"steps": [dump(step) for step in steps]})
        # Compressing leaves the interpreter free, so that the profile is drawn meanwhile.
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(prepared.write, features, extra, processed)
            if rules.profile:
                served = {n: as_processed(one, features) for n, one in prepared.samples.items()}
                write_profile(profile, served, features, steps, rules.drift)
            writing.result()


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
    for path in sorted(artifacts.profile.path.iterdir()):
        context.journal.artifact(path, "profile")
    context.journal.artifact(artifacts.features.path)
