"""Reads CSV and TSV into Arrow: types from all rows, rows of the wrong length by policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import pyarrow as pa
from pyarrow import csv

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.csv_dates import odd_years, with_dates
from pipeline.ingest.csv_marks import Marks, marked, restored, told
from pipeline.ingest.csv_text import WholeLineEnds
from pipeline.ingest.read_counts import counting
from pipeline.ingest.read_text import decoded, in_utf8, is_utf8, refuse_mark

TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}
"""Arrow's types behind the words of `ReadConfig.dtypes`."""
_MISSING = ("", "#N/A", "N/A", "n/a", "NA", "<NA>", "NaN", "nan", "NULL", "null", "None")
"""Words of CSV and TSV that mean a missing value: those of pandas, less the exotic ones."""
LARGE_BLOCK_BYTES = 1 << 30
"""For a row that is longer than Arrow's usual block of a megabyte."""
_SHOWN = 3


@dataclass
class Lengths:
    """Rows that are longer or shorter than the header.

    Attributes:
        count: How many.
        shown: The first ones for people.
        quoted: Whether their text may be shown.
    """

    quoted: bool
    count: int = 0
    shown: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __call__(self, row: Any) -> str:
        """Takes note of a row; called by Arrow, from several threads at once."""
        with self._lock:
            self.count += 1
            if len(self.shown) < _SHOWN:
                # Arrow counts the header; people count rows from 1 without it.
                text = f": {row.text[:80]!r}" if self.quoted else ""
                self.shown.append(f"row {(row.number or 1) - 1} has {row.actual_columns}{text}")
        return "skip"

    def add(self, count: int) -> None:
        """Takes note of as many rows that nobody will show."""
        self.count += count


def read_csv(
    file: Any, how: ReadConfig, delimiter: str = ",", *, long_rows: bool = False
) -> pa.Table:
    """Reads a CSV file.

    Args:
        file: The open file, binary.
        how: Encoding, delimiter, types, what means missing, and what happens with rows that are
            longer or shorter than the header.
        delimiter: Where `how` names none.
        long_rows: Whether a row may be longer than a megabyte; costs memory.

    Raises:
        ValueError: Rows are longer or shorter than the header, and `how` does not drop them.
        UnicodeError: The text is of another encoding.
        pyarrow.ArrowException: The file is empty, or a value is not of the type asked for.
    """
    raw = file.read()
    refuse_mark(raw[:2], how.encoding)
    text, marks = marked(raw if is_utf8(how.encoding) else in_utf8(raw, how.encoding))
    delimiter = how.delimiter or delimiter
    try:
        table, dropped = _read(text, marks, how, delimiter, long_rows=long_rows)
    except pa.ArrowInvalid as error:
        raise pa.ArrowInvalid(told(str(error), marks)) from None
    # Names are decoded here, and refused; a column of broken text is inferred to be binary.
    guessed = [field.name for field in table.schema if pa.types.is_binary(field.type)]
    table, broken = decoded(table, how)
    if broken:
        table = with_dates(table, set(guessed) - how.dtypes.keys())
    return counting(table, dropped=dropped, broken=broken)


def _read(
    text: bytes, marks: Marks, how: ReadConfig, delimiter: str, *, long_rows: bool
) -> tuple[pa.Table, int]:
    """The rows, and how many are left out because they are longer or shorter than the header."""
    block = {"block_size": LARGE_BLOCK_BYTES} if long_rows else {}
    has_quoted_ends = b'"' in text and b"\r" in text

    def opened() -> Any:
        whole = pa.BufferReader(text)
        return pa.PythonFile(WholeLineEnds(whole), mode="r") if has_quoted_ends else whole

    types, lengths = types_asked_for(how), Lengths(quoted=False)
    table = csv.read_csv(opened(), **options_of(how, delimiter, lengths, types, **block))
    if lengths.count and how.bad_rows == "error":
        names = table.column_names
        raise ValueError(wrong_lengths(opened(), names, how, delimiter, marks, **block))
    if odd := odd_years(table):
        types = {**types, **dict.fromkeys(odd, pa.string())}
        anew = options_of(how, delimiter, Lengths(quoted=False), types, **block)
        table = csv.read_csv(opened(), **anew)
    return restored(table, marks), lengths.count


def wrong_lengths(
    file: Any,
    names: Collection[str],
    how: ReadConfig,
    delimiter: str,
    marks: Marks,
    **options: Any,
) -> str:
    """What is wrong with rows that do not have a field for each of `names`.

    Reads the file once more, batch by batch in one thread, which alone knows the rows' numbers.

    Args:
        file: The open file, in UTF-8 and without odd characters.
        names: Of the columns.
        how: What means missing, and whether rows may be shown.
        delimiter: What stands between fields.
        marks: What stands for odd characters.
        options: More options of reading.
    """
    lengths = Lengths(quoted=not how.pii)
    types = dict.fromkeys(names, pa.binary())
    made = options_of(how, delimiter, lengths, types, use_threads=False, **options)
    with csv.open_csv(file, **made) as reader:
        fitting = sum(batch.num_rows for batch in reader)
    shown = ", ".join(lengths.shown) + (", ..." if lengths.count > len(lengths.shown) else "")
    remedy = "bad_rows=drop leaves them out"
    if fitting < lengths.count:
        remedy = f"is the first line the header, and {delimiter!r} the delimiter?"
    said = f"{lengths.count:,} rows do not have {len(names)} fields ({shown}); {remedy}"
    return told(said, marks)


def types_asked_for(how: ReadConfig) -> dict[str, pa.DataType]:
    """Arrow's types of the columns that `how` names."""
    return {name: TYPES[kind] for name, kind in how.dtypes.items()}


def options_of(
    how: ReadConfig,
    delimiter: str,
    lengths: Lengths,
    types: Mapping[str, pa.DataType],
    **reading: Any,
) -> dict[str, Any]:
    """Arrow's options for a CSV file, which is to be in UTF-8 without odd characters.

    Args:
        how: What means missing.
        delimiter: What stands between fields.
        lengths: Takes note of rows that are longer or shorter than the header.
        types: Of columns whose type is not to be guessed.
        reading: More options of reading.
    """
    return {
        "read_options": csv.ReadOptions(**reading),
        "parse_options": csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=lengths
        ),
        "convert_options": csv.ConvertOptions(
            column_types=dict(types),
            null_values=[*(_MISSING if how.default_missing else ()), *how.missing],
            strings_can_be_null=True,
            check_utf8=False,  # known by now: see `marked`
        ),
    }
