"""The splits on disk: the parts of each are put under each other while later ones are worked on.

All columns are written, since only the training rows tell which are of use. Hardly ever is one
left out, or one added; only then are the rows written once more.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.features import FeatureSet
from pipeline.core.parquet import parquet_rows
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.preprocess.categories import as_text
from pipeline.preprocess.parts import Job
from pipeline.preprocess.split_random import Places
from pipeline.preprocess.target_means import OutOfFold


class SplitFiles:
    """The splits, which grow in a thread of their own.

    Args:
        job: The job.
        stack: Holds what writes; when it is closed the files are complete.
    """

    def __init__(self, job: Job, stack: ExitStack) -> None:
        self._job = job
        self._stack = stack
        self._taken: list[Future[None]] = []
        self._write = {name: stack.enter_context(parquet_rows(job.whole(name))) for name in SPLITS}
        self._pool = stack.enter_context(ThreadPoolExecutor(1))

    def take(self, rows: Iterator[tuple[pa.Table, Places]]) -> None:
        """Takes over rows as they are served, in their order, and which split each is in."""
        self._taken.append(self._pool.submit(self._append, rows))

    def path(self, name: Split) -> Path:
        """The file of a split, once all that was taken over is in it."""
        for one in self._taken:
            one.result()
        self._stack.close()
        return self._job.whole(name)

    def publish(self, features: FeatureSet, extra: OutOfFold | None, folder: Path) -> None:
        """Moves the splits into `folder`, with the `extra` columns of the training split."""
        wanted = [*(column.name for column in features.columns), *features.kept, LABEL]
        for name in SPLITS:
            further = extra if name == "train" else None
            whole, target = self.path(name), folder / f"{name}.parquet"
            if further is None and parquet.read_schema(whole).names == wanted:
                shutil.move(whole, target)
            else:
                _write_anew(whole, wanted, further, target)

    def give_up(self) -> None:
        """Leaves out what has not been begun."""
        self._pool.shutdown(cancel_futures=True)

    def _append(self, rows: Iterator[tuple[pa.Table, Places]]) -> None:
        for served, places in rows:
            for place, name in enumerate(SPLITS):
                self._write[name](as_text(served.filter(pa.array(places == place))))


@contextmanager
def growing_splits(job: Job) -> Iterator[SplitFiles]:
    """The splits while they grow; nothing goes on growing after the block."""
    with ExitStack() as stack:
        files = SplitFiles(job, stack)
        try:
            yield files
        finally:
            files.give_up()


def _write_anew(whole: Path, wanted: list[str], extra: OutOfFold | None, target: Path) -> None:
    with parquet.ParquetFile(whole) as file, parquet_rows(target) as write:
        for group in range(file.num_row_groups):
            rows: Any = file.read_row_group(group, columns=None if extra else wanted)
            table = rows.select(wanted)
            if extra:
                for column, values in extra(rows.to_pandas()).items():
                    table = table.append_column(column, pa.array(values))
            write(table)
