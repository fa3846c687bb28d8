"""Personal data: what is dropped, hashed or made coarse, and what would let it through."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError, DataError, PipelineError
from pipeline.core.schema import build
from pipeline.ingest.config import PiiConfig
from pipeline.ingest.privacy import protect
from tests.ingest.conftest import Ingest

KEY = "a secret of thirty-two characters"
CSV = "who,age,born,zip,n\nAda,36,1815-12-10,01067,1\nBob,41,1980-02-29,10115,2\nAda,,,,3\n"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PII_KEY", KEY)


def digest(word: str, secret: str = KEY) -> str:
    return hmac.new(secret.encode(), word.encode(), hashlib.sha256).hexdigest()[:32]


def read(ingest: Ingest, pii: dict[str, object], **source: object) -> pd.DataFrame:
    path = ingest.write("people.csv", CSV)
    dtypes = {"zip": "string"}
    return ingest.run({"kind": "file", "path": path, "dtypes": dtypes, "pii": pii, **source})


def test_a_hash_is_that_of_the_value_under_the_key(ingest: Ingest):
    table = read(ingest, {"who": {"how": "hash"}})
    assert table["who"].tolist() == [digest("Ada"), digest("Bob"), digest("Ada")]
    assert table["n"].tolist() == [1, 2, 3], "other columns stay"


def test_another_key_gives_other_hashes(ingest: Ingest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTHER_KEY", KEY[::-1])
    table = read(ingest, {"who": {"how": "hash", "key_env": "OTHER_KEY"}})
    assert table["who"][0] == digest("Ada", KEY[::-1])


@given(st.lists(st.one_of(st.none(), st.integers(-(2**53), 2**53)), min_size=1))
def test_equal_numbers_have_equal_hashes_whatever_their_type(values: list[int | None]):
    pii = {"x": build(PiiConfig, {"how": "hash"})}  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_PII_KEY", KEY)
        tables = [
            protect(pa.table({"x": pa.array(values, kind)}), pii, "t")["x"].to_pylist()
            for kind in (pa.int64(), pa.float64())
        ]
    expected = [None if value is None else digest(str(value)) for value in values]
    assert tables == [expected, expected]


def test_columns_are_dropped_and_made_coarse(ingest: Ingest):
    table = read(
        ingest,
        {
            "who": {"how": "drop"},
            "age": {"how": "generalise", "step": 10},
            "born": {"how": "generalise", "date": "year"},
            "zip": {"how": "generalise", "characters": 2},
        },
    )
    assert list(table.columns) == ["age", "born", "zip", "n"]
    assert table["age"].fillna(-1).tolist() == [30, 40, -1]
    assert table["born"].fillna("").tolist() == ["1815-01-01", "1980-01-01", ""]
    assert table["zip"].fillna("").tolist() == ["01", "10", ""]
    assert ingest.artifacts.source.read().columns == ("age", "born", "zip", "n")


def test_a_month_stays_where_the_month_is_asked_for(ingest: Ingest):
    table = read(ingest, {"born": {"how": "generalise", "date": "month"}})
    assert table["born"].fillna("").tolist() == ["1815-12-01", "1980-02-01", ""]


def test_hashed_keys_still_join(ingest: Ingest):
    ingest.write("rooms.csv", "person,room\nBob,7\nAda,9\n")
    pii = {"how": "hash"}
    join = {
        "source": {"kind": "file", "path": "rooms.csv", "pii": {"person": pii}},
        "left_key": ["who"],
        "right_key": ["person"],
    }
    source = {"kind": "file", "path": ingest.write("people.csv", CSV), "pii": {"who": pii}}
    assert ingest.run(source, {"rooms": join})["room"].tolist() == [9, 7, 9]


def test_the_answer_of_a_query_is_protected_too(ingest: Ingest):
    with sqlite3.connect(ingest.root / "shop.db") as database:
        database.execute("create table people (who text, n integer)")
        database.execute("insert into people values ('Ada', 1)")
    database.close()
    source = {"kind": "sql", "url": "sqlite:///shop.db", "query": "select * from people"}
    table = ingest.run({**source, "pii": {"who": {"how": "hash"}}})
    assert table["who"].tolist() == [digest("Ada")]


@pytest.mark.parametrize(("secret", "state"), [("", "is not set"), ("short", "key of 5 bytes")])
def test_a_hash_without_a_good_key_stops(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch, secret: str, state: str
):
    monkeypatch.setenv("PIPELINE_PII_KEY", secret)
    with pytest.raises(PipelineError, match=state):
        read(ingest, {"who": {"how": "hash"}})
    assert not (ingest.root / "data").exists()


def test_a_misspelt_column_stops_rather_than_getting_through(ingest: Ingest):
    with pytest.raises(DataError, match="no column 'hwo', which pii names") as error:
        read(ingest, {"hwo": {"how": "drop"}})
    assert "who" in error.value.remedy
    assert not (ingest.root / "data").exists()


@pytest.mark.parametrize("how", [{"step": 10}, {"date": "year"}], ids=lambda how: next(iter(how)))
def test_what_cannot_be_made_coarse_is_not_shown(ingest: Ingest, how: dict[str, object]):
    with pytest.raises(DataError, match="column 'who' holds") as error:
        read(ingest, {"who": {"how": "generalise", **how}})
    assert "Ada" not in str(error.value)


@pytest.mark.parametrize("how", ["year", "month"])
@pytest.mark.parametrize(
    "day",
    [
        "19850312",
        "12/03/1985",
        "March 3, 1985",
        "1985-3-12",
        "85-03-12",
        " 1985-03-12",
        "0000-01-01",
    ],
)
def test_a_date_in_another_form_never_shows_its_day(day: str, how: str):
    pii = {"born": build(PiiConfig, {"how": "generalise", "date": how})}  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no dates in ISO 8601") as error:
        protect(pa.table({"born": ["1980-01-01", day]}), pii, "t")
    assert day not in str(error.value)


@pytest.mark.parametrize("how", [{"how": "hash"}, {"how": "generalise", "characters": 1}])
def test_lists_are_not_taken_for_missing_values(how: dict[str, object]):
    pii = {"who": build(PiiConfig, how)}  # type: ignore[arg-type]
    with pytest.raises(DataError, match="such as lists") as error:
        protect(pa.table({"who": [["Ada"], None]}), pii, "t")
    assert "Ada" not in str(error.value)


def test_a_damaged_file_with_personal_data_is_not_quoted(ingest: Ingest):
    path = ingest.write("people.csv", "who,n\nAda Lovelace,oops-secret\n")
    source = {"kind": "file", "path": path, "dtypes": {"n": "int64"}}
    with pytest.raises(DataError, match="oops-secret"):
        ingest.run(source)
    with pytest.raises(DataError, match="personal data") as error:
        ingest.run({**source, "pii": {"who": {"how": "drop"}}})
    assert "oops-secret" not in str(error.value)


@pytest.mark.parametrize("how", [{}, {"step": 5, "characters": 2}])
def test_generalising_needs_one_way(ingest: Ingest, how: dict[str, object]):
    with pytest.raises(ConfigError, match="one of step, characters and date"):
        read(ingest, {"age": {"how": "generalise", **how}})
