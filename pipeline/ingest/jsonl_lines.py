"""JSON lines that Arrow refuses as a whole, looked at one by one.

Lines that are no object follow the policy `bad_rows`; a column that is a number in one line and
text in another becomes text, as it would in CSV, and stage `preprocess` says what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.ingest.config import ReadConfig

_SHOWN = 3
_KINDS: Mapping[type, str] = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}
_NESTED = {"a list", "an object"}

Records = dict[int, dict[str, Any]]
"""The objects by the number of their line, from 1."""


def mended(text: bytes, how: ReadConfig) -> tuple[bytes, int]:
    """The lines as Arrow takes them.

    Args:
        text: The lines, in UTF-8.
        how: What happens with lines that are no object, and which columns are to be text.

    Returns:
        The lines in UTF-8, and how many were left out.

    Raises:
        ValueError: Lines are no object and `how` does not drop them, or a column is a list or an
            object in one line and something else in another.
    """
    records: Records = {}
    bad: list[str] = []
    for number, line in enumerate(text.decode().split("\n"), start=1):
        if line.strip():
            try:
                records[number] = _object(line)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", str(error))
                bad.append(f"line {number:,}: {reason}")
    if bad and how.bad_rows == "error":
        more = ", ..." if len(bad) > _SHOWN else ""
        raise ValueError(
            f"{len(bad):,} lines are no JSON object ({', '.join(bad[:_SHOWN])}{more}); "
            "bad_rows=drop leaves them out"
        )
    wanted = {name for name, kind in how.dtypes.items() if kind == "string"}
    for name in _mixed(records, wanted) - (how.dtypes.keys() - wanted):
        for record in records.values():
            if record.get(name) is not None:
                record[name] = _as_text(record[name])
    return "\n".join(map(json.dumps, records.values())).encode(), len(bad)


def _object(line: str) -> dict[str, Any]:
    record = json.loads(line, object_pairs_hook=_each_once)
    if not isinstance(record, dict):
        raise ValueError(f"{_KINDS.get(type(record), 'null')} instead")  # noqa: TRY004
    return record


def _each_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in pairs:
        if name in record:
            raise ValueError(f"the name '{name}' stands twice")
        record[name] = value
    return record


def _mixed(records: Records, wanted: set[str]) -> set[str]:
    """Columns of several types, and of those that are wanted as text the ones that are not."""
    seen: dict[str, dict[str, int]] = {}
    for number, record in records.items():
        for name, value in record.items():
            if value is not None:
                seen.setdefault(name, {}).setdefault(_KINDS[type(value)], number)
    mixed = {name: kinds for name, kinds in seen.items() if len(kinds) > 1}
    for name, kinds in mixed.items():
        if kinds.keys() & _NESTED:
            told = " and ".join(f"{kind} in line {line:,}" for kind, line in kinds.items())
            raise ValueError(f"'{name}' is {told}")
    return {*mixed, *(name for name in wanted if seen.get(name, {}).keys() - {"text"})}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
