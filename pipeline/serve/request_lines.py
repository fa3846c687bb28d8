"""Requests as lines of JSON, as REST has them: columns of Predict, rows of tf.Examples."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

_BYTES_OF_A_VALUE = 8


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        seconds: When, since 1970.
        model: Who was asked.
        version: Which version of it.
        content: Arrays by the name of the input, or serialised tf.Examples.
    """

    seconds: float
    model: str
    version: int
    content: Mapping[str, Array] | Sequence[bytes]

    @property
    def values(self) -> int:
        """How many values it holds, roughly for tf.Examples."""
        if isinstance(self.content, Mapping):
            return sum(array.size for array in self.content.values())
        return sum(len(example) for example in self.content) // _BYTES_OF_A_VALUE


def line_of(asked: Asked, omit: Collection[str]) -> str:
    """One line.

    Args:
        asked: The request.
        omit: Inputs and features that are left out.
    """
    if isinstance(asked.content, Mapping):
        request: Any = {
            "inputs": {
                name: _plain(array.tolist())
                for name, array in asked.content.items()
                if name not in omit
            }
        }
    else:
        request = {"instances": [_row(example, omit) for example in asked.content]}
    record = {
        "time": round(asked.seconds, 3),
        "model": asked.model,
        "version": asked.version,
        "request": request,
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _row(example: bytes, omit: Collection[str]) -> dict[str, Any]:
    """Values by feature; one value stands by itself, and a feature without any is left out."""
    from tensorflow.core.example import example_pb2

    row: dict[str, Any] = {}
    for name, feature in sorted(example_pb2.Example.FromString(example).features.feature.items()):
        kind = feature.WhichOneof("kind")
        values = _plain(list(getattr(feature, kind).value)) if kind else []
        if values and name not in omit:
            row[name] = values[0] if len(values) == 1 else values
    return row


def _plain(value: Any) -> Any:
    """As JSON has it: text of bytes, null for what is no number."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
