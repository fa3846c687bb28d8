"""What another git revision says about itself: its metrics and its params."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.artifacts import (
    CONFIGS,
    EXPORT_RECORD,
    METRICS,
    OVERRIDES,
    PARAMS,
    REGISTRATION,
)
from pipeline.core.errors import UsageError

_KEPT = (CONFIGS, OVERRIDES, PARAMS, "dvc.lock", "pipeline", METRICS, REGISTRATION, EXPORT_RECORD)


@dataclass(frozen=True)
class Base:
    """A revision to compare with.

    Attributes:
        name: As it was asked for; empty where nothing is compared.
        commit: First letters of its commit; empty where git does not know it.
        metrics: Content of its metrics.json; empty where it has none.
        params: Content of its params.yaml; None where it has none.
    """

    name: str = ""
    commit: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] | None = None


def read_base(root: Path, revision: str | None) -> Base:
    """Reads what git keeps of `revision`; what it does not have stays empty.

    Raises:
        UsageError: `revision` would be an option to git.
    """
    if not revision:
        return Base()
    if revision.startswith("-"):
        raise UsageError(
            f"'{revision}' is no git revision",
            expected="a branch, tag or commit",
            remedy="for example `pipeline status --markdown --base origin/main`",
        )
    return Base(
        name=revision,
        commit=_git(root, "rev-parse", "--short", "--verify", "--quiet", f"{revision}^{{commit}}"),
        metrics=_mapping(_git(root, "show", f"{revision}:./{METRICS}")) or {},
        params=_mapping(_git(root, "show", f"{revision}:./{PARAMS}")),
    )


def head_commit(root: Path) -> str:
    """First letters of the commit checked out; empty outside git."""
    return _git(root, "rev-parse", "--short", "HEAD")


def changed_files(root: Path) -> list[str]:
    """What git should keep of a run and differs from the commit checked out, or is new."""
    listed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", *_KEPT)
    return [line.split(maxsplit=1)[1] for line in listed.splitlines()]


def _git(root: Path, *arguments: str) -> str:
    """What git prints; nothing where it fails, because a summary is written whatever happened."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _mapping(text: str) -> dict[str, Any] | None:
    """JSON or YAML text as a mapping; None where it is something else."""
    try:
        # YAML reads JSON too, but 1e-05 only with a point: JSON first.
        value = json.loads(text) if text.startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return None
    return value if isinstance(value, dict) else None
