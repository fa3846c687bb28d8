"""Fits places: a point on the sphere, distances, a grid cell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.core.features import GeoCellFeature, GeoDistance, GeoFeature
from pipeline.core.geo import cell_numbers, kilometres, on_sphere, usable
from pipeline.preprocess.config import LatitudeConfig
from pipeline.preprocess.fit_columns import center_and_scale, embedding_dimension
from pipeline.preprocess.summary_cells import Moments
from pipeline.preprocess.summary_counts import NumberCounts
from pipeline.preprocess.training_rows import Rows

Floats = NDArray[np.float64]

_NEAREST = 1e-6
"""Of the Earth's radius, six metres: places that differ by less count as one place."""


def fit_place(train: Rows, name: str, how: LatitudeConfig) -> Iterator[GeoFeature | GeoCellFeature]:
    """The point on the sphere, and the grid cell where one is wanted.

    Raises:
        DataError: No training row has a place, or no cell has rows enough.
    """
    seen = Places(how)
    for block in train.blocks([name, how.longitude]):
        seen.add(*(block[one].to_numpy(np.float64) for one in (name, how.longitude)))
    if not seen.known:
        raise DataError(
            f"'{name}' and '{how.longitude}' hold no place in any of {seen.rows:,} training rows",
            expected="rows with a latitude of at most 90 and a longitude of at most 180 degrees",
            remedy=f"remove '{name}' and '{how.longitude}' from data.columns, or repair the source",
        )
    axes = [_scaled(name, axis, _NEAREST) for axis in seen.axes]
    indicator = seen.known < seen.rows if how.indicator == "auto" else how.indicator
    yield GeoFeature(
        name=name,
        latitude=name,
        longitude=how.longitude,
        centers=(axes[0][0], axes[1][0], axes[2][0]),
        scales=(axes[0][1], axes[1][1], axes[2][1]),
        distances=tuple(_distance(one, seen.distances[one], how) for one in how.points),
        indicator=indicator,
    )
    if how.cell_degrees:
        yield _cells(name, how, seen.cells)


class Places:
    """Everything that is fitted on places.

    Args:
        how: What the pair of columns is.

    Attributes:
        rows: Rows seen.
        known: Those with a possible place.
        axes: Moments of the three axes of the unit sphere.
        distances: Moments of the kilometres to each point.
        cells: Rows of each grid cell.
    """

    def __init__(self, how: LatitudeConfig) -> None:
        self.how = how
        self.rows = self.known = 0
        self.axes = (Moments(), Moments(), Moments())
        self.distances = {name: Moments() for name in how.points}
        self.cells = NumberCounts()

    def add(self, latitude: Floats, longitude: Floats) -> None:
        """Adds rows, in degrees."""
        known = usable(latitude, longitude)
        self.rows += len(known)
        self.known += int(known.sum())
        latitude, longitude = latitude[known], longitude[known]
        for moments, numbers in zip(self.axes, on_sphere(latitude, longitude), strict=True):
            moments.add(numbers)
        for name, point in self.how.points.items():
            self.distances[name].add(kilometres(latitude, longitude, point))
        if self.how.cell_degrees:
            numbers = cell_numbers(latitude, longitude, self.how.cell_degrees)
            self.cells.add(*np.unique(numbers, return_counts=True))


def _distance(name: str, seen: Moments, how: LatitudeConfig) -> GeoDistance:
    center, scale = _scaled(name, seen, 1e-3)
    latitude, longitude = how.points[name]
    return GeoDistance(
        name=name, latitude=latitude, longitude=longitude, center=center, scale=scale
    )


def _scaled(name: str, seen: Moments, smallest: float) -> tuple[float, float]:
    """Mean and standard deviation; numbers that differ by less than `smallest` are not blown up."""
    center, scale = center_and_scale(name, seen, "standard")
    return center, scale if scale > smallest else 1.0


def _cells(name: str, how: LatitudeConfig, seen: NumberCounts) -> GeoCellFeature:
    enough = seen.counts >= how.min_count
    cells, counts = seen.numbers[enough], seen.counts[enough]
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
