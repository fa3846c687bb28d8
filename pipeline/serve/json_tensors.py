"""The tensors of a JSON predict request, row ("instances") or columnar ("inputs") format.

Plain requests take a fast road: whole columns checked by type and handed to NumPy. Everything
else, wrong requests too, walks value by value as TensorFlow Serving's json_tensor.cc does, and
ends with its texts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from pipeline.serve.json_text import encoded, shown, type_name
from pipeline.serve.status import Code, ServingError, invalid
from pipeline.serve.tensors import DTYPES, Array

Inputs = Mapping[str, int]
"""Dtypes of a signature's inputs, as numbers of types.proto, by alias."""
Shape = tuple[int, ...]

_BOOL: int = types_pb2.DT_BOOL
_STRING: int = types_pb2.DT_STRING
_FLOATS: frozenset[int] = frozenset({types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE})
_INTEGERS: dict[int, tuple[int, int]] = {
    # RapidJSON's IsInt asks for 32 bits; narrower types wrap, as they do in the real server.
    types_pb2.DT_INT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_UINT8: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT16: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT32: (-(2**31), 2**31 - 1),
    types_pb2.DT_INT64: (-(2**63), 2**63 - 1),
    types_pb2.DT_UINT32: (0, 2**32 - 1),
    types_pb2.DT_UINT64: (0, 2**64 - 1),
}
_MOST_DIMENSIONS = 64
"""NumPy's own limit."""


def tensors_of_instances(instances: list[Any], inputs: Inputs) -> dict[str, Array]:
    """Arrays by alias from the row format: `[rows, ...]` each.

    Raises:
        ServingError: INVALID_ARGUMENT, naming the element.
    """
    first = instances[0]
    if not isinstance(first, dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    fast = _fast_rows(instances, inputs)
    return fast if fast is not None else _walk_rows(instances, inputs)


def tensors_of_inputs(value: Any, inputs: Inputs) -> dict[str, Array]:
    """Arrays by alias from the columnar format.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if isinstance(value, dict) and not _is_base64(value):
        for name in inputs:
            if name not in value:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: _tensor(value[name], dtype) for name, dtype in inputs.items()}
    if len(inputs) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple "
            "input tensors required as per tensorinfo_map"
        )
    return {name: _tensor(value, dtype) for name, dtype in inputs.items()}


def _fast_rows(instances: list[Any], inputs: Inputs) -> dict[str, Array] | None:
    if set(map(type, instances)) == {dict} and set(map(len, instances)) == {len(inputs)}:
        try:
            columns = {name: [row[name] for row in instances] for name in inputs}
        except KeyError:
            return None
    elif len(inputs) == 1 and not any(isinstance(row, dict) for row in instances):
        columns = dict.fromkeys(inputs, instances)
    else:
        return None
    arrays = {name: _fast(column, inputs[name]) for name, column in columns.items()}
    return None if any(array is None for array in arrays.values()) else arrays  # type: ignore[return-value]


def _tensor(value: Any, dtype: int) -> Array:
    fast = _fast(value, dtype) if isinstance(value, list) else None
    if fast is not None:
        return fast
    shape, leaves = _walk(value, dtype)
    return _array(leaves, dtype, shape)


def _fast(values: list[Any], dtype: int) -> Array | None:
    """The array of a plain column; None where it is not plain, or not right."""
    shape: Shape = (len(values),)
    kinds = set(map(type, values))
    while kinds == {list}:
        sizes = set(map(len, values))
        if len(sizes) > 1 or len(shape) == _MOST_DIMENSIONS:
            return None
        shape += tuple(sizes)
        values = list(chain.from_iterable(values))
        kinds = set(map(type, values))
    right = (
        (dtype in _FLOATS and kinds <= {int, float})
        or (dtype in _INTEGERS and kinds <= {int} and _within(values, _INTEGERS[dtype]))
        or (dtype == _BOOL and kinds <= {bool})
        or (dtype == _STRING and kinds <= {str})
    )
    if not right:
        return None
    return _array([encoded(v) for v in values] if dtype == _STRING else values, dtype, shape)


def _within(values: list[int], bounds: tuple[int, int]) -> bool:
    return not values or (min(values) >= bounds[0] and max(values) <= bounds[1])


def _array(leaves: list[Any], dtype: int, shape: Shape) -> Array:
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid(f"Tensors of more than {_MOST_DIMENSIONS} dimensions are not served.")
    if dtype in _FLOATS:
        array = _float_array(leaves)
        if dtype == types_pb2.DT_FLOAT:
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
        return array.reshape(shape)
    target = np.dtype(object) if dtype == _STRING else DTYPES[dtype]
    wide = np.dtype(np.int64) if dtype in _INTEGERS and target.itemsize < 8 else target
    return np.array(leaves, wide).astype(target, copy=False).reshape(shape)


def _float_array(leaves: list[Any]) -> Array:
    try:
        return np.array(leaves, np.float64)
    except OverflowError:  # a whole number too large even for a double
        limit = 2**1024
        infinity = float("inf")
        return np.array(
            [infinity if n >= limit else -infinity if n <= -limit else float(n) for n in leaves]
        )


def _walk_rows(instances: list[Any], inputs: Inputs) -> dict[str, Array]:
    as_objects = _is_object(instances[0])
    leaves: dict[str, list[Any]] = {name: [] for name in inputs}
    shapes: dict[str, Shape] = {}
    only = next(iter(inputs))
    for position, element in enumerate(instances):
        failed = f"Failed to process element: {position}"
        if as_objects:
            if not _is_object(element):
                raise invalid(f"Expecting object but got list at item {position} of input list")
            for name, value in element.items():
                with _Prefixed(f"{failed} key: {name} of 'instances' list. Error: "):
                    _add_row(value, name, inputs, leaves, shapes)
            if set(element) != set(inputs):
                raise invalid(
                    f"{failed} of 'instances' list. JSON object: {shown(element)} "
                    f"keys must be equal to: {','.join(sorted(inputs))}"
                )
        elif _is_object(element):
            raise invalid(f"Expecting value/list but got object at item {position} of input list")
        else:
            with _Prefixed(f"{failed} of 'instances' list. Error: "):
                _add_row(element, only, inputs, leaves, shapes)
    return {
        name: _array(leaves[name], inputs[name], (len(instances), *shapes[name])) for name in inputs
    }


class _Prefixed:
    """Puts words before the message of a ServingError that leaves the block."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ServingError):
            raise invalid(f"{self._prefix}{error}") from None


def _add_row(
    value: Any,
    name: str,
    inputs: Inputs,
    leaves: dict[str, list[Any]],
    shapes: dict[str, Shape],
) -> None:
    if name not in inputs:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape, found = _walk(value, inputs[name])
    known = shapes.setdefault(name, shape)
    if len(found) != np.prod(known, dtype=np.int64):
        raise invalid(f"Expecting tensor size: {np.prod(known)} but got: {len(found)}")
    if shape != known:
        raise invalid(f"Expecting shape {_shown_shape(known)} but got: {_shown_shape(shape)}")
    leaves[name] += found


def _shown_shape(shape: Shape) -> str:
    return f"[{','.join(map(str, shape))}]"


def _walk(value: Any, dtype: int) -> tuple[Shape, list[Any]]:
    """Shape, as the first elements have it, and all leaves in order."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    return tuple(shape), [_leaf(leaf, dtype) for leaf in _leaves(value, shape)]


def _leaves(value: Any, shape: list[int]) -> Iterator[Any]:
    """Every value that is no list, without recursion: nesting may be as deep as a body is long."""
    rank = len(shape)
    open_lists: list[Iterator[Any]] = [iter((value,))]
    while open_lists:
        level = len(open_lists) - 1
        for item in open_lists[-1]:
            if isinstance(item, list):
                _check_list(item, level, shape)
                open_lists.append(iter(item))
                break
            if level != rank:
                raise invalid(
                    f"JSON Value: {shown(item)} found at incorrect level: {level + 1} "
                    f"in the JSON DOM. Expected at level: {rank}"
                )
            yield item
        else:
            open_lists.pop()


def _check_list(item: list[Any], level: int, shape: list[int]) -> None:
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(item) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(item)} at level: {level} "
            f"expected size: {shape[level]}"
        )


def _leaf(value: Any, dtype: int) -> Any:
    if dtype == _STRING and isinstance(value, dict):
        return _decoded(value)
    if dtype == _STRING and isinstance(value, str):
        return encoded(value)
    if dtype == _BOOL and isinstance(value, bool):
        return value
    if dtype in _FLOATS and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if dtype in _INTEGERS and type(value) is int and _within([value], _INTEGERS[dtype]):
        return value
    name = types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
    if not (dtype in _FLOATS or dtype in _INTEGERS or dtype in {_STRING, _BOOL}):
        raise ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {name}"
        )
    raise invalid(
        f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: {name}"
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: dict[str, Any] | Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _decoded(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    return decode_base64(value["b64"])


def decode_base64(text: str) -> bytes:
    """Bytes from base64, padded or not, spaces allowed, as absl::Base64Unescape takes it.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    packed = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None
