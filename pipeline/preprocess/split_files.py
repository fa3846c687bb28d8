"""The splits on disk: the parts of each are put under each other while later ones are worked on.

All columns are written, since only the training rows tell which are of use. Hardly ever is one
left out, or one added; only then are the rows written once more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.features import FeatureSet
from pipeline.core.parquet import parquet_rows
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.preprocess.arrow_file import tables_of
from pipeline.preprocess.parts import Job, Part
from pipeline.preprocess.target_means import OutOfFold


@contextmanager
def growing_splits(job: Job) -> Iterator[Callable[[Part], None]]:
    """A function that takes over what a part gave each split; parts come in their order."""
    taken: list[Future[None]] = []
    with ExitStack() as stack:
        groups = {name: stack.enter_context(parquet_rows(job.whole(name))) for name in SPLITS}
        pool = stack.enter_context(ThreadPoolExecutor(1))
        try:
            yield lambda part: taken.append(pool.submit(_take, job, part, groups))
            for one in taken:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _take(job: Job, part: Part, groups: Mapping[Split, Callable[[pa.Table], None]]) -> None:
    for name, write in groups.items():
        path = job.split(name, part)
        for table in tables_of(path):
            write(table)
        path.unlink(missing_ok=True)


def publish_splits(job: Job, features: FeatureSet, extra: OutOfFold | None, folder: Path) -> None:
    """Moves the splits into `folder`, with the `extra` columns of the training split."""
    wanted = [*(column.name for column in features.columns), *features.kept, LABEL]
    for name in SPLITS:
        further = extra if name == "train" else None
        whole, target = job.whole(name), folder / f"{name}.parquet"
        if further is None and parquet.read_schema(whole).names == wanted:
            shutil.move(whole, target)
        else:
            _write_anew(whole, wanted, further, target)


def _write_anew(whole: Path, wanted: list[str], extra: OutOfFold | None, target: Path) -> None:
    with parquet.ParquetFile(whole) as file, parquet_rows(target) as write:
        for group in range(file.num_row_groups):
            rows: Any = file.read_row_group(group, columns=None if extra else wanted)
            table = rows.select(wanted)
            if extra:
                for column, values in extra(rows.to_pandas()).items():
                    table = table.append_column(column, pa.array(values))
            write(table)
