"""The journal: one append-only JSONL file for each stage of a run, cheap and crash-safe.

Records are `{"time_ms": ..., "kind": ..., "value": ...}`. A `start` begins an attempt, a `finish`
ends it; a stage that was killed has no `finish`, and its start names the process that is gone.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core.jsonl import append_line
from pipeline.core.processes import born

Ending = Literal["FINISHED", "FAILED", "KILLED"]
"""How a stage or a run ended, in MLflow's words."""

TRIAL = "trial-"
"""Begins the names of journals that are trials of a search rather than stages."""

FILES = "files"
"""Folder beside the journals with the files that wait to be attached."""


@dataclass(frozen=True)
class Journal:
    """Append-only story of one stage in one run; safe to write from a dying process."""

    path: Path

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.path.stem

    @property
    def is_trial(self) -> bool:
        """Whether it tells of one trial of a search; such stories stay off the parent run."""
        return self.stage.startswith(TRIAL)

    @property
    def run_key(self) -> str:
        """Key of the pipeline run."""
        return self.path.parent.name

    def start(self) -> None:
        """The stage begins; what follows belongs to this attempt."""
        pid = os.getpid()
        self._append("start", {"pid": pid, "born": born(pid)})

    def finish(self, status: Ending) -> None:
        """The attempt has ended."""
        self._append("finish", {"status": status})

    def params(self, values: Mapping[str, object]) -> None:
        """Flat params; shown in MLflow as text."""
        self._append("params", {key: str(value) for key, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Numbers at a step, for curves; NaN and infinity are allowed."""
        numbers = {key: float(value) for key, value in values.items()}
        self._append("metrics", {"values": numbers, "step": int(step)})

    def tags(self, values: Mapping[str, str]) -> None:
        """Facts to search by."""
        self._append("tags", {key: str(value) for key, value in values.items()})

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file or folder to attach under `folder`, as it stands now.

        A path that does not exist yet is read when the journal is carried into MLflow.
        """
        value = {"path": str(path.absolute()), "folder": folder}
        if path.exists():
            value["copy"] = self._keep(path)
        self._append("artifact", value)

    def _keep(self, path: Path) -> str:
        """Keeps the present content under `files/`; returns its path relative to the run.

        Outputs are published by rename, never written in place, so a hard link is a snapshot.
        """
        place = Path(FILES) / self.stage / uuid.uuid4().hex[:12] / path.name
        target = self.path.parent / place
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target, copy_function=_link)
        else:
            _link(path, target)
        return str(place)

    def _append(self, kind: str, value: object) -> None:
        record = {"time_ms": int(time.time() * 1000), "kind": kind, "value": value}
        append_line(self.path, record)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
