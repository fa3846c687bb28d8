"""A model builder outside the package, as users write one: pixels in columns, read as an image.

train.allowed_targets=[small_cnn] +model._target_=small_cnn.build
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.core.schema import config
from pipeline.train.blocks import inputs, units

if TYPE_CHECKING:
    import keras

    from pipeline.core.features import FeatureSet

SIDE = 28
"""Pixels of a row and of a column."""


@config
class CONFIG:
    """Options of the section `model`."""

    name: Literal["small_cnn"]
    """Says which builder it is."""


def build(features: FeatureSet, config: CONFIG) -> keras.Model:
    """Two convolutions and a dense layer over `SIDE` times `SIDE` dense columns."""
    import keras

    del config
    given = inputs(features)
    tensor = keras.layers.Reshape((SIDE, SIDE, 1))(given["dense"])
    for filters in (16, 32):
        tensor = keras.layers.Conv2D(filters, 3, activation="relu")(tensor)
        tensor = keras.layers.MaxPooling2D()(tensor)
    tensor = keras.layers.Flatten()(tensor)
    tensor = keras.layers.Dense(64, activation="relu", name="hidden")(tensor)
    return keras.Model(given, keras.layers.Dense(units(features), name="output")(tensor))
