"""Multi-layer perceptron: dense layers on numbers and embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.core.schema import config

if TYPE_CHECKING:
    import keras

    from pipeline.core.features import FeatureSet


@config
class MlpConfig:
    """Options of `mlp`."""

    name: Literal["mlp"]
    """The builder."""
    layers: tuple[int, ...] = Field(min_length=1)
    """Width of each hidden layer, from the input on."""
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
    batch_normalization: bool
    """Whether each hidden layer is normalised over the batch before its activation."""


CONFIG = MlpConfig


def build(features: FeatureSet, config: MlpConfig) -> keras.Model:
    """All columns, crosses too, as one vector through the hidden layers to the output."""
    import keras

    from pipeline.train import blocks

    given = blocks.inputs(features)
    deep = blocks.hidden(
        blocks.vector(
            features,
            given,
            crossed=True,
            width=config.embedding_width,
            dropout=config.input_dropout,
        ),
        config.layers,
        activation=config.activation,
        dropout=config.dropout,
        l2=config.l2,
        batch_normalization=config.batch_normalization,
    )
    return keras.Model(given, blocks.head(features, given, deep), name=config.name)
