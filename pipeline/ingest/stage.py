"""The door of ingest: read the source, sample it, join what belongs to it, publish."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from pipeline.core.artifacts import Artifacts, write_json
from pipeline.core.console import progress, say
from pipeline.core.parquet import parquet_rows
from pipeline.core.records import SourceRecord
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.ingest.config import IngestConfig, IngestStageConfig, JoinConfig
from pipeline.ingest.join import Joined
from pipeline.ingest.privacy_keys import fingerprints
from pipeline.ingest.rows import scratch_folder
from pipeline.ingest.sources import Sources


def run(config: IngestStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Brings the source and its joins into data/raw.

    Raises:
        DataError: A source is missing, empty or damaged, or a join does not fit.
        PipelineError: A variable that holds a database's address is not set.
    """
    with scratch_folder(context.root) as scratch:
        sources = Sources(context.root, scratch, config.ingest.stream_above_bytes)
        record = bring_in(config, artifacts, sources)
    report(record, config.joins)
    for name in beyond_64_bits(artifacts.raw_table.path):
        said = f"'{name}' holds whole numbers beyond 64 bits, of which some 16 digits are kept"
        say(f"  warning: {said}; dtypes: {{{name}: string}} keeps them all")
    context.journal.params({"source": record.source.uri, "rows": record.rows})
    context.journal.tags({"source_sha256": record.source.sha256, "data_sha256": record.sha256})


def bring_in(config: IngestStageConfig, artifacts: Artifacts, sources: Sources) -> SourceRecord:
    """Writes table.parquet and source.json in one step; equal sources give equal bytes.

    Raises:
        DataError: A source is missing, empty or damaged, or a join does not fit.
    """
    with progress("bringing tables", total=len(config.joins) + 2) as advance:
        main = sources.bring(config.source)
        advance(1, main.facts.uri)
        joined = Joined(main.schema)
        for name, join in config.joins.items():
            joined.add(name, join, sources.bring(join.source))
            advance(1, name)
        rows = min(main.facts.rows, config.ingest.sample_rows or main.facts.rows)
        with artifacts.raw.publish() as folder:
            path = folder / artifacts.raw_table.path.name
            if rows == main.facts.rows and not config.joins and sources.owns(main):
                shutil.move(main.portions[0].path, path)
            else:
                with parquet_rows(path) as write:
                    for table in sample(main.tables(), main.facts.rows, config.ingest):
                        write(joined.widen(table))
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            record = SourceRecord(
                source=main.facts,
                joins=joined.facts,
                matched_fraction=joined.matched_fraction,
                rows=rows,
                columns=tuple(joined.schema.names),
                sha256=sha256,
                pii_keys=fingerprints(config),
            )
            write_json(folder / artifacts.source.path.name, dump(record))
        advance(1, "written")
    return record


def sample(tables: Iterator[pa.Table], rows: int, config: IngestConfig) -> Iterator[pa.Table]:
    """`sample_rows` of `rows` drawn at random without replacement, in the order of the tables."""
    if config.sample_rows is None or config.sample_rows >= rows:
        yield from tables
        return
    random = np.random.default_rng(config.seed)
    drawn = np.sort(random.choice(rows, config.sample_rows, replace=False, shuffle=False))
    start = 0
    for table in tables:
        first, end = np.searchsorted(drawn, [start, start + table.num_rows])
        yield table.take(drawn[first:end] - start)
        start += table.num_rows


def report(record: SourceRecord, joins: dict[str, JoinConfig]) -> None:
    """Says what came in, and which join found few partners."""
    say(f"  {record.rows:,} rows, {len(record.columns)} columns from {record.source.uri}")
    if files := list(record.source.files):
        say(f"  {len(files)} files, {files[0]} to {files[-1]}")
    for facts in (record.source, *record.joins.values()):
        if facts.dropped_rows:
            said = f"{facts.dropped_rows:,} rows of {facts.uri} are malformed"
            say(f"  warning: {said}; they are left out (bad_rows)")
        if facts.broken_rows:
            said = f"{facts.broken_rows:,} rows of {facts.uri} hold text of another encoding"
            say(f"  warning: {said} (bad_text)")
        if facts.empty_files:
            said = f"{len(facts.empty_files):,} files without rows: {facts.empty_files[0]}"
            say(f"  warning: {said}{', ...' if len(facts.empty_files) > 1 else ''}")
    for name, fraction in record.matched_fraction.items():
        say(f"  {name}: {fraction:.1%} of the rows found a partner")
        if fraction < joins[name].warn_below:
            say(
                f"  warning: that is below {joins[name].warn_below:.0%}; are the key's values "
                f"written alike in both tables? (data.joins.{name}.warn_below)"
            )


_INT64_END = 2.0**63


def beyond_64_bits(path: Path) -> dict[str, int]:
    """Columns of whole numbers that are floating because some do not fit into 64 bits.

    Returns:
        How many do not, by column.
    """
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        columns = [
            (place, field.name)
            for place, field in enumerate(file.schema_arrow)
            if pa.types.is_float64(field.type) and _may_be_large(file.metadata, place)
        ]
        found = {name: _lost_digits(file, name) for _, name in columns}
    return {name: count for name, count in found.items() if count}


def _may_be_large(about: parquet.FileMetaData, place: int) -> bool:
    """By the ends that Parquet keeps of each row group, so that few columns are read again."""
    for group in range(about.num_row_groups):
        ends = about.row_group(group).column(place).statistics
        if ends is None or not ends.has_min_max or max(-ends.min, ends.max) >= _INT64_END:
            return True
    return False


def _lost_digits(file: parquet.ParquetFile, name: str) -> int:
    """How many floating numbers are beyond 64 bits; 0 where not all of them are whole."""
    count = 0
    for batch in file.iter_batches(columns=[name]):
        numbers = batch.column(0)
        sizes = pc.abs(numbers)
        largest = pc.max(sizes).as_py()
        if largest == float("inf") or pc.any(pc.not_equal(pc.floor(numbers), numbers)).as_py():
            return 0
        count += pc.sum(pc.greater_equal(sizes, _INT64_END)).as_py() or 0
    return count
