"""Words that repeat, each kept once: categories of pandas, dictionaries of Arrow.

The engines that work in parts carry such columns from the raw table to the splits, where they are
text again: a word is read, hashed, compared and counted once for each batch, not for each row.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from pipeline.core.parquet import SEEN_ROWS, repeats
from pipeline.preprocess.config import (
    CategoricalConfig,
    GroupConfig,
    PreprocessStageConfig,
    TargetConfig,
)
from pipeline.preprocess.raw import parts

_TEXT = pa.large_string()
_DICTIONARY = pa.dictionary(pa.int32(), _TEXT)


def repeated_words(file: parquet.ParquetFile, config: PreprocessStageConfig) -> frozenset[str]:
    """Columns of the working table that are words, and repeat in the first rows of the raw one."""
    raw = {
        name: column
        for name, (column, how) in parts(config).items()
        if how is None or isinstance(how, CategoricalConfig | TargetConfig | GroupConfig)
        if _is_word(file.schema_arrow.field(column).type)
    }
    # Arrow fetches all row groups at once that it is asked for.
    groups = list(range(min(file.num_row_groups, 1)))
    batches = file.iter_batches(SEEN_ROWS, row_groups=groups, columns=list(set(raw.values())))
    if (first := next(batches, None)) is None:
        return frozenset()
    return frozenset(name for name, column in raw.items() if repeats(first[column]))


def _is_word(kind: pa.DataType) -> bool:
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or pa.types.is_integer(kind))


def as_dictionaries(frame: pd.DataFrame) -> pa.Table:
    """A working table for Arrow, each categorical as a dictionary of one and the same type."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    return _retyped(table, lambda kind: _DICTIONARY if pa.types.is_dictionary(kind) else kind)


def as_text(table: pa.Table) -> pa.Table:
    """The same rows with text in place of every dictionary."""
    return _retyped(table, lambda kind: _TEXT if pa.types.is_dictionary(kind) else kind)


def _retyped(table: pa.Table, wanted: Callable[[pa.DataType], pa.DataType]) -> pa.Table:
    return table.cast(pa.schema([one.with_type(wanted(one.type)) for one in table.schema]))
