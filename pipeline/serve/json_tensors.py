"""The tensors of a JSON predict request, row ("instances") or columnar ("inputs") format.

Plain requests take a fast road: whole columns are checked by type and handed to NumPy. The rest,
wrong requests too, goes through `json_walk`.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from pipeline.serve.dtypes import Array
from pipeline.serve.json_text import encoded
from pipeline.serve.json_values import (
    BOOL,
    FLOATS,
    INTEGERS,
    MOST_DIMENSIONS,
    STRING,
    Shape,
    array_of,
    is_base64,
    within,
)
from pipeline.serve.json_walk import Inputs, walk, walk_rows
from pipeline.serve.status import invalid


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
    return fast if fast is not None else walk_rows(instances, inputs)


def tensors_of_inputs(value: Any, inputs: Inputs) -> dict[str, Array]:
    """Arrays by alias from the columnar format.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if isinstance(value, dict) and not is_base64(value):
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
    shape, leaves = walk(value, dtype)
    return array_of(leaves, dtype, shape)


def _fast(values: list[Any], dtype: int) -> Array | None:
    """The array of a plain column; None where it is not plain, or not right."""
    shape: Shape = (len(values),)
    kinds = set(map(type, values))
    while kinds == {list}:
        sizes = set(map(len, values))
        if len(sizes) > 1 or len(shape) == MOST_DIMENSIONS:
            return None
        shape += tuple(sizes)
        values = list(chain.from_iterable(values))
        kinds = set(map(type, values))
    right = (
        (dtype in FLOATS and kinds <= {int, float})
        or (dtype in INTEGERS and kinds <= {int} and within(values, INTEGERS[dtype]))
        or (dtype == BOOL and kinds <= {bool})
        or (dtype == STRING and kinds <= {str})
    )
    if not right:
        return None
    return array_of([encoded(v) for v in values] if dtype == STRING else values, dtype, shape)
