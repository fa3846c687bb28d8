"""`pipeline data drift`: splits, files of rows, served requests, and what DVC has of a commit."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.cli import run_command
from pipeline.compose.overrides import record_overrides
from pipeline.runner.data_rows import data_params
from tests.conftest import make_project
from tests.runner.shop import make_shop, orders, prepare

ROWS = 1200


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run preprocess on 1,200 orders and committed what came out."""
    project = make_project(tmp_path_factory.mktemp("drift") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        make_shop(project.root, ROWS)
        prepare(project.root)
    assert project.run("pipeline", "stage", "compose").returncode == 0
    committed = project.run("dvc", "commit", "--force", "preprocess")
    assert committed.returncode == 0, committed.stderr
    project.git("add", "--all")
    project.git("commit", "--quiet", "-m", "orders")
    return project.root


@pytest.fixture(autouse=True)
def here(shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Works in the shop, with a folder beside it for new files."""
    monkeypatch.chdir(shop)
    monkeypatch.setattr("pipeline.compose.memory.STATE", str(shop / ".pipeline"))
    return tmp_path


def drift(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    code = run_command(["data", "drift", *arguments, "--json"])
    reports: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return code, reports


def drifted(report: dict[str, Any]) -> set[str]:
    return {one["column"] for one in report["columns"] if one["reasons"]}


def test_splits_at_random_have_not_drifted(capsys: pytest.CaptureFixture[str]):
    code, reports = drift(capsys)
    assert code == 0
    assert [report["current"] for report in reports] == ["validation", "test"]
    assert all(report["joint"]["rows"] == report["rows"][1] for report in reports)


def test_new_rows_that_differ_end_with_one(here: Path, capsys: pytest.CaptureFixture[str]):
    heavier = orders(400, seed=1).assign(weight=lambda table: table["weight"] / 2)
    heavier.to_csv(here / "new.csv", index=False)
    code, (report,) = drift(capsys, str(here / "new.csv"))
    assert (code, drifted(report)) == (1, {"weight"})
    assert run_command(["data", "drift", str(here / "new.csv")]) == 1
    said = capsys.readouterr().out
    assert "'weight': Jensen-Shannon" in said
    assert "1 of " in said


def test_served_rows_without_label_and_id_are_enough(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    asked = orders(400, seed=1).drop(columns=["number", "late"])
    asked.to_json(here / "asked.jsonl", orient="records", lines=True)
    code, (report,) = drift(capsys, str(here / "asked.jsonl"))
    assert (code, report["rows"][1]) == (0, 400)


def bodies(frame: pd.DataFrame) -> list[str]:
    """Request bodies of both kinds of TensorFlow Serving's REST API, and one in a record."""
    parts = [frame[:200], frame[200:399], frame[399:]]
    return [
        json.dumps({"instances": parts[0].to_dict("records")}),
        json.dumps({"inputs": parts[1].to_dict("list")}),
        json.dumps({"at": "now", "request": {"instances": parts[2].to_dict("records")}}),
    ]


def test_request_bodies_are_taken_apart(here: Path, capsys: pytest.CaptureFixture[str]):
    asked = orders(400, seed=1).drop(columns=["number", "late"]).assign(shop="west")
    (here / "bodies.jsonl").write_text("\n".join(bodies(asked)))
    code, (report,) = drift(capsys, str(here / "bodies.jsonl"))
    assert (code, report["rows"][1], drifted(report)) == (1, 400, {"shop"})


def test_a_line_that_is_no_request_is_named(here: Path, capsys: pytest.CaptureFixture[str]):
    asked = orders(400, seed=1)
    (here / "bodies.jsonl").write_text("\n".join([*bodies(asked), '{"instances": [1', ""]))
    assert run_command(["data", "drift", str(here / "bodies.jsonl")]) == 1
    assert "line 4 of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'\xff\xfe{"instances": []}', "line 4 of"),
        (b"[" * 200_000, "line 4 of"),
        (b'{"instances": [[1, 2], [3, 4]]}', "has instances that do not name their columns"),
        (b'{"instances": null}', "has no rows with named columns"),
        (b'{"inputs": {"weight": [1, 2], "shop": ["north"]}}', "has columns of different lengths"),
    ],
)
def test_rows_of_a_body_that_cannot_be_read_are_not_passed_over(
    here: Path, capsys: pytest.CaptureFixture[str], line: bytes, said: str
):
    whole = "\n".join(bodies(orders(400, seed=1))).encode()
    (here / "bodies.jsonl").write_bytes(b"\xef\xbb\xbf" + whole + b"\n" + line + b"\n")
    assert run_command(["data", "drift", str(here / "bodies.jsonl")]) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "line 4 of" in shown


def test_a_log_of_other_models_is_said_to_be_one(here: Path, capsys: pytest.CaptureFixture[str]):
    records = [{"model": "ships", "request": {"instances": [{"x": 1}]}}] * 200
    (here / "log.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert run_command(["data", "drift", str(here / "log.jsonl")]) == 1
    shown = capsys.readouterr().err
    assert "asks about a row of 'orders'" in shown
    assert "these requests are of: ships" in shown


def test_a_column_that_the_server_omits_is_not_asked_for(
    shop: Path, here: Path, capsys: pytest.CaptureFixture[str]
):
    asked = orders(400, seed=1).drop(columns=["number", "late", "shop"])
    (here / "log.jsonl").write_text(json.dumps({"instances": asked.to_dict("records")}))
    assert run_command(["data", "drift", str(here / "log.jsonl")]) == 1
    assert "no column 'shop'" in capsys.readouterr().err
    kept = (shop / "overrides.yaml").read_text()
    record_overrides(shop, ["data=orders", "serve.request_log.omit=[shop]"])
    try:
        code, (report,) = drift(capsys, str(here / "log.jsonl"))
    finally:
        (shop / "overrides.yaml").write_text(kept)
    assert code == 0
    assert "shop" not in {one["column"] for one in report["columns"]}


def test_a_column_that_is_not_asked_about_is_named(here: Path, capsys: pytest.CaptureFixture[str]):
    orders(400).drop(columns="shop").to_csv(here / "new.csv", index=False)
    assert run_command(["data", "drift", str(here / "new.csv")]) == 1
    assert "the rows have no column 'shop'" in capsys.readouterr().err


def test_training_data_of_an_earlier_commit(shop: Path, capsys: pytest.CaptureFixture[str]):
    code, (report,) = drift(capsys, "--rev", "HEAD")
    assert (code, report["reference"]) == (0, "train at HEAD")
    path = shop / "data/processed/train.parquet"
    kept = path.read_bytes()
    pd.read_parquet(path).assign(shop="north").to_parquet(path)
    try:
        code, (report,) = drift(capsys, "--rev", "HEAD")
    finally:
        path.write_bytes(kept)
    assert (code, drifted(report)) == (1, {"shop"})


def test_a_revision_that_does_not_exist_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    assert run_command(["data", "drift", "--rev", "nowhere"]) == 2
    assert "git does not know the revision 'nowhere'" in capsys.readouterr().err
    assert run_command(["data", "drift", "x.csv", "--rev", "HEAD"]) == 2


def test_the_profile_shows_the_same_figures(shop: Path, capsys: pytest.CaptureFixture[str]):
    _, reports = drift(capsys)
    written = json.loads((shop / "data/profile/profile.json").read_text())["drift"]
    for shown, told in zip(written, reports, strict=True):
        assert shown["rows"] == told["rows"]
        by_name = {one["column"]: one for one in told["columns"]}
        for one in shown["columns"]:
            figure = by_name[one["column"]]["jensen_shannon"]
            assert one["jensen_shannon"] == pytest.approx(figure)
    page = (shop / "data/profile/profile.html").read_text()
    assert "Drift: <bdi>validation</bdi> against <bdi>train</bdi>" in page


def test_a_request_log_is_compared_without_other_models_and_broken_ends(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    asked = orders(400, seed=1).drop(columns=["number", "late"]).astype(object)
    inputs = asked.where(asked.notna(), None).to_dict(orient="list")
    name = data_params(Path.cwd(), None)["register"]["name"]
    records = [
        {"time": 1.0, "model": name, "version": 1, "request": {"inputs": inputs}},
        {"time": 2.0, "model": "another", "version": 1, "request": {"inputs": {"y": [1, 2]}}},
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (here / "log.jsonl").write_text(text + '{"time": 3.0, "mod')
    code, (report,) = drift(capsys, str(here / "log.jsonl"))
    assert (code, report["rows"][1]) == (0, 400)


def pack(path: Path, ending: str) -> Path:
    """The file as programs leave it that pack old logs."""
    packed = path.with_name(path.name + ending)
    if ending == ".zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(path, path.name)
    else:
        with pa.CompressedOutputStream(str(packed), "gzip" if ending == ".gz" else "zstd") as file:
            file.write(path.read_bytes())
    return packed


@pytest.mark.parametrize("ending", [".gz", ".zst", ".zip"])
def test_a_packed_request_log_is_read_as_one(
    here: Path, capsys: pytest.CaptureFixture[str], ending: str
):
    asked = orders(400, seed=1).drop(columns=["number", "late"]).assign(shop="west")
    (here / "log.jsonl").write_text("\n".join(bodies(asked)))
    code, (report,) = drift(capsys, str(pack(here / "log.jsonl", ending)))
    assert (code, report["rows"][1], drifted(report)) == (1, 400, {"shop"})


def test_a_packed_request_log_that_is_cut_off_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
):
    (here / "log.jsonl").write_text("\n".join(bodies(orders(400, seed=1))))
    packed = pack(here / "log.jsonl", ".gz")
    packed.write_bytes(packed.read_bytes()[:-500])
    assert run_command(["data", "drift", str(packed)]) == 1
    assert f"{packed} cannot be read as jsonl" in capsys.readouterr().err


def test_columns_that_no_log_holds_are_left_out(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    asked = orders(400, seed=1).drop(columns=["number", "late", "weight"])
    asked.to_json(here / "asked.json", orient="records")
    instances = json.loads((here / "asked.json").read_text())
    (here / "log.jsonl").write_text(json.dumps({"instances": instances}) + "\n")
    assert run_command(["data", "drift", str(here / "log.jsonl")]) == 1
    assert "the rows have no column 'weight'" in capsys.readouterr().err
    monkeypatch.setattr(
        "pipeline.runner.data_drift.personal_columns", lambda _: frozenset({"weight"})
    )
    code, (report,) = drift(capsys, str(here / "log.jsonl"))
    assert code == 0
    assert "weight" not in {one["column"] for one in report["columns"]}
