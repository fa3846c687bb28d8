"""What is served: a model, its versions on disk, and when a failed load is tried again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.serve.status import Code, ServingError

_VERSION = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*")


@dataclass(frozen=True)
class Retries:
    """When a version that failed to load is tried again, besides whenever its files change."""

    limit: int = 0
    interval_seconds: float = 60.0


@dataclass(frozen=True)
class Model:
    """One model to serve.

    Attributes:
        name: Name in requests.
        base_path: Folder that holds one numbered folder for each version.
        newest: How many of the newest versions are served; 0: all; ignored with `specific`.
        specific: The versions served, whatever their age; None: by `newest`.
        labels: Version by label.
    """

    name: str
    base_path: Path
    newest: int = 1
    specific: frozenset[int] | None = None
    labels: dict[str, int] = field(default_factory=dict)

    def aspired(self) -> dict[int, Path]:
        """The version folders to serve now, by number.

        Raises:
            OSError: The base path cannot be listed.
        """
        found: dict[int, Path] = {}
        for path in sorted(self.base_path.iterdir()):
            version = version_of(path.name)
            if version is not None:
                found[version] = path
        if self.specific is not None:
            return {version: path for version, path in found.items() if version in self.specific}
        newest = sorted(found)[-self.newest :] if self.newest else sorted(found)
        return {version: found[version] for version in newest}


def folder_of(text: str) -> Path:
    """A base path as configs and flags write it, plain or as a `file://` address."""
    return Path(text.removeprefix("file://"))


def version_of(name: str) -> int | None:
    """The version that a folder's name means, as absl::SimpleAtoi reads it; None: none."""
    if not _VERSION.fullmatch(name) or not -(2**63) <= int(name) < 2**63:
        return None
    return int(name)


def check_base_paths(models: Iterable[Model]) -> None:
    """Raises a ServingError for the first base path that is no folder."""
    for model in models:
        if not model.base_path.is_dir():
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"Could not find base path {model.base_path} for servable {model.name} "
                f"with error NOT_FOUND: {model.base_path} not found",
            )
