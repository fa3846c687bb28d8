"""Reads JSON lines into Arrow, block by block: types from all rows, broken lines by policy.

The file is read twice: once for the columns and types of all lines, once for the rows. Where Arrow
refuses a line, it is read once more before, line by line (`jsonl_lines`), and all of it mended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
from pyarrow import json as arrow_json

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.csv_dates import Dates
from pipeline.ingest.jsonl_lines import Mender
from pipeline.ingest.jsonl_text import Block, text_blocks
from pipeline.ingest.read_csv import types_asked_for
from pipeline.ingest.read_text import without_words

BLOCK_BYTES = 16 << 20
_ROW = re.compile(r"in row (\d+)")


class JsonLines:
    """A file of one JSON object a line.

    Args:
        opened: Opens the file, binary, at its beginning.
        how: Encoding, types, what means missing, and what happens with lines that are no object
            and with text that is of another encoding.

    Attributes:
        dropped: Lines left out, known once the tables have been read.
        broken: Lines with text of another encoding, known then as well.
    """

    def __init__(self, opened: Callable[[], AbstractContextManager[Any]], how: ReadConfig) -> None:
        self._opened = opened
        self._how = how
        self._types = types_asked_for(how)
        self._mender: Mender | None = None
        self.dropped = self.broken = 0

    def tables(self) -> Iterator[pa.Table]:
        """The rows in tables of the same columns and types.

        Raises:
            ValueError: The file is empty, or lines are no object and `how` says to stop.
            UnicodeError: Text is of another encoding, and `how` says to stop, or no value holds it.
            pyarrow.ArrowException: A value is not of the type asked for.
        """
        try:
            schema, dates = self._looked_at()
        except pa.ArrowInvalid:
            self._mender = self._mended()
            schema, dates = self._looked_at()
        for text in self._texts():
            table = dates.cast(without_words(_parsed(text, schema), self._how.missing))
            yield _without_hollow(table)

    def _looked_at(self) -> tuple[pa.Schema, Dates]:
        """Columns and types of all lines, dates as the text they are; and which are dates."""
        schema, dates, rows = pa.schema([]), Dates(self._types), 0
        for text in self._texts():
            try:
                table = _guessed(text, self._types)
                schema = _unified(schema, table.schema, text)
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(_numbered(str(error), rows)) from None
            dates.look(without_words(table, self._how.missing))
            rows += table.num_rows
        if not schema.names:
            raise ValueError("Empty JSONL file" + ": no object has a field" * bool(rows))
        return schema, dates

    def _texts(self) -> Iterator[bytes]:
        """The lines in UTF-8 as Arrow takes them, a block at a time."""
        for block in self._blocks():
            text = block.text if self._mender is None else self._mender.mended(block)
            if text.strip():
                yield text.encode()

    def _mended(self) -> Mender:
        mender = Mender(self._how)
        for block in self._blocks():
            mender.look(block)
        mender.refuse()
        self.dropped = mender.dropped
        return mender

    def _blocks(self) -> Iterator[Block]:
        self.broken = 0
        with self._opened() as file:
            for block in text_blocks(file, self._how, BLOCK_BYTES):
                self.broken += block.broken
                yield block


def _numbered(said: str, before: int) -> str:
    """What Arrow says of a block, whose rows it counts from 0, with rows of the file from 1."""
    found = _ROW.search(said)
    return _ROW.sub(f"in row {int(found[1]) + before + 1}", said) if found else said


def _guessed(text: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    """The columns as they are guessed, but those of `types`; dates as the text they are."""
    guessed = _parsed(text, None)
    wanted = pa.schema(
        [
            (field.name, types.get(field.name, _without_dates(field.type)))
            for field in guessed.schema
        ]
    )
    return guessed if wanted.equals(guessed.schema) else _parsed(text, wanted)


def _without_dates(kind: pa.DataType) -> pa.DataType:
    """What Arrow takes for a date has lost its time zone, and is to be text for now."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_dates(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_dates(field.type)) for field in kind])
    return kind


def _parsed(text: bytes, schema: pa.Schema | None) -> pa.Table:
    # One block, so that a type is not guessed from the first rows alone.
    return arrow_json.read_json(
        pa.BufferReader(text),
        read_options=arrow_json.ReadOptions(block_size=len(text)),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema, newlines_in_values=False),
    )


def _without_hollow(table: pa.Table) -> pa.Table:
    """Objects that never have a field are missing values: Parquet does not know such objects."""
    for place, (name, kind) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
        if _is_hollow(kind):
            chunks = [_filled(chunk) for chunk in table.column(place).chunks]
            table = table.set_column(place, name, pa.chunked_array(chunks))
    return table


def _is_hollow(kind: pa.DataType) -> bool:
    """Whether it is an object without fields, or holds one."""
    if pa.types.is_list(kind):
        return _is_hollow(kind.value_type)
    if not pa.types.is_struct(kind):
        return False
    return not kind.num_fields or any(_is_hollow(field.type) for field in kind)


def _filled(values: pa.Array) -> pa.Array:
    if pa.types.is_list(values.type):
        within = _filled(values.values)
        return pa.ListArray.from_arrays(values.offsets, within, mask=values.is_null())
    if not pa.types.is_struct(values.type):
        return values
    if not values.type.num_fields:
        return pa.nulls(len(values))
    fields = [_filled(field) for field in values.flatten()]
    names = [field.name for field in values.type]
    return pa.StructArray.from_arrays(fields, names, mask=values.is_null())


def _unified(before: pa.Schema, new: pa.Schema, text: bytes) -> pa.Schema:
    """The columns of both; raises what Arrow says of a value of another kind than before."""
    both = _wider(pa.struct(before), pa.struct(new))
    if both is None:
        _parsed(text, before)
        raise pa.ArrowInvalid("values of several kinds in one column")
    return pa.schema(both)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that Arrow would guess from the values of both; None where there is none."""
    if one.equals(other) or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(one) and pa.types.is_list(other):
        within = _wider(one.value_type, other.value_type)
        return within and pa.list_(within)
    both_structs = pa.types.is_struct(one) and pa.types.is_struct(other)
    return _wider_struct(one, other) if both_structs else None


def _wider_struct(one: pa.StructType, other: pa.StructType) -> pa.DataType | None:
    kinds = {field.name: field.type for field in one}
    for field in other:
        kinds[field.name] = _wider(kinds.get(field.name, pa.null()), field.type)
    return None if None in kinds.values() else pa.struct(list(kinds.items()))
