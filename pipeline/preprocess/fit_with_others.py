"""Fits what one column alone does not say: places, target encoding, the weight of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.core.features import (
    Feature,
    GeoCellFeature,
    GeoDistance,
    GeoFeature,
    Label,
    RowWeight,
    TargetFeature,
)
from pipeline.core.geo import cell_numbers, kilometres, on_sphere, usable
from pipeline.core.records import LABEL
from pipeline.preprocess.config import (
    ColumnConfig,
    LatitudeConfig,
    LongitudeConfig,
    TargetConfig,
    WeightConfig,
)
from pipeline.preprocess.config_together import only
from pipeline.preprocess.fit_columns import center_and_scale, embedding_dimension, fit_column
from pipeline.preprocess.on_disk import Rows
from pipeline.preprocess.summary_cells import Moments
from pipeline.preprocess.target_means import label_outputs, smoothed, target_scales, word_sums

Floats = NDArray[np.float64]

_NEAREST = 1e-6
"""Of the Earth's radius, six metres: places that differ by less count as one place."""


def fit_any(train: Rows, name: str, how: ColumnConfig, label: Label) -> Iterator[Feature]:
    """Fits the features of the raw column `name`, with what else they need.

    Args:
        train: Training rows in served dtypes, and `records.LABEL`.
        name: The column.
        how: What it is.
        label: The task and its classes.

    Raises:
        DataError: The column has no value in training, or values too large to work with.
    """
    match how:
        case LatitudeConfig():
            yield from fit_place(train, name, how)
        case LongitudeConfig():
            return  # its latitude makes the features
        case TargetConfig():
            yield fit_target(train, name, how, label)
        case _:
            yield from fit_column(train[name], how)


def fit_place(train: Rows, name: str, how: LatitudeConfig) -> Iterator[GeoFeature | GeoCellFeature]:
    """The point on the sphere, and the grid cell where one is wanted.

    Raises:
        DataError: No training row has a place, or no cell has rows enough.
    """
    pair = [train[one].to_numpy(dtype=np.float64) for one in (name, how.longitude)]
    known = usable(*pair)
    latitude, longitude = (one[known] for one in pair)
    if not len(latitude):
        raise DataError(
            f"'{name}' and '{how.longitude}' hold no place in any of {len(known):,} training rows",
            expected="rows with a latitude of at most 90 and a longitude of at most 180 degrees",
            remedy=f"remove '{name}' and '{how.longitude}' from data.columns, or repair the source",
        )
    axes = [_scaled(name, axis, _NEAREST) for axis in on_sphere(latitude, longitude)]
    indicator = not known.all() if how.indicator == "auto" else how.indicator
    yield GeoFeature(
        name=name,
        latitude=name,
        longitude=how.longitude,
        centers=(axes[0][0], axes[1][0], axes[2][0]),
        scales=(axes[0][1], axes[1][1], axes[2][1]),
        distances=tuple(
            _distance(one, kilometres(latitude, longitude, point), point)
            for one, point in how.points.items()
        ),
        indicator=bool(indicator),
    )
    if how.cell_degrees:
        yield _cells(name, how, cell_numbers(latitude, longitude, how.cell_degrees))


def _distance(name: str, kilometres_away: Floats, point: tuple[float, float]) -> GeoDistance:
    center, scale = _scaled(name, kilometres_away, 1e-3)
    latitude, longitude = point
    return GeoDistance(
        name=name, latitude=latitude, longitude=longitude, center=center, scale=scale
    )


def _scaled(name: str, numbers: Floats, smallest: float) -> tuple[float, float]:
    """Mean and standard deviation; numbers that differ by less than `smallest` are not blown up."""
    center, scale = center_and_scale(name, Moments.of(numbers), "standard")
    return center, scale if scale > smallest else 1.0


def _cells(name: str, how: LatitudeConfig, numbers: NDArray[np.int64]) -> GeoCellFeature:
    cells, counts = np.unique(numbers, return_counts=True)
    enough = counts >= how.min_count
    cells, counts = cells[enough], counts[enough]
    if not len(cells):
        raise DataError(
            f"no cell of {how.cell_degrees:g} degrees of '{name}' has {how.min_count} rows",
            expected="cells with training rows enough to learn from",
            remedy=f"raise data.columns.{name}.cell_degrees, or lower its min_count",
        )
    # The fullest ones; of equally full ones those of the smallest numbers.
    kept = np.sort(cells[np.argsort(-counts, kind="stable")[: how.max_size]])
    return GeoCellFeature(
        name=f"{name}.cell",
        latitude=name,
        longitude=how.longitude,
        degrees=how.cell_degrees,
        cells=tuple(kept.tolist()),
        encoding=how.encoding,
        dimension=how.dimension or embedding_dimension(len(kept) + 2),
    )


def fit_target(train: Rows, name: str, how: TargetConfig, label: Label) -> TargetFeature:
    """The smoothed mean label of each known word, over all training rows.

    Raises:
        DataError: No word occurs often enough to be known.
    """
    words, labels = train[name], train[LABEL].to_numpy()
    counts = words.value_counts()
    known = counts[counts >= how.min_count]
    # Sorting by word first and stably by count second leaves ties in the order of the words.
    known = known.sort_index().sort_values(ascending=False, kind="stable")[: how.max_size]
    vocabulary = tuple(known.index.tolist())
    if not vocabulary:
        raise DataError(
            f"no word of column '{name}' occurs in {how.min_count} training rows",
            expected="words that repeat",
            remedy=f"lower data.columns.{name}.min_count, or leave the column out",
        )
    of_rows = label_outputs(labels, label)
    prior = of_rows.mean(axis=0)
    rows, sums = word_sums(words, vocabulary, of_rows)
    means = smoothed(rows, sums, prior, how.smoothing)
    centers, scales = target_scales(means, rows)
    return TargetFeature(
        name=name,
        column=name,
        outputs=label.classes if of_rows.shape[1] > 1 else (),
        vocabulary=vocabulary,
        values=tuple(map(tuple, ((means[:-1] - centers) / scales).tolist())),
        unknown=tuple(((prior - centers) / scales).tolist()),
        smoothing=how.smoothing,
        folds=how.folds,
        prior=tuple(prior.tolist()),
        centers=tuple(centers.tolist()),
        scales=tuple(scales.tolist()),
    )


def fit_weight(train: Rows, columns: Mapping[str, ColumnConfig]) -> RowWeight | None:
    """The column of weights and its mean; None where there is no such column.

    Raises:
        DataError: Every training row weighs nothing.
    """
    name = only(WeightConfig, columns)
    if name is None:
        return None
    mean = float(train[name].to_numpy(dtype=np.float64).mean())
    if not mean > 0:
        raise DataError(
            f"every training row has the weight 0 ('{name}')",
            expected="rows that count",
            remedy=f"repair the source, or remove '{name}' from data.columns",
        )
    return RowWeight(column=name, mean=mean)
