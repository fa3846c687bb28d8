"""Puts Parquet files of one schema under each other without decoding them.

The row groups' bytes are copied as they are; only the footer is written anew, with the places
shifted. A footer is one struct in Thrift's compact protocol (Apache Parquet, `parquet.thrift`;
Apache Thrift, `thrift-compact-protocol.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
_LONG = 6
_LONG_LIST = 15
# Fields of parquet.thrift.
_FILE_ROWS, _FILE_GROUPS = 3, 4
_GROUP_COLUMNS, _GROUP_OFFSET, _GROUP_ORDINAL = 1, 5, 7
_CHUNK_OFFSET, _CHUNK_DATA = 2, 3
_CHUNK_INDEX_OFFSETS = (4, 6)
_DATA_OFFSETS = (9, 10, 11, 14)

Struct = dict[int, tuple[int, Any]]
"""Type and value by field number, in the order of the file."""


@dataclass
class _Items:
    """A list and the type of its elements."""

    kind: int
    values: list[Any]


def join(parts: Sequence[Path], target: Path) -> None:
    """Writes the rows of `parts`, files of the same schema, in order into `target`.

    Args:
        parts: At least one.
        target: The new file.
    """
    whole: Struct | None = None
    groups: list[Struct] = []
    rows = 0
    with target.open("wb") as out:
        out.write(_MAGIC)
        for path in parts:
            with path.open("rb") as file:
                footer, end = _footer(file)
                shift = out.tell() - len(_MAGIC)
                file.seek(len(_MAGIC))
                _copy(file, out, end - len(_MAGIC))
            for group in footer[_FILE_GROUPS][1].values:
                _shift_group(group, shift)
                groups.append(group)
            rows += footer[_FILE_ROWS][1]
            whole = whole or footer
        if whole is None:
            raise ValueError("no parts to join")
        whole[_FILE_ROWS] = (_LONG, rows)
        whole[_FILE_GROUPS] = (_LIST, _Items(_STRUCT, groups))
        written = bytearray()
        _write_struct(whole, written)
        out.write(written)
        out.write(len(written).to_bytes(4, "little") + _MAGIC)


def _footer(file: Any) -> tuple[Struct, int]:
    """The footer, and where it begins."""
    file.seek(-_TAIL_BYTES, 2)
    tail = file.read()
    length = int.from_bytes(tail[:4], "little")
    begin = file.seek(-_TAIL_BYTES - length, 2)
    return _Reader(file.read(length)).struct(), begin


def _copy(source: Any, out: Any, count: int) -> None:
    end = source.tell() + count
    while source.tell() < end:
        out.write(source.read(min(1 << 20, end - source.tell())))


def _shift_group(group: Struct, shift: int) -> None:
    _shift(group, _GROUP_OFFSET, shift)
    # Optional, and 16 bits wide: too narrow for many parts.
    group.pop(_GROUP_ORDINAL, None)
    for chunk in group[_GROUP_COLUMNS][1].values:
        for field in (_CHUNK_OFFSET, *_CHUNK_INDEX_OFFSETS):
            _shift(chunk, field, shift)
        for field in _DATA_OFFSETS:
            _shift(chunk[_CHUNK_DATA][1], field, shift)


def _shift(struct: Struct, field: int, by: int) -> None:
    kind, value = struct.get(field, (_LONG, 0))
    if value:  # 0 says that there is none
        struct[field] = (kind, value + by)


class _Reader:
    """Reads Thrift's compact protocol."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def struct(self) -> Struct:
        found: Struct = {}
        field = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            field = field + step if step else self._integer()
            found[field] = (kind, self._value(kind))
        return found

    def _value(self, kind: int) -> Any:
        readers: dict[int, Callable[[], Any]] = {
            _TRUE: lambda: True,
            _FALSE: lambda: False,
            _BYTE: self._byte,
            **dict.fromkeys(_INTEGERS, self._integer),
            _DOUBLE: lambda: self._take(8),
            _BINARY: lambda: self._take(self._varint()),
            _LIST: self._list,
            _SET: self._list,
            _STRUCT: self.struct,
        }
        return readers[kind]()

    def _list(self) -> _Items:
        head = self._byte()
        size, kind = head >> 4, head & 15
        size = self._varint() if size == _LONG_LIST else size
        if kind in {_TRUE, _FALSE}:  # truth values stand as bytes in a list
            return _Items(kind, [self._byte() for _ in range(size)])
        return _Items(kind, [self._value(kind) for _ in range(size)])

    def _byte(self) -> int:
        self._place += 1
        return self._data[self._place - 1]

    def _take(self, count: int) -> bytes:
        self._place += count
        return self._data[self._place - count : self._place]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _write_struct(struct: Struct, out: bytearray) -> None:
    last = 0
    for field, (kind, value) in struct.items():
        if kind in {_TRUE, _FALSE}:
            kind = _TRUE if value else _FALSE  # noqa: PLW2901
        step = field - last
        if 0 < step <= 15:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _write_integer(field, out)
        last = field
        if kind not in {_TRUE, _FALSE}:
            _write_value(kind, value, out)
    out.append(0)


def _write_value(kind: int, value: Any, out: bytearray) -> None:
    if kind in {_TRUE, _FALSE, _BYTE}:
        out.append(value)
    elif kind in _INTEGERS:
        _write_integer(value, out)
    elif kind == _DOUBLE:
        out += value
    elif kind == _BINARY:
        _write_varint(len(value), out)
        out += value
    elif kind == _STRUCT:
        _write_struct(value, out)
    else:
        _write_list(value, out)


def _write_list(items: _Items, out: bytearray) -> None:
    size = len(items.values)
    out.append(min(size, _LONG_LIST) << 4 | items.kind)
    if size >= _LONG_LIST:
        _write_varint(size, out)
    for value in items.values:
        _write_value(items.kind, value, out)


def _write_integer(value: int, out: bytearray) -> None:
    _write_varint(value << 1 if value >= 0 else (-value << 1) - 1, out)


def _write_varint(value: int, out: bytearray) -> None:
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
