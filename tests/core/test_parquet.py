"""Parquet written table by table: the rows come back; only what repeats has a dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.core.parquet import parquet_rows


def rows(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "number": random.normal(size=count),
            "few": random.integers(0, 3, count),
            "word": pa.array(random.choice(["a", "b"], count)),
            "name": pa.array([f"{seed}-{row}" for row in range(count)], pa.string()),
            "nothing": pa.nulls(count),
        }
    )


def dictionaries(path: Path) -> dict[str, bool]:
    group = parquet.read_metadata(path).row_group(0)
    columns = (group.column(place) for place in range(group.num_columns))
    return {one.path_in_schema: one.has_dictionary_page for one in columns}


def test_rows_come_back_in_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parts = [rows(count, seed) for seed, count in enumerate((100_000, 0, 200_000, 400_000, 7))]
    with parquet_rows(path) as write:
        for part in parts:
            write(part)
    assert parquet.read_table(path).equals(pa.concat_tables(parts))
    about = parquet.read_metadata(path)
    sizes = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
    assert sizes == [250_000, 250_000, 200_007]
    assert dictionaries(path) == {
        "number": False,
        "few": True,
        "word": True,
        "name": False,
        "nothing": True,
    }


@pytest.mark.parametrize("size", [1_013, 65_536, 299_999])
def test_the_same_rows_give_the_same_bytes_however_they_are_divided(
    tmp_path: Path, size: int
) -> None:
    whole = rows(300_000, 0)
    for name, step in (("whole", 300_000), ("divided", size)):
        with parquet_rows(tmp_path / name) as write:
            for start in range(0, whole.num_rows, step):
                write(whole.slice(start, step))
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "divided").read_bytes()


@pytest.mark.parametrize(
    "values",
    [[["a", "b"], [], None], [{"a": 1}, None, {"a": 2}], np.arange(3, dtype=np.float16)],
    ids=["lists", "structs", "halves"],
)
def test_odd_types_come_back(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"odd": values, "number": [1.5, 2.5, 3.5]})
    with parquet_rows(path) as write:
        write(table)
    assert parquet.read_table(path).equals(table)


def test_no_rows_make_a_file_and_no_table_makes_none(tmp_path: Path) -> None:
    with parquet_rows(tmp_path / "empty.parquet") as write:
        write(rows(0, 0))
    assert parquet.read_table(tmp_path / "empty.parquet").equals(rows(0, 0))
    with parquet_rows(tmp_path / "none.parquet"):
        pass
    assert not (tmp_path / "none.parquet").exists()


def test_a_failure_aside_is_told(tmp_path: Path) -> None:
    other = pa.table({"number": ["of another type"]})
    with (
        pytest.raises(ValueError, match="schema"),
        parquet_rows(tmp_path / "a.parquet") as write,
    ):
        write(rows(250_000, 0).select(["number"]))
        write(pa.concat_tables([other] * 250_000))
