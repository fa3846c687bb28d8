"""The work of `train`, in whichever process: one worker's part, the only one's or one of many."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from pipeline.core import runtime
from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.console import Progress, progress, say
from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet
from pipeline.core.records import TrainingRecord
from pipeline.core.schema import flatten
from pipeline.core.stage import Context
from pipeline.train.augment import augmented
from pipeline.train.batch import batch_rows
from pipeline.train.card import facts, input_seconds, write_card
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.config import TrainStageConfig
from pipeline.train.diverged import keeping_batches
from pipeline.train.examples import Examples, require_classes
from pipeline.train.fitting import fit, plan_of
from pipeline.train.identity import identity
from pipeline.train.input import InMemory, Source
from pipeline.train.profiler import Profiler
from pipeline.train.results import publish
from pipeline.train.scaling import scaled_rate
from pipeline.train.splits import encoded_splits, read_features, weighted
from pipeline.train.stored import Stored, store, too_large
from pipeline.train.strategy import ALONE, Team
from pipeline.train.validation import require_monitor
from pipeline.train.warm_start import earlier_model
from pipeline.train.watch import Row


def work(
    config: TrainStageConfig,
    artifacts: Artifacts,
    context: Context,
    team: Team = ALONE,
    show: Progress = progress,
) -> None:
    """Encodes the splits once, trains the core, saves it with its encoder in front.

    Of several workers the chief alone saves and tells.

    Raises:
        DataError: The processed data is damaged, empty, or has one class only.
        ConfigError: An option does not fit the task, or the model cannot be built.
        PipelineError: The workers differ in config, code or data.
        TrainingDivergedError: The loss is no number any more, or has exploded.
    """
    earlier = earlier_model(config.train.warm_start, context.root, context.tracking)
    key = identity(config, artifacts, team.replicas, earlier)
    require_equal(team, key)
    features = read_features(artifacts)
    source, validation = _splits(config, artifacts, features, team)
    checkpoints = Checkpoints(artifacts.root, key, config.train.checkpoint)
    if team.is_chief:
        context.journal.params(flatten(config.sections()))
        _announce(config, len(source), team)
    cut = plan_of(config, len(source), team)
    with runtime.session(config.train.seed), _curves(config, context, team) as tell:
        cpu_before = time.process_time()
        with keeping_batches(
            context.root, source, features, options=config.train, cut=cut, team=team
        ):
            fitted = fit(
                config,
                features,
                source,
                validation,
                tell=tell,
                checkpoints=checkpoints,
                team=team,
                earlier=earlier,
                show=show,
                watching=_profiler(config, context, team),
            )
        if team.is_chief:
            cpu_seconds = time.process_time() - cpu_before
            alone = input_seconds(source, config.train, cut)
            measured = facts(fitted, cut, alone, cpu_seconds)
            record = publish(
                artifacts,
                features,
                fitted,
                model_name=config.model.name,
                warm_start=earlier.where if earlier else "",
                draw_card=lambda path, record: write_card(path, record, fitted, cut, measured),
            )
            checkpoints.remove()
            context.journal.metrics(measured)
            context.journal.artifact(artifacts.training_card)
            _report(record, fitted.history, context)


def require_equal(team: Team, key: str) -> None:
    """Refuses workers that would not train the same.

    Args:
        team: The workers.
        key: This worker's `identity`.

    Raises:
        PipelineError: Some differ from the chief; names them.
    """
    mine = np.frombuffer(bytes.fromhex(key), np.int32).reshape(1, -1)
    everyone = team.gather(mine)
    others = [str(i) for i, found in enumerate(everyone) if (found != everyone[0]).any()]
    if others:
        raise PipelineError(
            f"worker {', '.join(others)} has another config, other code or other data than the"
            f" chief (this is worker {team.worker})",
            expected="the same params.yaml, data/processed, pipeline/ and package versions",
            remedy="give every worker the same checkout and the same data, then start all again",
        )


def _announce(config: TrainStageConfig, rows: int, team: Team) -> None:
    """Says what follows from strategy and batch size."""
    cut = plan_of(config, rows, team)
    rate, schedule = scaled_rate(config, cut.batch_rows)
    parts = config.train.gradient_accumulation
    share = cut.batch_rows // team.replicas
    say(
        f"{team.replicas} {'replica' if team.replicas == 1 else 'replicas'} of {share:,} rows make"
        f" a batch of {cut.batch_rows:,}"
        + (f", each in {parts} parts" if parts > 1 else "")
        + f"; {cut.steps_per_epoch:,} steps an epoch, {cut.steps_per_call} in one call"
    )
    wanted = min(rows, config.train.global_batch_size)
    if batch_rows(rows, config.train) < wanted:
        say(
            f"batches of {cut.batch_rows} rows instead of {wanted:,}: the table is small"
            f" (train.min_steps_per_epoch={config.train.min_steps_per_epoch})"
        )
    if rate != config.train.optimizer.learning_rate:
        say(
            f"learning rate {config.train.optimizer.learning_rate:g} scaled to {rate:g}"
            f" ({config.strategy.learning_rate_scaling}, for batches of"
            f" {config.strategy.base_batch_size:,}), warmed up to over"
            f" {schedule.warmup_fraction:.0%} of the steps"
        )


def _splits(
    config: TrainStageConfig, artifacts: Artifacts, features: FeatureSet, team: Team
) -> tuple[Source, Examples]:
    """The training split and the validation split, in memory or on disk."""
    choice, label = config.train.class_weights, features.label
    source: Source
    if _streamed(config, artifacts, features, team):
        stored = Stored(store(artifacts, features, "train", choice))
        source, train = stored, stored.examples()
        validation = Stored(store(artifacts, features, "validation")).examples()
        require_classes(train, label)
    else:
        plain, validation = encoded_splits(artifacts, features)
        train = weighted(plain, choice, label)
        source = InMemory(train)
    require_monitor(config.train.early_stopping.monitor, label, validation)
    return augmented(source, train, config.train, features), validation


def _streamed(
    config: TrainStageConfig, artifacts: Artifacts, features: FeatureSet, team: Team
) -> bool:
    """Whether rows are read from disk: where one worker has to, all do, for the order's sake."""
    if config.train.input != "auto":
        return config.train.input == "stream"
    wish = too_large(artifacts, features, team.workers)
    streamed = bool(team.gather(np.array([[wish]], np.int32)).any())
    if streamed and team.is_chief:
        say("the encoded rows are too large for memory: streaming them from disk")
    return streamed


def _profiler(config: TrainStageConfig, context: Context, team: Team) -> list[Profiler]:
    if not config.train.profile or not team.is_chief:
        return []
    folder = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.model.name}"
    return [Profiler(context.root / STATE / "tensorboard" / folder)]


@contextlib.contextmanager
def _curves(
    config: TrainStageConfig, context: Context, team: Team
) -> Iterator[Callable[[Row], None]]:
    """Yields what tells each epoch's row to the journal and, where wanted, to TensorBoard."""
    if not team.is_chief:
        yield lambda _: None
        return
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
