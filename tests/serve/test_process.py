"""The server as a program: flags, start-up errors, taking over changes, draining."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import requests

from pipeline.core.errors import PipelineError, UsageError
from pipeline.core.server_process import running
from pipeline.serve.flags import parse_flags
from pipeline.serve.models import Model
from pipeline.serve.options import Options
from pipeline.serve.server import Server
from tests.serve.in_process import until
from tests.serve.models import break_model, config_text, copy_model


def test_the_real_servers_flags(tmp_path: Path) -> None:
    options = parse_flags(
        [
            "--port=1234",
            "--rest_api_port=0",
            "--model_name=m",
            f"--model_base_path={tmp_path}",
            "--file_system_poll_wait_seconds=0.5",
            "--allow_version_labels_for_unavailable_models",
            "--enable_model_warmup=false",
            "--flush_filesystem_caches=true",
            "--max_num_load_retries=1",
            "--load_retry_interval_micros=500000",
        ]
    )
    assert options is not None
    assert options.models == (Model("m", tmp_path),)
    assert (options.grpc_port, options.rest_port, options.host) == (1234, None, "127.0.0.1")
    assert (options.poll_seconds, options.retries.interval_seconds) == (0.5, 0.5)
    assert options.early_labels
    assert not options.warm_up
    assert parse_flags(["--version"]) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no model to serve"),
        (["--model_base_path=/x", "--modl_name=m"], "did you mean --model_name"),
        (["--model_base_path=/x", "--use_alts_credentials=true"], "does not have"),
        (["--model_base_path=/x", "--port=many"], "is no port"),
        (["--model_base_path=/x", "--enable_model_warmup=maybe"], "neither true nor false"),
    ],
)
def test_wrong_flags(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_flags(arguments)
    assert words in str(caught.value)


def test_a_damaged_config_file_is_one_clear_line(tmp_path: Path, version_folders: Path) -> None:
    path = tmp_path / "models.config"
    with pytest.raises(PipelineError, match="cannot be read"):
        parse_flags([f"--model_config_file={path}"])
    path.write_text("model_config_list { config { name: }", encoding="utf-8")
    with pytest.raises(
        PipelineError, match=r"Error parsing text-format tensorflow.serving.ModelServerConfig"
    ):
        parse_flags([f"--model_config_file={path}"])
    model = Model("half", version_folders)
    path.write_text(config_text(model, model), encoding="utf-8")
    with pytest.raises(PipelineError, match="list model half multiple times"):
        parse_flags([f"--model_config_file={path}"])
    path.write_text(config_text(Model("half", Path("relative"))), encoding="utf-8")
    with pytest.raises(PipelineError, match="to have an absolute path"):
        parse_flags([f"--model_config_file={path}"])


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.serve", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_port_in_use_names_its_holder(version_folders: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve(f"--port={port}", f"--model_base_path={version_folders}")
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use by process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_life_from_start_to_drain(tmp_path: Path, version_folders: Path) -> None:
    """Start on a half-copied version 2, complete it, relabel, break the config, drain."""
    base = tmp_path / "half"
    base.mkdir()
    copy_model(version_folders / "1", base, 1)
    break_model(copy_model(version_folders / "2", base, 2))
    path = tmp_path / "models.config"
    model = Model("half", base, specific=frozenset({1, 2}), labels={"champion": 1})
    path.write_text(config_text(model), encoding="utf-8")
    flags = ["--file_system_poll_wait_seconds=0.1", "--model_config_file_poll_wait_seconds=0.1"]
    with running(path, [*flags, "--drain_seconds=20"]) as server:
        url = f"{server.rest_url}/v1/models/half"

        def answer(choice: str = "", x: object = 0, signature: str = "serving_default") -> object:
            body = {"instances": [x], "signature_name": signature}
            return requests.post(f"{url}{choice}:predict", json=body, timeout=60).json()

        assert answer() == {"predictions": [1.0]}
        status = requests.get(url, timeout=30).json()["model_version_status"][0]
        assert (status["version"], status["state"]) == ("2", "END")
        assert status["status"]["error_code"] != "OK"
        (base / "2" / "saved_model.pb").write_bytes(
            (version_folders / "2" / "saved_model.pb").read_bytes()
        )
        until(lambda: answer() == {"predictions": [2.0]})
        assert answer("/labels/champion") == {"predictions": [1.0]}
        moved = Model("half", base, specific=frozenset({1, 2}), labels={"champion": 2})
        path.write_text(config_text(moved), encoding="utf-8")
        until(lambda: answer("/labels/champion") == {"predictions": [2.0]})
        path.write_text("model_config_list {", encoding="utf-8")
        until(lambda: "is not taken over" in server.log.read_text())
        assert answer("/labels/champion") == {"predictions": [2.0]}
        # A running request is answered, though the server has been told to end.
        slow: list[object] = []
        thread = threading.Thread(target=lambda: slow.append(answer(x=1.0, signature="slow")))
        process = psutil.Process(server.process.pid)
        idle = process.cpu_times().user
        thread.start()
        until(lambda: process.cpu_times().user > idle + 0.2)  # so it runs
        server.process.send_signal(signal.SIGTERM)
        thread.join()
        assert slow == [{"predictions": [1.0]}]
        assert server.process.wait(60) == 0
        log = server.log.read_text()
        assert log.rstrip().endswith("draining")
        assert "models.config is taken over: half champion = 2" in log
        assert log.count("is not taken over") == 1, "told once, not at every look"
        with pytest.raises(requests.ConnectionError):
            answer()


def test_a_model_that_does_not_load_is_one_clear_line(
    tmp_path: Path, version_folders: Path
) -> None:
    base = tmp_path / "half"
    base.mkdir()
    break_model(copy_model(version_folders / "1", base, 1))
    server = Server(Options((Model("half", base),), grpc_port=0, rest_port=0))
    with pytest.raises(PipelineError, match="the server cannot start: 1 servable") as caught:
        server.start()
    assert "saved_model.pb" in caught.value.came
    server.stop()


def test_a_server_that_does_not_come_up_tells_why() -> None:
    with (
        pytest.raises(PipelineError, match="ended with code 2") as caught,
        running(arguments=["--model_base_path=/x", "--modl_name=m"]),
    ):
        pass
    assert "did you mean --model_name?" in str(caught.value)
