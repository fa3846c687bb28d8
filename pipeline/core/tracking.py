"""What a stage tells about itself, and the only door to MLflow.

A stage writes to a `Journal`: one append-only JSONL file for each stage of a run. Writing costs
nothing and needs no MLflow; `flush` (in a process that pays MLflow's import anyway) carries the
journals into the MLflow store, once each.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.core.schema import config


@config
class TrackingConfig:
    """Where runs and registered models are kept. Changing it reruns no stage."""

    kind: Literal["sqlite", "server"]
    """`sqlite`: a database file in the project; `server`: MLFLOW_TRACKING_URI from the environment."""
    experiment: str = Field(min_length=1)
    """MLflow experiment that the runs go to."""


@dataclass(frozen=True)
class Journal:
    """Append-only story of one stage in one run; safe to write from a dying process."""

    path: Path

    def params(self, values: Mapping[str, object]) -> None:
        """Flat params; shown in MLflow as text."""
        self._append("params", {key: str(value) for key, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Numbers at a step, for curves."""
        self._append("metrics", {"values": dict(values), "step": step})

    def tags(self, values: Mapping[str, str]) -> None:
        """Facts to search by."""
        self._append("tags", dict(values))

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file to attach under `folder`; read when flushed."""
        self._append("artifact", {"path": str(path), "folder": folder})

    def _append(self, kind: str, value: object) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time_ms": int(time.time() * 1000), "kind": kind, "value": value})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
