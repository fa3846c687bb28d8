"""The whole config against every stage: unknown keys, missing keys, wrong values."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Literal

import pytest
from pydantic import Field

from pipeline.compose.validation import validate
from pipeline.core.errors import ConfigError
from pipeline.core.schema import config
from pipeline.core.stage import Stage


@config
class TrainConfig:
    """Training."""

    epochs: int = Field(ge=1)
    """Passes."""
    precision: Literal["float32", "mixed"]
    """What layers compute in."""


@dataclasses.dataclass(frozen=True)
class TrainStageConfig:
    """Sections read by one stage."""

    train: TrainConfig
    columns: dict[str, str]


STAGES = (
    Stage(name="compose", does=""),
    Stage(
        name="train",
        does="",
        config=TrainStageConfig,
        params={"train": "train", "columns": "data.columns"},
    ),
)
GOOD: dict[str, Any] = {
    "data": {"name": "flights", "columns": {"distance": "numeric"}},
    "train": {"epochs": 8, "precision": "float32"},
    "tracking": {"kind": "sqlite", "experiment": "flights"},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    params = copy.deepcopy(GOOD)
    here = params
    *parents, last = key.split(".")
    for part in parents:
        here = here.setdefault(part, {})
    if value is None:
        del here[last]
    else:
        here[last] = value
    return params


def test_a_config_that_fits_passes_and_stays_as_it_is():
    params = copy.deepcopy(GOOD)
    validate(params, STAGES)
    assert params == GOOD


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("trian", {}, ["unknown config key 'trian': no stage reads it", "did you mean train"]),
        ("epochs", 3, ["unknown config key 'epochs'", "did you mean train.epochs?"]),
        ("data.colums", {}, ["unknown config key 'data.colums'", "in data: columns, name"]),
        ("train.epoch", 3, ["unknown config key 'train.epoch'", "did you mean epochs?"]),
        ("train.epochs", "8", ["'train.epochs' has the value \"8\"", "without quotes"]),
        ("train.epochs", 0, ["'train.epochs' has the value 0", "at least 1"]),
        ("train.precision", "flaot32", ["did you mean train.precision=float32?"]),
        ("train.precision", None, ["'train.precision' is missing", "one of float32, mixed"]),
        ("train", None, ["'train' is missing"]),
        ("train", [1], ["'train' has the value [1]", "a mapping with the keys"]),
        ("data", None, ["'data.name' is missing"]),
        ("data", 3, ["unknown config key 'data'"]),
        ("data.columns", 3, ["'data.columns' has the value 3", "names, each with text"]),
        ("data.name", "a/b", ["'data.name' has the value \"a/b\"", "text that matches"]),
        ("data.name", "", ["'data.name'"]),
        ("tracking", None, ["'tracking' is missing"]),
        ("tracking.kind", "sqlit", ["did you mean tracking.kind=sqlite?"]),
        ("tracking.uri", "x", ["unknown config key 'tracking.uri'"]),
    ],
)
def test_what_does_not_fit_is_refused(key: str, value: Any, parts: list[str]):
    with pytest.raises(ConfigError) as caught:
        validate(changed(key, value), STAGES)
    for part in parts:
        assert part in str(caught.value)
