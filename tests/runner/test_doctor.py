"""`pipeline doctor`: what the config needs beyond the ordinary packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.runner.doctor import examine


@pytest.mark.parametrize("launcher", ["ray", "local"])
def test_a_launcher_that_is_not_installed_is_named_with_its_extra(
    launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    params = yaml.safe_dump({"launcher": {"name": launcher}})
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ray" else find(name)
    )
    examine(tmp_path, quick=True)
    out = capsys.readouterr().out
    assert ("Ray is not installed" in out) == (launcher == "ray")
    assert ("pip install 'train-to-serve[ray]'" in out) == (launcher == "ray")
