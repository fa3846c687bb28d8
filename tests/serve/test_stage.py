"""The room's record and door."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import BusyError, ConfigError, PipelineError
from pipeline.serve import STAGE
from pipeline.serve.config import ServeConfig
from pipeline.serve.model_config import read_models
from pipeline.serve.models import Model
from pipeline.serve.stage import serve
from tests.conftest import REPOSITORY
from tests.serve.models import config_text


def settings(**changes: object) -> ServeConfig:
    path = REPOSITORY / "configs" / "serve" / "default.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return STAGE.configure({"serve": {**values, **changes}}).serve


def test_the_defaults_stay_on_this_machine() -> None:
    config = settings()
    assert (config.host, config.rest_port, config.grpc_port) == ("127.0.0.1", 8501, 8500)


@pytest.mark.parametrize(
    ("change", "key"), [({"rest_port": 70000}, "serve.rest_port"), ({"prt": 1}, "serve.prt")]
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
