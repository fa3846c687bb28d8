"""Noise, mixtures and resampling: of training rows alone, drawn by seed and batch number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError
from pipeline.core.features import BooleanFeature, Column, FeatureSet
from pipeline.train.augment import augmented, deviations
from pipeline.train.examples import Examples, examples
from pipeline.train.input import InMemory, Share, Source, endless
from pipeline.train.splits import encoded_splits
from pipeline.train.stored import Stored, store
from tests.train.worlds import features, frame, processed, settings

BOTH = {"train__augment__noise": 0.5, "train__augment__mixup": 0.4}


def wider(task: str) -> FeatureSet:
    """The world's features and a truth value, which is no number to be noised."""
    plain = features(task)
    flag = BooleanFeature(name="flag", column="flag")
    columns = (*plain.columns, Column(name="flag", dtype="bool"))
    return replace(plain, columns=columns, features=(*plain.features, flag))


def rows(task: str) -> Examples:
    table = frame(task, 600, 0).assign(flag=np.arange(600) % 3 == 0)
    return examples(table, wider(task), "train")


def made(train: Examples, task: str, **changes: Any) -> Source:
    return augmented(InMemory(train), train, settings(**changes).train, wider(task))


def taken(source: Source, batches: int = 6, **options: Any) -> list[tuple[Any, ...]]:
    stream = endless(source, 60, 7, **options).take(batches)
    return [(x["dense"], x["indices"], *rest) for x, *rest in stream.as_numpy_iterator()]


def together(batches: list[tuple[Any, ...]]) -> list[Any]:
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_nothing_is_done_unless_it_is_wanted() -> None:
    train = rows("binary")
    source = InMemory(train)
    assert augmented(source, train, settings().train, wider("binary")) is source


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_batch_follows_from_seed_and_number(task: str) -> None:
    train = rows(task)
    train = replace(train, weights=np.linspace(0, 2, 600, dtype=np.float32))
    source = made(train, task, **BOTH)
    whole = taken(source, 6)
    late = taken(source, 2, first_batch=4)
    for one, other in zip(together(whole[4:]), together(late), strict=True):
        np.testing.assert_array_equal(one, other)
    halves = [taken(source, 6, share=Share(first=i, replicas=1, team=2)) for i in range(2)]
    for batch, first, second in zip(whole, *halves, strict=True):
        for one, parts in zip(batch, zip(first, second, strict=True), strict=True):
            np.testing.assert_array_equal(one, np.concatenate(parts))


def test_noise_is_measured_in_deviations_and_touches_numbers_alone() -> None:
    train = rows("binary")
    plain, noised = (together(taken(made(train, "binary", **c), 10)) for c in ({}, BOTH | MIX_NONE))
    difference = noised[0] - plain[0]
    spread = deviations(train, wider("binary"))
    np.testing.assert_allclose(difference[:, :2].std(axis=0), 0.5 * spread[:2], rtol=0.1)
    assert abs(difference[:, :2].mean()) < 0.1
    assert spread[2] == 0
    for one, other in zip(
        [noised[0][:, 2], *noised[1:]], [plain[0][:, 2], *plain[1:]], strict=True
    ):
        np.testing.assert_array_equal(one, other)


MIX_NONE = {"train__augment__mixup": 0.0}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_two_rows_are_mixed_in_one_share(task: str) -> None:
    train = rows(task)
    train = replace(train, weights=np.linspace(0, 2, 600, dtype=np.float32))
    plain = together(taken(made(train, task), 10))
    dense, indices, labels, weights = together(taken(made(train, task, **{**BOTH, **STILL}), 10))
    assert not np.array_equal(dense, plain[0])
    if task == "multiclass":
        assert labels.shape == (600, 3)
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    # Each row is `share * own + (1 - share) * partner's`, with one share for all of its numbers.
    own = np.column_stack([plain[0][:, :2], plain[3]])
    mixed = np.column_stack([dense[:, :2], weights])
    for start in range(0, 600, 60):
        mine, out = own[start : start + 60], mixed[start : start + 60]
        for row in range(0, 60, 17):
            assert any(_between(mine[row], other, out[row]) for other in mine)
    assert set(np.unique(indices)) <= set(np.unique(plain[1]))


STILL = {"train__augment__noise": 0.0}


def _between(one: np.ndarray, other: np.ndarray, found: np.ndarray) -> bool:
    gap = one - other
    if np.abs(gap).max() < 1e-6:
        return bool(np.allclose(found, one, atol=1e-5))
    share = float((found - other) @ gap / (gap @ gap))
    on_line = np.allclose(found, share * one + (1 - share) * other, atol=1e-5)
    return bool(on_line and -1e-5 <= share <= 1 + 1e-5)


def skewed(tmp_path: Path) -> Artifacts:
    """A table in which one row of ten is of class 1."""
    artifacts = processed(tmp_path, "binary")
    table = artifacts.split("train").read()
    many, few = (table[table["__label__"] == one] for one in (0, 1))
    kept = few.head(len(many) // 9)
    artifacts.split("train").write(table.loc[many.index.union(kept.index)])
    return artifacts


@pytest.mark.parametrize("read", ["memory", "stream"])
@pytest.mark.parametrize(("how", "ratio"), [("over", 1.0), ("over", 0.5), ("under", 0.5)])
def test_classes_are_resampled_to_the_ratio(
    tmp_path: Path, read: str, how: str, ratio: float
) -> None:
    artifacts = skewed(tmp_path)
    fitted = features("binary")
    train, validation = encoded_splits(artifacts, fitted)
    source = Stored(store(artifacts, fitted, "train")) if read == "stream" else InMemory(train)
    changes = {"train__augment__resample": how, "train__augment__ratio": ratio}
    found = augmented(source, train, settings(**changes).train, fitted)
    many, few = np.bincount(train.labels[:, 0].astype(int))
    wanted = [many, round(ratio * many)] if how == "over" else [round(few / ratio), few]
    assert len(found) == sum(wanted)
    epochs = []
    for epoch in range(2):
        order = np.concatenate([found.permutation(7, epoch).numpy()])
        assert np.bincount(train.labels[order, 0].astype(int)).tolist() == wanted
        np.testing.assert_array_equal(order, found.permutation(7, epoch).numpy())
        epochs.append(set(order.tolist()))
    if how == "over":
        assert epochs[0] == epochs[1] == set(range(len(train)))
    else:
        assert epochs[0] != epochs[1], "every epoch leaves out other rows"
    assert len(validation) == 200
    batch, labels = next(iter(endless(found, 16, 7)))
    assert batch["dense"].shape == (16, 2)
    assert labels.shape == (16, 1)


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("regression", {}, "the label is a number"),
        ("binary", {"train__class_weights": "balanced"}, "beside train.class_weights"),
    ],
)
def test_what_cannot_be_resampled(task: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(rows(task), task, train__augment__resample="over", **changes)
