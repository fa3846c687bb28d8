"""The tensors of a JSON request value by value, as TensorFlow Serving's json_tensor.cc does it.

Takes whatever that takes, and ends with its texts where something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.serve.dtypes import Array
from pipeline.serve.json_shown import shown
from pipeline.serve.json_values import Shape, array_of, is_base64, leaf
from pipeline.serve.status import ServingError, invalid

Inputs = Mapping[str, int]
"""Dtypes of a signature's inputs, as numbers of types.proto, by alias."""


def walk_rows(instances: list[Any], inputs: Inputs) -> dict[str, Array]:
    """Arrays by alias from rows.

    Returns:
        All inputs from objects; from plain values the first, which may not be all there are.

    Raises:
        ServingError: INVALID_ARGUMENT, naming the element; UNIMPLEMENTED for a dtype.
    """
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
        name: array_of(leaves[name], inputs[name], (len(instances), *shape))
        for name, shape in shapes.items()
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
    shape, found = walk(value, inputs[name])
    known = shapes.setdefault(name, shape)
    if len(found) != np.prod(known, dtype=np.int64):
        raise invalid(f"Expecting tensor size: {np.prod(known)} but got: {len(found)}")
    if shape != known:
        raise invalid(f"Expecting shape {_shown_shape(known)} but got: {_shown_shape(shape)}")
    leaves[name] += found


def _shown_shape(shape: Shape) -> str:
    return f"[{','.join(map(str, shape))}]"


def walk(value: Any, dtype: int) -> tuple[Shape, list[Any]]:
    """Shape, as the first elements have it, and all leaves in order.

    Raises:
        ServingError: INVALID_ARGUMENT: a list is of another size or depth, or a leaf is wrong.
    """
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    return tuple(shape), [leaf(item, dtype) for item in _leaves(value, shape)]


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


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)
