"""`dvc.yaml` from the stage records: the records are the source, a test compares the two."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.artifacts import EVALUATION_PLOTS, TRAINED
from pipeline.core.publishing import publish_file
from pipeline.core.stage import Stage

_HEADER = """\
# The wiring, generated from the Stage record of each room: `make wiring` writes it again.
# Each stage reads its own sections of params.yaml, which stage `compose` makes from configs/.
"""

_PLOTS: list[dict[str, Any]] = [
    {
        "loss": {
            "x": "epoch",
            "y": {f"{TRAINED}/history.csv": ["loss", "val_loss"]},
            "title": "Loss by epoch",
        }
    },
    {
        "learning rate": {
            "x": "epoch",
            "y": {f"{TRAINED}/history.csv": "learning_rate"},
            "title": "Learning rate by epoch",
        }
    },
    {EVALUATION_PLOTS: None},
]


def dvc_wiring(stages: Iterable[Stage]) -> dict[str, Any]:
    """The content of `dvc.yaml` as plain data."""
    return {"stages": {stage.name: _entry(stage) for stage in stages}, "plots": _PLOTS}


def _entry(stage: Stage) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "desc": stage.does,
        "cmd": f"python -m pipeline stage {stage.name}",
        "deps": sorted({*stage.code, *stage.deps}),
    }
    if stage.params:
        entry["params"] = sorted(set(stage.params.values()))
    outs = [*stage.outs, *(path for path in stage.kept if path not in stage.records)]
    entry_outs = [_out(stage, path, cached=True) for path in outs]
    entry_outs += [_out(stage, path, cached=False) for path in stage.records]
    if entry_outs:
        entry["outs"] = entry_outs
    if stage.metrics:
        entry["metrics"] = [_out(stage, path, cached=False) for path in stage.metrics]
    return entry


def _out(stage: Stage, path: str, *, cached: bool) -> str | dict[str, dict[str, bool]]:
    flags: dict[str, bool] = {}
    if not cached:
        flags["cache"] = False
    if path in stage.kept:
        flags["persist"] = True
    return {path: flags} if flags else path


def write_wiring(root: Path, stages: Iterable[Stage]) -> Path:
    """Publishes `dvc.yaml`; returns its path."""
    path = root / "dvc.yaml"
    with publish_file(path) as aside:
        body = yaml.safe_dump(dvc_wiring(stages), sort_keys=False, width=100)
        aside.write_text(_HEADER + body, encoding="utf-8")
    return path


if __name__ == "__main__":
    from pipeline.runner.stages import STAGES

    write_wiring(Path.cwd(), STAGES)
