"""The room's record and door."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import BusyError, ConfigError, PipelineError
from pipeline.serve import STAGE
from pipeline.serve.backend import real_command, write_server_files
from pipeline.serve.batching import Batching
from pipeline.serve.config import ServeConfig
from pipeline.serve.flags import parse_flags
from pipeline.serve.model_config import read_models
from pipeline.serve.models import Model
from pipeline.serve.stage import serve
from tests.conftest import REPOSITORY
from tests.serve.models import config_text


def defaults() -> dict[str, Any]:
    path = REPOSITORY / "configs" / "serve" / "default.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def settings(**changes: object) -> ServeConfig:
    return STAGE.configure({"serve": {**defaults(), **changes}}).serve


def test_the_defaults_stay_on_this_machine() -> None:
    config = settings()
    assert (config.host, config.rest_port, config.grpc_port) == ("127.0.0.1", 8501, 8500)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"rest_port": 70000}, "serve.rest_port"),
        ({"prt": 1}, "serve.prt"),
        ({"rest_port": 8500}, "rest_port and grpc_port are one port"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        settings(**change)


def test_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no model is exported"):
        serve(settings(), Artifacts(tmp_path))


def test_a_port_in_use_is_told_before_anything_loads(exported_once: Artifacts) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BusyError, match=f"port {port} on 127.0.0.1 is in use by process"):
            serve(settings(rest_port=port, grpc_port=0), exported_once)


def test_a_moved_project_is_served_from_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    path.write_text(config_text(Model("shop", Path("/gone/models/serving/shop"))), encoding="utf-8")
    (model,) = read_models(path, tmp_path / "serving")
    assert model.base_path == tmp_path / "serving" / "shop"
    (model,) = read_models(path)
    assert model.base_path == Path("/gone/models/serving/shop")


def test_the_real_server_is_started_with_the_same_files(
    exported_once: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of that name on PATH gets flags and files that the embedded one reads too."""
    project = Artifacts(shutil.copytree(exported_once.root, tmp_path / "project"))
    program = tmp_path / "bin" / "tensorflow_model_server"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    batching = {**defaults()["batching"], "enabled": True, "max_batch_size": 64}
    batching["allowed_batch_sizes"] = [8, 64]
    changes = {
        "backend": "tensorflow_model_server",
        "host": "0.0.0.0",
        "batching": batching,
        "metrics_path": "/numbers",
    }
    code = (
        "import json, pathlib, sys\n"
        "from pipeline.core.artifacts import Artifacts\n"
        "from pipeline.serve import STAGE\n"
        "from pipeline.serve.stage import serve\n"
        "config = STAGE.configure({'serve': json.load(sys.stdin)}).serve\n"
        "serve(config, Artifacts(pathlib.Path(sys.argv[1])))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(project.root)],
        input=json.dumps({**defaults(), **changes}).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    ).stdout.decode()
    options = parse_flags(printed.split())
    assert options is not None
    assert options.models == read_models(project.serving_config)
    assert (options.grpc_port, options.rest_port) == (8500, 8501)
    assert options.early_labels
    assert options.rest.metrics_path == "/numbers"
    assert options.session.batching == Batching(
        64, 0, 100, os.cpu_count() or 1, (8, 64), max_execution_size=64
    )


def test_the_real_server_in_docker(exported_once: Artifacts, tmp_path: Path) -> None:
    project = Artifacts(shutil.copytree(exported_once.root, tmp_path / "project"))
    config = settings(backend="docker", rest_port=1, grpc_port=2)
    command = real_command(config, write_server_files(config, project))
    image = command.index(config.docker_image)
    assert command[:3] == ["docker", "run", "--rm"]
    assert {"--publish=127.0.0.1:1:8501", "--publish=127.0.0.1:2:8500"} < set(command[:image])
    folder = project.root / "models"
    assert f"--mount=type=bind,source={folder},target={folder},readonly" in command[:image]
    options = parse_flags(command[image + 1 :])
    assert options is not None
    assert options.session.batching is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rest_port": 0}, "does not look for free ones"),
        ({"host": "127.0.0.1"}, "listens on every network interface"),
    ],
)
def test_what_the_real_server_cannot_do(
    exported_once: Artifacts, change: dict[str, object], words: str
) -> None:
    config = settings(**{"backend": "tensorflow_model_server", "host": "0.0.0.0", **change})
    with pytest.raises(ConfigError, match=words):
        real_command(config, write_server_files(config, exported_once))


def test_a_backend_that_is_not_installed(
    exported_once: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PipelineError, match="docker is not on PATH"):
        serve(settings(backend="docker"), exported_once)
