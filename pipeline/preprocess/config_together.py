"""What declared columns must be to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pipeline.core.errors import ConfigError, wrong_name
from pipeline.preprocess.config_columns import (
    CategoricalConfig,
    ColumnConfig,
    CrossConfig,
    DatetimeConfig,
    NumericConfig,
)
from pipeline.preprocess.config_kinds import (
    GroupConfig,
    LatitudeConfig,
    LongitudeConfig,
    WeightConfig,
)

RESERVED = ("__label__", "__split__", "__unit__", "__sampled__", "__out_of_fold__")
"""How names of columns begin that the stage adds."""


def require_free_names(columns: Collection[str]) -> None:
    """Raises a ConfigError where a column is named like one that the stage adds."""
    if taken := [name for name in columns if name.startswith(RESERVED)]:
        raise ConfigError(
            f"the column '{taken[0]}' under data.columns has a name that preprocess gives itself",
            expected=f"names that do not begin with {', '.join(RESERVED)}",
            remedy="rename the column in the source, or leave it out",
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


def require_relations(columns: Mapping[str, ColumnConfig]) -> None:
    """Raises a ConfigError where `at_most` names no declared column of the same kind."""
    for name, how in columns.items():
        other = how.at_most if isinstance(how, NumericConfig | DatetimeConfig) else None
        alike = [one for one, its in columns.items() if type(its) is type(how) and one != name]
        if other is not None and other not in alike:
            key, kind = f"data.columns.{name}.at_most", f"another {how.kind} column"
            raise wrong_name(key, other, alike, kind, "remove at_most")


def require_crossed(
    crosses: Mapping[str, CrossConfig], columns: Mapping[str, ColumnConfig]
) -> None:
    """Raises a ConfigError where a cross is of what no column gives an index."""
    indices = [index for name, how in columns.items() for index in _indices(name, how)]
    for name, cross in crosses.items():
        require_parts(name, cross, indices)


def require_parts(name: str, cross: CrossConfig, indices: Collection[str]) -> None:
    """Raises a ConfigError where one cross is of none of these index features."""
    for part in cross.of:
        if part not in indices:
            what = "categorical columns, COLUMN.bucket, COLUMN.cell, or DATE.PART"
            raise wrong_name(f"data.crosses.{name}.of", part, indices, what, f"remove '{name}'")


def _indices(name: str, how: ColumnConfig) -> Iterator[str]:
    """The index features that a column becomes, unless it is left out for what it holds."""
    match how:
        case CategoricalConfig():
            yield name
        case NumericConfig() if how.buckets:
            yield f"{name}.bucket"
        case DatetimeConfig() if not how.cyclic:
            yield from (f"{name}.{part}" for part in how.parts)
        case LatitudeConfig() if how.cell_degrees:
            yield f"{name}.cell"


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


def require_label_apart(columns: Mapping[str, ColumnConfig], label: str) -> None:
    """Raises a ConfigError where the label is to weigh or to group the rows as well."""
    how = columns.get(label)
    if isinstance(how, WeightConfig | GroupConfig):
        raise ConfigError(
            f"the label '{label}' is declared as {how.kind}",
            expected=f"another column of kind {how.kind}",
            remedy=f"remove '{label}' from data.columns, or declare it as id",
        )
