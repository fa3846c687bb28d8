"""The store: made where it is missing, and named clearly where it cannot be used."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.tracking import (
    TrackingConfig,
    check_store,
    flush,
    journal_for,
    open_run,
    warm,
)
from pipeline.core.tracking_store import hide_credentials, main_root, open_store
from tests.stores import TRACKING, client, put_store, runs, start_python

SERVER = TrackingConfig(kind="server", experiment="flights")

OPEN = """
import sys
from pathlib import Path
from pipeline.core.tracking import TrackingConfig, check_store
print(check_store(Path(sys.argv[1]), TrackingConfig(kind="sqlite", experiment="flights")))
"""


@pytest.fixture(autouse=True)
def no_outer_store(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "PIPELINE_RUN"):
        monkeypatch.delenv(name, raising=False)


def test_many_processes_make_one_store(tmp_path):
    (tmp_path / "mlflow.db").touch()  # left by a program that was killed; as good as missing
    processes = [start_python(OPEN, tmp_path) for _ in range(2)]
    for process in processes:
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        assert out.strip() == f"sqlite:///{tmp_path / 'mlflow.db'}"
        assert errors == ""  # MLflow's own lines about its tables are nobody's business
    assert client(tmp_path).get_experiment_by_name("flights").artifact_location == (
        (tmp_path / "mlruns" / "flights").as_uri()
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".aside")] == []


def test_a_store_of_a_newer_mlflow_is_left_alone(tmp_path, capsys):
    database = put_store(tmp_path)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffff00001111'")
    before = database.read_bytes()
    with pytest.raises(PipelineError, match=r"newer MLflow \(its schema is ffff00001111\)") as err:
        check_store(tmp_path, TRACKING)
    assert "install a newer MLflow" in err.value.remedy
    assert database.read_bytes() == before
    journal_for(tmp_path, open_run(tmp_path, {}), "train").start()
    assert not flush(tmp_path, TRACKING)
    assert "newer MLflow" in capsys.readouterr().err
    put_store(tmp_path)
    assert flush(tmp_path, TRACKING)
    assert len(runs(tmp_path)) == 2


def test_a_store_of_an_older_mlflow_says_how_to_upgrade(tmp_path):
    database = put_store(tmp_path)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
    with pytest.raises(PipelineError, match="out-of-date") as error:
        check_store(tmp_path, TRACKING)
    assert "mlflow db upgrade" in error.value.remedy


@pytest.mark.parametrize(
    "content", [b"not a database at all", b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_damaged_store_is_named_and_kept(tmp_path, content):
    (tmp_path / "mlflow.db").write_bytes(content)
    with pytest.raises(PipelineError, match="not a readable MLflow database") as error:
        check_store(tmp_path, TRACKING)
    assert "move mlflow.db aside" in error.value.remedy
    assert (tmp_path / "mlflow.db").read_bytes() == content


def test_another_programs_database_is_no_store(tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE mine (a)")
    with pytest.raises(PipelineError, match="no such table: alembic_version"):
        check_store(tmp_path, TRACKING)


def test_damage_inside_is_met_when_it_is_read(tmp_path):
    database = put_store(tmp_path)
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(size // 3)
        file.write(b"\xab" * (size // 2))
    with pytest.raises(PipelineError, match=r"mlflow\.db") as error:
        open_store(tmp_path, TRACKING)
    assert "backup" in error.value.remedy


def test_a_deleted_experiment_is_named(tmp_path):
    put_store(tmp_path)
    store = open_store(tmp_path, TRACKING)
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(PipelineError, match="'flights' was deleted") as error:
        check_store(tmp_path, TRACKING)
    assert f"experiments restore -x {store.experiment_id}" in error.value.remedy


def test_a_server_must_be_named(tmp_path):
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI is not set"):
        check_store(tmp_path, SERVER)


def test_credentials_are_never_shown():
    shown = hide_credentials("at https://ann:s3cret@mlflow.example.org/a and http://h/")
    assert shown == "at https://mlflow.example.org/a and http://h/"


def test_an_experiment_in_a_copy_uses_the_main_store(tmp_path, monkeypatch):
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpabc"
    copy.mkdir(parents=True)
    assert main_root(copy) == copy
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert main_root(copy) == tmp_path
    assert main_root(Path("/elsewhere")) == Path("/elsewhere")


def test_warming_up_imports_what_comes_later():
    warm()
    assert {"mlflow.pyfunc", "pipeline.core.tracking_registry"} <= sys.modules.keys()
