"""Builds the core and fits it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras

from pipeline.core import runtime
from pipeline.core.console import progress
from pipeline.core.errors import ConfigError
from pipeline.core.features import FeatureSet
from pipeline.train import models, optimization
from pipeline.train.batch import batch_rows
from pipeline.train.checkpoint import Checkpoint
from pipeline.train.config import TrainConfig, TrainStageConfig
from pipeline.train.examples import Examples
from pipeline.train.input import endless
from pipeline.train.strategy import strategy
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


def plan(rows: int, global_batch_size: int, steps_per_execution: int) -> Plan:
    """Cuts an epoch of `rows` into equal calls, as near to one pass as whole calls come."""
    batch = min(rows, global_batch_size)
    steps = -(-rows // batch)
    calls = -(-steps // steps_per_execution)
    return Plan(batch, steps_per_call=round(steps / calls), calls_per_epoch=calls)


def plan_of(rows: int, options: TrainConfig) -> Plan:
    """The plan for a training split of `rows`."""
    return plan(rows, batch_rows(rows, options), options.steps_per_execution)


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
    train: Examples,
    validation: Examples,
    *,
    tell: Callable[[Row], None],
    checkpoint: Checkpoint,
    earlier: EarlierModel | None = None,
) -> Fitted:
    """Builds the core, trains it and keeps the weights the config asks for.

    Args:
        config: Everything about it.
        features: The fitted features.
        train: The training split.
        validation: The validation split.
        tell: Called with each epoch's row.
        checkpoint: Where an interrupted training is taken up.
        earlier: Whose weights to begin with, where they fit.

    Raises:
        ConfigError: The builder refuses its options, or returns something else than a core.
        TrainingDivergedError: The loss is no number any more, or has exploded.
    """
    options = config.train
    cut = plan_of(len(train), options)
    if options.deterministic:
        runtime.require_determinism()
    with strategy(config.strategy).scope():
        core = build_core(config, features)
        if earlier is not None:
            copy_weights(earlier, core, features)
        trainer = trainer_of(core, config, features, cut)
    rule = optimization.loss(features.label, options, smoothed=False)
    epochs = EpochWatch(Validation(core, validation, features.label, rule), tell)
    best = BestWeights(options.early_stopping)
    done = checkpoint.restore(trainer, epochs, best)
    callbacks = [epochs, best, checkpoint.writer(epochs, best)]
    _run_epochs(trainer, train, options, cut, done=done, callbacks=callbacks)
    seconds = checkpoint.seconds_before + epochs.seconds
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


def _run_epochs(
    trainer: keras.Model,
    train: Examples,
    options: TrainConfig,
    cut: Plan,
    *,
    done: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Runs the epochs from `done` on, with a progress bar."""
    batches = endless(
        train,
        cut.batch_rows,
        options.seed,
        first_batch=done * cut.steps_per_epoch,
        deterministic=options.deterministic,
    )
    with progress("train", (options.epochs - done) * cut.steps_per_epoch) as advance:
        trainer.fit(
            batches,
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
    core: keras.Model, config: TrainStageConfig, features: FeatureSet, cut: Plan
) -> keras.Model:
    """The same layers as a second model with optimiser and loss.

    The core itself stays uncompiled, because a saved model carries what it was compiled with, and
    the stages that load it know nothing of training.
    """
    options = config.train
    with _dtype_policy(options.precision):  # where Keras looks whether to scale the loss
        trainer = keras.Model(core.input, core.output)
    trainer.compile(
        optimizer=optimization.optimizer(
            options.optimizer, options.schedule, options.epochs * cut.steps_per_epoch
        ),
        loss=optimization.loss(features.label, options),
        steps_per_execution=cut.steps_per_call,
        # XLA takes many seconds to compile a step of a small model, and gains little on a CPU.
        jit_compile=False,
    )
    return trainer
