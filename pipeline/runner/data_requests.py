"""Served requests as rows: what TensorFlow Serving's REST API was asked, one body a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.errors import DataError


def request_rows(path: str, model: str | None = None) -> pd.DataFrame | None:
    """The rows asked about in a file of request bodies; None where it is a table of rows.

    A line is `{"instances": [{...}, ...]}` or `{"inputs": {"column": [...], ...}}`, or a record
    that holds such a body under `request`, as the server's request log does. A last line that is
    still being written is passed over.

    Args:
        path: The file.
        model: Records that name another model are passed over; None: none are.

    Raises:
        DataError: A later line is no such body.
    """
    file = Path(path)
    if file.suffix not in {".jsonl", ".ndjson"} or not file.is_file():
        return None
    with file.open(encoding="utf-8") as lines:
        bodies = ((place, line, _body(line)) for place, line in enumerate(lines, 1) if line.strip())
        _, _, first = next(bodies, (0, "", None))
        if first is None:
            return None
        rows = [] if _of_another(first, model) else list(_rows(first))
        for place, line, body in bodies:
            if body is None and not line.endswith("\n"):
                break
            if body is None:
                raise DataError(
                    f"line {place} of {path} is no request body",
                    expected='a JSON object with "instances" or "inputs", as in the first line',
                    remedy="correct the line, or leave it out",
                )
            rows += [] if _of_another(body, model) else _rows(body)
    return pd.DataFrame(rows)


def _body(line: str) -> Mapping[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if isinstance(content, dict) and isinstance(content.get("request"), dict):
        content = {**content["request"], "model": content.get("model")}
    asked = isinstance(content, dict) and ({"instances", "inputs"} & content.keys())
    return content if asked else None


def _of_another(body: Mapping[str, Any], model: str | None) -> bool:
    return model is not None and body.get("model") not in {None, model}


def _rows(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    instances, inputs = body.get("instances"), body.get("inputs")
    if isinstance(instances, list):
        yield from (one for one in instances if isinstance(one, dict))
    elif isinstance(inputs, dict):
        listed = {name: one if isinstance(one, list) else [one] for name, one in inputs.items()}
        for values in zip(*listed.values(), strict=False):
            yield dict(zip(listed, values, strict=True))
