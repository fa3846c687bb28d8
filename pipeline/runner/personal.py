"""Which columns of the raw table hold personal data, hashed or made coarse as it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.ingest import STAGE as INGEST


def personal_columns(params: Mapping[str, Any]) -> frozenset[str]:
    """Names of the columns that `pii` of the source or of a joined one names."""
    config = INGEST.configure(params)
    named = set(config.source.pii)
    for join in config.joins.values():
        # A key keeps its name, other columns get the prefix.
        named |= {*join.source.pii, *(f"{join.prefix}{name}" for name in join.source.pii)}
    return frozenset(named)
