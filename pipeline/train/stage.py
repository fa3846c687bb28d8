"""The door of `train`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from pipeline.core import runtime
from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.console import say
from pipeline.core.features import FeatureSet
from pipeline.core.records import TrainingRecord
from pipeline.core.schema import dump, flatten
from pipeline.core.stage import Context
from pipeline.train import models
from pipeline.train.batch import batch_rows
from pipeline.train.card import facts, input_seconds, write_card
from pipeline.train.checkpoint import checkpoint
from pipeline.train.config import TrainConfig, TrainStageConfig
from pipeline.train.diverged import keeping_batches
from pipeline.train.examples import Examples
from pipeline.train.fitting import fit, plan_of
from pipeline.train.results import publish
from pipeline.train.splits import encoded_splits, read_features, weighted
from pipeline.train.validation import require_monitor
from pipeline.train.warm_start import earlier_model
from pipeline.train.watch import Row


def run(config: TrainStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Encodes the splits once, trains the core, saves it with its encoder in front.

    Raises:
        DataError: The processed data is damaged, empty, or has one class only.
        ConfigError: An option does not fit the task, or the model cannot be built.
        TrainingDivergedError: The loss is no number any more, or has exploded.
    """
    runtime.reset_peak_memory()
    features = read_features(artifacts)
    train, validation = _splits(config, artifacts, features)
    context.journal.params(_params(config))
    _tell_cut_batch(len(train), config.train)
    earlier = earlier_model(config.train.warm_start, context.root, context.tracking)
    kept = checkpoint(config, artifacts, earlier)
    cut = plan_of(len(train), config.train)
    with runtime.session(config.train.seed), _curves(config, context) as tell:
        cpu_before = time.process_time()
        with keeping_batches(context.root, train, features, config.train, cut):
            fitted = fit(
                config, features, train, validation, tell=tell, checkpoint=kept, earlier=earlier
            )
        cpu_seconds = time.process_time() - cpu_before
        measured = facts(fitted, cut, input_seconds(train, config.train, cut), cpu_seconds)
        record = publish(
            artifacts,
            features,
            fitted,
            model_name=config.model.name,
            warm_start=earlier.where if earlier else "",
            draw_card=lambda path, record: write_card(path, record, fitted, cut, measured),
        )
    kept.remove()
    context.journal.metrics(measured)
    context.journal.artifact(artifacts.training_card)
    _report(record, fitted.history, context)


def _splits(
    config: TrainStageConfig, artifacts: Artifacts, features: FeatureSet
) -> tuple[Examples, Examples]:
    train, validation = encoded_splits(artifacts, features)
    require_monitor(config.train.early_stopping.monitor, features.label, validation)
    return weighted(train, config.train.class_weights, features.label), validation


def _tell_cut_batch(rows: int, options: TrainConfig) -> None:
    wanted = min(rows, options.global_batch_size)
    batch = batch_rows(rows, options)
    if batch < wanted:
        say(
            f"batches of {batch} rows instead of {wanted:,}: the table is small"
            f" (train.min_steps_per_epoch={options.min_steps_per_epoch})"
        )


def _params(config: TrainStageConfig) -> dict[str, object]:
    sections = {
        "model": models.plain(config.model),
        "train": dump(config.train),
        "strategy": dump(config.strategy),
    }
    return flatten(sections)


@contextlib.contextmanager
def _curves(config: TrainStageConfig, context: Context) -> Iterator[Callable[[Row], None]]:
    """Yields what tells each epoch's row to the journal and, where wanted, to TensorBoard."""
    with contextlib.ExitStack() as stack:
        if config.train.tensorboard:
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.model.name}"
            folder = context.root / STATE / "tensorboard" / name
            writer = tf.summary.create_file_writer(str(folder))
            stack.callback(writer.close)
            stack.enter_context(writer.as_default())

        def tell(row: Row) -> None:
            step = int(row["epoch"])
            curves = {name: value for name, value in row.items() if name != "epoch"}
            context.journal.metrics(curves, step=step)
            for name, value in curves.items():
                tf.summary.scalar(name, value, step=step)  # nothing without a writer

        yield tell


def _report(record: TrainingRecord, history: list[Row], context: Context) -> None:
    context.journal.tags({"model": record.model, "model_hash": record.model_hash})
    context.journal.metrics(
        {
            "best_epoch": record.best_epoch,
            "fit_seconds": record.seconds,
            "examples_per_second": record.examples_per_second,
            "parameters": record.parameters,
            "peak_memory_bytes": record.peak_memory_bytes,
        }
    )
    kept = next(row for row in history if row["epoch"] == record.best_epoch)
    measured = ", ".join(f"{k} {v:.4f}" for k, v in kept.items() if k.startswith("val_"))
    say(
        f"trained {record.model} ({record.parameters:,} parameters): {record.epochs} epochs in"
        f" {record.seconds:.1f} s, {record.examples_per_second:,.0f} examples/s"
    )
    say(f"kept epoch {record.best_epoch}: {measured}")
