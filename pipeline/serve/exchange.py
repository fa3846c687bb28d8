"""Tables to tensors and back: what a client needs to know of a signature, whatever the protocol.

No TensorFlow here: asking a server over REST starts in half a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.features import Column, Dtype
from pipeline.core.table import as_served

Array = NDArray[Any]

_NUMPY: dict[str, type[Any]] = {
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
    "DT_HALF": np.float16,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
    "DT_BOOL": np.bool_,
    "DT_STRING": object,
}


@dataclass(frozen=True)
class TensorFacts:
    """One input or output of a signature.

    Attributes:
        dtype: Name in TensorFlow's types.proto, such as DT_DOUBLE.
        shape: Sizes, -1 for any; None where even the rank is open.
    """

    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class SignatureFacts:
    """What a server says of a signature."""

    inputs: Mapping[str, TensorFacts]
    outputs: Mapping[str, TensorFacts]


def numpy_type(dtype: str) -> type[Any]:
    """NumPy's type of a tensor dtype.

    Raises:
        PipelineError: Tables have no such type.
    """
    if dtype not in _NUMPY:
        raise PipelineError(
            f"the model takes or gives {dtype}, which has no place in a table",
            remedy="ask this model with a client of its own",
        )
    return _NUMPY[dtype]


def columns_of(signature: SignatureFacts, known: Sequence[Column] = ()) -> list[Column]:
    """The columns a signature takes.

    Args:
        signature: The signature.
        known: Columns as the model was trained with: these also know date formats and the words
            for true and false. Used where name and dtype are those of the signature.

    Raises:
        PipelineError: An input is no column: it takes more than one value a row.
    """
    found = []
    by_name = {column.name: column for column in known}
    for name, facts in signature.inputs.items():
        if facts.shape is not None and (len(facts.shape) != 1 and facts.shape[1:] != (1,)):
            raise PipelineError(
                f"the model's input '{name}' has the shape {list(facts.shape)}",
                expected="[-1] or [-1, 1]: one value a row",
                remedy="ask this model with a client of its own",
            )
        column = by_name.get(name)
        if column is None or column.dtype != _served_dtype(facts.dtype):
            column = Column(name=name, dtype=_served_dtype(facts.dtype))
        found.append(column)
    return found


def _served_dtype(dtype: str) -> Dtype:
    kind = np.dtype(numpy_type(dtype)).kind
    return "string" if kind == "O" else "bool" if kind == "b" else "float64"


def arrays_of(
    frame: pd.DataFrame, signature: SignatureFacts, known: Sequence[Column] = ()
) -> dict[str, Array]:
    """The tensors to send for a table of any dtypes.

    Args:
        frame: Raw rows; further columns are ignored.
        signature: What the server takes.
        known: See `columns_of`.

    Returns:
        Arrays by input name, of the signature's dtypes and ranks; strings as `str` objects.

    Raises:
        DataError: A column is missing or holds values of another kind.
    """
    served = as_served(frame, columns_of(signature, known))
    arrays = {}
    for name, facts in signature.inputs.items():
        array = _cast(served[name], numpy_type(facts.dtype))
        arrays[name] = array[:, np.newaxis] if facts.shape and len(facts.shape) == 2 else array
    return arrays


def _cast(values: pd.Series[Any], target: type[Any]) -> Array:
    if target is object:
        return values.to_numpy(dtype=object)
    array: Array = np.asarray(values)
    if np.dtype(target).kind not in "iu":
        return array.astype(target, copy=False)
    with np.errstate(invalid="ignore"):
        whole = array.astype(target)
    if (whole != array).any():
        raise DataError(
            f"column '{values.name}' holds {(whole != array).sum()} values that are no"
            f" {np.dtype(target).name}",
            expected="whole numbers, none missing",
            remedy="correct the table",
        )
    return whole


def table_of(arrays: Mapping[str, Array], index: pd.Index[Any]) -> pd.DataFrame:
    """The answers as a table.

    Args:
        arrays: By output name, the first dimension is the row; strings as `str`.
        index: Index of the rows asked about.

    Returns:
        `scores` with its `classes` becomes one column `score_CLASS` for each class; another
        output of more than one value a row becomes `NAME_0`, `NAME_1`, ...; the rest is one
        column each, under its name.
    """
    columns: dict[str, Any] = {}
    rest = dict(arrays)
    if "scores" in rest and "classes" in rest and rest["scores"].ndim == 2:
        names, scores = rest.pop("classes"), rest.pop("scores")
        for position in range(scores.shape[1]):
            columns[f"score_{names[0][position]}"] = scores[:, position]
    for name, array in sorted(rest.items()):
        flat = array.reshape(len(index), -1)
        if flat.shape[1] == 1:
            columns[name] = flat[:, 0]
        else:
            columns |= {f"{name}_{i}": flat[:, i] for i in range(flat.shape[1])}
    table = pd.DataFrame(columns, index=index)
    words = [name for name in table if table[name].dtype == object]
    return table.astype(dict.fromkeys(words, "str"))
