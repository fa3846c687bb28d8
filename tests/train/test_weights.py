"""The rows' own weights: in the training loss, in memory as on disk, and in the validation loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.features import FeatureSet, RowWeight, TargetFeature
from pipeline.core.model import load_model, predict
from pipeline.core.records import SPLITS
from pipeline.core.target import OUT_OF_FOLD
from pipeline.train.examples import class_weights, examples
from pipeline.train.splits import encoded_splits, weighted
from pipeline.train.stored import Stored, store
from tests.train.worlds import LABELS, features, processed, train


def weighing(root: Path, task: str) -> tuple[Artifacts, FeatureSet]:
    """The world of `task`, in which red rows weigh nothing and green ones twice as much as blue."""
    artifacts = processed(root, task)
    for split in SPLITS:
        frame = artifacts.split(split).read()
        weight = frame["word"].map({"red": 0.0, "green": 2.0, "blue": 1.0})
        artifacts.split(split).write(frame.assign(w=weight.astype("float64")))
    mean = float(artifacts.split("train").read()["w"].mean())
    fitted = replace(features(task), kept=("w",), weight=RowWeight(column="w", mean=mean))
    artifacts.features.write(fitted)
    return artifacts, fitted


@pytest.mark.parametrize("choice", ["none", "balanced"])
def test_weights_are_of_mean_one_and_multiply_those_of_classes(tmp_path: Path, choice: str) -> None:
    artifacts, fitted = weighing(tmp_path, "binary")
    plain, validation = encoded_splits(artifacts, fitted)
    rows = artifacts.split("train").read()
    own = (rows["w"] / rows["w"].mean()).to_numpy()
    by_class = class_weights(choice, plain.labels, LABELS["binary"])
    expected = own if by_class is None else own * by_class
    found = weighted(plain, choice, fitted.label).weights
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert validation.weights is not None
    stored = Stored(store(artifacts, fitted, "train", choice)).examples()
    np.testing.assert_array_equal(stored.weights, found)


@pytest.mark.parametrize("read", ["memory", "stream"])
def test_a_row_of_weight_zero_teaches_nothing(tmp_path: Path, read: str) -> None:
    """The label of red rows turned round changes no weight of the model."""
    models = []
    for name in ("as it is", "turned round"):
        artifacts, _ = weighing(tmp_path / name, "binary")
        if name == "turned round":
            rows = artifacts.split("train").read()
            red = rows["word"] == "red"
            rows.loc[red, "__label__"] = 1 - rows.loc[red, "__label__"]
            artifacts.split("train").write(rows)
        train(artifacts, train__input=read, train__epochs=2)
        models.append(load_model(artifacts.model))
    test = Artifacts(tmp_path / "as it is").split("test").read()
    one, other = (predict(model, test, model.features) for model in models)
    np.testing.assert_array_equal(one, other)


def test_the_validation_loss_is_the_mean_by_weight(tmp_path: Path) -> None:
    artifacts, fitted = weighing(tmp_path, "binary")
    train(artifacts, train__epochs=1)
    model = load_model(artifacts.model)
    rows = artifacts.split("validation").read()
    scores = predict(model, rows, fitted)
    losses = -np.log(scores[np.arange(len(rows)), rows["__label__"]].astype(np.float64))
    record = json.loads(artifacts.training.path.read_text())
    expected = np.average(losses, weights=rows["w"])
    assert record["validation_loss"] == pytest.approx(expected, rel=1e-4)


def test_training_rows_take_what_was_kept_beside_them(tmp_path: Path) -> None:
    """Means of the other folds for training rows, of all rows for the others."""
    artifacts = processed(tmp_path, "binary")
    mean = TargetFeature(
        name="mean",
        column="word",
        vocabulary=("red", "green"),
        values=((1.0,), (2.0,)),
        unknown=(3.0,),
        smoothing=1.0,
        folds=2,
        prior=(0.5,),
        centers=(0.0,),
        scales=(1.0,),
    )
    fitted = replace(features("binary"), features=(*features("binary").features, mean))
    rows = artifacts.split("train").read()
    kept = np.arange(len(rows), dtype=np.float32)
    artifacts.split("train").write(rows.assign(**{f"{OUT_OF_FOLD}mean": kept}))
    artifacts.features.write(fitted)
    at = fitted.dense_names.index("mean")
    in_memory, validation = encoded_splits(artifacts, fitted)
    on_disk = Stored(store(artifacts, fitted, "train")).examples()
    np.testing.assert_array_equal(in_memory.encoded.dense[:, at], kept)
    np.testing.assert_array_equal(on_disk.encoded.dense[:, at], kept)
    assert set(validation.encoded.dense[:, at]) == {1.0, 2.0, 3.0}
    with pytest.raises(Exception, match=r"train.parquet lacks __out_of_fold__\.mean"):
        examples(rows, fitted, "train")
