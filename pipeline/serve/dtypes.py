"""Dtypes as types.proto, NumPy and TensorProto's typed value fields know them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2

Array = NDArray[Any]

STRING: int = tf.string.as_datatype_enum
FIELDS: dict[int, str] = {
    tf.float32.as_datatype_enum: "float_val",
    tf.float64.as_datatype_enum: "double_val",
    tf.int8.as_datatype_enum: "int_val",
    tf.int16.as_datatype_enum: "int_val",
    tf.int32.as_datatype_enum: "int_val",
    tf.uint8.as_datatype_enum: "int_val",
    tf.uint16.as_datatype_enum: "int_val",
    tf.uint32.as_datatype_enum: "uint32_val",
    tf.int64.as_datatype_enum: "int64_val",
    tf.uint64.as_datatype_enum: "uint64_val",
    tf.bool.as_datatype_enum: "bool_val",
    tf.half.as_datatype_enum: "half_val",
    tf.bfloat16.as_datatype_enum: "half_val",
    tf.complex64.as_datatype_enum: "scomplex_val",
    tf.complex128.as_datatype_enum: "dcomplex_val",
}
"""Name of the typed field by number in types.proto; strings have `string_val`."""
DTYPES: dict[int, np.dtype[Any]] = {
    enum: np.dtype(tf.as_dtype(enum).as_numpy_dtype) for enum in FIELDS
}
"""NumPy's dtype by number in types.proto; strings are objects."""
HALVES = frozenset({tf.half.as_datatype_enum, tf.bfloat16.as_datatype_enum})
"""Their typed field holds the bits as whole numbers."""
PARTS = {"scomplex_val": np.float32, "dcomplex_val": np.float64}
"""Of what the numbers in a field of complex numbers are parts."""
PACKED_TAGS = {tf.float32.as_datatype_enum: b"\x2a", tf.float64.as_datatype_enum: b"\x32"}
"""Protobuf tags of the fields float_val (5) and double_val (6), whose packed values are an array's
own bytes: many times faster than through a list."""

_ENUMS = {dtype: enum for enum, dtype in DTYPES.items()}


def kind_of(dtype: int) -> np.dtype[Any] | None:
    """NumPy's dtype of a number in types.proto; None where an array of it cannot be read."""
    return np.dtype(object) if dtype == STRING else DTYPES.get(dtype)


def enum_of(array: Array) -> int:
    """The number in types.proto of an array's dtype; 0 where it has none."""
    return STRING if array.dtype.hasobject else _ENUMS.get(array.dtype, 0)


def dtype_name(dtype: int) -> str:
    """What C++ calls a number in types.proto: `float`, `int64`, `string`."""
    name: str = types_pb2.DataType.Name(dtype)
    return name.removeprefix("DT_").lower()


def varint(number: int) -> bytes:
    """Protobuf's base 128 encoding of a whole number."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
