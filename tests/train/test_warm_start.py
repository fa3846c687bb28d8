"""Warm start: weights of a file or of a registered version, copied where they fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.model import core_of, load_model
from pipeline.core.promotions import append_promotion, new_promotion
from pipeline.core.saved_model import write_saved_model
from pipeline.core.tracking import open_registry
from pipeline.core.tracking_registry import SAVED_MODEL
from pipeline.register.package import package
from pipeline.runner.stale import tell_stale_warm_start
from pipeline.train import STAGE
from pipeline.train.identity import identity
from pipeline.train.warm_start import earlier_model
from tests.stores import TRACKING, put_store
from tests.train.worlds import context, processed, settings, train

STILL: dict[str, Any] = {
    "train__epochs": 1,
    "train__optimizer__name": "sgd",
    "train__optimizer__learning_rate": 1e-30,
    "train__optimizer__weight_decay": 0.0,
}
"""A training that moves nothing: what it ends with is what it began with."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A trained model, also as version 1 of a registry, where it is the champion."""
    artifacts = processed(tmp_path_factory.mktemp("source"), "multiclass")
    train(artifacts, "mlp", train__epochs=2, model__layers=[16, 8])
    features = artifacts.features.read()
    folder = artifacts.root / "package"
    saved_model = folder / SAVED_MODEL
    write_saved_model(load_model(artifacts.model), features, saved_model, None)
    example = artifacts.split("test").read([c.name for c in features.columns]).head(2)
    put_store(artifacts.root)
    registry = open_registry(artifacts.root, TRACKING)
    version = registry.add("colours", package(saved_model, features, example, folder), None, {})
    registry.set_alias("colours", "champion", version.version)
    shutil.copy(artifacts.model, artifacts.root / "earlier.keras")
    return artifacts


@pytest.fixture
def world(source: Artifacts, tmp_path: Path) -> Artifacts:
    """A copy that a test may train in."""
    shutil.copytree(source.root, tmp_path / "world")
    return Artifacts(tmp_path / "world")


def weights(artifacts: Artifacts) -> dict[str, np.ndarray]:
    core = core_of(load_model(artifacts.model))
    return {variable.path: variable.numpy() for variable in core.weights}


def retrain(world: Artifacts, model: str = "mlp", **changes: Any) -> None:
    in_a_project = context(world.root).__class__(
        root=world.root, journal=context(world.root).journal, tracking=TRACKING
    )
    STAGE.load()(settings(model, **{**STILL, **changes}), world, in_a_project)


def test_a_file_gives_all_its_weights(
    source: Artifacts, world: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    retrain(world, model__layers=[16, 8], train__warm_start="earlier.keras", train__seed=99)
    for name, weight in weights(source).items():
        np.testing.assert_array_equal(weights(world)[name], weight)
    told = capsys.readouterr().out
    assert "7 of 7 weights copied" in told
    assert "beginning anew" not in told
    assert world.training.read().warm_start.startswith("earlier.keras (sha256 ")


def test_without_it_the_weights_are_others(source: Artifacts, world: Artifacts) -> None:
    retrain(world, model__layers=[16, 8], train__seed=99)
    assert not np.array_equal(weights(world)["hidden_1/kernel"], weights(source)["hidden_1/kernel"])
    assert world.training.read().warm_start == ""


def test_the_champion_gives_the_same_weights_as_its_file(
    source: Artifacts, world: Artifacts
) -> None:
    by_file = earlier_model("earlier.keras", source.root, None)
    by_alias = earlier_model("models:/colours@champion", source.root, TRACKING)
    by_number = earlier_model("models:/colours/1", source.root, TRACKING)
    assert by_file
    assert by_alias
    assert by_number
    assert by_alias.where == by_number.where == "colours version 1"
    assert by_alias.features == source.features.read()
    for name, weight in weights(source).items():
        np.testing.assert_array_equal(by_alias.weights[name], weight)
        np.testing.assert_array_equal(by_file.weights[name], weight)
    retrain(world, model__layers=[16, 8], train__warm_start="models:/colours@champion")
    np.testing.assert_array_equal(
        weights(world)["hidden_2/kernel"], weights(source)["hidden_2/kernel"]
    )
    assert world.training.read().warm_start == "colours version 1"


def test_layers_that_do_not_fit_are_named(
    source: Artifacts, world: Artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"model__layers": [16, 4, 4], "train__warm_start": "earlier.keras"}
    retrain(world, **changes)
    told = capsys.readouterr().out
    assert "hidden_2/kernel ((16, 8) there, (16, 4) here)" in told
    assert "hidden_3/kernel (not there)" in told
    now, before = weights(world), weights(source)
    np.testing.assert_array_equal(now["hidden_1/kernel"], before["hidden_1/kernel"])
    assert "4 of 9 weights copied" in told


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("models/trained/model.keras", ConfigError, "removed before it trains"),
        ("nowhere.keras", PipelineError, "does not exist"),
        ("models:/colours@challenger", ConfigError, "it has @champion"),
        ("models:/colors@champion", ConfigError, "did you mean models:/colours@champion?"),
        ("models:/colours/7", PipelineError, "no version 7"),
    ],
)
def test_what_is_not_there_is_refused(
    source: Artifacts, value: str, error: type[PipelineError], words: str
) -> None:
    with pytest.raises(error) as refused:
        earlier_model(value, source.root, TRACKING)
    assert words in str(refused.value)


@pytest.mark.parametrize("value", ["champion", "models:/colours", "models:/colours/0", "model.h5"])
def test_other_forms_are_refused_before_anything_runs(value: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.warm_start"):
        settings(train__warm_start=value)


def test_a_model_of_other_layers_is_refused(world: Artifacts) -> None:
    with pytest.raises(ConfigError, match="no weight of earlier"):
        retrain(world, "linear", train__warm_start="earlier.keras")


def test_another_beginning_is_another_training(source: Artifacts) -> None:
    config = settings(train__warm_start="models:/colours@champion")
    one = earlier_model("models:/colours@champion", source.root, TRACKING)
    assert one is not None
    other = one.__class__(one.where, {n: w + 1 for n, w in one.weights.items()}, one.features)
    keys = {identity(config, source, 1, earlier) for earlier in (None, one, other)}
    assert len(keys) == 3


def test_a_changed_champion_is_told(world: Artifacts, capsys: pytest.CaptureFixture[str]) -> None:
    params = {"train": {"warm_start": "models:/colours@champion"}}
    retrain(world, model__layers=[16, 8], train__warm_start="models:/colours@champion")
    promote(world, None, 1)
    capsys.readouterr()
    tell_stale_warm_start(world.root, params)
    assert capsys.readouterr().out == ""
    promote(world, 1, 2)
    tell_stale_warm_start(world.root, params)
    told = capsys.readouterr().out
    assert "is colours version 2 now; the trained model began with colours version 1" in told
    assert "dvc repro --force --single-item train" in told
    tell_stale_warm_start(world.root, {"train": {"warm_start": None}})
    assert capsys.readouterr().out == ""


def promote(world: Artifacts, before: int | None, now: int) -> None:
    promotion = new_promotion(
        "colours", "promoted", before, now, reason="", verdict="VALIDATED", model_hash="0"
    )
    append_promotion(world.promotions, promotion)
