"""JSON lines that Arrow refuses as a whole, looked at one by one.

Lines that are no object follow the policy `bad_rows`; a column that is a number in one line and
text in another becomes text, as it would in CSV, and stage `preprocess` says what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.jsonl_text import Block

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


class Mender:
    """Makes of lines what Arrow takes, once all of them have been looked at.

    Args:
        how: What happens with lines that are no object, what means missing, and which columns are
            to be text.

    Attributes:
        dropped: How many lines are no object.
    """

    def __init__(self, how: ReadConfig) -> None:
        self._how = how
        self._bad: list[str] = []
        self._seen: dict[str, dict[str, int]] = {}
        self._text: set[str] = set()
        self.dropped = 0

    def look(self, block: Block) -> None:
        """Takes note of what the columns of some lines are, and of lines that are no object."""
        for number, record in self._records(block):
            if isinstance(record, str):
                self.dropped += 1
                self._bad += [f"line {number:,}: {record}"] * (len(self._bad) < _SHOWN)
                continue
            for name, value in record.items():
                if value is not None:
                    self._seen.setdefault(name, {}).setdefault(_KINDS[type(value)], number)

    def refuse(self) -> None:
        """Decides which columns become text.

        Raises:
            ValueError: Lines are no object and `how` does not drop them, or a column is a list or
                an object in one line and something else in another.
        """
        if self.dropped and self._how.bad_rows == "error":
            more = ", ..." if self.dropped > len(self._bad) else ""
            raise ValueError(
                f"{self.dropped:,} lines are no JSON object ({', '.join(self._bad)}{more}); "
                "bad_rows=drop leaves them out"
            )
        mixed = {name: kinds for name, kinds in self._seen.items() if len(kinds) > 1}
        for name, kinds in mixed.items():
            if kinds.keys() & _NESTED:
                told = " and ".join(f"{kind} in line {line:,}" for kind, line in kinds.items())
                raise ValueError(f"'{name}' is {told}")
        wanted = {name for name, kind in self._how.dtypes.items() if kind == "string"}
        odd = {name for name in wanted if self._seen.get(name, {}).keys() - {"text"}}
        self._text = (mixed.keys() - (self._how.dtypes.keys() - wanted)) | odd

    def mended(self, block: Block) -> str:
        """The lines that are objects, with text in the columns that become text."""
        lines = []
        for _, record in self._records(block):
            if isinstance(record, str):
                continue
            for name in self._text & record.keys():
                if record[name] is not None:
                    record[name] = _as_text(record[name])
            lines.append(json.dumps(record))
        return "\n".join(lines)

    def _records(self, block: Block) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Number and object of each line that is not blank, or why it is none."""
        for number, line in enumerate(block.text.split("\n"), start=block.first):
            if line.strip():
                try:
                    record = _object(line)
                except (ValueError, RecursionError) as error:
                    yield number, getattr(error, "msg", str(error))
                else:
                    yield number, {name: self._present(value) for name, value in record.items()}

    def _present(self, value: Any) -> Any:
        return None if isinstance(value, str) and value in self._how.missing else value


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


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
