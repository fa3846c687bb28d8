"""CSV and TSV batch by batch, in the types of all rows.

Types are guessed from the first megabytes; where a later value does not fit, its column takes the
next type of Arrow's own order that the value fits, and the file is begun anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
from pyarrow import csv

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.csv_blocks import UncutError, first_rows, read_blocks
from pipeline.ingest.csv_dates import Dates, odd_years
from pipeline.ingest.csv_marks import Marks, in_types_of, marks_for, restored
from pipeline.ingest.csv_text import Utf8File, WholeLineEnds, is_plain_file, texts
from pipeline.ingest.read_csv import (
    Lengths,
    options_of,
    types_asked_for,
    wrong_lengths,
)
from pipeline.ingest.read_text import decoded, is_utf8

BLOCK_BYTES = 16 << 20
"""What types are guessed from; a row may be so long."""
_MISFIT = re.compile(
    r"In CSV column #(\d+):.*CSV conversion error(?:[^']*: invalid value '(.*)')?", re.DOTALL
)
_WIDER = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
    pa.binary(),
)
"""The order in which Arrow tries types on a column (its `InferKind`); the last is broken text."""


class ReadWholeError(Exception):
    """The file must be read whole: for what it holds, or to say what is wrong with it."""


class UnevenError(Exception):
    """Rows do not have as many fields as the header, and that is an error."""


class _OddYearsError(Exception):
    """Columns hold dates that Python cannot hold, and are to be text."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names


class CsvFile:
    """A CSV file.

    Args:
        opened: Opens the file, binary, at its beginning.
        how: Encoding, delimiter, types, what means missing, and what happens with rows that are
            longer or shorter than the header.
        delimiter: Where `how` names none.

    Attributes:
        dropped: Rows left out because they are longer or shorter, once all are written.
        broken: Rows with text of another encoding, known then as well.
    """

    def __init__(
        self, opened: Callable[[], AbstractContextManager[Any]], how: ReadConfig, delimiter: str
    ) -> None:
        self._opened = opened
        self._how = how
        self._delimiter = how.delimiter or delimiter
        self._in_blocks = True
        self._guessed = pa.schema([])
        self.dropped = self.broken = 0

    def written(self, write: Callable[[Iterator[pa.Table]], int]) -> int:
        """Hands the rows to `write`, from the beginning again where types turn out too narrow.

        Returns:
            What `write` returned of all rows.

        Raises:
            ReadWholeError: It must be read whole.
            UnevenError: Rows do not have as many fields as the header.
            UnicodeError: Text is of another encoding, and `how` says to stop.
            pyarrow.ArrowException: The file is damaged.
        """
        dates: Dates | None = None
        types: Mapping[str, pa.DataType] = types_asked_for(self._how)
        while True:
            lengths = Lengths(quoted=False)
            try:
                with self._read(lengths, types) as (schema, read):
                    self._guessed = schema
                    tables = self._tables(read, lengths)
                    if dates is None and (dates := self._broken_dates(schema)):
                        # Text is a date where all of it is, which its broken values hid.
                        for table in tables:
                            dates.look(table)
                        continue
                    rows = write(map(dates.cast, tables) if dates else tables)
                    self.dropped = lengths.count
                    return rows
            except UncutError:
                self._in_blocks = False
            except _OddYearsError as error:
                types = {**types, **dict.fromkeys(error.names, pa.string())}
            except pa.ArrowInvalid as error:
                types, dates = self._widened(types, error), None

    def uneven(self) -> str:
        """What is wrong with rows that are longer or shorter than the header."""
        marks, how, size = self._marks(), self._how, BLOCK_BYTES
        with self._arrows(marks) as file:
            names = self._guessed.names
            return wrong_lengths(file, names, how, self._delimiter, marks, block_size=size)

    @contextmanager
    def _read(
        self, lengths: Lengths, types: Mapping[str, pa.DataType]
    ) -> Iterator[tuple[pa.Schema, Iterator[pa.Table]]]:
        """Names and types, and the rows as Arrow reads them."""
        options = partial(options_of, self._how, self._delimiter, types=types)
        if self._in_blocks:
            with (
                self._in_utf8({}) as file,
                read_blocks(file, BLOCK_BYTES, options, lengths.add) as read,
            ):
                yield read
            return
        marks = self._marks()
        with (
            self._arrows(marks) as file,
            csv.open_csv(file, **options(lengths, block_size=BLOCK_BYTES)) as reader,
        ):
            first = restored(first_rows(reader), marks)
            later = (restored(pa.Table.from_batches([batch]), marks) for batch in reader)
            yield first.schema, map(partial(in_types_of, first.schema), chain([first], later))

    @contextmanager
    def _in_utf8(self, marks: Marks) -> Iterator[Any]:
        """The file with what stands for odd characters in their place."""
        with self._opened() as file:
            encoding = self._how.encoding
            plain = is_utf8(encoding) and not marks
            yield file if plain else Utf8File(file, encoding, BLOCK_BYTES, marks)

    @contextmanager
    def _arrows(self, marks: Marks) -> Iterator[pa.PythonFile]:
        """The same for Arrow, which cuts it into blocks itself."""
        with self._in_utf8(marks) as file:
            yield pa.PythonFile(WholeLineEnds(file), mode="r")

    def _marks(self) -> Marks:
        """What is to stand for odd characters anywhere in the file."""
        encoding = self._how.encoding
        if is_utf8(encoding):  # the look costs little, where hardly a file has any
            with self._opened() as file:
                if is_plain_file(file, BLOCK_BYTES):
                    return {}
        with self._opened() as file:
            return marks_for(texts(file, encoding, BLOCK_BYTES))

    def _tables(self, read: Iterator[pa.Table], lengths: Lengths) -> Iterator[pa.Table]:
        names = self._guessed.names
        if len(set(names)) < len(names):
            raise ReadWholeError
        self.broken = 0
        for rows in read:
            self._refuse(lengths)
            table, broken = decoded(rows, self._how)
            if odd := odd_years(table):
                raise _OddYearsError(odd)
            self.broken += broken
            yield table
        self._refuse(lengths)

    def _broken_dates(self, schema: pa.Schema) -> Dates | None:
        """To look for dates among columns with broken text; None where there is none."""
        odd = [field.name for field in schema if pa.types.is_binary(field.type)]
        return Dates(set(schema.names) - set(odd) | self._how.dtypes.keys()) if odd else None

    def _refuse(self, lengths: Lengths) -> None:
        if lengths.count and self._how.bad_rows == "error":
            raise UnevenError

    def _widened(
        self, types: Mapping[str, pa.DataType], error: Exception
    ) -> Mapping[str, pa.DataType]:
        """The types to try next, after a value that did not fit."""
        found = _MISFIT.search(str(error))
        if found is None or not self._guessed.names:  # in the first rows, of a type asked for
            raise ReadWholeError from error
        # Where the first rows do not fit already, the file was not opened with the latest types.
        field = self._guessed.field(int(found[1]))
        kind = types.get(field.name, field.type)
        last = kind not in _WIDER or kind == _WIDER[-1]
        if last or (field.name in self._how.dtypes and kind != pa.string()):
            raise ReadWholeError from error
        return {**types, field.name: _next_type(kind, found[2])}


def _next_type(kind: pa.DataType, value: str | None) -> pa.DataType:
    """The next type after `kind` that takes `value`, where Arrow said which one it was."""
    later = _WIDER[_WIDER.index(kind) + 1 :]
    fitting = (one for one in later if value is None or _takes(one, value))
    return next(fitting, later[-1])


def _takes(kind: pa.DataType, value: str) -> bool:
    quoted = value.replace('"', '""')
    try:
        csv.read_csv(
            pa.BufferReader(f'value\n"{quoted}"\n'.encode()),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types={"value": kind}, null_values=[]),
        )
    except pa.ArrowInvalid:
        return False
    return True
