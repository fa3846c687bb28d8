"""Checks the whole composed config before anything expensive: each key claimed, each value fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from pipeline.compose.naming import nearest_keys
from pipeline.core.errors import ConfigError
from pipeline.core.schema import build, flatten, lookup
from pipeline.core.stage import Stage
from pipeline.core.tracking import TrackingConfig

DataName = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Name of a data set; becomes a folder, a registered model and part of a URL."""

_SHARED: Mapping[str, Any] = {"data.name": DataName, "tracking": TrackingConfig}
"""Sections that belong to no single stage."""


def validate(params: Mapping[str, Any], stages: Iterable[Stage]) -> None:
    """Builds every stage's config, and finds keys that no stage reads.

    Args:
        params: The whole composed config.
        stages: Every record with a config.

    Raises:
        ConfigError: A key is unknown, missing, of the wrong type or out of range, or names a
            column, a class or a metric that another section does not know.
    """
    stages = tuple(stages)
    claimed = {*_SHARED, *(key for stage in stages for key in stage.params.values())}
    for key in _unclaimed(params, claimed):
        raise _unknown(key, params, claimed)
    for key, kind in _SHARED.items():
        build(kind, lookup(params, key), key)
    for stage in stages:
        stage.configure(params)
    for stage in stages:
        if stage.agree is not None:
            stage.agree(params)


def _unclaimed(values: Mapping[str, Any], claimed: set[str], prefix: str = "") -> Iterator[str]:
    """Dotted keys outside every claimed section, in order."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key in claimed:
            continue
        if any(claim.startswith(f"{key}.") for claim in claimed) and isinstance(value, Mapping):
            yield from _unclaimed(value, claimed, f"{key}.")
        else:
            yield key


def _unknown(key: str, params: Mapping[str, Any], claimed: set[str]) -> ConfigError:
    elsewhere = {name for name in flatten(params) if not name.startswith(f"{key}.")}
    near = nearest_keys(key, {*claimed, *elsewhere})
    section = key.rpartition(".")[0]
    siblings = sorted({_next_part(claim, section) for claim in claimed} - {""})
    return ConfigError(
        f"unknown config key '{key}': no stage reads it",
        expected=(f"in {section}: " if section else "") + ", ".join(siblings),
        remedy=f"did you mean {' or '.join(near)}?" if near else "remove it",
    )


def _next_part(claim: str, section: str) -> str:
    """The part of `claim` right below `section`; empty where it lies elsewhere."""
    prefix = f"{section}." if section else ""
    return claim.removeprefix(prefix).split(".")[0] if claim.startswith(prefix) else ""
