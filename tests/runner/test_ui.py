"""The UI, and with it a real MLflow server: `tracking=server` end to end on the loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
import requests
import yaml

from pipeline.core.errors import BusyError
from pipeline.core.schema import dump
from pipeline.core.tracking import (
    TrackingConfig,
    finish_run,
    flush,
    journal_for,
    open_registry,
    open_run,
)
from pipeline.runner.ui import run_ui
from tests.stores import REPOSITORY, TRACKING, put_store

SERVER = TrackingConfig(kind="server", experiment="remote")

UI = """
import signal, sys
from pathlib import Path
from pipeline.runner.ui import run_ui
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what runs in background
sys.exit(run_ui(Path(sys.argv[1]), port=0, browser=False))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    put_store(root)
    (root / "params.yaml").write_text(yaml.safe_dump({"tracking": dump(TRACKING)}))
    return root


@pytest.fixture(scope="module")
def ui(store):
    """Address and process of a running UI."""
    command = [sys.executable, "-c", UI, str(store)]
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    with (store / "ui.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        line = process.stdout.readline()
        assert line.startswith("MLflow UI: http://127.0.0.1:"), (store / "ui.log").read_text()
        yield line.removeprefix("MLflow UI: ").strip(), process
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
        process.stdout.close()
        _, alive = psutil.wait_procs(children, timeout=20)
        for child in alive:
            child.kill()
        assert (code, alive) == (0, [])


def test_the_ui_answers_on_this_machine_only_and_stays_small(ui):
    address, process = ui
    assert "MLflow" in requests.get(address, timeout=30).text
    port = int(address.rsplit(":", 1)[1])
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) <= 3
    listening = [
        connection.laddr.ip
        for child in children
        for connection in child.net_connections("inet")
        if connection.status == "LISTEN" and connection.laddr.port == port
    ]
    assert set(listening) == {"127.0.0.1"}


def test_a_run_and_a_model_on_a_remote_server(ui, tmp_path, monkeypatch, capsys):
    address, _ = ui
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    run = open_run(tmp_path, {"train": {"epochs": 1}})
    journal = journal_for(tmp_path, run, "train")
    journal.start()
    journal.metrics({"loss": 0.5})
    picture = tmp_path / "roc.png"
    picture.write_text("picture")
    journal.artifact(picture, "plots")
    journal.finish("FINISHED")
    finish_run(tmp_path, run, succeeded=True)
    assert flush(tmp_path, SERVER), capsys.readouterr().err
    assert capsys.readouterr().out == ""
    registry = open_registry(tmp_path, SERVER)
    (parent,) = registry.store.client.search_runs(
        [registry.store.experiment_id], "tags.`pipeline.stage` = 'run'"
    )
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {"train.loss": 0.5})
    attached = registry.store.client.list_artifacts(parent.info.run_id, "train/plots")
    assert [file.path for file in attached] == ["train/plots/roc.png"]
    folder = tmp_path / "packed"
    (folder / "artifacts" / "saved_model").mkdir(parents=True)
    (folder / "artifacts" / "saved_model" / "saved_model.pb").write_text("weights")
    (folder / "MLmodel").write_text("flavors: {}\n")
    version = registry.add("flights", folder, parent.info.run_id, {"model_hash": "h"})
    registry.set_alias("flights", "champion", version.version)
    assert registry.with_hash("flights", "h") == registry.champion("flights")
    for _ in range(2):  # downloaded, then kept
        saved_model = registry.saved_model(registry.champion("flights"))
        assert (saved_model / "saved_model.pb").read_text() == "weights"
        assert saved_model.is_relative_to(tmp_path)
    kept = [path for path in (tmp_path / ".pipeline").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]


def test_with_a_server_its_own_address_is_shown(ui, tmp_path, monkeypatch, capsys):
    address, _ = ui
    host = address.removeprefix("http://")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@{host}")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"tracking": dump(SERVER)}))
    assert run_ui(tmp_path, port=5000, browser=False) == 0
    assert capsys.readouterr().out == f"MLflow UI: {address}\n"


def test_a_taken_port_is_named(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BusyError, match=f"port {port} on 127.0.0.1 is taken"):
            run_ui(store, port=port, browser=False)


def test_the_default_config_of_both_kinds_is_complete():
    from pipeline.core.schema import build

    for kind in ("sqlite", "server"):
        path = REPOSITORY / "configs" / "tracking" / f"{kind}.yaml"
        values = yaml.safe_load(path.read_text())
        built = build(TrackingConfig, {**values, "experiment": "flights"}, "tracking")
        assert json.loads(json.dumps(dump(built)))["kind"] == kind
