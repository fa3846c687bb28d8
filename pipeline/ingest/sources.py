"""Brings each source once, however often it is named, as rows that pass by in batches."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.core.records import FileFacts
from pipeline.core.schema import dump
from pipeline.ingest.config import FileSource, ReadConfig, Source, SqlSource
from pipeline.ingest.locate import LocalFile, local_file
from pipeline.ingest.rows import Portion, Rows
from pipeline.ingest.span import bring_span
from pipeline.ingest.stream import write_rows


class Sources:
    """Sources by what their config says.

    Args:
        root: The project folder, which relative paths start from.
        scratch: Where rows go.
        whole_bytes: A file that is not packed and not larger is read at once.
    """

    def __init__(self, root: Path, scratch: Path, whole_bytes: int) -> None:
        self._root = root
        self._scratch = scratch
        self._whole_bytes = whole_bytes
        self._known: dict[str, Rows] = {}

    def bring(self, source: Source, *, strict: bool = True) -> Rows:
        """The rows of a source; `strict` as for `write_rows`.

        Raises:
            DataError: It is missing, empty or damaged.
            PipelineError: A variable that holds a database's address is not set.
        """
        key = json.dumps([strict, dump(source)])
        if key not in self._known:
            self._known[key] = self._brought(source, strict=strict)
        return self._known[key]

    def owns(self, rows: Rows) -> bool:
        """Whether the rows are one file that nobody else needs."""
        (first, *more) = rows.portions
        return not more and first.constant is None and first.path.parent == self._scratch

    def _brought(self, source: Source, *, strict: bool) -> Rows:
        target = self._scratch / f"{len(self._known)}.parquet"
        if isinstance(source, SqlSource):
            # SQLAlchemy is imported only for those who use it.
            from pipeline.ingest.query import bring_answer

            return bring_answer(source, self._root, target)
        if isinstance(source, FileSource) and source.span is not None:
            return bring_span(source, source.span, self._root, self._write, self._scratch)
        with local_file(source, self._root) as file:
            return Rows.of(Portion(target, self._write(file, source, target, strict=strict)))

    def _write(
        self, file: LocalFile, how: ReadConfig, target: Path, *, strict: bool = True
    ) -> FileFacts:
        whole = self._whole_bytes
        made = write_rows(file.path, file.uri, how, target, whole_bytes=whole, strict=strict)
        return FileFacts(
            uri=file.uri,
            sha256=file.sha256,
            rows=made.rows,
            dropped_rows=made.dropped_rows,
            broken_rows=made.broken_rows,
        )
