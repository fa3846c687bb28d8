"""TensorProto from NumPy arrays, in typed value fields or as packed bytes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from pipeline.serve.dtypes import FIELDS, HALVES, PACKED_TAGS, PARTS, STRING, Array, enum_of, varint

_MOST_HEADS = 1024
"""Kept in memory; a client may ask for any number of rows."""


def fill_content(proto: tensor_pb2.TensorProto, array: Array) -> None:
    """Writes `array` into the empty `proto` as bytes, as `Tensor::AsProtoTensorContent`."""
    if array.dtype.hasobject:
        strings = array.ravel().tolist()
        proto.MergeFromString(_head(STRING, array.shape))
        proto.tensor_content = b"".join(varint(len(one)) for one in strings) + b"".join(strings)
    else:
        proto.MergeFromString(_head(tf.as_dtype(array.dtype).as_datatype_enum, array.shape))
        proto.tensor_content = array.tobytes()


def fill_proto(proto: tensor_pb2.TensorProto, array: Array) -> None:
    """Writes `array` into the empty `proto`, in typed value fields as `Tensor::AsProtoField`.

    Raises:
        ValueError: The dtype has no typed field.
    """
    dtype = enum_of(array)
    if not dtype:
        raise ValueError(f"no tensor of dtype {array.dtype} can be written")
    head = _head(dtype, array.shape)
    if dtype in PACKED_TAGS:
        data = array.tobytes()
        proto.MergeFromString(head + PACKED_TAGS[dtype] + varint(len(data)) + data)
        return
    proto.MergeFromString(head)
    if dtype == STRING:
        proto.string_val.extend(array.ravel().tolist())
    else:
        _fill_typed(proto, dtype, array.ravel())


def _fill_typed(proto: tensor_pb2.TensorProto, dtype: int, flat: Array) -> None:
    field = FIELDS[dtype]
    if dtype in HALVES:
        flat = flat.view(np.uint16)
    elif field in PARTS:
        flat = flat.view(PARTS[field])
    getattr(proto, field).extend(flat.tolist())


@lru_cache(_MOST_HEADS)
def _head(dtype: int, shape: tuple[int, ...]) -> bytes:
    """Dtype and shape as a message; a model answers with the same ones again and again."""
    proto = tensor_pb2.TensorProto(dtype=dtype)
    proto.tensor_shape.SetInParent()  # a scalar's shape is there, and empty
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    head: bytes = proto.SerializeToString()
    return head
