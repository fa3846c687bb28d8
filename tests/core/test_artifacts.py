"""Each artifact reads what it wrote, and says so when it cannot."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.artifacts import Artifacts, read_json, write_json
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.records import Check, Registration, Verdict


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path)


def test_records_come_back_equal(artifacts: Artifacts) -> None:
    check = Check(
        name="accuracy",
        metric="accuracy",
        slice=None,
        kind="absolute",
        greater_is_better=True,
        bound=0.5,
        value=0.75,
        passed=True,
    )
    verdict = Verdict(
        verdict="VALIDATED", checks=(check,), champion_version=None, model_hash="ab", reasons=()
    )
    artifacts.verdict.write(verdict)
    assert artifacts.verdict.read() == verdict


def test_tables_come_back_equal_and_are_written_alike(artifacts: Artifacts) -> None:
    frame = pd.DataFrame({"a": [1.5, None], "b": ["x", "ü"]})
    artifacts.split("test").write(frame)
    first = artifacts.split("test").path.read_bytes()
    artifacts.split("test").write(frame)
    assert artifacts.split("test").path.read_bytes() == first
    pd.testing.assert_frame_equal(artifacts.split("test").read(), frame)
    assert list(artifacts.split("test").read(columns=["b"])) == ["b"]


def test_missing_artifact_names_the_command(artifacts: Artifacts) -> None:
    with pytest.raises(PipelineError, match="does not exist") as error:
        artifacts.registration.read()
    assert "pipeline run" in error.value.remedy


def test_damaged_files_are_told(artifacts: Artifacts) -> None:
    path = artifacts.registration.path
    path.parent.mkdir(parents=True)
    path.write_text('{"name": ')
    with pytest.raises(PipelineError, match="is damaged"):
        artifacts.registration.read()
    path.write_text('{"nam": "x"}')
    with pytest.raises(ConfigError, match="nam"):
        artifacts.registration.read()
    table = artifacts.split("train").path
    table.parent.mkdir(parents=True)
    table.write_bytes(b"PAR1 nothing")
    with pytest.raises(PipelineError, match="cannot be read"):
        artifacts.split("train").read()


def test_json_refuses_nan_and_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_all_paths_are_inside_the_project(artifacts: Artifacts) -> None:
    registration = Registration(name="m", version=1, model_hash="h", run_id=None, alias=None)
    artifacts.registration.write(registration)
    for record in (artifacts.source, artifacts.features, artifacts.training, artifacts.export):
        assert record.path.is_relative_to(artifacts.root)
