"""Linear model: logistic regression, softmax regression or least squares on one-hot columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.core.schema import config

if TYPE_CHECKING:
    import keras

    from pipeline.core.features import FeatureSet


@config
class LinearConfig:
    """Options of `linear`."""

    name: Literal["linear"]
    """The builder."""
    l2: float = Field(ge=0)
    """Penalty on squared weights; 0 is none."""


CONFIG = LinearConfig


def build(features: FeatureSet, config: LinearConfig) -> keras.Model:
    """One weight for each dense column and for each value of each index column, and a bias."""
    import keras

    from pipeline.train import blocks

    given = blocks.inputs(features)
    return keras.Model(given, blocks.wide(features, given, config.l2), name=config.name)
