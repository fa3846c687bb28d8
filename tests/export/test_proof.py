"""The parity proof finds what differs, and only that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.features import Column, FeatureSet, Label, NumericFeature
from pipeline.core.model import RawColumnsModel
from pipeline.core.saved_model import write_saved_model
from pipeline.export.proof import largest_difference
from tests.core.feature_examples import everything, rows
from tests.exported import small_model


def regression(scale: float) -> FeatureSet:
    return FeatureSet(
        columns=(Column(name="size", dtype="float64"),),
        label=Label(column="y", task="regression", mean=1e6, scale=scale),
        features=(NumericFeature(name="size", column="size"),),
        rows={},
    )


def renamed(*classes: str) -> FeatureSet:
    label = Label(column="y", task="multiclass", classes=classes)
    return FeatureSet(
        columns=everything.columns, label=label, features=everything.features, rows={}
    )


@pytest.fixture(scope="module")
def model() -> RawColumnsModel:
    return small_model(everything)


def test_wrong_class_names_are_refused(model: RawColumnsModel, tmp_path: Path) -> None:
    write_saved_model(model, renamed("a", "c", "b"), tmp_path / "1", 1)
    with pytest.raises(PipelineError, match="20 of 20 rows are answered with wrong class names"):
        largest_difference(model, everything, tmp_path / "1", rows(20), 1e-5)


def test_a_model_of_another_table_is_refused(model: RawColumnsModel, tmp_path: Path) -> None:
    other = regression(1.0)
    write_saved_model(small_model(other), other, tmp_path / "1", 1)
    with pytest.raises(PipelineError, match="cannot answer"):
        largest_difference(model, everything, tmp_path / "1", rows(20), 1e-5)


def test_values_are_compared_in_standard_deviations(tmp_path: Path) -> None:
    features = regression(1e5)
    model = small_model(features)
    write_saved_model(model, features, tmp_path / "1", 1)
    frame = rows(20)[["size"]]
    assert largest_difference(model, features, tmp_path / "1", frame, 1e-5) <= 1e-5
    model.core.set_weights([weight + 1e-3 for weight in model.core.get_weights()])
    with pytest.raises(PipelineError, match="a difference above 1e-05"):
        largest_difference(model, features, tmp_path / "1", frame, 1e-5)


def test_nan_is_a_difference(tmp_path: Path) -> None:
    features = regression(1.0)
    model = small_model(features)
    write_saved_model(model, features, tmp_path / "1", 1)
    weights = [np.full_like(weight, np.nan) for weight in model.core.get_weights()]
    model.core.set_weights(weights)
    with pytest.raises(PipelineError, match="the largest is nan"):
        largest_difference(model, features, tmp_path / "1", rows(5)[["size"]], 1e9)
