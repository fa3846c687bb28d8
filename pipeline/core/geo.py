"""Places on the globe in NumPy: the reference for `core.encoder_geo`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.feature_kinds import DENSE_LIMIT
from pipeline.core.feature_kinds_geo import EARTH_RADIUS_KM, GeoCellFeature, GeoFeature

Floats = NDArray[np.float64]


def usable(latitude: Floats, longitude: Floats) -> NDArray[np.bool_]:
    """Where both are possible; NaN is not."""
    found: NDArray[np.bool_] = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    return found


def on_sphere(latitude: Floats, longitude: Floats) -> Floats:
    """Degrees to points of the unit sphere, `[3, rows]`."""
    p, q = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p)])


def kilometres(latitude: Floats, longitude: Floats, to: tuple[float, float]) -> Floats:
    """Distance of each place to the point `to` (latitude, longitude), by the haversine formula."""
    p, q = np.radians(latitude), np.radians(longitude)
    p0, q0 = np.radians(to[0]), np.radians(to[1])
    half = np.sin((p - p0) / 2) ** 2 + np.cos(p) * np.cos(p0) * np.sin((q - q0) / 2) ** 2
    distance: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(1.0, np.sqrt(half)))
    return distance


def cell_numbers(latitude: Floats, longitude: Floats, degrees: float) -> NDArray[np.int64]:
    """The cell of each possible place, as `GeoCellFeature` says."""
    columns = int(360 // degrees) + 1
    row, column = np.floor((latitude + 90) / degrees), np.floor((longitude + 180) / degrees)
    return row.astype(np.int64) * columns + column.astype(np.int64)


def place(frame: pd.DataFrame, feature: GeoFeature) -> list[NDArray[Any]]:
    """The dense columns of a place."""
    latitude, longitude, known = _read(frame, feature)
    columns = [*on_sphere(latitude, longitude)]
    points = feature.distances
    columns += [kilometres(latitude, longitude, (one.latitude, one.longitude)) for one in points]
    centers = [*feature.centers, *(one.center for one in points)]
    scales = [*feature.scales, *(one.scale for one in points)]
    dense: list[NDArray[Any]] = [
        np.where(known, np.clip((x - center) / scale, -DENSE_LIMIT, DENSE_LIMIT), 0.0)
        for x, center, scale in zip(columns, centers, scales, strict=True)
    ]
    return [*dense, *([~known] if feature.indicator else [])]


def cell_index(frame: pd.DataFrame, feature: GeoCellFeature) -> NDArray[np.int64]:
    """The index of a place's cell."""
    latitude, longitude, known = _read(frame, feature)
    numbers = cell_numbers(latitude, longitude, feature.degrees)
    cells = np.array(feature.cells, np.int64)
    at = np.minimum(np.searchsorted(cells, numbers), len(cells) - 1)
    index = np.where(cells[at] == numbers, 1 + at, 1 + len(cells))
    return np.where(known, index, 0)


def _read(
    frame: pd.DataFrame, feature: GeoFeature | GeoCellFeature
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Degrees with 0 for missing, and where they are not."""
    pair = [frame[name].to_numpy(np.float64) for name in (feature.latitude, feature.longitude)]
    known = usable(*pair)
    latitude, longitude = (np.where(known, one, 0.0) for one in pair)
    return latitude, longitude, known
