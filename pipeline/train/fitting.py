"""Builds the core and fits it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from pipeline.core import runtime
from pipeline.core.console import Progress, progress
from pipeline.core.errors import ConfigError
from pipeline.core.features import FeatureSet
from pipeline.train import models, optimization
from pipeline.train.batch import batch_rows
from pipeline.train.checkpoint import Checkpoints, Saver, require_same_start
from pipeline.train.config import TrainConfig, TrainStageConfig
from pipeline.train.examples import Examples
from pipeline.train.input import Share, Source, endless
from pipeline.train.scaling import scaled_rate
from pipeline.train.signals import stopping_at_signals
from pipeline.train.strategy import ALONE, Team
from pipeline.train.trainer import Trainer
from pipeline.train.validation import Validation
from pipeline.train.warm_start import EarlierModel, copy_weights
from pipeline.train.watch import BestWeights, EpochWatch, Row, StepWatch


@dataclass(frozen=True)
class Plan:
    """How the epochs are cut into calls and steps.

    Attributes:
        batch_rows: Rows of a step.
        steps_per_call: Steps run in one call into TensorFlow.
        calls_per_epoch: Calls that make an epoch.
    """

    batch_rows: int
    steps_per_call: int
    calls_per_epoch: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch: whole calls, since Keras cannot end an epoch within one."""
        return self.steps_per_call * self.calls_per_epoch


def plan(rows: int, global_batch_size: int, steps_per_execution: int, shares: int = 1) -> Plan:
    """Cuts an epoch of `rows` into equal calls, as near to one pass as whole calls come.

    Args:
        rows: Of the training split.
        global_batch_size: Rows of a step; cut to the split.
        steps_per_execution: Steps of a call at most.
        shares: Equal parts that a batch is cut into: replicas times accumulated parts.

    Raises:
        ConfigError: A batch cannot be cut into so many.
    """
    batch = min(rows - rows % shares, global_batch_size)
    if batch < shares or batch % shares:
        near = max(global_batch_size // shares, 1) * shares
        raise ConfigError(
            f"train.global_batch_size={global_batch_size} of {rows:,} rows cannot be cut into"
            f" {shares} equal parts (replicas times train.gradient_accumulation)",
            expected=f"a multiple of {shares}, and at least as many rows",
            remedy=f"set train.global_batch_size={near}, or use fewer workers",
        )
    steps = -(-rows // batch)
    calls = -(-steps // steps_per_execution)
    return Plan(batch, steps_per_call=round(steps / calls), calls_per_epoch=calls)


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
    """

    core: keras.Model
    history: list[Row]
    best_epoch: int
    seconds: float
    examples_per_second: float
    seconds_here: float
    epoch_seconds: list[float]


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
    cut = plan_of(config, len(train), team)
    if options.deterministic:
        runtime.require_determinism()
    with team.scope():
        core = build_core(config, features)
        if earlier is not None:
            copy_weights(earlier, core, features)
        trainer = trainer_of(core, config, features, cut, team)
    rule = optimization.loss(features.label, options, smoothed=False)
    epochs = EpochWatch(Validation(core, validation, features.label, rule, team), tell)
    best = BestWeights(options.early_stopping)
    saver = Saver(checkpoints, epochs, best)
    saver.restore(trainer)
    require_same_start(trainer)
    trainer.own_dropout()
    with stopping_at_signals(trainer):
        callbacks = [*watching, epochs, best, saver]
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
    )


def plan_of(config: TrainStageConfig, rows: int, team: Team) -> Plan:
    """The plan for this team.

    Raises:
        ConfigError: A batch cannot be shared out evenly.
    """
    options = config.train
    shares = team.replicas * options.gradient_accumulation
    batch = batch_rows(rows, options, shares)
    return plan(rows, batch, options.steps_per_execution, shares)


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


def build_core(config: TrainStageConfig, features: FeatureSet) -> keras.Model:
    """Calls the builder and checks what it returns.

    Raises:
        ConfigError: The builder refuses its options, or returns something else than a core.
    """
    build, options = models.load(config.model)
    with _dtype_policy(config.train.precision):
        try:
            core = build(features, options)
        except ValueError as error:  # what Keras says about layers that do not fit together
            raise ConfigError(
                f"the model '{config.model.name}' cannot be built: {error}",
                remedy="change the options under model",
            ) from error
    wanted = len(features.label.classes) if features.label.task == "multiclass" else 1
    shape = getattr(core, "output_shape", None)
    if shape != (None, wanted):
        raise ConfigError(
            f"the builder '{config.model.name}' returned outputs of shape {shape}",
            expected=f"a keras.Model with outputs of shape (None, {wanted})",
            remedy="see docs/models.md",
        )
    return core


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made in the block compute in `name`; Keras's own default is put back after it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


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
    with _dtype_policy(options.precision):  # where Keras looks whether to scale the loss
        trainer = Trainer(core.input, core.output)
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
