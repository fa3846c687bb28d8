"""Builders: any mixture of columns, Keras's own layers only, and what each can and cannot learn."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.core import runtime
from pipeline.core.errors import ConfigError
from pipeline.core.features import CategoricalFeature, CrossFeature, FeatureSet, NumericFeature
from pipeline.train import models
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.examples import examples
from pipeline.train.fitting import Fitted, fit
from pipeline.train.input import InMemory
from pipeline.train.strategy import ALONE
from tests.train.worlds import LABELS, features, frame, read_yaml, settings


def mixture(numbers: int, words: int, encoding: str, task: str = "multiclass") -> FeatureSet:
    """Number and word columns of two widths, and a cross where there are two words."""
    parts: list[Any] = [NumericFeature(name=f"n{i}", column=f"n{i}") for i in range(numbers)]
    parts += [
        CategoricalFeature(
            name=f"w{i}", column=f"w{i}", vocabulary=("a", "b"), dimension=2 + i, encoding=encoding
        )
        for i in range(words)
    ]
    if words > 1:
        parts.append(CrossFeature(name="cross", of=("w0", "w1"), buckets=5))
    return FeatureSet(columns=(), label=LABELS[task], features=tuple(parts), rows={})


def batch(given: FeatureSet, rows: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [column.cardinality for column in given.index_columns]
    return {
        "dense": rng.normal(size=(rows, len(given.dense_names))).astype(np.float32),
        "indices": rng.integers(0, sizes, (rows, len(sizes))).astype(np.int32),
    }


def built(given: FeatureSet, name: str, **changes: Any) -> keras.Model:
    options = models.parse({**read_yaml(f"model/{name}"), **changes})
    build, typed = models.load(options)
    return build(given, typed)


VARIANTS = [
    ("linear", {"l2": 0.1}),
    ("mlp", {"batch_normalization": True, "l2": 0.1, "embedding_width": None}),
    ("wide_deep", {"wide_l2": 0.1}),
    ("dcn", {"structure": "stacked", "rank": None, "experts": 1}),
    ("dcn", {"rank": 2, "experts": 3, "layers": [], "structure": "parallel"}),
    ("dcn", {"rank": 2, "experts": 1, "input_dropout": 0.1}),
]


@pytest.mark.parametrize(("name", "changes"), VARIANTS)
@pytest.mark.parametrize("encoding", ["embedding", "one_hot"])
@pytest.mark.parametrize(("numbers", "words"), [(0, 3), (3, 0), (2, 2)])
def test_a_builder_takes_any_mixture_of_columns(
    name: str, changes: dict[str, Any], encoding: str, numbers: int, words: int
) -> None:
    given = mixture(numbers, words, encoding)
    core = built(given, name, **changes)
    outputs = np.asarray(core(batch(given)))
    assert outputs.shape == (6, 3)
    assert outputs.dtype == np.float32
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("name", models.names())
def test_one_number_a_row_is_returned_for_binary_and_regression(name: str, task: str) -> None:
    core = built(mixture(1, 2, "embedding", task), name)
    assert core.output_shape == (None, 1)


@pytest.mark.parametrize("name", models.names())
def test_a_core_is_saved_with_layers_of_keras_alone(name: str, tmp_path: Path) -> None:
    given = mixture(2, 2, "one_hot")
    core = built(given, name)
    core.save(tmp_path / "core.keras")
    saved = json.loads(zipfile.ZipFile(tmp_path / "core.keras").read("config.json"))
    modules = {layer["module"].split(".")[0] for layer in saved["config"]["layers"]}
    assert modules == {"keras"}
    again = keras.saving.load_model(tmp_path / "core.keras", safe_mode=True)
    np.testing.assert_array_equal(np.asarray(again(batch(given))), np.asarray(core(batch(given))))


def test_the_linear_model_is_the_product_with_the_one_hot_matrix() -> None:
    given = mixture(2, 2, "embedding")
    core = built(given, "linear")
    rng = np.random.default_rng(1)
    core.set_weights([rng.normal(size=weight.shape) for weight in core.get_weights()])
    rows = batch(given)
    one_hot = [
        np.eye(column.cardinality)[rows["indices"][:, at]]
        for at, column in enumerate(given.index_columns)
    ]
    dense, table = core.get_layer("wide_dense"), core.get_layer("wide")
    kernel, bias = (np.asarray(weight) for weight in dense.get_weights())
    expected = rows["dense"] @ kernel + bias + np.hstack(one_hot) @ table.get_weights()[0]
    np.testing.assert_allclose(np.asarray(core(rows)), expected, rtol=1e-5, atol=1e-5)


def test_columns_of_one_width_share_a_table_without_sharing_a_row() -> None:
    given = mixture(0, 3, "embedding")
    core = built(given, "mlp", embedding_width=4)
    tables = [layer for layer in core.layers if isinstance(layer, keras.layers.Embedding)]
    rows = sum(column.cardinality for column in given.index_columns)
    assert [table.get_weights()[0].shape for table in tables] == [(rows, 4)]


@pytest.mark.parametrize("name", ["mlp", "wide_deep", "dcn"])
@pytest.mark.parametrize("batch_normalization", [False, True])
def test_what_an_additive_column_adds_depends_on_no_other_column(
    name: str, batch_normalization: bool
) -> None:
    given = dataclasses.replace(mixture(3, 3, "embedding"), additive=("n1", "w2"))
    core = built(given, name, batch_normalization=batch_normalization)
    rng = np.random.default_rng(1)
    core.set_weights([rng.uniform(0, 0.3, weight.shape) for weight in core.get_weights()])
    here, there = batch(given), {key: values[::-1] for key, values in batch(given).items()}

    def effect(rows: dict[str, np.ndarray]) -> np.ndarray:
        """What the output gains where both additive columns move, row by row."""
        moved = {key: values.copy() for key, values in rows.items()}
        for values in (rows, moved):
            values["dense"] = values["dense"].copy()
            values["dense"][:, 1] = -1.0
            values["indices"] = values["indices"].copy()
            values["indices"][:, 2] = 0
        moved["dense"][:, 1], moved["indices"][:, 2] = 2.0, 1
        return np.asarray(core(moved)) - np.asarray(core(rows))

    np.testing.assert_allclose(effect(here), effect(there), rtol=1e-3, atol=1e-3)
    assert np.abs(effect(here)).max() > 0.1


def test_a_model_of_additive_columns_alone_is_refused() -> None:
    given = dataclasses.replace(mixture(1, 1, "embedding"), additive=("n0", "w0"))
    with pytest.raises(ConfigError, match="every column is additive"):
        built(given, "dcn")
    assert built(given, "linear").output_shape == (None, 3)


@pytest.fixture
def learnt(tmp_path: Path) -> Callable[..., Fitted]:
    """Trains in memory; returns what `fit` does."""

    def learn(task: str, name: str, **changes: Any) -> Fitted:
        return learn_in(tmp_path, task, name, **changes)

    return learn


def learn_in(folder: Path, task: str, name: str, **changes: Any) -> Fitted:
    given = features(task)
    train, validation = (
        examples(frame(task, rows, seed), given, split)
        for seed, (split, rows) in enumerate([("train", 600), ("validation", 200)])
    )
    quick = {"train__epochs": 25, "train__optimizer__learning_rate": 0.02}
    config = settings(name, **{**quick, **changes})
    with runtime.session(seed=7):
        return fit(
            config,
            given,
            InMemory(train),
            validation,
            tell=lambda row: None,
            checkpoints=Checkpoints(folder, "one", config.train.checkpoint),
            team=ALONE,
        )


@pytest.mark.parametrize("name", models.names())
def test_each_model_learns_classes_that_can_be_told_apart(
    learnt: Callable[..., Fitted], name: str
) -> None:
    long = {"train__epochs": 40, "train__early_stopping__patience": None}
    assert max(row["val_accuracy"] for row in learnt("binary", name, **long).history) > 0.96


def test_many_classes_are_learnt(learnt: Callable[..., Fitted]) -> None:
    assert max(row["val_accuracy"] for row in learnt("multiclass", "linear").history) > 0.99


def test_a_number_is_learnt_in_its_own_unit(learnt: Callable[..., Fitted]) -> None:
    best = min(row["val_mae"] for row in learnt("regression", "dcn").history)
    assert best < 0.4  # the label's standard deviation is about 2.6


def test_a_product_of_two_numbers_is_beyond_the_linear_model_but_not_beyond_crosses(
    learnt: Callable[..., Fitted],
) -> None:
    crosses_alone = {"model__layers": [], "model__cross_layers": 1}
    linear = learnt("xor", "linear").history[-1]
    crossed = learnt("xor", "dcn", **crosses_alone).history[-1]
    assert linear["val_auc"] < 0.65
    assert crossed["val_auc"] > 0.98
