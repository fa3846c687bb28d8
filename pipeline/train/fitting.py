"""Fits a core: everything that stands around the steps, from the first weights to the kept ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from pipeline.core import runtime
from pipeline.core.console import Progress, progress
from pipeline.core.features import FeatureSet
from pipeline.train import optimization
from pipeline.train.balance import Pace, WorkerPace
from pipeline.train.checkpoint import Checkpoints, Saver, require_same_start
from pipeline.train.config import TrainConfig, TrainStageConfig
from pipeline.train.core import build_core, dtype_policy, require_whole_steps
from pipeline.train.dropout import with_bytes
from pipeline.train.examples import Examples
from pipeline.train.input import Share, Source, endless
from pipeline.train.plan import Plan, plan_of
from pipeline.train.scaling import scaled_rate
from pipeline.train.signals import stopping_at_signals
from pipeline.train.strategy import ALONE, Team
from pipeline.train.trainer import Trainer
from pipeline.train.validation import Validation
from pipeline.train.warm_start import EarlierModel, copy_weights
from pipeline.train.watch import BestWeights, EpochWatch, Row, StepWatch


@dataclass(frozen=True)
class Fitted:
    """A trained core and how it came about.

    Attributes:
        core: The core with the weights kept.
        history: One row for each epoch run.
        best_epoch: Epoch whose weights were kept, from 0.
        seconds: Wall time of `fit`.
        examples_per_second: Training rows seen per second of it.
        seconds_here: The part of `seconds` since this process took the training up.
        epoch_seconds: Wall time of each epoch run here, without its validation.
        workers: The pace of each worker, the chief's first; empty where nothing was left to do.
    """

    core: keras.Model
    history: list[Row]
    best_epoch: int
    seconds: float
    examples_per_second: float
    seconds_here: float
    epoch_seconds: list[float]
    workers: list[WorkerPace]


def fit(
    config: TrainStageConfig,
    features: FeatureSet,
    train: Source,
    validation: Examples,
    *,
    tell: Callable[[Row], None],
    checkpoints: Checkpoints,
    team: Team,
    earlier: EarlierModel | None = None,
    show: Progress = progress,
    watching: Sequence[keras.callbacks.Callback] = (),
) -> Fitted:
    """Builds the core, trains it and keeps the weights the config asks for.

    Args:
        config: Everything about it.
        features: The fitted features.
        train: The training split.
        validation: The validation split.
        tell: Called with each epoch's row.
        checkpoints: Where an interrupted training is taken up.
        team: Who computes the steps; this process is one of them.
        earlier: Whose weights to begin with, where they fit.
        show: Shows progress.
        watching: Further callbacks, called before those of this module.

    Raises:
        ConfigError: The builder refuses its options, or returns something else than a core.
        PipelineError: The workers would start from different weights.
        TrainingDivergedError: The loss is no number any more, or has exploded.
        KeyboardInterrupt: A replica was asked to stop; the state is saved.
    """
    options = config.train
    if options.deterministic:
        runtime.require_determinism()
    cut = plan_of(options, len(train), team.replicas)
    core, trainer = _built(config, features, cut, team, earlier)

    rule = optimization.loss(features.label, options, smoothed=False)
    epochs = EpochWatch(Validation(core, validation, features.label, rule, team), tell)
    best, pace = BestWeights(options.early_stopping), Pace()
    saver = Saver(checkpoints, epochs, best)

    saver.restore(trainer)
    require_same_start(trainer)
    trainer.own_dropout()
    with stopping_at_signals(trainer):
        callbacks = [*watching, pace, epochs, best, saver]
        _run_epochs(trainer, train, options, cut, callbacks=callbacks, show=show)

    seconds = saver.seconds_before + epochs.seconds
    seen = len(epochs.rows) * cut.steps_per_epoch * cut.batch_rows
    return Fitted(
        core=core,
        history=epochs.rows,
        best_epoch=best.best_epoch,
        seconds=seconds,
        examples_per_second=seen / seconds,
        seconds_here=epochs.seconds,
        epoch_seconds=epochs.epoch_seconds,
        workers=pace.of_all(team, cut.batch_rows),
    )


def _built(
    config: TrainStageConfig,
    features: FeatureSet,
    cut: Plan,
    team: Team,
    earlier: EarlierModel | None,
) -> tuple[keras.Model, Trainer]:
    """The core with its first weights, and the trainer around it."""
    with team.scope():
        core = build_core(config, features)
        require_whole_steps(core, config.train, team.replicas)
        if earlier is not None:
            copy_weights(earlier, core, features)
        return core, trainer_of(core, config, features, cut, team)


def _run_epochs(
    trainer: Trainer,
    train: Source,
    options: TrainConfig,
    cut: Plan,
    *,
    callbacks: list[keras.callbacks.Callback],
    show: Progress,
) -> None:
    """Runs the epochs that are not done yet, with a progress bar."""
    done = callbacks[-1].epochs_done
    calls = done * cut.calls_per_epoch + trainer.calls_done
    team = trainer.team

    def stream(first: int, replicas: int) -> tf.data.Dataset:
        return endless(
            train,
            cut.batch_rows,
            options.seed,
            first_batch=calls * cut.steps_per_call,
            deterministic=options.deterministic,
            share=Share(team.worker + first, replicas, team.replicas),
        )

    with show("train", (options.epochs - done) * cut.steps_per_epoch) as advance:
        trainer.fit(
            team.batches(stream),
            initial_epoch=done,
            epochs=options.epochs,
            steps_per_epoch=cut.steps_per_epoch,
            callbacks=[StepWatch(advance, cut.batch_rows), *callbacks],
            shuffle=False,  # the stream is shuffled
            verbose=0,
        )


def trainer_of(
    core: keras.Model,
    config: TrainStageConfig,
    features: FeatureSet,
    cut: Plan,
    team: Team = ALONE,
) -> Trainer:
    """The same layers as a second model with optimiser and loss.

    The core itself stays uncompiled, because a saved model carries what it was compiled with, and
    the stages that load it know nothing of training.
    """
    options = config.train
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    trained = core if on_gpu else with_bytes(core, xla=options.jit_compile)
    with dtype_policy(options.precision):  # where Keras looks whether to scale the loss
        trainer = Trainer(trained.input, trained.output)
    rate, schedule = scaled_rate(config, cut.batch_rows)
    trainer.compile(
        optimizer=optimization.optimizer(
            replace(
                options.optimizer,
                learning_rate=rate,
                clip_norm=None if team.clips else options.optimizer.clip_norm,
            ),
            schedule,
            options.epochs * cut.steps_per_epoch,
        ),
        loss=optimization.loss(features.label, options),
        steps_per_execution=cut.steps_per_call,
        jit_compile=False,  # XLA cannot compile what the workers say to each other
    )
    trainer.prepare(
        team,
        steps_per_call=cut.steps_per_call,
        parts=options.gradient_accumulation,
        xla=options.jit_compile,
        clip_norm=options.optimizer.clip_norm,
    )
    return trainer
