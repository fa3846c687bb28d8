"""Facts about a signature from TensorFlow's own protos, for clients that have TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from pipeline.serve.exchange import Array, SignatureFacts, TensorFacts


def signature_facts(signature: meta_graph_pb2.SignatureDef) -> SignatureFacts:
    """What a SignatureDef says of inputs and outputs."""
    return SignatureFacts(_tensors(signature.inputs), _tensors(signature.outputs))


def _tensors(infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, TensorFacts]:
    found = {}
    for name, info in infos.items():
        dims = tuple(dim.size for dim in info.tensor_shape.dim)
        shape = None if info.tensor_shape.unknown_rank else dims
        found[name] = TensorFacts(types_pb2.DataType.Name(info.dtype), shape)
    return found


def decoded(array: Array) -> Array:
    """The array with `str` in place of bytes; arrays of numbers as they are."""
    if array.dtype != object:
        return array
    flat = [word.decode("utf-8", "replace") for word in array.ravel().tolist()]
    return np.array(flat, object).reshape(array.shape)
