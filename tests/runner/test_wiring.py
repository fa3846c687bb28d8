"""dvc.yaml and the stage records say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import UsageError
from pipeline.runner.stages import CONFIGURED, STAGES, find_stage
from pipeline.runner.wiring import dvc_wiring

ROOT = Path(__file__).resolve().parents[2]


def test_dvc_yaml_equals_the_records() -> None:
    written = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert written == dvc_wiring(STAGES), "run `make wiring`"


def test_no_params_are_templated_into_the_wiring() -> None:
    assert "${" not in (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def test_every_dependency_is_made_before_or_is_a_source() -> None:
    made: set[str] = set()
    sources = {"configs", "data/source", "overrides.yaml", "params.yaml"}
    for stage in STAGES:
        assert set(stage.deps) <= made | sources, stage.name
        made |= {*stage.outs, *stage.kept, *stage.records, *stage.metrics}


def test_every_stage_has_a_room_a_line_and_a_door() -> None:
    for stage in CONFIGURED:
        assert (ROOT / "pipeline" / stage.name / "config.py").is_file() or stage.config is None
        assert stage.does
    for stage in STAGES:
        assert (ROOT / "pipeline" / stage.name / "stage.py").is_file()


def test_unknown_stage_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no stage 'trian'") as error:
        find_stage("trian")
    assert "train" in error.value.remedy
