"""Places, target encoding, holidays, weights and groups: what is fitted, and what never leaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipeline.core.encoding import encode, encode_training
from pipeline.core.errors import ConfigError
from pipeline.core.features import GeoCellFeature, TargetFeature
from pipeline.core.records import LABEL
from pipeline.core.schema import build
from pipeline.core.target import OUT_OF_FOLD
from pipeline.preprocess.config import DatetimeConfig, LatitudeConfig
from pipeline.preprocess.part_clean import SAMPLED, UNIT
from pipeline.preprocess.raw import SPLIT_KEY
from tests.preprocess.conftest import COLUMNS, RANDOM, Preprocess, numbers
from tests.preprocess.test_stream import assert_alike, written

CITIES = {"Berlin": (52.52, 13.405), "Suva": (-18.1416, 178.4419), "Nome": (64.5011, -165.4064)}
PLACE: Mapping[str, Any] = {
    "lat": {
        "kind": "latitude",
        "longitude": "lon",
        "points": {"paris": [48.8566, 2.3522]},
        "cell_degrees": 5,
        "min_count": 2,
    },
    "lon": {"kind": "longitude"},
}


def placed(rows: int = 300) -> pd.DataFrame:
    """`numbers` with places near three cities, a few of them missing or impossible."""
    random = np.random.default_rng(5)
    table = numbers(rows)
    city = random.integers(0, 3, rows)
    centers = np.array(list(CITIES.values()))
    table[["lat", "lon"]] = centers[city] + random.normal(0, 0.01, (rows, 2))
    table.loc[[3, 4], "lat"] = [np.nan, 91.0]
    return table


def dense(frame: pd.DataFrame, preprocess: Preprocess, name: str) -> Any:
    features = preprocess.features
    return encode(frame, features).dense[:, features.dense_names.index(name)]


def test_a_place_becomes_a_point_a_distance_and_a_cell(preprocess: Preprocess):
    splits = preprocess.run(placed(), {**COLUMNS, **PLACE})
    features = preprocess.features
    names = ["lat.x", "lat.y", "lat.z", "lat.km.paris", "lat.missing"]
    assert [name for name in features.dense_names if name.startswith("lat")] == names
    train = splits["train"]
    axes = np.stack([dense(train, preprocess, name) for name in names[:3]])
    known = dense(train, preprocess, "lat.missing") == 0
    assert 0 < (~known).sum() <= 2, "the impossible latitude counts as missing"
    np.testing.assert_array_equal(axes[:, ~known], 0)
    np.testing.assert_allclose(axes[:, known].mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(axes[:, known].std(axis=1), 1, rtol=1e-5)

    geo = next(f for f in features.features if f.name == "lat")
    berlin = np.abs(train["lat"] - CITIES["Berlin"][0]) < 1
    away = dense(train, preprocess, "lat.km.paris")[berlin]
    kilometres = away * geo.distances[0].scale + geo.distances[0].center
    assert kilometres.mean() == pytest.approx(878, abs=3), "Berlin to Paris"

    cell = next(f for f in features.features if isinstance(f, GeoCellFeature))
    assert cell.name == "lat.cell"
    at = [column.name for column in features.index_columns].index("lat.cell")
    index = encode(train, features).indices[:, at]
    np.testing.assert_array_equal(index == 0, ~known)
    assert len(np.unique(index[berlin])) == 1


def test_neighbours_across_the_date_line_are_near_each_other(preprocess: Preprocess):
    preprocess.run(placed(), {**COLUMNS, **PLACE})
    rows = placed().head(4).assign(lat=-17.0, lon=[179.99, -179.99, 0.0, 170.0])
    first, second, far, near = (
        np.stack([dense(rows, preprocess, f"lat.{axis}") for axis in "xyz"]).T[i] for i in range(4)
    )
    assert np.linalg.norm(first - second) < 0.01 < np.linalg.norm(first - near)
    assert np.linalg.norm(first - near) < np.linalg.norm(first - far)


def test_a_grid_may_be_crossed(preprocess: Preprocess):
    crosses = {"where": {"of": ["lat.cell", "word"], "buckets": 50}}
    preprocess.run(placed(), {**COLUMNS, **PLACE}, crosses=crosses)
    assert preprocess.features.index_columns[-1].name == "where"


def crowded(rows: int, seed: int = 1) -> pd.DataFrame:
    """A label that follows `x`, and a word that nearly every row has for itself: pure chance."""
    random = np.random.default_rng(seed)
    table = numbers(rows, seed)
    table["who"] = random.integers(0, rows // 2, rows).astype(str)
    table["shop"] = np.where(table["label"] == "yes", "a", "b")
    swapped = random.random(rows) < 0.3
    table.loc[swapped, "shop"] = random.choice(["a", "b", "c"], int(swapped.sum()))
    return table


MEANS: Mapping[str, Any] = {
    **COLUMNS,
    "who": {"kind": "target", "smoothing": 1.0},
    "shop": {"kind": "target"},
}


def test_a_word_by_chance_says_nothing_of_a_training_row(preprocess: Preprocess):
    splits = preprocess.run(crowded(6000), MEANS, unique_fraction=1.0)
    features, train = preprocess.features, splits["train"]
    at = features.dense_names.index("who")
    inside = encode(train, features).dense[:, at]
    outside = encode_training(train, features).dense[:, at]
    assert roc_auc_score(train[LABEL], inside) > 0.85, "in-sample means know the label"
    assert abs(roc_auc_score(train[LABEL], outside) - 0.5) < 0.05
    # A model fitted on it gains nothing on rows it has not seen, and leaves the column alone.
    model = LogisticRegression().fit(outside[:, None], train[LABEL])
    assert abs(model.coef_[0, 0]) < 0.15
    # What is predictive stays predictive.
    shop = encode_training(train, features).dense[:, features.dense_names.index("shop")]
    assert roc_auc_score(train[LABEL], shop) > 0.75


def test_means_are_smoothed_as_the_formula_says(preprocess: Preprocess):
    splits = preprocess.run(crowded(800), MEANS, unique_fraction=1.0)
    train = splits["train"]
    feature = next(f for f in preprocess.features.features if f.name == "shop")
    assert isinstance(feature, TargetFeature)
    by_word = train.groupby("shop")[LABEL].agg(["sum", "count"])
    prior = train[LABEL].mean()
    means = (by_word["sum"] + 20 * prior) / (by_word["count"] + 20)
    for word, values in zip(feature.vocabulary, feature.values, strict=True):
        assert values[0] * feature.scales[0] + feature.centers[0] == pytest.approx(means[word])
    assert feature.unknown[0] * feature.scales[0] + feature.centers[0] == pytest.approx(prior)
    assert f"{OUT_OF_FOLD}shop" in train
    assert not [name for name in splits["test"] if name.startswith(OUT_OF_FOLD)]


def test_equal_rows_are_in_one_fold_and_values_come_from_the_others(preprocess: Preprocess):
    table = crowded(400)
    copies = pd.concat([table, table], ignore_index=True)
    columns = {**COLUMNS, "who": {"kind": "target", "smoothing": 0.0, "folds": 2}}
    train = preprocess.run(copies, columns, duplicates="keep", unique_fraction=1.0)["train"]
    feature = next(f for f in preprocess.features.features if f.name == "who")
    named = train.groupby("who")[["x"]].nunique()["x"]
    once = train["who"].map(named) == 1
    value = train[f"{OUT_OF_FOLD}who"][once] * feature.scales[0] + feature.centers[0]
    assert once.any()
    np.testing.assert_allclose(value, feature.prior[0], rtol=1e-5)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_means_of_other_tasks(preprocess: Preprocess, task: str):
    table = crowded(600)
    random = np.random.default_rng(2)
    if task == "multiclass":
        table["label"] = np.where(random.random(600) < 0.3, "maybe", table["label"])
    else:
        table["label"] = 100 + 10 * (table["shop"] == "a") + table["x"]
    columns = {**COLUMNS, "shop": {"kind": "target"}}
    splits = preprocess.run(table, columns, label={"column": "label", "task": task})
    names = [n for n in preprocess.features.dense_names if n.startswith("shop")]
    classes = preprocess.features.label.classes
    assert names == ([f"shop={one}" for one in classes] or ["shop"])
    encoded = encode_training(splits["train"], preprocess.features).dense
    assert np.isfinite(encoded).all()
    if task == "regression":
        at = preprocess.features.dense_names.index("shop")
        assert np.corrcoef(encoded[:, at], splits["train"][LABEL])[0, 1] > 0.9


def test_holidays(preprocess: Preprocess):
    table = numbers(400)
    table["day"] = pd.Series(pd.date_range("2024-01-01", periods=400).strftime("%Y-%m-%dT10:00"))
    how = {"kind": "datetime", "parts": ["day_of_week"], "holidays": ["12-25", "2024-05-09"]}
    splits = preprocess.run(table, {**COLUMNS, "day": how})
    rows = pd.concat(splits.values())
    on = rows["day"][dense(rows, preprocess, "day.holiday") == 1].str[:10]
    assert sorted(on) == ["2024-05-09", "2024-12-25"]
    for wrong in (["2024-02-30"], ["25-12"], ["2024-5-9"]):
        with pytest.raises(ConfigError, match="holidays"):
            build(DatetimeConfig, {**how, "holidays": wrong})


def test_groups_stay_together(preprocess: Preprocess):
    table = numbers(900)
    table["family"] = np.random.default_rng(3).integers(0, 90, 900).astype(str)
    table.loc[::10, "family"] = ""
    columns = {**COLUMNS, "family": {"kind": "group"}}
    for engine in ("pandas", "stream"):
        splits = preprocess.run(table, columns, engine=engine)
        families = [set(frame["family"]) - {""} for frame in splits.values()]
        assert all(families)
        assert sum(map(len, families)) == len(set.union(*families))
        assert preprocess.features.group == "family"
        assert "family" not in [column.name for column in preprocess.features.columns]


def test_weights_are_kept_and_never_served(preprocess: Preprocess):
    table = numbers(300).assign(w=np.linspace(0, 2, 300))
    columns = {**COLUMNS, "w": {"kind": "weight"}}
    splits = preprocess.run(table, columns)
    weight = preprocess.features.weight
    assert weight is not None
    assert weight.mean == pytest.approx(splits["train"]["w"].mean())
    assert "w" not in [column.name for column in preprocess.features.columns]


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_weights_that_are_none(failing: Callable[..., str], engine: str):
    table = numbers(300).assign(w=1.0)
    table.loc[[7, 9], "w"] = [-1.0, np.nan]
    message = failing(table, {**COLUMNS, "w": {"kind": "weight"}}, engine=engine)
    assert "'w' is a weight in every row, 0 or more: not so in 2 rows" in message
    assert "row 8: -1.0" in message


def test_rows_that_all_weigh_nothing(failing: Callable[..., str]):
    message = failing(numbers(300).assign(w=0.0), {**COLUMNS, "w": {"kind": "weight"}})
    assert "every training row has the weight 0" in message


def test_weights_whose_sum_overflows(failing: Callable[..., str]):
    message = failing(numbers(300).assign(w=1e308), {**COLUMNS, "w": {"kind": "weight"}})
    assert "the weights in 'w' are so large that their sum overflows" in message


@pytest.mark.parametrize(
    ("columns", "split", "message"),
    [
        ({"lat": {"kind": "latitude", "longitude": "x"}}, RANDOM, "longitude' names 'x'"),
        ({"lon": {"kind": "longitude"}}, RANDOM, "'lon' belongs to no latitude"),
        (
            {"a": {"kind": "weight"}, "b": {"kind": "weight"}},
            RANDOM,
            "columns are of kind weight",
        ),
        (
            {"g": {"kind": "group"}},
            {"kind": "time", "column": "t", "validation_from": 1, "test_from": 2},
            "of kind time and would part rows",
        ),
        ({"g": {"kind": "group"}}, {**RANDOM, "stratify": True}, "is stratified, and 'g'"),
        *(
            ({name + "x": {"kind": "numeric"}}, RANDOM, f"the column '{name}x'.* gives itself")
            for name in (LABEL, SPLIT_KEY, UNIT, SAMPLED, OUT_OF_FOLD)
        ),
        ({"label": {"kind": "group"}}, RANDOM, "the label 'label' is declared as group"),
        ({"label": {"kind": "weight"}}, RANDOM, "the label 'label' is declared as weight"),
        (
            {"lat": {"kind": "latitude", "longitude": "label"}, "label": {"kind": "longitude"}},
            RANDOM,
            "longitude' names 'label'",
        ),
    ],
)
def test_columns_that_do_not_go_together(
    preprocess: Preprocess, columns: Any, split: Any, message: str
):
    with pytest.raises(ConfigError, match=message):
        preprocess.run(numbers(50), {**COLUMNS, **columns}, split=split)


def test_a_point_that_is_nowhere():
    how = {"kind": "latitude", "longitude": "lon", "points": {"x": [91.0, 0.0]}}
    with pytest.raises(ConfigError, match=r"points\.x"):
        build(LatitudeConfig, how)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_both_engines_fit_and_write_the_same(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, task: str
):
    # Blocks that end elsewhere than files and batches do.
    monkeypatch.setattr("pipeline.preprocess.training_rows.BLOCK_ROWS", 37)
    table = placed(500).assign(w=1.5, who=crowded(500)["who"], shop=crowded(500)["shop"])
    table["family"] = (np.arange(500) // 3).astype(str)
    if task == "regression":
        table["label"] = np.exp(table["x"]) + np.random.default_rng(4).normal(size=500)
    elif task == "multiclass":
        table["label"] = np.where(table["z"] > 1, "maybe", table["label"])
    columns = {**MEANS, **PLACE, "family": {"kind": "group"}, "w": {"kind": "weight"}}
    results = []
    for engine in ("pandas", "stream"):
        preprocess = Preprocess(tmp_path / engine)
        stream = {"above_rows": 0, "batch_rows": 64}
        preprocess.run(
            table,
            columns,
            label={"column": "label", "task": task},
            engine=engine,
            group_rows=90,
            stream={**stream, "part_rows": 90},
            unique_fraction=1.0,
        )
        results.append(written(preprocess))
    assert_alike(*results)
