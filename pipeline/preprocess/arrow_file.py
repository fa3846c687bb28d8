"""Working copies: tables under each other in Arrow's stream format, quick to write and read.

Nothing is compressed, because they live for as long as the stage runs. In a stream, other than in a
file, each table has dictionaries of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from pipeline.preprocess.parts import whole_file


@contextmanager
def tables_file(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """A function that writes tables under each other; the first decides about columns and types.

    The file appears when the block ends well and a table was written.
    """
    with whole_file(path) as aside, ExitStack() as stack:
        files: list[Any] = []

        def write(table: pa.Table) -> None:
            if not files:
                files.append(stack.enter_context(ipc.new_stream(str(aside), table.schema)))
            files[0].write_table(table)

        yield write


def tables_of(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The tables again, or some of their columns; none where no file is."""
    if not path.exists():
        return
    with ipc.open_stream(str(path)) as reader:
        names = reader.schema.names
    wanted = None if columns is None else [names.index(one) for one in columns]
    # Of a mapped file only what is wanted is read; a whole one would count as memory.
    opened = pa.OSFile if columns is None else pa.memory_map
    with opened(str(path)) as file:
        for batch in ipc.open_stream(file, options=ipc.IpcReadOptions(included_fields=wanted)):
            yield pa.Table.from_batches([batch])
