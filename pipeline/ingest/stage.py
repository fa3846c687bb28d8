"""The door of ingest: read the source, sample it, join what belongs to it, publish."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from pipeline.core.artifacts import Artifacts, write_json
from pipeline.core.console import progress, say
from pipeline.core.parquet import parquet_rows
from pipeline.core.records import FileFacts, SourceRecord
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.ingest.config import (
    FileSource,
    IngestConfig,
    IngestStageConfig,
    JoinConfig,
    Source,
    SqlSource,
)
from pipeline.ingest.join import left_join
from pipeline.ingest.locate import local_file
from pipeline.ingest.privacy import protect
from pipeline.ingest.privacy_keys import fingerprints
from pipeline.ingest.read import read_table
from pipeline.ingest.read_csv import broken_rows, dropped_rows
from pipeline.ingest.span import read_span
from pipeline.ingest.stream import ReadWholeError, may_stream, stream_table

Brought = tuple[pa.Table, FileFacts]


def run(config: IngestStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Brings the source and its joins into data/raw.

    Raises:
        DataError: A source is missing, empty or damaged, or a join does not fit.
        PipelineError: A variable that holds a database's address is not set.
    """
    record = stream_in(config, artifacts, context.root) or _read_in(config, artifacts, context.root)
    report(record, config.joins)
    for name in beyond_64_bits(artifacts.raw_table.path):
        said = f"'{name}' holds whole numbers beyond 64 bits, of which some 16 digits are kept"
        say(f"  warning: {said}; dtypes: {{{name}: string}} keeps them all")
    context.journal.params({"source": record.source.uri, "rows": record.rows})
    context.journal.tags({"source_sha256": record.source.sha256, "data_sha256": record.sha256})


def stream_in(config: IngestStageConfig, artifacts: Artifacts, root: Path) -> SourceRecord | None:
    """Brings a large file in batch by batch; None where it has to be read whole.

    Raises:
        DataError: The file is missing, or has no such column.
    """
    source = config.source
    if not isinstance(source, FileSource) or not may_stream(config, root):
        return None
    try:
        with (
            progress("bringing tables", total=2) as advance,
            local_file(source, root) as file,
            artifacts.raw.publish() as folder,
        ):
            advance(1, file.uri)
            path = folder / artifacts.raw_table.path.name
            made = stream_table(file.path, file.uri, source, path)
            facts = FileFacts(
                uri=file.uri, sha256=file.sha256, rows=made.rows, dropped_rows=made.dropped_rows
            )
            record = _recorded(
                path, facts, made.rows, made.columns, joins={}, matched={}, pii_keys={}
            )
            write_json(folder / artifacts.source.path.name, dump(record))
            advance(1, "written")
    except ReadWholeError:
        return None
    return record


def _read_in(config: IngestStageConfig, artifacts: Artifacts, root: Path) -> SourceRecord:
    known: dict[str, Brought] = {}
    facts: dict[str, FileFacts] = {}
    matched: dict[str, float] = {}
    with progress("bringing tables", total=len(config.joins) + 2) as advance:
        table, source = bring(config.source, root, known)
        table = sample(table, config.ingest)
        advance(1, source.uri)
        for name, join in config.joins.items():
            partner, facts[name] = bring(join.source, root, known)
            table, matched[name] = left_join(table, partner, name, join)
            advance(1, name)
        keys = fingerprints(config)
        record = publish(table, source, facts, matched, artifacts, pii_keys=keys)
        advance(1, "written")
    return record


def bring(source: Source, root: Path, known: dict[str, Brought]) -> Brought:
    """Reads a source once, however often it is named; `known` remembers.

    Raises:
        DataError: It is missing, empty or damaged.
        PipelineError: A variable that holds a database's address is not set.
    """
    key = json.dumps(dump(source))
    if key not in known:
        known[key] = _read(source, root)
    return known[key]


def sample(table: pa.Table, config: IngestConfig) -> pa.Table:
    """`sample_rows` rows drawn at random without replacement, in the order of the table."""
    if config.sample_rows is None or config.sample_rows >= table.num_rows:
        return table
    drawn = np.random.default_rng(config.seed).choice(
        table.num_rows, config.sample_rows, replace=False, shuffle=False
    )
    return table.take(np.sort(drawn))


def publish(
    table: pa.Table,
    source: FileFacts,
    joins: dict[str, FileFacts],
    matched: dict[str, float],
    artifacts: Artifacts,
    *,
    pii_keys: dict[str, str],
) -> SourceRecord:
    """Writes table.parquet and source.json in one step; equal tables give equal bytes."""
    with artifacts.raw.publish() as folder:
        path = folder / artifacts.raw_table.path.name
        with parquet_rows(path) as write:
            write(table.replace_schema_metadata(None))
        columns = tuple(table.column_names)
        record = _recorded(
            path, source, table.num_rows, columns, joins=joins, matched=matched, pii_keys=pii_keys
        )
        write_json(folder / artifacts.source.path.name, dump(record))
    return record


def _recorded(
    path: Path,
    source: FileFacts,
    rows: int,
    columns: tuple[str, ...],
    *,
    joins: dict[str, FileFacts],
    matched: dict[str, float],
    pii_keys: dict[str, str],
) -> SourceRecord:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return SourceRecord(
        source=source,
        joins=joins,
        matched_fraction={name: round(fraction, 6) for name, fraction in matched.items()},
        rows=rows,
        columns=columns,
        sha256=sha256,
        pii_keys=pii_keys,
    )


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


def beyond_64_bits(path: Path) -> list[str]:
    """Columns of whole numbers that are floating because some do not fit into 64 bits."""
    with parquet.ParquetFile(path) as file:
        return [
            field.name
            for place, field in enumerate(file.schema_arrow)
            if pa.types.is_float64(field.type)
            and _may_be_large(file.metadata, place)
            and lost_digits(file.read([field.name]).column(0))
        ]


def _may_be_large(about: parquet.FileMetaData, place: int) -> bool:
    """By the ends that Parquet keeps of each row group, so that few columns are read again."""
    for group in range(about.num_row_groups):
        ends = about.row_group(group).column(place).statistics
        if ends is None or not ends.has_min_max or max(-ends.min, ends.max) >= _INT64_END:
            return True
    return False


def lost_digits(numbers: pa.ChunkedArray) -> int:
    """How many floating numbers are beyond 64 bits; 0 where not all of them are whole."""
    sizes = pc.abs(numbers)
    largest = pc.max(sizes).as_py()
    if largest is None or not _INT64_END <= largest < float("inf"):
        return 0
    whole = pc.all(pc.equal(pc.floor(numbers), numbers)).as_py()
    return int(pc.sum(pc.greater_equal(sizes, _INT64_END)).as_py()) if whole else 0


def _read(source: Source, root: Path) -> Brought:
    if isinstance(source, SqlSource):
        # SQLAlchemy is imported only for those who use it.
        from pipeline.ingest.query import query_table, table_sha256

        table, uri = query_table(source, root)
        table = protect(table, source.pii, uri)
        return table, FileFacts(uri=uri, sha256=table_sha256(table), rows=table.num_rows)
    if isinstance(source, FileSource) and source.span is not None:
        return read_span(source, source.span, root)
    with local_file(source, root) as file:
        table = read_table(file.path, file.uri, source)
    facts = FileFacts(
        uri=file.uri,
        sha256=file.sha256,
        rows=table.num_rows,
        dropped_rows=dropped_rows(table),
        broken_rows=broken_rows(table),
    )
    return protect(table, source.pii, file.uri), facts
