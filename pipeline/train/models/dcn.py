"""Deep and cross network v2: products of features learnt beside a deep network.

Source: R. Wang et al., DCN V2: Improved Deep & Cross Network, WWW 2021, arXiv:2008.13535.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.core.schema import config

if TYPE_CHECKING:
    import keras

    from pipeline.core.features import FeatureSet


@config
class DcnConfig:
    """Options of `dcn`."""

    name: Literal["dcn"]
    """The builder."""
    cross_layers: int = Field(ge=1)
    """Cross layers; n of them make products of up to n + 1 features."""
    rank: int | None = Field(ge=1)
    """Rank of a cross layer's matrix; null for a full one."""
    experts: int = Field(ge=1)
    """Low-rank matrices a cross layer mixes by a softmax gate; 1 is no mixture. Needs a rank."""
    layers: tuple[int, ...]
    """Width of each hidden layer of the deep part; empty for none."""
    structure: Literal["parallel", "stacked"]
    """Whether the deep part reads the input beside the crosses, or what the crosses return."""
    activation: Literal["relu", "gelu", "silu", "selu", "tanh"]
    """Activation of the hidden layers."""
    embedding_width: int | None = Field(ge=1)
    """Width of every embedding; null takes each column's own `dimension` from the data config."""
    input_dropout: float = Field(ge=0, lt=1)
    """Share of the input vector set to 0 while training."""
    dropout: float = Field(ge=0, lt=1)
    """Share of each hidden layer's output set to 0 while training."""
    l2: float = Field(ge=0)
    """Penalty on squared weights of cross and hidden layers; 0 is none."""
    batch_normalization: bool
    """Whether each hidden layer is normalised over the batch before its activation."""


CONFIG = DcnConfig


def build(features: FeatureSet, config: DcnConfig) -> keras.Model:
    """Cross layers and hidden layers on all columns but crosses, joined before the output."""
    import keras

    from pipeline.train import blocks

    given = blocks.inputs(features)
    start = blocks.vector(
        features,
        given,
        crossed=False,
        width=config.embedding_width,
        dropout=config.input_dropout,
    )
    crossed = start
    for number in range(1, config.cross_layers + 1):
        crossed = _cross(start, crossed, config, f"cross_{number}")
    deep = blocks.hidden(
        start if config.structure == "parallel" else crossed,
        config.layers,
        activation=config.activation,
        dropout=config.dropout,
        l2=config.l2,
        batch_normalization=config.batch_normalization,
    )
    joined = deep
    if config.structure == "parallel" and config.layers:
        joined = keras.layers.concatenate([crossed, deep])
    elif config.structure == "parallel":
        joined = crossed
    return keras.Model(given, blocks.head(features, given, joined), name=config.name)


def _cross(
    start: keras.KerasTensor, tensor: keras.KerasTensor, config: DcnConfig, name: str
) -> keras.KerasTensor:
    """One cross layer: `x0 * (W x + b) + x`; with a rank, W is `U V` (equations 1 and 2)."""
    import keras

    width = tensor.shape[1]
    if config.rank is None:
        turned = _dense(width, config, name)(tensor)
    else:
        turned = _mixture(tensor, config, name)
    return keras.layers.add([keras.layers.multiply([start, turned]), tensor])


def _mixture(tensor: keras.KerasTensor, config: DcnConfig, name: str) -> keras.KerasTensor:
    """Sum of `experts` low-rank products, weighted by a softmax gate (equation 3)."""
    import keras

    products = []
    for number in range(1, config.experts + 1):
        inner = _dense(config.rank, config, f"{name}_v_{number}", bias=False)(tensor)
        products.append(_dense(tensor.shape[1], config, f"{name}_u_{number}")(inner))
    if config.experts == 1:
        return products[0]
    gates = keras.layers.Dense(config.experts, activation="softmax", name=f"{name}_gate")(tensor)
    together = keras.ops.stack(products, axis=1)
    return keras.ops.sum(keras.ops.expand_dims(gates, -1) * together, axis=1)


def _dense(
    width: int | None, config: DcnConfig, name: str, *, bias: bool = True
) -> keras.layers.Dense:
    import keras

    penalty = keras.regularizers.L2(config.l2) if config.l2 else None
    return keras.layers.Dense(width, use_bias=bias, kernel_regularizer=penalty, name=name)
