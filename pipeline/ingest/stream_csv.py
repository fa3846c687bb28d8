"""CSV and TSV batch by batch, in the types of all rows.

Types are guessed from the first megabytes; where a later value does not fit, its column takes the
next wider type of Arrow's own order and the file is begun anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
from pyarrow import csv

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.read_csv import (
    Lengths,
    odd_years,
    options_of,
    types_asked_for,
    wrong_lengths,
)

BLOCK_BYTES = 16 << 20
"""What types are guessed from; a row may be so long."""
_MISFIT = re.compile(r"In CSV column #(\d+):.*CSV conversion error", re.DOTALL)
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
)
"""The order in which Arrow tries types on a column (its `InferKind`)."""


class ReadWholeError(Exception):
    """The file must be read whole: for what it holds, or to say what is wrong with it."""


class UnevenError(Exception):
    """Rows do not have as many fields as the header, and that is an error."""


class CsvFile:
    """A CSV file.

    Args:
        opened: Opens the file, binary, at its beginning.
        how: Encoding, delimiter, types, what means missing, and what happens with rows that are
            longer or shorter than the header.
        delimiter: Where `how` names none.
    """

    def __init__(
        self, opened: Callable[[], AbstractContextManager[Any]], how: ReadConfig, delimiter: str
    ) -> None:
        self._opened = opened
        self._how = how
        self._delimiter = how.delimiter or delimiter
        self._names: Sequence[str] = ()

    def written(self, write: Callable[[Iterator[pa.Table]], int]) -> tuple[int, int]:
        """Hands the rows to `write`, from the beginning again where types turn out too narrow.

        Returns:
            What `write` returned of all rows, and how many rows were left out.

        Raises:
            ReadWholeError: It must be read whole.
            UnevenError: Rows do not have as many fields as the header.
            pyarrow.ArrowException: The file is damaged.
        """
        types: Mapping[str, pa.DataType] = types_asked_for(self._how)
        while True:
            lengths = Lengths(quoted=False)
            try:
                with self._opened() as file, self._reader(file, lengths, types) as reader:
                    return write(self._tables(reader, lengths)), lengths.count
            except pa.ArrowInvalid as error:
                types = self._widened(types, error)

    def uneven(self) -> str:
        """What is wrong with rows that are longer or shorter than the header."""
        with self._opened() as file:
            size = BLOCK_BYTES
            return wrong_lengths(file, self._names, self._how, self._delimiter, block_size=size)

    def _reader(self, file: Any, lengths: Lengths, types: Mapping[str, pa.DataType]) -> Any:
        made = options_of(self._how, self._delimiter, lengths, types, block_size=BLOCK_BYTES)
        return csv.open_csv(file, **made)

    def _tables(self, reader: Any, lengths: Lengths) -> Iterator[pa.Table]:
        self._names = names = reader.schema.names
        if len(set(names)) < len(names) or any(map(pa.types.is_binary, reader.schema.types)):
            raise ReadWholeError
        for batch in reader:
            table = pa.Table.from_batches([batch])
            if odd_years(table):
                raise ReadWholeError
            self._refuse(lengths)
            yield table
        self._refuse(lengths)

    def _refuse(self, lengths: Lengths) -> None:
        if lengths.count and self._how.bad_rows == "error":
            raise UnevenError

    def _widened(
        self, types: Mapping[str, pa.DataType], error: Exception
    ) -> Mapping[str, pa.DataType]:
        """The types to try next, after a value that did not fit."""
        found = _MISFIT.search(str(error))
        if found is None:
            raise ReadWholeError from error
        with self._opened() as file, self._reader(file, Lengths(quoted=False), types) as reader:
            field = reader.schema.field(int(found[1]))
        last = field.type not in _WIDER or field.type == _WIDER[-1]
        if last or field.name in self._how.dtypes:
            raise ReadWholeError from error
        return {**types, field.name: _WIDER[_WIDER.index(field.type) + 1]}
