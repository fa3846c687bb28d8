"""A raw table in parts: row groups of its Parquet file, and what is the same for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from pipeline.core.artifacts import Artifacts, Table
from pipeline.core.parquet import as_frame
from pipeline.preprocess.categories import repeated_words
from pipeline.preprocess.config import ColumnConfig, PreprocessStageConfig
from pipeline.preprocess.raw import parts, required_columns

_BUCKET_ROWS = 250_000


@dataclass(frozen=True)
class Part:
    """Some row groups of the raw table.

    Attributes:
        index: Its number among the parts.
        groups: Its row groups.
        start: The number of its first row in the table, from 0.
    """

    index: int
    groups: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Job:
    """What is the same for all parts.

    Attributes:
        root: The project folder.
        scratch: Where working copies go.
        config: Of the stage.
        columns: Declared columns.
        names: Raw columns that take part.
        gaps: Those that miss a value somewhere.
        words: Columns of the working table that are carried as categories.
        rows: Rows of the raw table.
        parts: The parts in order.
    """

    root: Path
    scratch: Path
    config: PreprocessStageConfig
    columns: Mapping[str, ColumnConfig]
    names: tuple[str, ...]
    gaps: frozenset[str]
    words: frozenset[str]
    rows: int
    parts: tuple[Part, ...]

    @property
    def buckets(self) -> int:
        """In how many shares copies are sought: so many that each fits into memory."""
        return bucket_count(self.rows)

    @property
    def step(self) -> int:
        """Every how many rows of the raw table one is in the sample."""
        return sample_step(self.rows, self.config.preprocess.sample_rows)

    def clean(self, part: Part) -> Path:
        """The clean rows of a part."""
        return self.scratch / f"clean-{part.index:05}.arrow"

    def divided(self, part: Part) -> Path:
        """Which split each clean row of a part is in, and its label."""
        return self.scratch / f"divided-{part.index:05}.arrow"

    def sample(self, name: str, part: Part) -> Path:
        """Some rows of a part that are in one split, as they are served."""
        return self.scratch / f"{name}-sample-{part.index:05}.arrow"

    def whole(self, name: str) -> Path:
        """The rows of one split as they are served."""
        return self.scratch / f"{name}.parquet"


def bucket_count(rows: int) -> int:
    """Shares, a power of two, of which each one's hashes fit into memory."""
    return max(1, 1 << (rows // _BUCKET_ROWS).bit_length())


def sample_step(rows: int, most: int) -> int:
    """Every how many rows one is taken, so that at most `most` are."""
    return max(-(-rows // most), 1)


def planned(
    config: PreprocessStageConfig,
    columns: Mapping[str, ColumnConfig],
    artifacts: Artifacts,
    scratch: Path,
) -> Job:
    """Divides the raw table.

    Raises:
        DataError: A column is not in the table; names the nearest ones.
        PipelineError: The table is missing or damaged.
    """
    names = required_columns(artifacts.raw_table, config)
    with artifacts.raw_table.parts() as file:
        about = file.metadata
        sizes = group_sizes(about)
        gaps = _columns_with_gaps(about)
        words = repeated_words(file, config)
    return Job(
        root=artifacts.root,
        scratch=scratch,
        config=config,
        columns=dict(columns),
        names=tuple(names),
        gaps=frozenset(gaps),
        words=words,
        rows=sum(sizes),
        parts=tuple(_parts(sizes, config.preprocess.stream.part_rows)),
    )


def _parts(sizes: Sequence[int], rows: int) -> Iterator[Part]:
    index = start = end = 0
    groups: list[int] = []
    for group, size in enumerate(sizes):
        groups.append(group)
        end += size
        if end - start >= rows or group == len(sizes) - 1:
            yield Part(index, tuple(groups), start)
            index, start, groups = index + 1, end, []


def _columns_with_gaps(about: parquet.FileMetaData) -> set[str]:
    gaps = set()
    for group in range(about.num_row_groups):
        for place in range(about.num_columns):
            chunk = about.row_group(group).column(place)
            statistics = chunk.statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                gaps.add(chunk.path_in_schema)
    return gaps


def raw_batches(job: Job, part: Part) -> Iterator[pd.DataFrame]:
    """The rows of a part, `stream.batch_rows` at a time, numbered as in the table."""
    raw = parts(job.config)
    with Artifacts(job.root).raw_table.parts(raw[name][0] for name in job.words) as file:
        size = job.config.preprocess.stream.batch_rows
        yield from numbered(file, size, job.names, job.gaps, part)


def table_batches(table: Table, names: Sequence[str], size: int) -> Iterator[pd.DataFrame]:
    """Some columns of a whole table, `size` rows at a time, numbered."""
    with table.parts() as file:
        gaps = _columns_with_gaps(file.metadata)
        # Arrow fetches all row groups at once that it is asked for.
        for part in _parts(group_sizes(file.metadata), size):
            yield from numbered(file, size, names, gaps, part)


def group_sizes(about: parquet.FileMetaData) -> list[int]:
    """Rows of each row group."""
    return [about.row_group(group).num_rows for group in range(about.num_row_groups)]


def numbered(
    file: parquet.ParquetFile,
    size: int,
    names: Sequence[str],
    gaps: AbstractSet[str],
    part: Part,
) -> Iterator[pd.DataFrame]:
    """Rows of some row groups in the dtypes that they have in the whole table."""
    start = part.start
    for batch in file.iter_batches(size, row_groups=part.groups, columns=list(names)):
        table = pa.Table.from_batches([batch])
        for place, one in enumerate(table.schema):
            # A whole column with a gap is float64 in pandas, so each of its batches must be; 64
            # bits are left to `as_frame`.
            narrow = pa.types.is_integer(one.type) and one.type.bit_width < 64
            if one.name in gaps and narrow:
                floats = table.column(place).cast(pa.float64(), safe=False)
                table = table.set_column(place, one.name, floats)
        frame = as_frame(table.select(list(names)), gaps, in_place=True)
        frame.index = pd.RangeIndex(start, start + len(frame))
        start += len(frame)
        yield frame


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path aside that becomes `path` when the block ends well; none where nothing was written.

    A worker that was taken for dead may write the same file as the one in its place.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    yield aside
    if aside.exists():
        aside.replace(path)
