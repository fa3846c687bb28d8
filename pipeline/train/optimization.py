"""What moves the weights: optimiser, learning rate over time, loss."""

from __future__ import annotations

import math
from typing import Any

import keras

from pipeline.core.features import Label
from pipeline.train.config import OptimizerConfig, ScheduleConfig, TrainConfig


def optimizer(
    config: OptimizerConfig, schedule: ScheduleConfig, total_steps: int
) -> keras.optimizers.Optimizer:
    """Builds the optimiser with its schedule, weight decay (not on biases) and clipping.

    Args:
        config: Which one, and its numbers.
        schedule: The learning rate over time.
        total_steps: Steps of the whole training, at least 1.
    """
    rate = LearningRate(config.learning_rate, schedule, total_steps)
    # Without decay its operations are left out; adamw, which is named after it, insists on them.
    decay = config.weight_decay if config.weight_decay or config.name == "adamw" else None
    common = {"learning_rate": rate, "weight_decay": decay, "global_clipnorm": config.clip_norm}
    betas = {"beta_1": config.beta_1, "beta_2": config.beta_2}
    epsilon = {"epsilon": config.epsilon}
    made: keras.optimizers.Optimizer
    match config.name:
        case "adam":
            made = keras.optimizers.Adam(**common, **betas, **epsilon)
        case "adamw":
            made = keras.optimizers.AdamW(**common, **betas, **epsilon)
        case "nadam":
            made = keras.optimizers.Nadam(**common, **betas, **epsilon)
        case "sgd":
            made = keras.optimizers.SGD(**common, momentum=config.momentum)
        case "rmsprop":
            numbers = {"rho": config.beta_2, "momentum": config.momentum, **epsilon}
            made = keras.optimizers.RMSprop(**common, **numbers)
        case "adagrad":
            made = keras.optimizers.Adagrad(**common, **epsilon)
        case "lion":
            made = keras.optimizers.Lion(**common, **betas)
    if made.weight_decay is not None:
        made.exclude_from_weight_decay(var_names=["bias"])
    return made


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A straight warm-up from 0, then constant, cosine or exponential to the end.

    With `p` the share of the steps after the warm-up that is done, 0 to 1, and `f` the final
    fraction, the rate is the highest rate times
    constant: 1; cosine: `f + (1 - f) (1 + cos(pi p)) / 2` (I. Loshchilov, F. Hutter, SGDR,
    arXiv:1608.03983, without restarts); exponential: `f ** p`.

    Args:
        highest: The rate right after the warm-up.
        schedule: Shape, warm-up and final fraction.
        total_steps: Steps of the whole training, at least 1.
    """

    def __init__(self, highest: float, schedule: ScheduleConfig, total_steps: int) -> None:
        self.highest = highest
        self.schedule = schedule
        self.warmup_steps = round(schedule.warmup_fraction * total_steps)
        self.decay_steps = max(total_steps - self.warmup_steps, 1)

    def __call__(self, step: Any) -> Any:
        """The rate at `step`, counted from 0, as a float32 scalar."""
        ops = keras.ops
        now = ops.cast(step, "float32")
        progress = ops.clip((now - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
        shape: Any = 1.0
        final = self.schedule.final_fraction
        if self.schedule.name == "cosine":
            shape = final + (1 - final) * 0.5 * (1 + ops.cos(math.pi * progress))
        elif self.schedule.name == "exponential":
            shape = ops.exp(math.log(final) * progress)
        # The first step moves too: it takes the first of warmup_steps + 1 equal parts.
        rising = ops.minimum((now + 1) / (self.warmup_steps + 1), 1.0)
        return self.highest * rising * shape

    def get_config(self) -> dict[str, Any]:
        """What it is made of, for TensorFlow's records; it is never saved with the model."""
        return {"highest": self.highest, "name": self.schedule.name}


class SmoothedCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of class indices with label smoothing, which Keras has for one-hot only.

    Args:
        classes: Number of classes.
        smoothing: Share of each label given evenly to all classes.
    """

    def __init__(self, classes: int, smoothing: float) -> None:
        super().__init__(name="smoothed_crossentropy")
        self.classes = classes
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row `[rows]` from int32 `[rows]` and logits `[rows, classes]`."""
        one_hot = keras.ops.one_hot(keras.ops.cast(y_true, "int32"), self.classes)
        return keras.losses.categorical_crossentropy(
            one_hot, y_pred, from_logits=True, label_smoothing=self.smoothing
        )


def loss(label: Label, config: TrainConfig, *, smoothed: bool = True) -> keras.losses.Loss:
    """The loss of the task, on what the core returns.

    Args:
        label: The task.
        config: Label smoothing and regression loss.
        smoothed: Whether labels are smoothed and, with mixup, shares of classes; validation
            measures without.
    """
    smoothing = config.label_smoothing if smoothed else 0.0
    if label.task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
    if label.task == "multiclass" and smoothed and config.augment.mixup:
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    if label.task == "multiclass" and smoothing:
        return SmoothedCrossentropy(len(label.classes), smoothing)
    if label.task == "multiclass":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    regression = {
        "squared": keras.losses.MeanSquaredError,
        "absolute": keras.losses.MeanAbsoluteError,
        "huber": keras.losses.Huber,
    }
    return regression[config.regression_loss]()
