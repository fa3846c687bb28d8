"""The core: the model that a builder makes, from encoded columns to logits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from pipeline.core.errors import ConfigError
from pipeline.core.features import FeatureSet
from pipeline.train import models
from pipeline.train.config import TrainConfig, TrainStageConfig


def build_core(config: TrainStageConfig, features: FeatureSet) -> keras.Model:
    """Calls the builder and checks what it returns.

    Raises:
        ConfigError: The builder refuses its options, or returns something else than a core.
    """
    build, options = models.load(config.model)
    with dtype_policy(config.train.precision):
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
def dtype_policy(name: str) -> Iterator[None]:
    """Layers made in the block compute in `name`; Keras's own default is put back after it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def require_whole_steps(core: keras.Model, options: TrainConfig, replicas: int) -> None:
    """Refuses layers that ask other replicas within what is compiled or repeated by itself.

    TensorFlow lets replicas meet in the step alone, not in a part of it that XLA compiles or that
    accumulation repeats.

    Raises:
        ConfigError: The core has such a layer, and an option that cuts the step up.
    """
    asking = [layer.name for layer in core.layers if getattr(layer, "synchronized", False)]
    cutting = {
        "jit_compile": options.jit_compile,
        "gradient_accumulation": options.gradient_accumulation > 1,
    }
    chosen = [f"train.{name}" for name, wanted in cutting.items() if wanted]
    if replicas > 1 and asking and chosen:
        raise ConfigError(
            f"the layer '{asking[0]}' takes its mean over {replicas} replicas, which does not go"
            f" with {' and '.join(chosen)}",
            expected="batch normalisation, or these options, with several replicas",
            remedy="set model.batch_normalization=false, or train.jit_compile=false and"
            " train.gradient_accumulation=1, or use strategy=one_device",
        )
