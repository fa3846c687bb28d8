"""The rows' own weights: in metrics where the config asks for them, in baselines always."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.core.encoding import encode
from pipeline.core.features import RowWeight
from pipeline.core.model import load_model, predict
from pipeline.core.records import LABEL, SPLITS
from pipeline.evaluate.baselines import Answered, linear_scores, trivial_scores
from pipeline.evaluate.config import LinearConfig
from pipeline.evaluate.points import calibration_points, pr_points, roc_points
from tests.evaluate.conftest import LABELS, Workshop, features_for, table


def test_rows_count_by_weight_and_are_drawn_by_group(binary: Workshop):
    artifacts = binary.artifacts
    for split in SPLITS:
        frame = artifacts.split(split).read()
        group = np.array(["", *map(str, range(1, 40))])[np.arange(len(frame)) % 40]
        weight = np.where(frame["city"] == "Oslo", 3.0, 0.5)
        artifacts.split(split).write(frame.assign(w=weight, g=group))
    fitted = replace(binary.features, kept=("row", "w", "g"), group="g")
    artifacts.features.write(replace(fitted, weight=RowWeight(column="w", mean=1.75)))
    found = {}
    for weighted in (False, True):
        binary.evaluate(weighted=weighted)
        found[weighted] = json.loads(artifacts.metrics.read_text())["test"]["accuracy"]
    test = artifacts.split("test").read()
    right = predict(load_model(artifacts.model), test, fitted).argmax(axis=1) == test[LABEL]
    assert found[False] == pytest.approx(right.mean(), abs=1e-6)
    assert found[True] == pytest.approx(np.average(right, weights=test["w"]), abs=1e-6)
    assert found[True] != found[False]


def answered(frame: pd.DataFrame, task: str, weights: np.ndarray | None = None) -> Answered:
    return Answered(encode(frame, features_for(task)), frame[LABEL].to_numpy(), weights)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_baselines_take_a_row_of_weight_three_for_three_rows(task: str):
    frame, check, test = table(task, 300, 0), table(task, 100, 1), table(task, 50, 2)
    counts = np.random.default_rng(0).integers(0, 4, 300)
    repeated = frame.loc[frame.index.repeat(counts)]
    weights = counts.astype(np.float64)
    features = features_for(task)
    asked = encode(test, features)
    guide = answered(check, task)
    # Few steps of the solver, but enough to be at the end of the way.
    config = LinearConfig(rows=1000, iterations=400, regularisation=10.0)
    one = linear_scores(answered(frame, task, weights), guide, asked, features, config)
    other = linear_scores(answered(repeated, task), guide, asked, features, config)
    assert one == pytest.approx(other, abs=2e-3)
    unweighted = linear_scores(answered(frame, task), guide, asked, features, config)
    assert np.abs(one - unweighted).max() > 0.02
    label, truth = LABELS[task], frame[LABEL].to_numpy()
    expected = trivial_scores(label, repeated[LABEL].to_numpy(), 50)
    assert trivial_scores(label, truth, 50, weights) == pytest.approx(expected)


def test_the_rows_to_check_count_by_weight_too():
    """Rows of weight nothing do not say when to stop, whatever their labels."""
    frame, check, test = (table("binary", rows, seed) for seed, rows in enumerate((300, 200, 50)))
    weights = np.repeat([1.0, 0.0], 100)
    wrong = check.assign(**{LABEL: np.where(weights > 0, check[LABEL], 1 - check[LABEL])})
    features = features_for("binary")
    config = LinearConfig(rows=1000, iterations=60, regularisation=0.01)
    answers = [
        linear_scores(
            answered(frame, "binary"), guide, encode(test, features), features, config
        ).tolist()
        for guide in (
            answered(wrong, "binary", weights),
            answered(check[:100], "binary"),
        )
    ]
    assert answers[0] == answers[1]


def test_the_stage_fits_the_baselines_with_the_weights(binary: Workshop):
    """A label that is everywhere `late` where rows count is what the trivial baseline says."""
    artifacts = binary.artifacts
    for split in SPLITS:
        frame = artifacts.split(split).read()
        artifacts.split(split).write(frame.assign(w=frame[LABEL].astype("float64") * 9 + 1))
    mean = float(artifacts.split("train").read()["w"].mean())
    weight = RowWeight(column="w", mean=mean)
    artifacts.features.write(replace(binary.features, kept=("row", "w"), weight=weight))
    binary.evaluate()
    train, test = (artifacts.split(name).read() for name in ("train", "test"))
    share = np.average(train[LABEL], weights=train["w"])
    late = test[LABEL].mean()
    expected = -(late * np.log(share) + (1 - late) * np.log(1 - share))
    found = json.loads(artifacts.metrics.read_text())["baseline"]
    assert found["trivial"]["log_loss"] == pytest.approx(expected, abs=1e-5)
    assert found["linear"]["recall"] > 0.9, "ten times as much is lost by a late one on time"


def test_curves_and_calibration_take_a_row_of_weight_three_for_three_rows():
    draw = np.random.default_rng(0)
    positive, score = draw.random(500) < 0.3, draw.random(500).round(2)
    counts = draw.integers(0, 4, 500)
    repeated = positive.repeat(counts), score.repeat(counts)
    weights = counts.astype(np.float64)
    for points in (roc_points, pr_points):
        one = points({"model": (positive, score)}, weights)
        pd.testing.assert_frame_equal(one, points({"model": repeated}))
    one = calibration_points(score, positive, 10, weights)
    other = calibration_points(*repeated[::-1], 10)
    for column in ("mean_score", "share"):
        assert one[column].to_numpy() == pytest.approx(other[column].to_numpy())
    assert (one["high"] - one["low"] > other["high"] - other["low"]).all(), "copies are no rows"
    nothing = {"model": (positive, score)}
    assert list(roc_points(nothing, positive.astype("float64"))) == ["false_positive_rate"]
