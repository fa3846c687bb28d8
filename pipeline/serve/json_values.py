"""Single JSON values as elements of a tensor, and the words for those that are none."""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from pipeline.serve.dtypes import DTYPES, Array, dtype_name
from pipeline.serve.json_shown import shown, type_name
from pipeline.serve.json_text import encoded
from pipeline.serve.status import Code, ServingError, invalid

Shape = tuple[int, ...]

BOOL: int = types_pb2.DT_BOOL
STRING: int = types_pb2.DT_STRING
FLOATS: frozenset[int] = frozenset({types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE})
INTEGERS: dict[int, tuple[int, int]] = {
    # RapidJSON's IsInt asks for 32 bits; narrower types wrap, as they do in the real server.
    types_pb2.DT_INT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_UINT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT16: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT32: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT64: (-(2**63), 2**63 - 1),
    types_pb2.DT_UINT32: (0, 2**32 - 1),
    types_pb2.DT_UINT64: (0, 2**64 - 1),
}
"""Smallest and largest value by dtype."""
MOST_DIMENSIONS = 64
"""NumPy's own limit."""
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")
_SPACES = re.compile(r"[ \t\n\v\f\r]")


def leaf(value: Any, dtype: int) -> Any:
    """A JSON value as an element of a tensor; strings as bytes.

    Raises:
        ServingError: INVALID_ARGUMENT where it is of another kind; UNIMPLEMENTED where JSON has
            no values for the dtype.
    """
    if dtype == STRING and isinstance(value, dict):
        return _decoded(value)
    if dtype == STRING and isinstance(value, str):
        return encoded(value)
    if dtype == BOOL and isinstance(value, bool):
        return value
    if dtype in FLOATS and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if dtype in INTEGERS and type(value) is int and within([value], INTEGERS[dtype]):
        return value
    known = dtype in FLOATS or dtype in INTEGERS or dtype in {STRING, BOOL}
    if not known and not isinstance(value, dict):
        raise _not_convertible(value, dtype)
    raise invalid(
        f"JSON Value: {shown(value)} Type: {type_name(value)} "
        f"is not of expected type: {dtype_name(dtype)}"
    )


def _not_convertible(value: Any, dtype: int) -> ServingError:
    text = f"Conversion of JSON Value: {shown(value)} to type: {dtype_name(dtype)}"
    return ServingError(Code.UNIMPLEMENTED, text)


def within(values: list[int], bounds: tuple[int, int]) -> bool:
    """Whether all values lie between the bounds, both included."""
    return not values or (min(values) >= bounds[0] and max(values) <= bounds[1])


def array_of(leaves: list[Any], dtype: int, shape: Shape) -> Array:
    """The array of elements that `leaf` has passed.

    Raises:
        ServingError: INVALID_ARGUMENT for too many dimensions; UNIMPLEMENTED for a dtype that
            JSON does not have.
    """
    if len(shape) > MOST_DIMENSIONS:
        raise invalid(f"Tensors of more than {MOST_DIMENSIONS} dimensions are not served.")
    if dtype in FLOATS:
        array = np.array(leaves, np.float64)
        if dtype == types_pb2.DT_FLOAT:
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
        return array.reshape(shape)
    if dtype != STRING and dtype not in DTYPES:
        raise _not_convertible(leaves, dtype)
    target = np.dtype(object) if dtype == STRING else DTYPES[dtype]
    wide = np.dtype(np.int64) if dtype in INTEGERS and target.itemsize < 8 else target
    return np.array(leaves, wide).astype(target, copy=False).reshape(shape)


def is_base64(value: Any) -> bool:
    """Whether a value is `{"b64": TEXT}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _decoded(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    return decode_base64(value["b64"])


def decode_base64(text: str) -> bytes:
    """Bytes from base64, padded or not, spaces allowed, as absl::Base64Unescape takes it.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    found = _BASE64.fullmatch(_SPACES.sub("", text))
    # Padding may be left out, but not in part.
    if found is None or len(found[1]) % 4 == 1 or len(found[2]) not in {0, -len(found[1]) % 4}:
        raise invalid("Unable to base64 decode")
    return base64.b64decode(found[1] + "=" * (-len(found[1]) % 4))
