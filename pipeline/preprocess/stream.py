"""The stream engine: the same pandas functions over batches of rows, and columns from disk.

What looks at each row by itself (types, checks, cleaning) works on Arrow record batches. What
needs all rows works on one column at a time, read from a working copy on disk. So the result is
that of the pandas engine, to the last bit, and memory holds a batch, two columns, and what each
row needs (hash, label, split) instead of the table.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.features import FeatureSet
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.core.table import as_served
from pipeline.preprocess.check import require_relations
from pipeline.preprocess.clean import (
    DUPLICATES_NOTE,
    Done,
    clean_rows,
    missing,
    refuse_no_rows,
)
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    PreprocessStageConfig,
    RandomSplit,
)
from pipeline.preprocess.label import Labelled, make_label
from pipeline.preprocess.on_disk import TableOnDisk, Writer
from pipeline.preprocess.raw import SPLIT_KEY, required_columns, split_columns, typed_table
from pipeline.preprocess.split import Places, assign, with_groups
from pipeline.preprocess.stream_check import BatchCheck

_DROPPED = -1
"""Place of a row that equals an earlier one."""


@dataclass
class Cleaned:
    """The clean rows on disk, and what is kept of each in memory.

    Attributes:
        table: Working columns, `LABEL` and `SPLIT_KEY` columns.
        hashes: Of every row all its values; equal rows, equal hashes.
        done: What each cleaning rule did.
        missed: Columns that miss a value in some row.
    """

    table: TableOnDisk
    hashes: NDArray[np.uint64]
    done: list[Done]
    missed: set[str] = field(default_factory=set)


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """An empty folder for working copies, removed at the end; a killed run's is removed first."""
    folder = root / STATE / "stream"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clean_batches(
    config: PreprocessStageConfig,
    columns: Mapping[str, ColumnConfig],
    artifacts: Artifacts,
    scratch: Path,
) -> Cleaned:
    """Checks and cleans the raw table batch by batch.

    Raises:
        DataError: The table breaks its schema, or a label is missing where that is an error.
        ConfigError: `at_most` names no column of the same kind.
    """
    require_relations(columns)
    seen = BatchCheck(artifacts, config, columns)
    hashes: list[NDArray[np.uint64]] = []
    done: list[list[Done]] = []
    missed: set[str] = set()
    path = scratch / "clean.parquet"
    with Writer(path) as writer:
        offset = 0
        for raw in _raw_batches(artifacts, config):
            typed = typed_table(raw, config)
            seen.look(typed, offset)
            typed.frame.index = pd.RangeIndex(offset, offset + len(raw))
            offset += len(raw)
            cleaning = clean_rows(typed, columns, config.label.column, config.preprocess)
            frame = cleaning.frame
            done.append(cleaning.done)
            hashes.append(_row_hashes(frame))
            missed |= {str(name) for name in frame if missing(frame[name]).any()}
            writer.write(frame)
    seen.refuse()
    merged = _merged(done, list(columns))
    rows = sum(map(len, hashes))
    if rows == 0:
        refuse_no_rows(rows, merged)
    return Cleaned(TableOnDisk(path), np.concatenate(hashes), merged, missed)


def _raw_batches(artifacts: Artifacts, config: PreprocessStageConfig) -> Iterator[pd.DataFrame]:
    names = required_columns(artifacts.raw_table, config)
    with parquet.ParquetFile(artifacts.raw_table.path) as file:
        gaps = _columns_with_gaps(file)
        for batch in file.iter_batches(config.preprocess.stream.batch_rows, columns=names):
            table = pa.Table.from_batches([batch])
            for place, one in enumerate(table.schema):
                # A whole column with a gap is float64 in pandas, so each of its batches must be.
                if one.name in gaps and pa.types.is_integer(one.type):
                    floats = table.column(place).cast(pa.float64(), safe=False)
                    table = table.set_column(place, one.name, floats)
            yield table.to_pandas()[names]


def _columns_with_gaps(file: parquet.ParquetFile) -> set[str]:
    gaps = set()
    for group in range(file.metadata.num_row_groups):
        for place in range(file.metadata.num_columns):
            chunk = file.metadata.row_group(group).column(place)
            statistics = chunk.statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                gaps.add(chunk.path_in_schema)
    return gaps


def _merged(batches: list[list[Done]], columns: list[str]) -> list[Done]:
    """What each rule did to all batches together; its columns in the order of the table."""
    merged = []
    for same in zip(*batches, strict=True):
        named = {column for one in same for column in one.columns}
        known = [column for column in columns if column in named]
        ordered = (*known, *sorted(named - set(known)))
        merged.append(replace(same[0], rows=sum(one.rows for one in same), columns=ordered))
    return merged


def _row_hashes(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """A number for each row; rows equal in every column, missing or not, have equal numbers.

    Rows that differ share one of 2**64 numbers by chance: once among ten million rows in 370,000
    tables.
    """
    # Adding zero turns -0.0 into 0.0, and there is one NaN only.
    plain = {
        name: values.where(values.notna(), np.nan) + 0.0 if values.dtype.kind == "f" else values
        for name, values in frame.items()
    }
    hashes = pd.util.hash_pandas_object(pd.DataFrame(plain), index=False)
    return hashes.to_numpy().astype(np.uint64)


def label_and_places(
    cleaned: Cleaned, config: PreprocessStageConfig
) -> tuple[Labelled, Places, NDArray[Any]]:
    """Drops copies, makes the label and shares the rows between the splits.

    Returns:
        The label of the rows that are kept, the place of every clean row (-1 for a copy), and the
        label of every clean row (0 for a copy).

    Raises:
        DataError: No row, one class, or an empty split is left.
        ConfigError: A bound of a time split is no moment.
    """
    copies = np.zeros(len(cleaned.hashes), np.bool_)
    if config.preprocess.duplicates == "drop":
        copies = pd.Series(cleaned.hashes).duplicated().to_numpy()
        cleaned.done.append(Done("duplicates", int(copies.sum()), DUPLICATES_NOTE))
    kept = ~copies
    refuse_no_rows(int(kept.sum()), cleaned.done)
    labelled = make_label(cleaned.table[LABEL][kept].reset_index(drop=True), config.label)
    keys = [SPLIT_KEY + name for name in split_columns(config.split)]
    frame = pd.DataFrame(
        {name: cleaned.table[name][kept] for name in keys},
        index=None if keys else pd.RangeIndex(int(kept.sum())),
    )
    same = np.arange(int(kept.sum()))
    if isinstance(config.split, RandomSplit) and config.preprocess.duplicates == "keep":
        same = pd.factorize(cleaned.hashes)[0].astype(np.int64)
    if config.group is not None:
        same = with_groups(same, cleaned.table[config.group][kept])
    places = np.full(len(kept), _DROPPED, np.int8)
    places[kept] = assign(frame, config.split, labelled.values, same)
    labels = np.zeros(len(kept), labelled.values.dtype)
    labels[kept] = labelled.values
    return labelled, places, labels


def write_splits(
    cleaned: Cleaned,
    places: Places,
    labels: NDArray[Any],
    columns: Mapping[str, ColumnConfig],
    scratch: Path,
) -> dict[Split, TableOnDisk]:
    """Writes the rows of each split with their label, in their order."""
    paths = {name: scratch / f"{name}.parquet" for name in SPLITS}
    always = {
        name
        for name, how in columns.items()
        if isinstance(how, BooleanConfig) and name not in cleaned.missed
    }
    with ExitStack() as stack:
        writers = {name: stack.enter_context(Writer(path)) for name, path in paths.items()}
        start = 0
        for frame in cleaned.table.batches():
            here = slice(start, start + len(frame))
            start = here.stop
            served = frame[list(columns)].astype(dict.fromkeys(always, "bool"))
            served = served.assign(**{LABEL: labels[here]})
            for place, writer in enumerate(writers.values()):
                writer.write(served[places[here] == place])
    return {name: TableOnDisk(path) for name, path in paths.items()}


def write_processed(
    splits: Mapping[Split, TableOnDisk],
    features: FeatureSet,
    folder: Path,
    extra: Mapping[str, NDArray[np.float32]],
) -> dict[Split, TableOnDisk]:
    """Writes the processed tables as they are served; `extra` columns go to the training split."""
    written: dict[Split, TableOnDisk] = {}
    for name, split in splits.items():
        path = folder / f"{name}.parquet"
        further = extra if name == "train" else {}
        with Writer(path) as writer:
            start = 0
            for frame in split.batches():
                here = slice(start, start + len(frame))
                start = here.stop
                served = as_served(frame, features.columns)
                kept = {k: frame[k] for k in (*features.kept, LABEL)}
                writer.write(served.assign(**kept, **{k: v[here] for k, v in further.items()}))
        written[name] = TableOnDisk(path)
    return written
