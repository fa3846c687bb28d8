"""Where a warm start came from, in words that say whether it would be the same one now."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.core.promotions import champions, read_promotions

SCHEME = "models:/"
"""Begins the names of registered models, as MLflow writes them: models:/NAME@ALIAS."""


def file_origin(source: str, path: Path) -> str:
    """A file and its content; only the name where it is missing."""
    if not path.is_file():
        return source
    return f"{source} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]})"


def version_origin(name: str, version: int) -> str:
    """A registered version."""
    return f"{name} version {version}"


def origin_now(source: str, root: Path, promotions: Path) -> str | None:
    """What `train.warm_start` would begin with now, without asking the registry.

    Args:
        source: The value of `train.warm_start`.
        root: The project.
        promotions: The log of champions.

    Returns:
        As `file_origin` or `version_origin`; None for an alias other than champion, or a champion
        that the log does not know.
    """
    if not source.startswith(SCHEME):
        return file_origin(source, root / source)
    name, alias, number = registered_parts(source)
    if number:
        return version_origin(name, number)
    line = champions(read_promotions(promotions), name) if alias == "champion" else []
    return version_origin(name, line[-1]) if line else None


def registered_parts(source: str) -> tuple[str, str, int]:
    """Name, alias and version of `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    The alias is empty where a version stands, the version 0 where an alias does.
    """
    rest = source.removeprefix(SCHEME)
    name, _, alias = rest.partition("@")
    if alias:
        return name, alias, 0
    name, _, number = rest.rpartition("/")
    return name, "", int(number)
