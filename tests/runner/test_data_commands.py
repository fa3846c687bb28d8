"""`pipeline data schema|check|update` on real files and a real run of ingest and preprocess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.cli import run_command
from pipeline.runner.data_file import load, render
from tests.conftest import REPOSITORY
from tests.runner.shop import make_shop, orders, prepare


@pytest.fixture
def root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project with configs and the schema of `orders`, written strictly by the command."""
    monkeypatch.setattr("pipeline.compose.memory.STATE", str(tmp_path_factory.getbasetemp()))
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return make_shop(root)


@pytest.fixture
def trained(root: Path) -> Path:
    """The same after ingest and preprocess."""
    prepare(root)
    return root


def columns(root: Path) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((root / "configs/data/orders.yaml").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = content["columns"]
    return found


def new_file(root: Path, frame: pd.DataFrame) -> str:
    frame.to_csv(root / "new.csv", index=False)
    return "new.csv"


def check(capsys: pytest.CaptureFixture[str], file: str, *more: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run_command(["data", "check", file, "--json", *more])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, report


def test_a_strict_schema_writes_what_held_in_every_row(root: Path):
    found = columns(root)
    assert found["number"] == {"kind": "id", "max_missing_fraction": 0.0, "unique": True}
    assert "allowed" not in found["plz"], "their zeros are not in the look at the table"
    assert found["ordered"]["at_most"] == "sent"
    assert "at_most" not in found["sent"]
    weight = orders()["weight"]
    assert found["weight"]["range"] == [weight.min(), weight.max()]
    assert set(found["shop"]["allowed"]) == {"north", "south"}


def test_without_strict_the_schema_is_that_of_init(root: Path):
    before = (root / "configs/data/orders.yaml").read_text(encoding="utf-8")
    arguments = ["--from", "data/source/orders.csv", "--label", "late", "--force"]
    assert run_command(["data", "schema", *arguments]) == 0
    plain = (root / "configs/data/orders.yaml").read_text(encoding="utf-8")
    assert run_command(["init", *arguments]) == 0
    assert (root / "configs/data/orders.yaml").read_text(encoding="utf-8") == plain != before


def test_rows_like_those_of_training_pass(trained: Path, capsys: pytest.CaptureFixture[str]):
    fresh = orders(200, seed=1)
    lowest, highest = columns(trained)["weight"]["range"]
    fresh["weight"] = fresh["weight"].clip(lowest + 1, highest - 1)
    code, report = check(capsys, new_file(trained, fresh))
    assert code == 0
    assert report["trained"] is True
    assert report["rows"] == 200
    assert [one for one in report["anomalies"] if one["severity"] == "error"] == []


def test_what_breaks_the_contract_stops_with_one(trained: Path, capsys: pytest.CaptureFixture[str]):
    broken = orders(50, seed=1).assign(shop="east", extra=1).drop(columns="plz")
    broken.loc[0, "number"] = broken.loc[1, "number"]
    code, report = check(capsys, new_file(trained, broken), "--report", "out/report.json")
    assert code == 1
    errors = {(one["kind"], one["column"]): one for one in report["anomalies"]}
    assert errors["missing_column", "plz"]["severity"] == "error"
    assert errors["not_allowed", "shop"]["rows"] == 50
    assert errors["not_unique", "number"]["examples"] == ["row 1: 'o1-1'", "row 2: 'o1-1'"]
    assert errors["new_column", "extra"]["severity"] == "warning"
    assert report["errors"] == 3
    assert json.loads((trained / "out/report.json").read_text(encoding="utf-8")) == report
    assert run_command(["data", "check", "new.csv"]) == 1
    said = capsys.readouterr().out
    assert "error  not_allowed  'shop': is one of" in said
    assert "new.csv: 50 rows against 'orders': 3 errors, " in said


def test_columns_without_a_plain_name_are_named(trained: Path, capsys: pytest.CaptureFixture[str]):
    file = new_file(trained, orders(20, seed=1).assign(**{"": 1, "two\nlines": 2}))
    for command in ("check", "update"):
        run_command(["data", command, file])
        said = capsys.readouterr().out
        assert "'': is new" in said
        assert r"'two\nlines': is new" in said


def test_the_options_of_the_source_read_the_new_file_too(root: Path):
    """Postcodes keep their zeros because the source says that they are text."""
    file = new_file(root, orders(50, seed=1))
    assert run_command(["data", "check", file, "--data", "orders"]) == 0


def test_a_file_that_is_not_there_is_wrong_usage(root: Path, capsys: pytest.CaptureFixture[str]):
    new_file(root, orders(5))
    assert run_command(["data", "check", "nwe.csv"]) == 2
    assert "did you mean new.csv?" in capsys.readouterr().err


def test_an_update_is_shown_first_and_makes_the_rows_pass(
    trained: Path, capsys: pytest.CaptureFixture[str]
):
    path = trained / "configs/data/orders.yaml"
    before = path.read_text(encoding="utf-8")
    fresh = orders(100, seed=1).assign(gift=np.resize(["a", "b"], 100)).drop(columns="plz")
    fresh.loc[0, ["shop", "weight"]] = ["east", 5000.0]
    fresh.loc[1, "sent"] = "2020-01-01"
    file = new_file(trained, fresh)
    assert run_command(["data", "check", file]) == 1
    capsys.readouterr()
    assert run_command(["data", "update", file]) == 0
    said = capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == before
    assert "-  plz: {" in said
    assert "+  gift: {kind: categorical" in said
    assert "nothing was written" in said

    assert run_command(["data", "update", file, "--write"]) == 0
    found = columns(trained)
    assert "plz" not in found
    assert found["shop"]["allowed"][-1] == "east"
    assert found["weight"]["range"][1] == 5000
    assert "at_most" not in found["ordered"]
    kept = [line for line in before.splitlines() if line.lstrip().startswith("# ")]
    after = path.read_text(encoding="utf-8").splitlines()
    assert set(kept) <= set(after), "comments stay"
    assert run_command(["data", "check", file]) == 0


def test_what_the_file_itself_lost_is_told(root: Path, capsys: pytest.CaptureFixture[str]):
    path = root / "configs/data/orders.yaml"
    text = path.read_text(encoding="utf-8")
    source = "  kind: file\n"
    path.write_text(text.replace(source, f"{source}  bad_rows: drop\n  bad_text: drop\n"))
    header, *rows = orders(50, seed=1).to_csv(index=False).splitlines()
    rows[0] += ",9"
    content = "\n".join([header, *rows, ""]).replace("o1-3,", "ö,").encode("latin-1")
    (root / "new.csv").write_bytes(content)
    code, report = check(capsys, "new.csv")
    told = {one["kind"]: one["text"] for one in report["anomalies"]}
    assert code == 0
    assert told["bad_rows"] == "1 rows are malformed and left out"
    assert told["bad_text"] == "1 rows hold text of another encoding"

    numbers = orders(50, seed=1).assign(number=[10**20 + i for i in range(50)])
    _, report = check(capsys, new_file(root, numbers))
    lost = next(one for one in report["anomalies"] if one["kind"] == "lost_digits")
    assert (lost["column"], lost["rows"]) == ("number", 50)


def test_a_large_file_is_checked_and_updated_alike(
    trained: Path, capsys: pytest.CaptureFixture[str]
):
    fresh = orders(3000, seed=1).astype({"weight": object})
    fresh.loc[[5, 2500], "number"] = "twice"
    fresh.loc[[7, 1500, 2999], "shop"] = "east"
    fresh.loc[2000, ["weight", "sent"]] = ["heavy", "2020-01-01"]
    fresh.loc[100:500] = fresh.loc[1100:1500].to_numpy()
    file = new_file(trained, fresh)
    found = []
    for more in ("", ", ingest.stream_above_bytes=1, preprocess.stream.batch_rows=1000"):
        (trained / "overrides.yaml").write_text(f"overrides: [data=orders{more}]\n")
        report = check(capsys, file)
        assert run_command(["data", "update", file]) == 0
        found.append((report, capsys.readouterr().out))
    assert found[1] == found[0]
    kinds = {one["kind"] for one in found[0][0][1]["anomalies"]}
    assert {"not_unique", "not_allowed", "wrong_type", "above_other", "duplicates"} <= kinds
    assert not list((trained / ".pipeline/scratch").iterdir())


def test_what_is_wrong_with_the_rows_changes_no_config(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    before = (root / "configs/data/orders.yaml").read_bytes()
    fresh = orders(50, seed=1).astype({"weight": object})
    lowest, _ = columns(root)["weight"]["range"]
    fresh["weight"] = fresh["weight"].clip(lower=lowest)
    fresh.loc[0, ["weight", "sent", "shop"]] = ["heavy", "soon", "y" * 100_000]
    file = new_file(root, fresh)
    assert run_command(["data", "check", file]) == 1
    capsys.readouterr()
    assert run_command(["data", "update", file, "--write"]) == 0
    said = capsys.readouterr().out
    assert "'weight': is a number: not so in 1 of 50 rows (wrong_type: no change" in said
    assert len(said) < 5000, "a long word is not shown whole"
    assert (root / "configs/data/orders.yaml").read_bytes() == before


def test_a_file_of_something_else_is_no_reason_to_empty_the_config(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    orders(50, seed=1).to_csv(root / "new.csv", index=False, sep=";")
    assert run_command(["data", "update", "new.csv", "--write"]) == 1
    assert "none of the declared columns: number;plz;ordered" in capsys.readouterr().err


def test_a_word_of_megabytes_stays_out_of_a_strict_schema(root: Path):
    long = orders(50, seed=1)
    long.loc[0, "shop"] = "y" * 1_000_000
    arguments = ["--from", new_file(root, long), "--label", "late", "--name", "long", "--strict"]
    assert run_command(["data", "schema", *arguments]) == 0
    text = (root / "configs/data/long.yaml").read_text(encoding="utf-8")
    assert "shop: {" in text
    assert "allowed" not in text.partition("shop: {")[2].splitlines()[0]
    assert len(text) < 10_000


def test_a_table_as_a_spreadsheet_saves_it(root: Path):
    orders(60).to_csv(root / "new.csv", index=False, sep=";", encoding="utf-16")
    arguments = ["--from", "new.csv", "--label", "late", "--name", "sheet"]
    assert run_command(["data", "schema", *arguments]) == 0
    content = yaml.safe_load((root / "configs/data/sheet.yaml").read_text(encoding="utf-8"))
    assert (content["source"]["encoding"], content["source"]["delimiter"]) == ("utf-16", ";")
    assert set(content["columns"]) == set(orders(1)) - {"late"}


def test_nothing_to_update_changes_nothing(root: Path, capsys: pytest.CaptureFixture[str]):
    before = (root / "configs/data/orders.yaml").read_bytes()
    assert run_command(["data", "update", "data/source/orders.csv", "--write"]) == 0
    assert "stays as it is" in capsys.readouterr().out
    assert (root / "configs/data/orders.yaml").read_bytes() == before


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs/data").glob("*.yaml")), ids=str)
def test_a_config_survives_being_read_and_written(path: Path):
    text = path.read_text(encoding="utf-8")
    assert render(load(text)) == text


def test_new_rows_of_the_source_are_joined_before_they_are_checked(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    shops = pd.DataFrame({"shop": ["north", "south"], "size": [3.5, 4.5]})
    shops.to_csv(root / "data/source/shops.csv", index=False)
    path = root / "configs/data/orders.yaml"
    text = path.read_text(encoding="utf-8")
    join = (
        "joins:\n  shops:\n    source: {kind: file, path: data/source/shops.csv}\n    key: [shop]"
    )
    text = text.replace("joins: {}", join).replace(
        "columns:\n", "columns:\n  size: {kind: numeric, range: [0, 4]}\n"
    )
    path.write_text(text, encoding="utf-8")
    code, report = check(capsys, new_file(root, orders(50, seed=1)))
    outside = {one["column"]: one for one in report["anomalies"] if one["kind"] == "out_of_range"}
    assert (code, report["errors"]) == (0, 0)
    assert outside["size"]["rows"] == (orders(50, seed=1)["shop"] == "south").sum()
    code, report = check(capsys, new_file(root, orders(50, seed=1).assign(size=3.0)))
    assert "size" not in {one["column"] for one in report["anomalies"]}, "taken as it is"
