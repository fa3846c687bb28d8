"""The version folders under models/serving/NAME: whose they are, how large, which may go."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from pipeline.core.artifacts import read_json, write_json
from pipeline.core.errors import PipelineError
from pipeline.core.schema import build, config, dump

IDENTITY_FILE = Path("assets.extra", "model.json")


@config
class Identity:
    """Which model a version folder holds; servers leave it alone."""

    name: str
    """Served model name."""
    version: int
    """Version, as in the registry."""
    model_hash: str
    """Hash of its features and weights."""


def write_identity(folder: Path, identity: Identity) -> None:
    """Writes down in a version folder whose it is."""
    write_json(folder / IDENTITY_FILE, dump(identity))


def check_identity(folder: Path, identity: Identity) -> None:
    """Checks that an existing version folder holds the model it should.

    Raises:
        PipelineError: It holds another model, or does not say which.
    """
    path = folder / IDENTITY_FILE
    if not path.exists() or build(Identity, read_json(path), path.name) != identity:
        raise PipelineError(
            f"{folder} already holds another model",
            expected=f"the model {identity.model_hash[:12]}, registered as version"
            f" {identity.version} of {identity.name}",
            remedy="version folders are never written over: if no server needs it, remove it",
        )


def folder_bytes(folder: Path) -> int:
    """Size of all files in `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def prune(base: Path, keep: int, needed: Collection[int]) -> list[int]:
    """Removes all but the newest `keep` version folders; returns the versions removed.

    Args:
        base: models/serving/NAME.
        keep: How many of the newest stay.
        needed: Versions that stay whatever their age.
    """
    versions = sorted(int(path.name) for path in base.glob("*") if path.name.isdecimal())
    removed = [version for version in versions[:-keep] if version not in needed]
    for version in removed:
        folder = base / str(version)
        # Renamed first, so that no server finds half a version.
        gone = folder.with_name(f".aside-{version}-removed")
        folder.rename(gone)
        shutil.rmtree(gone)
    return removed
