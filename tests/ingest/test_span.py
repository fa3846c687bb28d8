"""Sources of dated files: which take part, what is recorded, and what is read again."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.core.schema import build
from pipeline.ingest.config import FileSource
from pipeline.ingest.span import span_files
from tests.ingest.conftest import Ingest
from tests.ingest.test_bad_sources import Failing

DAYS = ("2024-01-30", "2024-01-31", "2024-02-01")
PATTERN = "orders-{date}.csv"


def source(**span: Any) -> dict[str, Any]:
    return {"kind": "file", "path": PATTERN, "span": span}


@pytest.fixture
def dated(ingest: Ingest) -> Ingest:
    """Three files of two rows each, and neighbours that are none of them."""
    for number, day in enumerate(DAYS):
        ingest.write(f"orders-{day}.csv", f"x,word\n{number},a\n{number},b\n")
    for other in ("orders-2024-02-30.csv", "orders-late.csv", "orders-2024-01-31.csv.bak"):
        ingest.write(other, "x,word\n99,z\n")
    return ingest


@pytest.mark.parametrize(
    ("span", "numbers"),
    [
        ({}, [0, 1, 2]),
        ({"newest": 2}, [1, 2]),
        ({"newest": 9}, [0, 1, 2]),
        ({"since": "2024-01-31"}, [1, 2]),
        ({"until": "2024-01-31"}, [0, 1]),
        ({"until": "2024-01-31", "newest": 1}, [1]),
        ({"since": "2024-01-31", "until": "2024-01-31"}, [1]),
    ],
)
def test_the_span_decides_which_files_take_part(
    dated: Ingest, span: dict[str, Any], numbers: list[int]
):
    table = dated.run(source(**span))
    assert table["x"].tolist() == [number for number in numbers for _ in range(2)]
    facts = dated.artifacts.source.read().source
    assert list(facts.files) == [f"orders-{DAYS[number]}.csv" for number in numbers]
    assert facts.rows == len(table)


def test_rows_can_say_the_date_of_their_file(dated: Ingest):
    table = dated.run(source(newest=2, column="day"))
    assert table["day"].tolist() == [DAYS[1], DAYS[1], DAYS[2], DAYS[2]]


def test_only_new_and_changed_files_are_read_again(dated: Ingest, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []

    def spy(path: Path, uri: str, *rest: Any, **options: Any) -> Any:
        read.append(uri)
        return write_rows(path, uri, *rest, **options)

    from pipeline.ingest import sources as module

    write_rows = module.write_rows
    monkeypatch.setattr(module, "write_rows", spy)
    first = dated.run(source())
    assert len(read) == 3
    assert dated.run(source()).equals(first)
    assert len(read) == 3, "nothing has changed"
    dated.write("orders-2024-01-31.csv", "x,word\n7,a\n")
    dated.write("orders-20240202.csv", "x,word\n8,a\n")
    table = dated.run(source())
    assert read[3:] == ["orders-2024-01-31.csv", "orders-20240202.csv"]
    assert table["x"].tolist() == [0, 0, 7, 2, 2, 8]
    dated.run({**source(), "dtypes": {"x": "float64"}})
    assert len(read) == 9, "other options read another table"
    kept = list((dated.root / ".pipeline/ingest").rglob("*.parquet"))
    assert len(kept) == 4, "what no file needs any more is gone"


def test_a_damaged_memory_is_read_again(dated: Ingest):
    first = dated.run(source())
    for path in (dated.root / ".pipeline/ingest").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:40])
    assert dated.run(source()).equals(first)


def test_personal_data_is_not_remembered(dated: Ingest):
    table = dated.run({**source(), "pii": {"word": {"how": "drop"}}})
    assert list(table.columns) == ["x"]
    assert not list((dated.root / ".pipeline/ingest").rglob("*.parquet"))


def test_no_file_in_the_span(dated: Ingest, failing: Failing):
    message = failing(source(since="2030-01-01"))
    assert "there are 3 files of 2024-01-30 to 2024-02-01" in message


def test_files_that_do_not_fit_together(dated: Ingest, failing: Failing):
    dated.write("orders-2024-02-01.csv", "x,other\n1,a\n")
    assert "differ in the columns other, word" in failing(source())
    dated.write("orders-2024-02-01.csv", "x,word\nhigh,a\n")
    message = failing(source())
    assert "a column of orders-2024-02-01.csv has another type" in message
    dated.write("orders-2024-02-01.csv", "x,word\n2.5,a\n")
    assert dated.run(source())["x"].tolist() == [0, 0, 1, 1, 2.5]


def test_the_date_of_the_file_needs_a_name_of_its_own(dated: Ingest, failing: Failing):
    assert "has a column 'word' of its own" in failing(source(column="word"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": PATTERN},
        {"path": "orders.csv", "span": {}},
        {"path": PATTERN, "span": {"since": "2024-02-30"}},
        {"path": PATTERN, "span": {"since": "2024-02-02", "until": "2024-02-01"}},
        {"path": PATTERN, "span": {"newest": 0}},
    ],
    ids=str,
)
def test_spans_that_cannot_be_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        build(FileSource, {"kind": "file", **wrong})


def test_a_day_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match="until as a day that exists, not 2023-02-29"):
        build(FileSource, {"kind": "file", "path": PATTERN, "span": {"until": "2023-02-29"}})


@given(
    st.sets(st.dates(datetime.date(2000, 1, 1), datetime.date(2030, 12, 31)), min_size=1),
    st.integers(1, 5),
)
@settings(max_examples=20)
def test_the_newest_are_the_newest(days: set[datetime.date], newest: int):
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        for place, day in enumerate(sorted(days, key=hash)):
            text = day.isoformat() if place % 2 else f"{day:%Y%m%d}"
            (Path(name) / f"orders-{text}.csv").touch()
        how = build(FileSource, source(newest=newest))
        assert how.span is not None
        chosen = [one.date for one in span_files(how, how.span, Path(name))]
    assert chosen == sorted(days)[-newest:]


@pytest.mark.parametrize("content", ["x,word\n", ""], ids=["header", "nothing"])
def test_a_day_without_rows_stops_or_is_passed_over(
    dated: Ingest, failing: Failing, capsys: pytest.CaptureFixture[str], content: str
):
    dated.write("orders-2024-01-31.csv", content)
    message = failing(source())
    assert "orders-2024-01-31.csv" in message
    assert "or set empty_files=drop in the span" in message
    for _ in range(2):  # the second time from the kept tables
        assert dated.run(source(empty_files="drop"))["x"].tolist() == [0, 0, 2, 2]
        facts = dated.record.source
        assert facts.empty_files == ("orders-2024-01-31.csv",)
        assert len(facts.files) == 3
        assert "1 files without rows: orders-2024-01-31.csv" in capsys.readouterr().out


def test_days_that_are_all_without_rows(dated: Ingest, failing: Failing):
    for day in DAYS:
        dated.write(f"orders-{day}.csv", "x,word\n")
    assert "has a header but no rows" in failing(source(empty_files="drop"))
