"""Personal data is dropped, hashed or made coarse as it is read, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from pipeline.core.errors import DataError, nearest
from pipeline.ingest.config import PiiConfig, PiiDrop


def protect(table: pa.Table, pii: Mapping[str, PiiConfig], uri: str) -> pa.Table:
    """Does to each column of `pii` what its entry says; the others stay as they are.

    Missing values stay missing. Equal values give equal hashes, in every table and every run with
    the same key, so that tables can still be joined and split by them.

    Args:
        table: As it was read.
        pii: What is done with each column that holds personal data.
        uri: What people call the source, for messages.

    Raises:
        DataError: A column is not there, or holds values that cannot be made coarse so.
        PipelineError: The variable that should hold the key is not set, or its key is too short.
    """
    for name, how in pii.items():
        if name not in table.column_names:
            near = nearest(name, table.column_names)
            raise DataError(
                f"{uri} has no column '{name}', which pii names",
                expected="every column of personal data by its right name, or it would get through",
                remedy=f"did you mean {' or '.join(near)}?" if near else "correct pii",
            )
        place = table.column_names.index(name)
        if isinstance(how, PiiDrop):
            table = table.remove_column(place)
        else:
            # pandas is imported only for those who have such columns.
            from pipeline.ingest.privacy_values import protected

            table = table.set_column(place, name, protected(name, table[name], how))
    return table
