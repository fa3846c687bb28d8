"""Kinds of columns that work with others: places, target encoding, weights and groups."""

from __future__ import annotations

import datetime
import re
import time
from typing import Literal

from pydantic import Field

from pipeline.core.features import CategoryEncoding
from pipeline.core.schema import config

LATITUDES = (-90.0, 90.0)
"""Possible degrees north."""
LONGITUDES = (-180.0, 180.0)
"""Possible degrees east."""


@config
class LatitudeConfig:
    """Degrees north, half of a place; the pair becomes features named after this column."""

    kind: Literal["latitude"]
    """Discriminator."""
    longitude: str = Field(min_length=1)
    """The column of kind longitude that is the other half."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    points: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Places by name, each [latitude, longitude], whose distance in km is a feature."""
    cell_degrees: float = Field(default=0.0, ge=0, le=90)
    """Side of the grid cells of the extra feature `COLUMN.cell`, at least 0.001; 0: no grid."""
    min_count: int = Field(default=20, ge=1)
    """Training rows a cell needs to be known."""
    max_size: int = Field(default=1000, ge=1)
    """Known cells at most, those of most rows."""
    indicator: Literal["auto"] | bool = "auto"
    """Whether a further dense feature says 1 where the place is missing."""
    encoding: CategoryEncoding = "embedding"
    """How models take the cell."""
    dimension: int = Field(default=0, ge=0)
    """Embedding width of the cell; 0: worked out from the number of cells."""

    def __post_init__(self) -> None:
        """Refuses what is nowhere."""
        if 0 < self.cell_degrees < 0.001:
            raise ValueError("cell_degrees 0, or from 0.001 to 90")
        for name, (latitude, longitude) in self.points.items():
            if not (abs(latitude) <= LATITUDES[1] and abs(longitude) <= LONGITUDES[1]):
                raise ValueError(f"points.{name} as [latitude, longitude] in degrees")


@config
class LongitudeConfig:
    """Degrees east, the other half of a place; a column of kind latitude names it."""

    kind: Literal["longitude"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""


@config
class TargetConfig:
    """A word or a code; becomes the smoothed mean label of the rows that have it."""

    kind: Literal["target"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""
    min_count: int = Field(default=1, ge=1)
    """Training rows a word needs to be known; others take the mean of all rows."""
    max_size: int = Field(default=10_000, ge=1)
    """Known words at most, the most frequent ones."""
    smoothing: float = Field(default=20.0, ge=0, allow_inf_nan=False)
    """How many rows the mean of all rows counts for beside a word's own."""
    folds: int = Field(default=5, ge=2, le=100)
    """Parts of the training split, each encoded by the labels of the others."""


@config
class WeightConfig:
    """How much a row counts in the training loss; never a feature, never served."""

    kind: Literal["weight"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=0.0, ge=0, le=1)
    """Whatever it says, the check stops where a row misses its weight."""


@config
class GroupConfig:
    """What rows have in common: rows of one group stay in one split; never a feature."""

    kind: Literal["group"]
    """Discriminator."""
    max_missing_fraction: float = Field(default=1.0, ge=0, le=1)
    """The check stops when more than this share of rows misses the value, 0 to 1."""


_DAY = re.compile(r"(?:\d{4}-)?\d{2}-\d{2}")
_LEAP_YEAR = "2000-"


def require_days(days: tuple[str, ...]) -> None:
    """Raises a ValueError where one is neither `YYYY-MM-DD` nor `MM-DD`, or does not exist."""
    for day in days:
        try:
            datetime.date.fromisoformat(day if len(day) > len("MM-DD") else _LEAP_YEAR + day)
        except ValueError:
            exists = False
        else:
            exists = bool(_DAY.fullmatch(day))
        if not exists:
            raise ValueError(f"holidays as YYYY-MM-DD, or MM-DD for every year; not {day!r}")


def require_format(text: str) -> None:
    """Raises a ValueError where strptime knows no such format."""
    try:
        time.strptime("", text)
    except ValueError as error:
        known = "does not match" in str(error)
    else:
        known = False  # it would read nothing at all
    if not (known and "%" in text):
        raise ValueError(f'format with directives of strptime such as "%d.%m.%Y", not {text!r}')
