"""What the section `train` must agree with: the task and the classes of the label.

Asked while the config is composed, as far as it says which classes there are, and again when the
label has been fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.errors import ConfigError, wrong_name
from pipeline.core.features import THRESHOLD_CLASSES, Task
from pipeline.core.schema import build, lookup
from pipeline.train.config import TrainConfig

MEASURED: dict[Task, tuple[str, ...]] = {
    "binary": ("val_loss", "val_auc", "val_accuracy"),
    "multiclass": ("val_loss", "val_accuracy"),
    "regression": ("val_loss", "val_mae", "val_rmse"),
}
"""What is measured on the validation split for each task."""


def agree(params: Mapping[str, Any]) -> None:
    """Refuses a monitor, weights of classes and resampling that do not fit the label.

    Args:
        params: The whole composed config.

    Raises:
        ConfigError: Names the key, and what fits.
    """
    options = build(TrainConfig, lookup(params, "train"), "train")
    label = lookup(params, "data.label")
    task: Task = label["task"]
    refuse_other_monitor(options.early_stopping.monitor, task)
    refuse_resampling(options, task)
    refuse_class_weights(options.class_weights, task, _known_classes(label))


def _known_classes(label: Mapping[str, Any]) -> Sequence[str]:
    """The names of the classes as far as the config says them; none where the data does."""
    if label.get("classes"):
        return tuple(label["classes"])
    return THRESHOLD_CLASSES if label.get("threshold") is not None else ()


def refuse_other_monitor(monitor: str, task: Task) -> None:
    """Raises a ConfigError where the task does not have the metric."""
    if monitor not in MEASURED[task]:
        raise ConfigError(
            f"train.early_stopping.monitor={monitor}, but the task is {task}",
            expected="one of " + ", ".join(MEASURED[task]),
            remedy="set train.early_stopping.monitor=val_loss",
        )


def refuse_resampling(options: TrainConfig, task: Task) -> None:
    """Raises a ConfigError where classes are resampled that are none, or are weighed already."""
    resample = options.augment.resample
    if resample == "none":
        return
    if task == "regression":
        raise ConfigError(
            f"train.augment.resample={resample}, but the label is a number",
            expected="classes",
            remedy="set train.augment.resample=none",
        )
    if options.class_weights != "none":
        raise ConfigError(
            f"train.augment.resample={resample} beside train.class_weights",
            expected="one of the two: each makes rare classes count for more",
            remedy="set train.class_weights=none or train.augment.resample=none",
        )


def refuse_class_weights(
    choice: str | Mapping[str, float], task: Task, classes: Sequence[str]
) -> None:
    """Refuses weights of classes for a number, and names that are not those of the classes.

    Args:
        choice: `train.class_weights`.
        task: What is predicted.
        classes: Their names; none where they are not known yet.

    Raises:
        ConfigError: Names the class that is too many or missing.
    """
    if choice == "none":
        return
    if task == "regression":
        raise ConfigError(
            "train.class_weights is set, but the label is a number",
            remedy="set train.class_weights=none",
        )
    if isinstance(choice, str) or not classes:
        return
    for name in choice:
        if name not in classes:
            raise wrong_name(
                "train.class_weights", name, classes, "classes of the label", "remove it"
            )
    if missing := [name for name in classes if name not in choice]:
        raise ConfigError(
            f"train.class_weights has no weight for {', '.join(missing)}",
            expected="a weight for every class",
            remedy="add them, or set train.class_weights=balanced",
        )
