"""Layers the builders share. Only Keras's own, so that a saved model loads without this package.

Index columns of one width share one table: column c of cardinality n owns n rows of it, from its
offset on. One gather then serves them all, however many columns there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.core.features import FeatureSet, IndexColumn

Inputs = dict[str, keras.KerasTensor]
Position = tuple[int, IndexColumn]
"""Where a column stands in `indices`, and the column."""

ADDITIVE_LAYERS = (16, 8)
"""Widths of the small network that each additive number has of its own."""


def inputs(features: FeatureSet) -> Inputs:
    """The input every core takes: dense float32 [rows, D] and indices int32 [rows, C].

    Keras wants an input to be called by its key, so the names `dense` and `indices` are taken:
    a `Dense` layer of the same model needs a name of its own.
    """
    dense, indices = len(features.dense_names), len(features.index_columns)
    return {
        "dense": keras.Input((dense,), dtype="float32", name="dense"),
        "indices": keras.Input((indices,), dtype="int32", name="indices"),
    }


def units(features: FeatureSet) -> int:
    """Numbers a core returns for one row: K for K > 2 classes, else 1."""
    return len(features.label.classes) if features.label.task == "multiclass" else 1


def rows_of_table(
    indices: keras.KerasTensor, columns: Sequence[Position]
) -> tuple[keras.KerasTensor, int]:
    """Picks `columns` out of `indices` and shifts each to its own rows of one shared table.

    Returns:
        int32 [rows, len(columns)] and the number of rows of the table.
    """
    sizes = [column.cardinality for _, column in columns]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype("int32")
    picked = _picked(indices, [at for at, _ in columns])
    return keras.ops.add(picked, offsets), sum(sizes)


def wide(features: FeatureSet, given: Inputs, l2: float) -> keras.KerasTensor:
    """A linear model: one weight for each dense column and each value of each index column.

    A sum of gathered weights is the product with the one-hot matrix, without the matrix.

    Returns:
        float32 [rows, units].
    """
    penalty = keras.regularizers.L2(l2) if l2 else None
    # In float32 whatever the model computes in: these weights are the output, nothing follows.
    dense = keras.layers.Dense(
        units(features), kernel_regularizer=penalty, dtype="float32", name="wide_dense"
    )
    total = dense(given["dense"])
    columns = list(enumerate(features.index_columns))
    if not columns:
        return total
    rows, size = rows_of_table(given["indices"], columns)
    table = keras.layers.Embedding(
        size,
        units(features),
        embeddings_initializer="zeros",
        embeddings_regularizer=penalty,
        dtype="float32",
        name="wide",
    )
    return keras.layers.Add(dtype="float32")([total, keras.ops.sum(table(rows), axis=1)])


def vector(
    features: FeatureSet,
    given: Inputs,
    *,
    crossed: bool,
    width: int | None,
    dropout: float,
) -> keras.KerasTensor:
    """What is combined of a row as one vector: dense columns, embeddings, one-hot columns.

    Additive columns are not part of it: `head` brings them in.

    Args:
        features: The fitted features.
        given: The core's input.
        crossed: Whether crossed features are part of it.
        width: Width of every embedding, all in one table; None for each column's own.
        dropout: Share of the vector set to 0 while training.

    Returns:
        float [rows, width].

    Raises:
        ConfigError: Every column is additive.
    """
    alone = features.additive_names
    dense = [at for at, name in enumerate(features.dense_names) if name not in alone]
    columns = [
        (at, column)
        for at, column in enumerate(features.index_columns)
        if column.name not in alone and (crossed or not column.crossed)
    ]
    if not dense and not columns:
        raise ConfigError(
            "every column is additive, so this model has nothing to combine",
            expected="at least one column without additive: true under data.columns",
            remedy="take additive away from a column, or choose model=linear",
        )
    parts = [_picked(given["dense"], dense)] if dense else []
    by_width: dict[int, list[Position]] = {}
    for at, column in columns:
        if column.encoding == "embedding":
            by_width.setdefault(width or column.dimension, []).append((at, column))
    parts += [
        _embedded(given["indices"], same, size, f"embedding_{size}")
        for size, same in sorted(by_width.items())
    ]
    one_hot = [c for c in columns if c[1].encoding == "one_hot"]
    if one_hot:
        parts.append(_one_hot(given["indices"], one_hot))
    joined = keras.layers.concatenate(parts) if len(parts) > 1 else parts[0]
    return keras.layers.Dropout(dropout)(joined) if dropout else joined


def _picked(tensor: keras.KerasTensor, columns: Sequence[int]) -> keras.KerasTensor:
    """Columns of a matrix; the matrix itself where they are all of them."""
    if len(columns) == tensor.shape[1]:
        return tensor
    return keras.ops.take(tensor, np.array(columns, "int32"), axis=1)


def _embedded(
    indices: keras.KerasTensor, columns: Sequence[Position], width: int, name: str
) -> keras.KerasTensor:
    rows, size = rows_of_table(indices, columns)
    table = keras.layers.Embedding(size, width, name=name)
    return keras.layers.Reshape((len(columns) * width,))(table(rows))


def _one_hot(indices: keras.KerasTensor, columns: Sequence[Position]) -> keras.KerasTensor:
    rows, size = rows_of_table(indices, columns)
    # The columns own disjoint ranges, so one multi-hot row is their one-hot rows side by side.
    return keras.layers.CategoryEncoding(size, output_mode="multi_hot")(rows)


def hidden(
    tensor: keras.KerasTensor,
    layers: Sequence[int],
    *,
    activation: str,
    dropout: float,
    l2: float,
    batch_normalization: bool,
) -> keras.KerasTensor:
    """A stack of dense layers of the given widths, each with its activation and dropout."""
    penalty = keras.regularizers.L2(l2) if l2 else None
    for number, width in enumerate(layers, 1):
        name = f"hidden_{number}"
        tensor = keras.layers.Dense(width, kernel_regularizer=penalty, name=name)(tensor)
        if batch_normalization:
            # Synchronised, because replicas that keep their own means drift apart.
            tensor = keras.layers.BatchNormalization(synchronized=True)(tensor)
        tensor = keras.layers.Activation(activation)(tensor)
        if dropout:
            tensor = keras.layers.Dropout(dropout)(tensor)
    return tensor


def head(features: FeatureSet, given: Inputs, tensor: keras.KerasTensor) -> keras.KerasTensor:
    """The last layer: reads `tensor` and, beside it, the columns that are only added.

    Returns:
        float32 [rows, units], whatever the layers before compute in.
    """
    parts = [tensor, *_additive(features, given)]
    joined = keras.layers.concatenate(parts) if len(parts) > 1 else tensor
    return keras.layers.Dense(units(features), dtype="float32", name="output")(joined)


def _additive(features: FeatureSet, given: Inputs) -> Iterator[keras.KerasTensor]:
    """What the additive columns bring: no value of it depends on more than one of them.

    A number comes as it is and through a small network of its own, an index column as a weight
    for each of its values: a neural additive model (Agarwal et al., NeurIPS 2021,
    arXiv:2004.13912).
    """
    alone = features.additive_names
    dense = [at for at, name in enumerate(features.dense_names) if name in alone]
    columns = [(at, c) for at, c in enumerate(features.index_columns) if c.name in alone]
    if dense:
        numbers = _picked(given["dense"], dense)
        yield numbers
        yield _shape_functions(numbers)
    if columns:
        yield _embedded(given["indices"], columns, units(features), "additive_weights")


def _shape_functions(numbers: keras.KerasTensor) -> keras.KerasTensor:
    """A network for each column of float [rows, F]: [rows, F * ADDITIVE_LAYERS[-1]]."""
    normal, uniform = keras.initializers.RandomNormal, keras.initializers.RandomUniform
    columns, inputs = numbers.shape[1], 1
    tensor = keras.ops.expand_dims(numbers, -1)
    for number, width in enumerate(ADDITIVE_LAYERS, 1):
        # Each column's own layer counts as one (He et al. 2015, arXiv:1502.01852). The first
        # biases spread the kinks of the curves over two standard deviations of the column.
        first = number == 1
        tensor = keras.layers.EinsumDense(
            "bfi,fij->bfj",
            output_shape=(columns, width),
            bias_axes="fj",
            activation="relu",
            kernel_initializer=normal(stddev=1.0 if first else (2.0 / inputs) ** 0.5),
            bias_initializer=uniform(-2.0, 2.0) if first else "zeros",
            name=f"additive_{number}",
        )(tensor)
        inputs = width
    return keras.layers.Reshape((columns * inputs,))(tensor)
