"""The champion as a client asks it: a real SavedModel, raw columns in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.core.features import Label
from pipeline.core.model import load_model, predict
from pipeline.core.records import LABEL
from pipeline.core.saved_model import write_saved_model
from pipeline.evaluate.champion import NotComparableError, champion_scores
from tests.core.feature_examples import everything, rows
from tests.evaluate.conftest import Workshop
from tests.exported import small_model


@pytest.fixture(scope="module")
def champion(any_workshop: Workshop, tmp_path_factory: pytest.TempPathFactory):
    """A SavedModel of each task, its features, test rows and the scores of the Keras model."""
    folder = tmp_path_factory.mktemp("champion") / "saved_model"
    model, features = load_model(any_workshop.artifacts.model), any_workshop.features
    write_saved_model(model, features, folder, 3)
    test = any_workshop.artifacts.split("test").read()
    return folder, features, test, predict(model, test, features)


def test_it_answers_as_the_trained_model_does(champion):
    folder, features, test, scores = champion
    got = champion_scores(folder, test, features.label)
    assert got.shape == scores.shape
    np.testing.assert_allclose(got, scores, atol=1e-5)


def test_more_rows_than_a_batch_keep_their_order(champion):
    folder, features, test, scores = champion
    many = pd.concat([test] * 12, ignore_index=True)
    got = champion_scores(folder, many, features.label)
    np.testing.assert_allclose(got, np.concatenate([scores] * 12), atol=1e-5)


def test_columns_that_are_gone_or_changed_make_it_incomparable(champion):
    folder, features, test, _ = champion
    with pytest.raises(NotComparableError, match="needs columns that are gone: city, x"):
        champion_scores(folder, test.drop(columns=["x", "city"]), features.label)
    with pytest.raises(NotComparableError, match="takes column 'x' as numbers, now str"):
        champion_scores(folder, test.astype({"x": "str"}), features.label)
    with pytest.raises(NotComparableError, match="takes column 'city' as text, now float64"):
        champion_scores(folder, test.assign(city=1.0), features.label)


def test_columns_that_came_since_are_not_sent(champion):
    folder, features, test, scores = champion
    got = champion_scores(folder, test.assign(new=1.0), features.label)
    np.testing.assert_allclose(got, scores, atol=1e-5)


def test_the_same_classes_in_another_order_are_put_in_ours(champion):
    folder, features, test, scores = champion
    label = features.label
    if label.task == "regression":
        with pytest.raises(NotComparableError, match="does not answer a binary question"):
            champion_scores(folder, test, Label(column="y", task="binary", classes=("a", "b")))
        return
    turned = Label(column="y", task=label.task, classes=label.classes[::-1])
    got = champion_scores(folder, test, turned)
    np.testing.assert_allclose(got, scores[:, ::-1], atol=1e-5)
    others = Label(column="y", task=label.task, classes=("other", *label.classes[1:]))
    with pytest.raises(NotComparableError, match=f"other classes: {label.classes[0]}"):
        champion_scores(folder, test, others)


def test_a_damaged_or_missing_model_makes_it_incomparable(tmp_path):
    frame = pd.DataFrame({LABEL: [0]})
    with pytest.raises(NotComparableError, match="cannot be loaded"):
        champion_scores(tmp_path, frame, Label(column="y", task="regression"))


def test_columns_may_bear_any_name(tmp_path):
    model, test = small_model(everything), rows(50)
    assert "price in €" in test.columns
    write_saved_model(model, everything, tmp_path / "saved_model", 1)
    got = champion_scores(tmp_path / "saved_model", test, everything.label)
    np.testing.assert_allclose(got, predict(model, test, everything), atol=1e-5)
