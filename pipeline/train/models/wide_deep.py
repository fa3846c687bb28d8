"""Wide and deep: a linear model that remembers beside a network that generalises.

Source: H.-T. Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016,
arXiv:1606.07792.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.core.schema import config

if TYPE_CHECKING:
    import keras

    from pipeline.core.features import FeatureSet


@config
class WideDeepConfig:
    """Options of `wide_deep`."""

    name: Literal["wide_deep"]
    """The builder."""
    layers: tuple[int, ...] = Field(min_length=1)
    """Width of each hidden layer of the deep part, from the input on."""
    activation: Literal["relu", "gelu", "silu", "selu", "tanh"]
    """Activation of the hidden layers."""
    embedding_width: int | None = Field(ge=1)
    """Width of every embedding; null takes each column's own `dimension` from the data config."""
    input_dropout: float = Field(ge=0, lt=1)
    """Share of the input vector set to 0 while training."""
    dropout: float = Field(ge=0, lt=1)
    """Share of each hidden layer's output set to 0 while training."""
    l2: float = Field(ge=0)
    """Penalty on squared weights of the hidden layers; 0 is none."""
    wide_l2: float = Field(ge=0)
    """Penalty on squared weights of the wide part; 0 is none."""
    batch_normalization: bool
    """Whether each hidden layer is normalised over the batch before its activation."""


CONFIG = WideDeepConfig


def build(features: FeatureSet, config: WideDeepConfig) -> keras.Model:
    """Sum of the wide part (every column and cross) and the deep part (crosses left out)."""
    import keras

    from pipeline.train import blocks

    given = blocks.inputs(features)
    deep = blocks.hidden(
        blocks.vector(
            features,
            given,
            crossed=False,
            width=config.embedding_width,
            dropout=config.input_dropout,
        ),
        config.layers,
        activation=config.activation,
        dropout=config.dropout,
        l2=config.l2,
        batch_normalization=config.batch_normalization,
    )
    wide = blocks.wide(features, given, config.wide_l2)
    total = keras.layers.Add(dtype="float32")([wide, blocks.head(features, given, deep)])
    return keras.Model(given, total, name=config.name)
