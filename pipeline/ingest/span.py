"""A source of many dated files: which of them take part, and reading only the new ones again."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.artifacts import STATE, Record
from pipeline.core.errors import DataError, PipelineError
from pipeline.core.publishing import ASIDE_PREFIX, publish_folder
from pipeline.core.records import FileFacts
from pipeline.core.schema import dump
from pipeline.ingest.config import FileSource, SpanConfig
from pipeline.ingest.locate import LocalFile, local_file
from pipeline.ingest.read_errors import EmptyTableError
from pipeline.ingest.rows import Portion, Rows, fitted

PLACEHOLDER = "{date}"
_DATE = r"(\d{4})-?(\d{2})-?(\d{2})"
_CACHE = f"{STATE}/ingest"
_TABLE, _FACTS = "table.parquet", "facts.json"
_LAYOUT = 4
"""Part of a kept folder's name: another way of reading makes other names."""


@dataclass(frozen=True)
class Dated:
    """A file of the pattern.

    Attributes:
        path: Where it lies, as the source says paths.
        date: The date in its name.
    """

    path: str
    date: datetime.date


Write = Callable[[LocalFile, FileSource, Path], FileFacts]
"""Writes the protected rows of a file as Parquet."""


def bring_span(
    source: FileSource, span: SpanConfig, root: Path, write: Write, scratch: Path
) -> Rows:
    """Brings the files of the span, each as `source` says, under each other in order of date.

    A file that was read before is not parsed again: its rows are kept in `.pipeline/ingest` under
    the SHA-256 of its bytes and options, unless it holds personal data.

    Args:
        source: The pattern, and how each file is read.
        span: Which files take part.
        root: The project folder.
        write: Writes the rows of one file.
        scratch: Where those of personal data go.

    Raises:
        DataError: No file takes part, one cannot be read, or their columns do not fit.
    """
    files = span_files(source, span, root)
    kept = root / _CACHE / hashlib.sha256(source.path.encode()).hexdigest()[:16]
    portions: list[Portion] = []
    hashes: dict[str, str] = {}
    empty: list[str] = []
    for file in files:
        how = replace(source, path=file.path, span=None)
        with local_file(how, root) as found:
            folder = (scratch if how.pii else kept) / _key(how, found.sha256)
            hashes[file.path] = found.sha256
            try:
                portion = _remembered(folder) or _written(found, how, folder, write)
            except EmptyTableError as error:
                if len(empty) == len(files) - 1:
                    raise
                if span.empty_files == "error":
                    error.remedy = "fill the file, or set empty_files=drop in the span"
                    raise
                empty.append(file.path)
                continue
        portions.append(_dated(portion, file, span))
    _forget(kept, {portion.path.parent for portion in portions})
    facts = FileFacts(
        uri=source.path,
        sha256=hashlib.sha256(json.dumps(hashes).encode()).hexdigest(),
        rows=sum(one.facts.rows for one in portions),
        dropped_rows=sum(one.facts.dropped_rows for one in portions),
        broken_rows=sum(one.facts.broken_rows for one in portions),
        files=hashes,
        empty_files=tuple(empty),
    )
    return Rows(facts, _common_schema(portions), tuple(portions))


def span_files(source: FileSource, span: SpanConfig, root: Path) -> list[Dated]:
    """The files that take part, the earliest first.

    Raises:
        DataError: There is no file of the pattern, or none in the span.
    """
    pattern = Path(source.path)
    name = re.compile(re.escape(pattern.name).replace(re.escape(PLACEHOLDER), _DATE, 1))
    folder = root / pattern.parent
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = name.fullmatch(path.name)
        date = _date(match) if match else None
        if date is not None:
            found.append(Dated((pattern.parent / path.name).as_posix(), date))
    found.sort(key=lambda one: (one.date, one.path))
    since, until = (_bound(one) for one in (span.since, span.until))
    chosen = [
        one
        for one in found
        if (since is None or one.date >= since) and (until is None or one.date <= until)
    ]
    chosen = chosen[-span.newest :] if span.newest is not None else chosen
    if not chosen:
        seen = f"of {found[0].date} to {found[-1].date}" if found else "at all"
        raise DataError(
            f"no file of {source.path} lies in the span; there are {len(found)} files {seen}",
            expected="at least one, with a date such as 2024-02-29 or 20240229 in its name",
            remedy="correct path or span in the source",
        )
    return chosen


def _date(match: re.Match[str]) -> datetime.date | None:
    year, month, day = map(int, match.groups())
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def _bound(text: str | None) -> datetime.date | None:
    return None if text is None else datetime.date.fromisoformat(text)


def _key(source: FileSource, sha256: str) -> str:
    options = {name: value for name, value in dump(source).items() if name != "path"}
    kind = Path(source.path).suffixes
    said = json.dumps([_LAYOUT, sha256, kind, options], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _remembered(folder: Path) -> Portion | None:
    """What was read before; None where it was not, or is damaged."""
    try:
        portion = Portion(folder / _TABLE, Record(folder / _FACTS, FileFacts).read())
        parquet.read_metadata(portion.path)
    except (OSError, pa.ArrowException, PipelineError):
        return None
    return portion


def _written(file: LocalFile, how: FileSource, folder: Path, write: Write) -> Portion:
    with publish_folder(folder) as aside:
        facts = write(file, how, aside / _TABLE)
        Record(aside / _FACTS, FileFacts).write(facts)
    return Portion(folder / _TABLE, facts)


def _forget(kept: Path, used: AbstractSet[Path]) -> None:
    """Removes what no file of this span needs any more."""
    for path in kept.glob("*"):
        if path.is_file():
            path.unlink()  # of an earlier layout
        elif path not in used and not path.name.startswith(ASIDE_PREFIX):
            shutil.rmtree(path)


def _dated(portion: Portion, file: Dated, span: SpanConfig) -> Portion:
    if span.column is None:
        return replace(portion, facts=replace(portion.facts, uri=file.path))
    if span.column in portion.schema.names:
        raise DataError(
            f"{file.path} has a column '{span.column}' of its own",
            expected="a new name for the date of the file",
            remedy="choose another span.column in the source",
        )
    named = replace(portion.facts, uri=file.path)
    return Portion(portion.path, named, (span.column, file.date.isoformat()))


def _common_schema(portions: Sequence[Portion]) -> pa.Schema:
    """The columns in the order of the first file, of types that hold the values of all."""
    earliest, schema = portions[0], portions[0].schema
    for portion in portions[1:]:
        own = portion.schema
        if odd := sorted(set(own.names) ^ set(schema.names)):
            raise DataError(
                f"{portion.facts.uri} and {earliest.facts.uri} differ in the columns "
                f"{', '.join(odd[:10])}",
                expected="the same columns in every file of the span",
                remedy="narrow the span, or name under columns those that all files have",
            )
        schema = fitted(schema, own.empty_table(), portion.facts.uri).schema
    return schema
