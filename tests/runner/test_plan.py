"""Plans from DVC's status, composed params and the lock file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.stage import Stage
from pipeline.runner.plan import StagePlan, make_plan
from pipeline.runner.reproduce import drop_damaged_params

STAGES = (
    Stage(name="compose", does="", records=("params.yaml",), kept=("params.yaml",)),
    Stage(name="first", does="", params={"one": "one"}, deps=("in",), outs=("middle",)),
    Stage(name="second", does="", params={"two": "data.two"}, deps=("middle",), outs=("end",)),
    Stage(name="third", does="", params={"three": "three"}, deps=("in",), outs=("side",)),
)
PARAMS: dict[str, Any] = {"one": {"rate": 0.1}, "data": {"two": [1, 2]}, "three": {}, "four": 4}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    locked = {
        "stages": {
            "compose": {},
            "first": {"params": {"params.yaml": {"one": {"rate": 0.1}}}},
            "second": {"params": {"params.yaml": {"data.two": [1, 2]}}},
            "third": {"params": {"params.yaml": {"three": {}}}},
        }
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(locked))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    return tmp_path


def planned(root: Path, params: dict[str, Any], status: dict[str, Any]) -> dict[str, list[str]]:
    plans = make_plan(root, STAGES, params, status)
    return {plan.stage: plan.reasons for plan in plans if plan.run}


def test_nothing_changed_runs_nothing(root: Path) -> None:
    assert planned(root, PARAMS, {}) == {}


def test_changed_key_names_itself_and_what_follows(root: Path) -> None:
    assert planned(root, PARAMS | {"one": {"rate": 0.2}}, {}) == {
        "compose": ["the composed config changed"],
        "first": ["one.rate: 0.1 -> 0.2"],
        "second": ["it reads middle, which first makes again"],
    }


def test_key_that_nobody_reads_reruns_compose_alone(root: Path) -> None:
    assert planned(root, PARAMS | {"four": 5}, {}) == {"compose": ["the composed config changed"]}


def test_added_and_removed_keys_are_told(root: Path) -> None:
    changed = planned(root, PARAMS | {"one": {"speed": 1}}, {})
    assert changed["first"] == ["one.rate: 0.1 -> (absent)", "one.speed: (absent) -> 1"]


def test_many_changed_keys_are_counted(root: Path) -> None:
    many = {f"key{n}": n for n in range(20)} | {"rate": 0.1}
    reasons = planned(root, PARAMS | {"one": many}, {})["first"]
    assert len(reasons) == 7
    assert reasons[-1] == "and 14 more keys"


def test_changed_files_from_dvc_are_told(root: Path) -> None:
    status = {
        "third": [
            {"changed deps": {"in": "modified", "pipeline/third": "modified"}},
            {"changed outs": {"side": "deleted"}},
            "changed command",
        ]
    }
    assert planned(root, PARAMS, status) == {
        "third": [
            "in is modified",
            "code in pipeline/third is modified",
            "its output side is deleted",
            "its command in dvc.yaml changed",
        ]
    }


def test_params_file_of_the_last_composition_does_not_count(root: Path) -> None:
    status = {"first": [{"changed deps": {"params.yaml": {"one.rate": "modified"}}}]}
    assert planned(root, PARAMS, status) == {}


def test_never_run(tmp_path: Path) -> None:
    plans = make_plan(tmp_path, STAGES, PARAMS, {})
    assert [plan.reasons for plan in plans] == [["it has never run here"]] * len(STAGES)


def test_json_is_what_the_contract_says() -> None:
    assert StagePlan("train", ["why"]).as_json() == {
        "stage": "train",
        "run": True,
        "reasons": ["why"],
    }
    assert StagePlan("train").as_json() == {"stage": "train", "run": False, "reasons": []}


def test_only_damaged_params_are_removed_and_told_of(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    path = root / "params.yaml"
    drop_damaged_params(root)
    assert path.exists()
    path.write_text("one: [1, 2\n")
    drop_damaged_params(root)
    assert not path.exists()
    assert "params.yaml, line" in capsys.readouterr().out
    drop_damaged_params(root)
    assert capsys.readouterr().out == "", "a fresh clone has none, and nothing is wrong with that"
