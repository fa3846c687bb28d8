"""Pictures of awkward data: many classes, odd names, nothing to draw."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from pipeline.core.features import Label
from pipeline.evaluate.charts import draw_slices
from pipeline.evaluate.drawing import Gallery, short
from pipeline.evaluate.pictures import draw_binary, draw_multiclass, draw_regression


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(tmp_path)


def ink(path: Path) -> float:
    """Share of the picture that is not white."""
    return float((matplotlib.image.imread(path)[..., :3].min(axis=2) < 0.99).mean())


def test_a_picture_has_ink_and_a_readable_size(gallery):
    labels = np.array([0, 1] * 50)
    scores = np.random.default_rng(0).dirichlet([1, 1], 100)
    label = Label(column="y", task="binary", classes=("no", "yes"))
    draw_binary(gallery, label, labels, {"model": scores}, 10)
    pictures = sorted(gallery.folder.glob("*.png"))
    assert len(pictures) == 5
    for path in pictures:
        height, width, _ = matplotlib.image.imread(path).shape
        assert 400 <= height <= 2000
        assert 400 <= width <= 2000
        assert 0.01 < ink(path) < 0.9


def test_very_many_classes_with_odd_names_make_no_warning(gallery):
    names = tuple(f"$class_{k}$ 航班 {'long ' * 9}" for k in range(40))
    draw = np.random.default_rng(0)
    labels, scores = draw.integers(0, 40, 300), draw.dirichlet(np.ones(40), 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_multiclass(
            gallery, Label(column="y", task="multiclass", classes=names), labels, scores, 10
        )
    assert len(pd.read_csv(gallery.folder / "confusion_matrix.csv")) == 1600
    assert len(pd.read_csv(gallery.folder / "roc.csv").columns) == 1 + 8


def test_one_class_alone_is_drawn_without_curves(gallery):
    label = Label(column="y", task="binary", classes=("no", "yes"))
    draw_binary(gallery, label, np.zeros(9, np.int64), {"model": np.tile([0.5, 0.5], (9, 1))}, 10)
    assert list(pd.read_csv(gallery.folder / "roc.csv")) == ["false_positive_rate"]
    assert ink(gallery.folder / "roc.png") > 0


def test_constant_values_are_drawn(gallery):
    draw_regression(gallery, np.full(5, 1e9), np.full(5, 1e9, np.float32))
    assert ink(gallery.folder / "residuals.png") > 0.01


def test_slices_without_a_metric_or_without_any_row_are_drawn(gallery):
    table = pd.DataFrame(
        {
            "column": ["city", "city", "size"],
            "value": ["Oslo", "Łódź", "1 to 2"],
            "rows": [100, 50, 30],
            "metric": [0.8, np.nan, 0.7],
            "low": [0.7, np.nan, np.nan],
            "high": [0.9, np.nan, np.nan],
        }
    )
    for part, overall in ((table, 0.75), (table.head(0), None)):
        draw_slices(gallery, part, "AUC", overall)
        assert ink(gallery.folder / "slices.png") > 0
        assert len(pd.read_csv(gallery.folder / "slices.csv")) == len(part)


def test_long_names_are_cut():
    assert short("Oslo") == "Oslo"
    assert len(short("x" * 100)) == 24
