"""`pipeline status`, and what DVC says of a project whose files are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import run_command
from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import PipelineError
from pipeline.runner.plan import Status
from tests.conftest import Project


def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    artifacts = Artifacts(tmp_path)
    assert run_command(["status"]) == 0
    assert "damaged" not in capsys.readouterr().out
    for path in (artifacts.verdict.path, artifacts.serving_config):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("garbage")
    assert run_command(["status"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("damaged")]
    assert len(lines) == 2
    assert "verdict.json" in lines[0]
    assert "models.config" in lines[1]
    assert run_command(["status", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["damaged"]) == 2


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml"])
def test_a_file_of_dvc_that_is_broken_is_to_be_brought_back(project: Project, name: str) -> None:
    (project.root / name).write_text(": : {")
    with pytest.raises(PipelineError, match="is invalid") as error:
        Status(project.root).read()
    assert error.value.remedy == f"run `git checkout {name}`"
