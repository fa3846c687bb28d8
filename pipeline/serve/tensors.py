"""NumPy arrays from and to TensorProto, typed value fields included."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, types_pb2

Array = NDArray[Any]

_FIELDS: dict[int, str] = {
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
_STRING: int = tf.string.as_datatype_enum
DTYPES: dict[int, np.dtype[Any]] = {
    enum: np.dtype(tf.as_dtype(enum).as_numpy_dtype) for enum in _FIELDS
}
"""NumPy's dtype by number in types.proto; strings are objects."""
_HALVES = {tf.half.as_datatype_enum, tf.bfloat16.as_datatype_enum}
_PARTS = {"scomplex_val": np.float32, "dcomplex_val": np.float64}
_WIRE_TAGS = {np.dtype(np.float32): b"\x2a", np.dtype(np.float64): b"\x32"}
"""Protobuf tags of the packed fields float_val (5) and double_val (6)."""

_ENUMS = {dtype: enum for enum, dtype in DTYPES.items()}

_LARGEST_BYTES = 2**31
"""A request's shape may claim any size; no tensor larger than a protobuf can be is made."""


def kind_of(dtype: int) -> np.dtype[Any] | None:
    """NumPy's dtype of a number in types.proto; None where an array of it cannot be read."""
    return np.dtype(object) if dtype == _STRING else DTYPES.get(dtype)


def enum_of(array: Array) -> int:
    """The number in types.proto of an array's dtype; 0 where it has none."""
    return _STRING if array.dtype.hasobject else _ENUMS.get(array.dtype, 0)


def dtype_name(dtype: int) -> str:
    """What C++ calls a number in types.proto: `float`, `int64`, `string`."""
    name: str = types_pb2.DataType.Name(dtype)
    return name.removeprefix("DT_").lower()


def to_array(proto: tensor_pb2.TensorProto) -> Array:
    """The array in `proto`; strings come as an object array of bytes.

    As `Tensor::FromProto` reads it: too few values are filled up with the last one (or zero),
    further values are left out.

    Raises:
        ValueError: The dtype is unknown, the shape is none, or the bytes do not fit it.
    """
    shape = _shape(proto)
    count = shape[0] if len(shape) == 1 else math.prod(shape)
    kind = proto.dtype
    if kind == _STRING:
        return _strings(proto, count).reshape(shape)
    dtype = DTYPES.get(kind)
    if dtype is None:
        raise ValueError(f"no tensor of dtype {kind} can be read")
    content = proto.tensor_content
    if content:
        if len(content) != count * dtype.itemsize:
            raise ValueError("tensor_content does not fit dtype and shape")
        return np.frombuffer(content, dtype).reshape(shape)
    if count * dtype.itemsize > _LARGEST_BYTES:
        raise ValueError("the shape claims more bytes than a request can hold")
    return _filled(_typed_values(proto, dtype), count, dtype).reshape(shape)


def _shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        raise ValueError("the rank is unknown")
    dims = proto.tensor_shape.dim
    shape = (dims[0].size,) if len(dims) == 1 else tuple([dim.size for dim in dims])
    if shape and min(shape) < 0:
        raise ValueError("a dimension is negative")
    return shape


def _typed_values(proto: tensor_pb2.TensorProto, dtype: np.dtype[Any]) -> Array:
    field = _FIELDS[proto.dtype]
    values = getattr(proto, field)
    if dtype in _WIRE_TAGS:
        packed = _packed_values(proto, len(values), dtype)
        return np.array(values, dtype) if packed is None else packed
    if proto.dtype in _HALVES:
        return np.array(values, np.uint16).view(dtype)
    if field in _PARTS:
        return np.array(values, _PARTS[field])[: len(values) // 2 * 2].view(dtype)
    # int_val may hold numbers that do not fit an int8; C++ wraps them, and so does astype.
    return np.array(values, np.int64 if field == "int_val" else dtype).astype(dtype, copy=False)


def _packed_values(proto: tensor_pb2.TensorProto, count: int, dtype: np.dtype[Any]) -> Array | None:
    """The values of float_val or double_val from the message's own bytes, which end with them.

    Many times faster than through a list. None where a field with a higher number is set too.
    """
    size = count * dtype.itemsize
    head = _WIRE_TAGS[dtype] + _varint(size)
    message = proto.SerializeToString(deterministic=True)
    start = len(message) - size
    if not count or message[start - len(head) : start] != head:
        return None
    return np.frombuffer(message, dtype, count, start)


def _filled(values: Array, count: int, dtype: np.dtype[Any]) -> Array:
    if len(values) >= count:
        return values[:count]
    last = values[-1] if len(values) else dtype.type(0)
    return np.concatenate([values, np.full(count - len(values), last, dtype)])


def _strings(proto: tensor_pb2.TensorProto, count: int) -> Array:
    if count * 8 > _LARGEST_BYTES:
        raise ValueError("the shape claims more bytes than a request can hold")
    given = proto.string_val[:]
    if proto.tensor_content:
        given = _packed_strings(proto.tensor_content, count)
    if len(given) == count:
        return np.fromiter(given, object, count)
    array = np.empty(count, object)
    array[: len(given)] = given[:count]
    array[len(given) :] = given[-1] if given else b""
    return array


def _packed_strings(content: bytes, count: int) -> list[bytes]:
    """Strings as `port::EncodeStringList` packs them: all sizes as varints, then all bytes."""
    sizes = []
    position = 0
    for _ in range(count):
        size = shift = 0
        while True:
            if position >= len(content) or shift > 28:
                raise ValueError("tensor_content does not fit dtype and shape")
            byte = content[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        sizes.append(size)
    if position + sum(sizes) != len(content):
        raise ValueError("tensor_content does not fit dtype and shape")
    ends = [position + end for end in accumulate(sizes)]
    return [content[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def fill_content(proto: tensor_pb2.TensorProto, array: Array) -> None:
    """Writes `array` into the empty `proto` as bytes, as `Tensor::AsProtoTensorContent`."""
    flat = array.ravel()
    if array.dtype.hasobject:
        strings = flat.tolist()
        proto.tensor_content = b"".join(_varint(len(one)) for one in strings) + b"".join(strings)
        proto.dtype = _STRING
    else:
        proto.tensor_content = np.ascontiguousarray(flat).tobytes()
        proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum
    _fill_shape(proto, array)


def fill_proto(proto: tensor_pb2.TensorProto, array: Array) -> None:
    """Writes `array` into the empty `proto`, in typed value fields as `Tensor::AsProtoField`.

    Raises:
        ValueError: The dtype has no typed field.
    """
    if array.dtype.hasobject:
        proto.dtype = _STRING
        proto.string_val.extend(array.ravel().tolist())
    elif array.dtype in _WIRE_TAGS:
        # Packed little-endian values are the array's own bytes: many times faster than a list.
        data = np.ascontiguousarray(array).tobytes()
        proto.MergeFromString(_WIRE_TAGS[array.dtype] + _varint(len(data)) + data)
        proto.dtype = _ENUMS[array.dtype]
    else:
        _fill_typed(proto, array)
    _fill_shape(proto, array)


def _fill_shape(proto: tensor_pb2.TensorProto, array: Array) -> None:
    if not array.ndim:
        proto.tensor_shape.SetInParent()  # a scalar's shape is there, and empty
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)


def _fill_typed(proto: tensor_pb2.TensorProto, array: Array) -> None:
    if array.dtype not in _ENUMS:
        raise ValueError(f"no tensor of dtype {array.dtype} can be written")
    proto.dtype = _ENUMS[array.dtype]
    field = _FIELDS[proto.dtype]
    flat = array.ravel()
    if proto.dtype in _HALVES:
        flat = flat.view(np.uint16)
    elif field in _PARTS:
        flat = flat.view(_PARTS[field])
    getattr(proto, field).extend(flat.tolist())


def _varint(number: int) -> bytes:
    """Protobuf's base 128 encoding of a whole number."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
