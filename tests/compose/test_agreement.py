"""What one section says of columns and classes is held against the others before anything runs."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import run_command
from pipeline.compose.compose import compose, validate
from pipeline.core.errors import ConfigError
from pipeline.runner.stages import CONFIGURED
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The whole config with the flights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.compose.memory.STATE", str(tmp_path_factory.mktemp("memory")))
        return compose(REPOSITORY, ["data=flights"])


def changed(params: dict[str, Any], **changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(params)
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        here = made
        for part in parents:
            here = here[part]
        here[last] = value
    return made


def refused(params: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ConfigError) as error:
        validate(changed(params, **changes), CONFIGURED)
    assert error.value.expected or error.value.remedy
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"evaluate__slices__columns": ["carrier", "orign"]},
            ["'evaluate.slices.columns' names 'orign'", "did you mean origin?"],
        ),
        ({"evaluate__slices__columns": ["arr_delay"]}, ["names 'arr_delay'"]),
        (
            {"evaluate__thresholds": {"rmse": {"max": 3.0}}},
            ["evaluate.thresholds.rmse: a binary task does not have this metric"],
        ),
        (
            {"data__crosses": {"pair": {"of": ["carrier", "sched_dep_time.buckets"]}}},
            ["'data.crosses.pair.of' names 'sched_dep_time.buckets'", "sched_dep_time.bucket"],
        ),
        ({"data__crosses": {"pair": {"of": ["carrier", "temp"]}}}, ["names 'temp'"]),
        (
            {"data__columns__temp": {"kind": "numeric", "at_most": "dewpp"}},
            ["'data.columns.temp.at_most' names 'dewpp'", "did you mean dewp"],
        ),
        (
            {"train__class_weights": {"on_time": 1.0, "lat": 3.0}},
            ["'train.class_weights' names 'lat'", "did you mean late?"],
        ),
        ({"train__class_weights": {"late": 3.0}}, ["has no weight for on_time"]),
        ({"train__early_stopping__monitor": "val_mae"}, ["but the task is binary", "val_auc"]),
        (
            {
                "data__source__columns": ["origin", "time_hour"],
                "data__source__dtypes": {"x": "bool"},
            },
            ["'data.source.dtypes' names 'x'"],
        ),
        (
            {"data__source__columns": ["origin"], "data__source__pii": {"orign": {"how": "drop"}}},
            ["'data.source.pii' names 'orign'", "did you mean origin?"],
        ),
        (
            {"data__source__columns": ["origin", "time_hours", "tailnum"]},
            ["'data.joins.weather' names 'time_hour'", "did you mean time_hours?"],
        ),
        (
            {"data__joins__planes__source__columns": ["tailnum", "years"]},
            ["'data.joins.planes' names 'year'", "did you mean years"],
        ),
        (
            {"data__source__pii": {"tailnum": {"how": "drop"}}},
            ["'data.columns' names 'tailnum', which data.source.pii drops"],
        ),
    ],
)
def test_names_that_other_sections_do_not_know(
    flights: dict[str, Any], changes: dict[str, Any], parts: list[str]
):
    said = refused(flights, **changes)
    for part in parts:
        assert part in said


LISTED: dict[str, Any] = {
    "data__source": {
        "kind": "file",
        "path": "data/source/t-{date}.csv",
        "columns": ["x", "y", "key", "at", "name"],
        "pii": {"name": {"how": "drop"}},
        "span": {"column": "day"},
    },
    "data__joins": {
        "more": {
            "source": {"kind": "file", "path": "more.csv", "columns": ["key", "at", "word"]},
            "key": ["key"],
            "before": {"column": "at", "gap_hours": 1, "within_hours": 2, "age": True},
            "prefix": "more_",
        }
    },
    "data__columns": {
        "x": {"kind": "numeric"},
        "more_word": {"kind": "categorical"},
        "more_hours_ago": {"kind": "numeric"},
        "day": {"kind": "id"},
    },
    "data__crosses": {},
    "data__label": {"column": "y", "task": "binary", "threshold": 1},
    "data__split": {
        "kind": "time",
        "column": "day",
        "validation_from": "2024-05-01",
        "test_from": "2024-06-01",
    },
}
"""A data set whose sources list what they bring."""


def test_what_the_sources_list_can_be_named(flights: dict[str, Any]):
    validate(changed(flights, **LISTED), CONFIGURED)
    weights = {"train__class_weights": {"false": 1.0, "true": 2.0}}
    validate(changed(flights, **LISTED, **weights), CONFIGURED)
    assert "names 'yes'" in refused(flights, **LISTED, train__class_weights={"yes": 2.0})


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data__label__column": "yy"}, ["'data.label.column' names 'yy'", "did you mean y?"]),
        ({"data__split__column": "dya"}, ["'data.split.column' names 'dya'", "did you mean day?"]),
        (
            {
                "data__split": {
                    "kind": "hash",
                    "columns": ["keey"],
                    "validation_fraction": 0.1,
                    "test_fraction": 0.1,
                }
            },
            ["'data.split.columns' names 'keey'", "did you mean key?"],
        ),
        (
            {"data__columns__more_wrd": {"kind": "categorical"}},
            ["'data.columns' names 'more_wrd'", "more_word"],
        ),
        ({"data__columns__name": {"kind": "id"}}, ["'data.columns' names 'name'"]),
        ({"data__joins__more__key": ["kee"]}, ["'data.joins.more' names 'kee'"]),
        ({"data__joins__more__columns": ["wrd"]}, ["'data.joins.more' names 'wrd'", "word?"]),
    ],
)
def test_what_they_do_not_list_is_refused(
    flights: dict[str, Any], changes: dict[str, Any], parts: list[str]
):
    said = refused(changed(flights, **LISTED), **changes)
    for part in parts:
        assert part in said


def test_the_command_refuses_before_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.compose.memory.STATE", str(tmp_path / ".pipeline"))
    assert run_command(["run", "evaluate.slices.columns=[dset]"]) == 2
    assert "did you mean dest?" in capsys.readouterr().err
    assert not (tmp_path / "params.yaml").exists()
