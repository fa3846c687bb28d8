"""NumPy arrays from TensorProto, typed value fields included."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2

from pipeline.serve.dtypes import DTYPES, FIELDS, HALVES, PACKED_TAGS, PARTS, STRING, Array, varint

_LARGEST_BYTES = 2**31
"""A request's shape may claim any size; no tensor larger than a protobuf can be is made."""


def to_array(proto: tensor_pb2.TensorProto) -> Array:
    """The array in `proto`; strings come as an object array of bytes.

    As `Tensor::FromProto` reads it: too few values are filled up with the last one (or zero),
    further values are left out.

    Raises:
        ValueError: The dtype is unknown, the shape is none, or the bytes do not fit it.
    """
    shape = _shape(proto)
    is_flat = len(shape) == 1  # most are, and need none of the work for the rest
    count = shape[0] if is_flat else math.prod(shape)
    values = _strings(proto, count) if proto.dtype == STRING else _numbers(proto, count)
    return values if is_flat else values.reshape(shape)


def _shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    given = proto.tensor_shape
    if given.unknown_rank:
        raise ValueError("the rank is unknown")
    dims = given.dim
    shape = (dims[0].size,) if len(dims) == 1 else tuple([dim.size for dim in dims])
    if shape and min(shape) < 0:
        raise ValueError("a dimension is negative")
    return shape


def _numbers(proto: tensor_pb2.TensorProto, count: int) -> Array:
    dtype = DTYPES.get(proto.dtype)
    if dtype is None:
        raise ValueError(f"no tensor of dtype {proto.dtype} can be read")
    content = proto.tensor_content
    if content:
        if len(content) != count * dtype.itemsize:
            raise ValueError("tensor_content does not fit dtype and shape")
        return np.frombuffer(content, dtype)
    if count * dtype.itemsize > _LARGEST_BYTES:
        raise ValueError("the shape claims more bytes than a request can hold")
    return _filled(_typed_values(proto, dtype), count, dtype)


def _typed_values(proto: tensor_pb2.TensorProto, dtype: np.dtype[Any]) -> Array:
    field = FIELDS[proto.dtype]
    values = getattr(proto, field)
    if proto.dtype in PACKED_TAGS:
        packed = _packed_values(proto, len(values), dtype)
        return np.array(values, dtype) if packed is None else packed
    if proto.dtype in HALVES:
        return np.array(values, np.uint16).view(dtype)
    if field in PARTS:
        return np.array(values, PARTS[field])[: len(values) // 2 * 2].view(dtype)
    # int_val may hold numbers that do not fit an int8; C++ wraps them, and so does astype.
    return np.array(values, np.int64 if field == "int_val" else dtype).astype(dtype, copy=False)


def _packed_values(proto: tensor_pb2.TensorProto, count: int, dtype: np.dtype[Any]) -> Array | None:
    """The values of float_val or double_val from the message's own bytes, which end with them.

    None where a field with a higher number is set too.
    """
    size = count * dtype.itemsize
    head = PACKED_TAGS[proto.dtype] + varint(size)
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
