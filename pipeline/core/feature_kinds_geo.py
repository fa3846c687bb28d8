"""Places on the globe: what a pair of latitude and longitude becomes, by which formula."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.core.schema import config

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG; Moritz, "Geodetic Reference System 1980", 2000)."""


@config
class GeoDistance:
    """The distance to one fixed point, along a great circle."""

    name: str
    """Name of the point."""
    latitude: float = Field(ge=-90, le=90)
    """Degrees north."""
    longitude: float = Field(ge=-180, le=180)
    """Degrees east."""
    center: float = 0.0
    """Subtracted from the kilometres."""
    scale: float = Field(default=1.0, gt=0)
    """Divided by after centering."""


@config
class GeoFeature:
    """A place as a point on the unit sphere, and its distances to fixed points, all in `dense`.

    With latitude p and longitude q in radians, the columns x, y and z are
    `cos p cos q`, `cos p sin q` and `sin p`, each less its center and divided by its scale. So
    neighbours are near each other across the date line and at the poles. A distance in km is
    `2 R asin(min(1, sqrt(sin^2(dp / 2) + cos p1 cos p2 sin^2(dq / 2))))`, the haversine formula
    (Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984), R = `EARTH_RADIUS_KM`.

    A pair counts as missing where either number is: NaN, an infinity, a latitude beyond 90
    degrees or a longitude beyond 180. All columns are then 0, the mean of the training rows; with
    `indicator` the last column says 1.
    """

    kind: Literal["geo"] = "geo"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    latitude: str
    """Raw column in degrees north, of dtype float64."""
    longitude: str
    """Raw column in degrees east, of dtype float64."""
    centers: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from x, y and z."""
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divided by after centering; above 0."""
    distances: tuple[GeoDistance, ...] = ()
    """Points whose distance is a column of its own."""
    indicator: bool = False
    """Whether missingness is a dense column of its own."""

    @property
    def dense_names(self) -> list[str]:
        """Names of its dense columns, in order."""
        named = ["x", "y", "z", *(f"km.{one.name}" for one in self.distances)]
        return [f"{self.name}.{one}" for one in [*named, *(["missing"] * self.indicator)]]


@config
class GeoCellFeature:
    """A place as a cell of a grid of `degrees` by `degrees`, in `indices`.

    The cell's number is `floor((latitude + 90) / degrees) * columns + floor((longitude + 180) /
    degrees)` with `columns = floor(360 / degrees) + 1`. Index 0 for missing (as in `GeoFeature`),
    1 + i for `cells[i]`, 1 + `len(cells)` for every other cell; cardinality `len(cells) + 2`.
    """

    kind: Literal["geo_cell"] = "geo_cell"
    """Discriminator."""
    name: str
    """Unique name of the feature."""
    latitude: str
    """Raw column in degrees north, of dtype float64."""
    longitude: str
    """Raw column in degrees east, of dtype float64."""
    degrees: float = Field(ge=0.001, le=90)
    """Side of a cell."""
    cells: tuple[int, ...] = Field(min_length=1)
    """Numbers of the known cells, ascending."""
    encoding: Literal["embedding", "one_hot"] = "embedding"
    """How models take the index."""
    dimension: int = Field(default=8, ge=1)
    """Embedding width."""

    @property
    def columns(self) -> int:
        """Cells around the globe, one more than fit: longitude 180 has a cell of its own."""
        return int(360 // self.degrees) + 1
