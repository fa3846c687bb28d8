"""What declared columns must be to each other."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.errors import ConfigError
from pipeline.preprocess.config_columns import ColumnConfig
from pipeline.preprocess.config_kinds import (
    GroupConfig,
    LatitudeConfig,
    LongitudeConfig,
    WeightConfig,
)


def only(kind: type, columns: Mapping[str, ColumnConfig]) -> str | None:
    """The column of that kind; None where there is none."""
    return next((name for name, how in columns.items() if isinstance(how, kind)), None)


def require_places(columns: Mapping[str, ColumnConfig]) -> None:
    """Raises a ConfigError where a latitude and a longitude do not make a pair."""
    longitudes = [name for name, how in columns.items() if isinstance(how, LongitudeConfig)]
    paired = set()
    for name, how in columns.items():
        if not isinstance(how, LatitudeConfig):
            continue
        paired.add(how.longitude)
        if how.longitude not in longitudes:
            raise ConfigError(
                f"config key 'data.columns.{name}.longitude' names '{how.longitude}'",
                expected=f"a column of kind longitude: {', '.join(longitudes) or 'there is none'}",
                remedy=f"declare {how.longitude}: {{kind: longitude}} under data.columns",
            )
    if alone := [name for name in longitudes if name not in paired]:
        raise ConfigError(
            f"the longitude '{alone[0]}' belongs to no latitude",
            expected="a column of kind latitude that names it",
            remedy=f"declare the latitude as {{kind: latitude, longitude: {alone[0]}}}, or make "
            f"'{alone[0]}' numeric",
        )


def require_one_each(columns: Mapping[str, ColumnConfig]) -> None:
    """Raises a ConfigError where there are two weights or two groups."""
    for kind in (WeightConfig, GroupConfig):
        found = [name for name, how in columns.items() if isinstance(how, kind)]
        if len(found) > 1:
            what = columns[found[0]].kind
            raise ConfigError(
                f"{len(found)} columns are of kind {what}: {', '.join(found)}",
                expected=f"one column of kind {what} at most",
                remedy="declare the others as id, or multiply or join them in the source",
            )
